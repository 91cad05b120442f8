"""Which files an entry of the cache is made of, and whether they are still what they were. Standard library only."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.records import Json

META = "meta.json"
"""The file that holds the manifest, under `files`, and what else is known of an entry; it is not in the manifest."""


def of(folder: Path) -> list[Json]:
    """One record per file of a folder: its name, size, modification time and digest.

    Raises:
        OSError: a file cannot be read.
    """
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != META)
    return [_record(folder, path) for path in found]


def _record(folder: Path, path: Path) -> Json:
    status = path.stat()
    return {
        "name": path.relative_to(folder).as_posix(),
        "bytes": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "sha256": _sha256(path),
    }


def holds(folder: Path, records: Any, *, deep: bool) -> bool:
    """Whether every recorded file is there and is what it was.

    A file whose size and modification time are as recorded is taken to be whole; any other is hashed, and with `deep`
    every file is.
    """
    if not isinstance(records, list):
        return False
    try:
        for record in records:
            path = folder / record["name"]
            status = path.stat()
            if status.st_size != record["bytes"]:
                return False
            if (deep or status.st_mtime_ns != record["mtime_ns"]) and _sha256(path) != record["sha256"]:
                return False
    except (OSError, KeyError, TypeError):
        return False
    return True


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
