"""What a tree says it depends on, so that two commits can be given what each of them was written for.

Read from pyproject.toml (`project.dependencies` and the extra `zoo`), or else from requirements.txt; the requirement of
ONNX Runtime is kept apart, because it is what measures, and need not be what builds.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import foreign
from harness.errors import UsageError
from harness.flavours import FLAVOURS, IN_TEXT, normal

EXTRA = "zoo"
"""The extra that holds what a project's models need."""

OWN = "onnx-harness"
"""Harness itself is never installed for a side: its code comes with the side, or from here."""

OWN_TREE = (".", "-e", "--editable")
"""The project itself, whose files a side brings, and local folders, which are part of it."""

ARCHIVES = ("/", "http:", "https:", "git+", "file:")

LOCKS = ("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "pylock.toml", "pixi.lock")

UNREAD = (
    "*.txt", "*.in", "*.toml", "*.cfg", "*.yml", "*.yaml", "setup.py", "Pipfile", "*Dockerfile*", "requirements/*",
    "docker/*", ".github/workflows/*",
)  # fmt: skip
"""Where else people name the onnxruntime that they use; these files are compared, and not understood."""

PIN = re.compile(
    rf"\b(?:{IN_TEXT})(?:\[[^\]]*\])?[\"']?\s*(?:===?|[<>~!]=|[<>=:])\s*[\"'^~=<>v]*\d[\w.]*",
    re.IGNORECASE,
)
LARGEST = 1_000_000
"""Bytes of a file that is looked through for pins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """The dependencies of a tree.

    Attributes:
        requirements: what builds, sorted, as requirement strings; without ONNX Runtime and without harness.
        runtime: what measures: the requirement of ONNX Runtime that counts on this platform; empty where none is named.
        arguments: what pip is given to install it all, ONNX Runtime included.
        locks: lock file -> digest of its bytes.
        pins: file -> every place in it that names a version of ONNX Runtime, as it is written there.
        source: the file that says so; empty where there is none.
    """

    requirements: tuple[str, ...] = ()
    runtime: str = ""
    arguments: tuple[str, ...] = ()
    locks: tuple[tuple[str, str], ...] = ()
    pins: tuple[tuple[str, str], ...] = ()
    source: str = ""


def declared(tree: Path) -> Declared:
    """Read what a tree depends on.

    Args:
        tree: its top folder.

    Raises:
        UsageError: pyproject.toml or requirements.txt cannot be read, or holds no requirement where one is due.
    """
    project = _pyproject(tree / "pyproject.toml")
    found = Declared()
    if "dependencies" in project:
        listed = [*project["dependencies"], *project.get("optional-dependencies", {}).get(EXTRA, [])]
        found = _sorted_out([str(one) for one in listed], tree / "pyproject.toml")
    elif (tree / "requirements.txt").is_file():
        found = _sorted_out(_lines(tree / "requirements.txt"), tree / "requirements.txt")
    locks = tuple((name, _digest(tree / name)) for name in LOCKS if (tree / name).is_file())
    return dataclasses.replace(found, locks=locks, pins=_pins(tree))


def unmet(requirements: Iterable[str], installed: Mapping[str, str]) -> tuple[str, ...]:
    """The requirements that an environment does not satisfy; those that cannot be looked into count among them.

    Args:
        requirements: as in `Declared`.
        installed: distribution -> version, by lower-case name.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    versions = {normal(name): version for name, version in installed.items()}
    found = []
    for text in requirements:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            found.append(text)
            continue
        version = versions.get(normal(requirement.name))
        if requirement.url or version is None or not requirement.specifier.contains(version, prereleases=True):
            found.append(text)
    return tuple(found)


def _sorted_out(listed: list[str], source: Path) -> Declared:
    from packaging.requirements import InvalidRequirement, Requirement

    others: list[str] = []
    runtimes: list[str] = []
    arguments: list[str] = []
    for text in listed:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            if text.startswith(OWN_TREE):
                continue
            if text.startswith("-"):
                arguments += _option(text, source.parent)
                continue
            # An archive: it cannot be looked into, and is compared and installed as it stands.
            if text.startswith(ARCHIVES):
                others.append(text)
                arguments.append(text)
                continue
            raise UsageError(f"{source}: {text!r} is not a requirement: {' '.join(str(error).split())}") from error
        name = normal(requirement.name)
        if name == OWN or (requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})):
            continue
        bare = f"{name}{_extras(requirement)}{_range(requirement)}"
        (runtimes if name in FLAVOURS else others).append(bare)
        arguments.append(bare)
    if len(runtimes) > 1:
        raise UsageError(
            f"{source} names {' and '.join(runtimes)}, which overwrite each other when installed; keep one of them"
        )
    return Declared(
        requirements=tuple(sorted(set(others))),
        runtime=runtimes[0] if runtimes else "",
        arguments=tuple(dict.fromkeys(arguments)),
        source=source.name,
    )


def _option(text: str, folder: Path) -> list[str]:
    """An option of pip as arguments; files that it names are taken from the folder of the requirements."""
    name, _, value = text.replace("=", " ", 1).partition(" ")
    value = value.strip()
    if value and (folder / value).exists():
        value = str((folder / value).absolute())
    return [name, value] if value else [name]


def _extras(requirement: Any) -> str:
    return f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""


def _range(requirement: Any) -> str:
    if requirement.url:
        return f" @ {requirement.url}"
    return ",".join(sorted(str(one) for one in requirement.specifier))


def _pyproject(path: Path) -> dict[str, Any]:
    try:
        content = foreign.toml(foreign.content(path, LARGEST))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    project = content.get("project", {})
    return project if isinstance(project, dict) else {}


def _lines(path: Path, seen: set[Path] | None = None) -> list[str]:
    """The requirements of a file and of the files that it includes, comments left out."""
    try:
        text = foreign.content(path, LARGEST).decode("utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    seen = {path.resolve()} if seen is None else seen
    found = []
    for raw in text.replace("\\\n", " ").splitlines():
        line = raw.split(" #", 1)[0].strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith(("-r ", "--requirement ")):
            other = path.parent / line.split(maxsplit=1)[1]
            if other.resolve() not in seen:  # files that include each other, or one many times
                seen.add(other.resolve())
                found += _lines(other, seen)
        else:
            # Hashes pin a file's bytes; the version beside them is what is compared.
            found.append(line.split(" --hash", 1)[0].strip())
    return found


def _pins(tree: Path) -> tuple[tuple[str, str], ...]:
    """What the files of a tree say of the version of ONNX Runtime."""
    found = {}
    for path in sorted({path for pattern in UNREAD for path in tree.glob(pattern)}):
        if path.name in LOCKS or not path.is_file() or path.stat().st_size > LARGEST:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        lines = (line.partition("#")[0] for line in text.splitlines())
        named = [" ".join(match[0].split()) for line in lines for match in PIN.finditer(line)]
        if named:
            found[path.relative_to(tree).as_posix()] = ", ".join(named)
    return tuple(found.items())


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
