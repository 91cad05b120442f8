"""A `uv` that installs nothing: it makes environments whose interpreter answers what a test wants to lie in them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = """#!/bin/sh
cd '{folder}'
for last; do :; done
if [ "$1" = venv ]; then
    mkdir -p "$last/bin" && cp python "$last/bin/python" && echo "$last" >> made
else
    for one; do echo "$one" >> asked; done
    echo >> asked
    cat words >&2
fi
"""


def answering(path: Path, installed: Mapping[str, str], log: Path = Path(os.devnull)) -> Path:
    """A program that answers as an interpreter does which is asked what is installed beside it, whatever it is asked.

    The log gets the code that it is to run.
    """
    said = json.dumps(["3.12.0", "x86_64", dict(installed)])
    path.write_text(f"#!/bin/sh\necho \"$2\" >> '{log}'\necho '{said}'\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeInstaller:
    """What was asked of it lies in its folder."""

    folder: Path

    @property
    def made(self) -> Sequence[str]:
        """The environments, in their order."""
        return (self.folder / "made").read_text(encoding="utf-8").splitlines()

    @property
    def python(self) -> str:
        """The interpreter of the newest."""
        return str(Path(self.made[-1]) / "bin/python")

    @property
    def proved(self) -> str:
        """The code that ran in the environments."""
        return (self.folder / "ran").read_text(encoding="utf-8")

    @property
    def asked(self) -> Sequence[Sequence[str]]:
        """The requirements of every install, without its options."""
        every = [text.split("\n") for text in (self.folder / "asked").read_text(encoding="utf-8").split("\n\n")[:-1]]
        # uv pip install --python PLACE [--only-binary :all:] REQUIREMENT...
        return [one[6:] if one[4] == "--only-binary" else one[4:] for one in every]


def fake_uv(
    folder: Path, monkeypatch: pytest.MonkeyPatch, installed: Mapping[str, str], *, words: str = ""
) -> FakeInstaller:
    """Put a `uv` before all others that installs these distributions, whatever is asked for, with these words."""
    folder.mkdir()
    answering(folder / "python", installed, folder / "ran")
    (folder / "words").write_text(words, encoding="utf-8")
    (folder / "uv").write_text(SCRIPT.format(folder=folder), encoding="utf-8")
    (folder / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return FakeInstaller(folder=folder)
