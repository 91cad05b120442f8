"""What harness was tested with, and what of it is installed in another version: constraints.txt, which travels along.

The file stands in the package where that was built as a wheel, and beside it in a clone.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from harness.installed import version_of

NAME: Final = "constraints.txt"
_PIN: Final = re.compile(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!+_-]+)")
_PYTHON: Final = re.compile(r"# Python (\d+\.\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownVersions:
    """The versions that the tests passed with.

    Attributes:
        pins: distribution -> version, without a local part.
        python: such as `3.11`; empty where the file does not say.
    """

    pins: Mapping[str, str] = field(default_factory=dict)
    python: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherVersion:
    """One distribution that is installed in a version other than the tested one."""

    name: str
    installed: str
    tested: str

    def __str__(self) -> str:
        """Such as `numpy 2.5.0 (tested 2.4.6)`."""
        return f"{self.name} {self.installed} (tested {self.tested})"


def read(folder: Path = Path(__file__).parent) -> KnownVersions:
    """The constraints of a package's folder, or of the clone around it; nothing where neither has them."""
    clone = folder.parent
    places = [folder / NAME, *([clone / NAME] if (clone / "pyproject.toml").is_file() else [])]
    text = next((place.read_text(encoding="utf-8") for place in places if place.is_file()), "")
    python = _PYTHON.search(text)
    return KnownVersions(
        pins={found[1]: found[2] for line in text.splitlines() if (found := _PIN.fullmatch(line.strip()))},
        python=python[1] if python else "",
    )


def others(
    tested: KnownVersions,
    *,
    version: Callable[[str], str | None] = version_of,
    python: str = platform.python_version(),
) -> tuple[OtherVersion, ...]:
    """What is installed in another version than the tested one; local parts such as `+cpu` make none another.

    Args:
        tested: as `read` gives it.
        version: the installed version of a distribution; None where it is not installed.
        python: the version of this interpreter.
    """
    found = []
    own = ".".join(python.split(".")[:2])
    if tested.python and own != tested.python:
        found.append(OtherVersion(name="Python", installed=python, tested=tested.python))
    for name, pin in tested.pins.items():
        is_there = version(name)
        if is_there is not None and is_there.partition("+")[0] != pin:
            found.append(OtherVersion(name=name, installed=is_there, tested=pin))
    return tuple(found)
