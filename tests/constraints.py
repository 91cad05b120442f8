"""Writes constraints.txt: the versions of everything that this environment has for harness, as they were tested.

`python -m tests.constraints > constraints.txt`, in an environment whose tests pass. A version is written without its
local part: pip takes `torch==2.13.0` and `torch==2.13.0+cpu` for `torch==2.13.0`, so that one file serves who has a
CPU wheel at hand and who takes CUDA's from an index.
"""

from __future__ import annotations

import platform
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from harness.flavours import FLAVOURS

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "constraints.txt"
OURS = "onnx-harness"

APART = {
    "flax": "0.12.8",
    "jax": "0.10.2",
    "jax2onnx": "0.17.1",
    "keras": "3.15.1",
    "tensorflow-cpu": "2.21.0",
    "tf2onnx": "1.17.0",
}
"""What was tested in environments of its own, where harness installs a framework apart from everything else."""

ALIASES = {"xgboost": "xgboost-cpu"}
"""What other platforms have under another name: the release is one."""

Requires = Callable[[str], "tuple[str, Sequence[str]] | None"]
"""A distribution's name -> its version and what it requires; None where it is not installed."""


def of_pyproject() -> dict[str, list[Requirement]]:
    """What pyproject.toml asks for: extra -> requirements; those of everybody have an empty name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    return {name: [Requirement(line) for line in lines] for name, lines in groups.items()}


def installed(name: str) -> tuple[str, Sequence[str]] | None:
    """A distribution of this environment."""
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    return found.version, found.requires or ()


def pinned(roots: Mapping[str, Sequence[Requirement]], requires: Requires) -> dict[str, str]:
    """Every distribution that the roots lead to, with its public version, by name.

    Args:
        roots: as `of_pyproject` gives them.
        requires: what is installed.
    """
    found: dict[str, str] = {}
    waiting = [(one, "") for lines in roots.values() for one in lines]
    seen = set()
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name == OURS or (requirement.marker and not requirement.marker.evaluate({"extra": extra})):
            continue
        known = requires(name)
        if known is None:
            continue
        found[name] = Version(known[0]).public
        for own in ("", *sorted(requirement.extras)):
            if (name, own) not in seen:
                seen.add((name, own))
                waiting += [(Requirement(line), own) for line in known[1]]
    return dict(sorted(_with_flavours(found).items()))


def _with_flavours(found: Mapping[str, str]) -> dict[str, str]:
    """With onnxruntime under the names that other platforms have it by: the release is one."""
    versions = [found[name] for name in FLAVOURS if name in found]
    named = {one.name for lines in of_pyproject().values() for one in lines}
    aliased = {name: found[here] for name, here in ALIASES.items() if here in found}
    return {**found, **aliased, **{name: versions[0] for name in FLAVOURS if versions and name in named}}


def lines(pins: Mapping[str, str]) -> Iterator[str]:
    """The lines of the file."""
    yield "# What the tests passed with; pip install -c constraints.txt ... takes these versions of what it installs."
    yield "# Written by: python -m tests.constraints > constraints.txt"
    yield f"# Python {platform.python_version()}"
    yield from (f"{name}=={version}" for name, version in pins.items())


if __name__ == "__main__":
    sys.stdout.write("\n".join(lines(dict(sorted({**APART, **pinned(of_pyproject(), installed)}.items())))) + "\n")
