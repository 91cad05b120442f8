"""The code that builds a side: whose it is, what it is known by, and a copy of harness for sides that bring none."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import harness
from harness import git, sealed
from harness.build.manifest import META
from harness.store import files

BUILDS = (
    "build", "data", "frameworks", "sources", "zoo", "records", "flow/plan.py", "plan.py", "providers.py", "graphs.py",
    "options.py", "flavours.py",
)  # fmt: skip
"""The parts of harness that decide what an artifact is, under their names of today and of earlier commits."""

LEFT_OUT = {"tests", "test", "docs", "doc", "results", "benchmarks", ".github"}
"""Folders of a project that build nothing."""

SUFFIXES = (".py", ".json", ".yaml", ".yml")
KIND = "code"
BYTECODE = "__pycache__"


def is_harness(tree: Path | None) -> bool:
    """Whether a tree is harness itself, whose own code then builds it."""
    return tree is not None and (tree / "harness" / "build" / "pipeline.py").is_file()


def digest(tree: Path | None, zoo: Path, own: Sequence[str] = ()) -> str:
    """What the code of a tree is known by: the files that can have a part in building; empty outside git.

    Args:
        tree: the top folder.
        zoo: left out, because every case already holds what it says.
        own: names of files and folders that the command itself writes; left out as well.
    """
    if tree is None:
        return ""
    if is_harness(tree):
        found = [path for part in BUILDS for path in _python(tree / "harness" / part)]
    else:
        listed = git.listed_files(tree, *git.all_but(own))
        found = [
            tree / name
            for name in sorted(set(listed))
            if name.endswith(SUFFIXES) and not LEFT_OUT & set(Path(name).parts[:-1]) and tree / name != zoo
        ]
    return _digest(tree, [path for path in found if path.is_file()])


_UNFINISHED = shutil.ignore_patterns("*.pyc.*", "*-pytest-*")
"""Bytecode that another interpreter is writing, and what pytest made of the sources."""


def copy_of_harness(cache: Path) -> Path:
    """A folder that holds the harness that runs and nothing else, to be put on another interpreter's path.

    The folder that harness is installed in would bring everything that lies beside it. Bytecode comes along, since
    sides write none: Python sees by the time and size of a source whether it fits.

    Raises:
        StoreError: the cache cannot be written.
    """
    package = Path(harness.__file__).resolve().parent
    key = _digest(
        package, [path for path in sorted(package.rglob("*")) if path.is_file() and BYTECODE not in path.parts]
    )
    place = cache.absolute() / KIND / key[:32]
    if place.is_dir():
        sealed.mark_used(place / META)
        return place
    temporary = place.with_name(f".{place.name}-{os.getpid()}-{secrets.token_hex(4)}")
    with files.guarded("write", place):
        try:
            shutil.copytree(package, temporary / "harness", ignore=_UNFINISHED)
            note(temporary, f"harness {harness.__version__}", name=place.name)
            try:
                temporary.rename(place)
            except OSError:
                if not place.is_dir():  # else another process was quicker, and its copy is the same
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return place


def note(place: Path, made_by: str, *, name: str = "") -> None:
    """Say what a folder of the cache is, for `harness cache`, and that it is in use.

    Args:
        place: the folder, in the one of its kind.
        made_by: what it is.
        name: what it will be called, where it is not called so yet.

    Raises:
        StoreError: the cache cannot be written.
    """
    content = {"made_by": made_by, "created": time.time()}
    files.write(place / META, sealed.seal(f"{place.parent.name}/{name or place.name}", content))


def _python(place: Path) -> list[Path]:
    return sorted(place.rglob("*.py")) if place.is_dir() else [place]


def _digest(top: Path, found: list[Path]) -> str:
    held = [[path.relative_to(top).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()] for path in sorted(found)]
    return hashlib.sha256(json.dumps(held).encode()).hexdigest()
