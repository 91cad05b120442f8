"""What is summarized of a results folder: which file's rows lie in which segment, and the state that it was read in.

A file is the one that was read as long as its name, size, times and inode are the same: whoever writes it anew changes
one of them. One that was changed just now is not noted, since a second write in the same tick of the clock would not
show.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from harness import paths, sealed
from harness.errors import StoreError
from harness.store import columns, content, files
from harness.store.summaries import narrow, segments

VERSION: Final = 1
FILE: Final = "ledger.json"
SETTLED_NS: Final = 2_000_000_000
"""How long a file has to lie unchanged until it is noted: the coarsest clock of a file system."""

KEPT_S: Final = 600.0
"""How long a segment that counts no more stays for whoever reads it."""

State = tuple[int, ...]
"""Size, times and inode of a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotedFile:
    """A file that was read.

    Attributes:
        state: it was in.
        segment: that has its rows.
        runs: whose rows it has.
        once: whether it has each case of a run once.
        replaces: what `harness.store.stored_files.replaced_by` says of it.
    """

    state: State
    segment: str
    runs: tuple[str, ...]
    once: bool
    replaces: Mapping[str, tuple[int, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotedSegment:
    """A segment that was written.

    Attributes:
        rows: that it has.
        files: how many files these are of.
        last: when the newest run among them says that it started.
    """

    rows: int
    files: int
    last: str


@dataclass(slots=True, kw_only=True)
class Ledger:
    """All of it: by name of the file below `samples`, and by name of the segment."""

    files: dict[str, NotedFile] = field(default_factory=dict)
    segments: dict[str, NotedSegment] = field(default_factory=dict)


def folder_of(results: Path) -> Path:
    """Where the summaries of a results folder lie."""
    name = hashlib.sha256(str(results.absolute()).encode(errors="surrogateescape")).hexdigest()[:16]
    return paths.cache_root().absolute() / "summaries" / name


def state(path: Path) -> State | None:
    """The state of a file; None where there is none, or it has not settled yet."""
    try:
        found = path.stat()
    except OSError:
        return None
    changed = max(found.st_mtime_ns, found.st_ctime_ns)
    if not 0 <= changed < time.time_ns() - SETTLED_NS:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def read(folder: Path) -> Ledger:
    """What is noted; nothing where it is damaged, or of another version of what rows and segments are."""
    held = sealed.opened(folder / FILE, _entry()).content
    if held is None:
        return Ledger()
    return Ledger(
        files={
            name: NotedFile(
                state=tuple(one[0]),
                segment=one[1],
                runs=tuple(one[2]),
                once=one[3],
                replaces={of: (size, sha) for of, (size, sha) in one[4].items()},
            )
            for name, one in held["files"].items()
        },
        segments={name: NotedSegment(rows=one[0], files=one[1], last=one[2]) for name, one in held["segments"].items()},
    )


def write(folder: Path, ledger: Ledger) -> None:
    """Note it, and remove segments that count no more and that nobody reads any more; under the folder's lock.

    Raises:
        StoreError: it cannot be written.
    """
    content: dict[str, Any] = {
        "files": {
            name: [one.state, one.segment, one.runs, one.once, dict(one.replaces)] for name, one in ledger.files.items()
        },
        "segments": {name: [one.rows, one.files, one.last] for name, one in ledger.segments.items()},
    }
    files.write(folder / FILE, sealed.seal(_entry(), content))
    for path in folder.glob("*.parquet"):
        if path.name.partition(".")[0] not in ledger.segments:
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > KEPT_S:
                    path.unlink()


def forget(folder: Path) -> None:
    """Note nothing any more: a segment is gone or damaged, and all of them are made again."""
    with contextlib.suppress(OSError):
        os.unlink(folder / FILE)  # noqa: PTH108  (a folder there is no ledger either)


def attempt_lock(folder: Path) -> files.Lock | None:
    """The lock under which summaries are made; None where another process has it, or the cache cannot be written."""
    try:
        with files.guarded("write into", folder):
            folder.mkdir(parents=True, exist_ok=True)
        return files.Lock.attempt(folder / ".lock")
    except StoreError:
        return None


def _entry() -> str:
    """What a ledger is sealed under: one of other columns, checks or segments is not taken for ours."""
    of = (VERSION, columns.SCHEMA, narrow.selected(), content.WRONG, content.PERHAPS_DEEP, segments.NEWEST_SQL)
    return f"summaries/{hashlib.sha256(repr(of).encode()).hexdigest()[:16]}"
