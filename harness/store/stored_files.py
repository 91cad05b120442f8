"""The Parquet files of a results folder, in every layout that a version wrote.

::

    results/samples/<run id>.parquet                                       a finished run
    results/samples/<run id>.parts/<case>.parquet                          one that is going on
    results/samples/month=2026-11/class=2bcc905dfd9b/compact-<...>.parquet many runs (`harness.store.compaction`)

A file of many runs says in its metadata which files it replaces. They are left out from the moment it is there, whole,
and are removed later: whoever listed the folder before still finds them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from harness.errors import StoreError
from harness.special_files import special
from harness.store.arrow_memory import plain_memory

COMPACT: Final = "compact-"
"""How names of files of many runs begin."""

REPLACES: Final = "harness.replaces"
"""In the metadata of such a file: name -> size in bytes and SHA-256 of each file whose rows it has, as JSON."""

LAYOUTS: Final = ("*.parquet", "month=*/class=*/*.parquet")

Replaced = Mapping[str, tuple[int, str]]
"""Name of a file -> its size and its SHA-256."""


def sample_files(results: Path, known: Callable[[Path], Replaced] | None = None) -> list[Path]:
    """The Parquet files that hold the rows of a results folder: of finished runs and of those going on.

    Args:
        results: the results folder.
        known: what a file of many runs replaces; None reads it there.

    Raises:
        StoreError: if the folder cannot be listed.
    """
    found = finished_files(results)
    gone = replaced(found, known)
    parts = [path for path in _listed(results, "*.parts/*.parquet") if not path.name.startswith(".")]
    return sorted([*(path for path in found if not is_replaced(path, gone)), *parts])


def finished_files(results: Path) -> list[Path]:
    """Those of finished runs alone, with those that a file of many runs replaces.

    Raises:
        StoreError: if the folder cannot be listed.
    """
    return sorted(path for layout in LAYOUTS for path in _listed(results, layout) if not path.name.startswith("."))


def replaced(paths: Iterable[Path], known: Callable[[Path], Replaced] | None = None) -> dict[str, tuple[int, str]]:
    """What the files of many runs among these replace."""
    found: dict[str, tuple[int, str]] = {}
    for path in paths:
        if path.name.startswith(COMPACT):
            found |= (known or replaced_by)(path)
    return found


def is_replaced(path: Path, gone: Replaced) -> bool:
    """Whether a file is one of those that another replaces: by its name and size, which is enough to leave it out."""
    if path.name not in gone:
        return False
    try:
        return path.stat().st_size == gone[path.name][0]
    except OSError:
        return True


def replaced_by(path: Path) -> Replaced:
    """What one file replaces; nothing where that cannot be read, and then nothing is left out for it."""
    try:
        stat = path.stat()
    except OSError:
        return {}
    if special(path):
        return {}
    return _replaced_by(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4096)
def _replaced_by(path: Path, size: int, mtime_ns: int) -> Replaced:  # noqa: ARG001  (they tell its states apart)
    plain_memory()
    import pyarrow as pa
    import pyarrow.parquet as pq

    from harness import foreign

    try:
        said: Any = (pq.read_metadata(path).metadata or {}).get(REPLACES.encode())
        held = foreign.mapping(said.decode()) if said else {}
        return {str(name): (int(one["bytes"]), str(one["sha256"])) for name, one in held.items()}
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError):
        return {}


def moved(paths: Iterable[str]) -> dict[str, str]:
    """Where rows lie that were listed in these files: there, or in the file that has replaced one since."""
    found = {}
    merged: dict[Path, dict[str, Path]] = {}
    for text in paths:
        path = Path(text)
        found[text] = text
        folder = next((one for one in path.parents if one.name == "samples"), None)
        if folder is not None and not path.exists():
            if folder not in merged:
                now = [one for one in finished_files(folder.parent) if one.name.startswith(COMPACT)]
                merged[folder] = {name: one for one in now for name in replaced_by(one)}
            found[text] = str(merged[folder].get(path.name, path))
    return found


def replaces_text(gone: Replaced) -> str:
    """As the metadata has it."""
    return json.dumps({name: {"bytes": size, "sha256": sha} for name, (size, sha) in sorted(gone.items())})


def _listed(results: Path, pattern: str) -> list[Path]:
    folder = results / "samples"
    try:
        return list(folder.glob(pattern))
    except OSError as error:
        raise StoreError(f"Cannot list {folder}: {error.strerror}.") from error
