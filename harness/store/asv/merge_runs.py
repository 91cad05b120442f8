"""Samples of runs from elsewhere: a run is whole or not there, so that there is nothing to put together.

Files are checked, compared and copied a few rows at a time, however large they are; only files of many small runs
(`harness.store.compaction`) are held, to be taken apart.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from harness.errors import StoreError
from harness.shown import one_line
from harness.store import compact, compaction, examples, files, samples, stored_files
from harness.store.rows import Row

_NAME = re.compile(r"[\w.-]+")
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferingRow:
    """A row of theirs that says something else than ours.

    Attributes:
        what: the run and the case.
        kept, other: our median in seconds and theirs; None where there is no such row, or it was not measured.
    """

    what: str
    kept: object
    other: object


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingRun:
    """A run of theirs, or a file of their rows as it is.

    Attributes:
        target: where it belongs here.
        content: what is written there: a file that is copied, or the bytes of one.
        beside: what belongs to it, where it is new here: where that goes -> where it lies.
        differing: its rows that are not, or not so, in the same run here.
        stored: the file here that has the run; None where it is new.
    """

    target: Path
    content: bytes | Path
    beside: Mapping[Path, Path] = field(default_factory=dict)
    differing: Sequence[DifferingRow] = ()
    stored: Path | None = None


class RunMerge:
    """What of theirs is new in a results folder, file by file."""

    def __init__(self, results: Path, pending: Mapping[Path, bytes | Path]) -> None:
        """Nothing is read yet.

        Args:
            results: the folder.
            pending: what is to be written there.
        """
        self._results, self._pending = results, pending

    def of(self, path: Path) -> list[IncomingRun]:
        """What a file of theirs amounts to; a file of many runs is taken apart, since its name speaks of its folder.

        Raises:
            StoreError: it is damaged.
        """
        target = self._results / "samples" / path.name
        stored = self._pending.get(target, target)
        with files.guarded("read", path):
            if isinstance(stored, Path) and stored.exists() and _same_bytes(stored, path):
                return []
        if path.name.startswith(stored_files.COMPACT):
            return self._apart(path)
        names = {row["run"] for row in samples.stream(path, samples=False)} if self._merged else ()
        held = self._merged.get(next(iter(names))) if len(names) == 1 else None
        return [self._compared(path, target, path, lambda: samples.stream(path), held)]

    def _apart(self, path: Path) -> list[IncomingRun]:
        runs: dict[str, list[Row]] = {}
        for row in samples.stream(path):
            runs.setdefault(row["run"], []).append(row)
        if strange := next((run for run in runs if not _NAME.fullmatch(run)), None):
            raise StoreError(f"{path} holds a run whose name is none: {one_line(strange)}")
        folder = self._results / "samples"
        return [
            self._compared(
                path,
                folder / f"{run}.parquet",
                samples.encode(rows),
                functools.partial(iter, rows),
                self._merged.get(run),
            )
            for run, rows in runs.items()
        ]

    def _compared(
        self, path: Path, target: Path, content: bytes | Path, rows: Callable[[], Iterable[Row]], held: Path | None
    ) -> IncomingRun:
        """One of them beside what is here; `rows` begins to read it anew."""
        if target not in self._pending and not target.exists() and held is None:
            return IncomingRun(target=target, content=content, beside=examples.beside(path, rows(), self._results))
        stored = held or self._pending.get(target, target)
        known = samples.stream(stored) if isinstance(stored, Path) else ()
        ours = {(row["run"], row["case"]): (_fingerprint(row), _median_s(row)) for row in known}
        return IncomingRun(
            target=target, content=content, differing=tuple(_differing(rows(), ours)), stored=held or target
        )

    @functools.cached_property
    def _merged(self) -> Mapping[str, Path]:
        """Which file here holds a run, of those that lie in files of many."""
        merged = [
            path for path in stored_files.finished_files(self._results) if path.name.startswith(stored_files.COMPACT)
        ]
        return {run: one.path for one in compaction.sources(merged, lambda _: None) for run in one.runs}


def sha256(content: bytes | Path) -> str:
    """The digest of a file's content, or of what is to become one."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    found = hashlib.sha256()
    for chunk in _chunks(content):
        found.update(chunk)
    return found.hexdigest()


def write(path: Path, content: bytes | Path) -> None:
    """Put a whole file or a whole copy of one in place, or leave what was there.

    The caller holds the lock that guards `path`.

    Raises:
        StoreError: where one cannot be read or the other cannot be written.
    """
    with files.replacing(path) as file:
        for chunk in (content,) if isinstance(content, bytes) else _chunks(content):
            file.write(chunk)


def _differing(theirs: Iterable[Row], ours: Mapping[tuple[str, str], tuple[bytes, object]]) -> Iterator[DifferingRow]:
    for row in theirs:
        known, median_s = ours.get((row["run"], row["case"]), (b"", None))
        if known != _fingerprint(row):
            yield DifferingRow(what=f"run {row['run']}, {row['case']}", kept=median_s, other=_median_s(row))


def _same_bytes(one: Path, other: Path) -> bool:
    if one.stat().st_size != other.stat().st_size:
        return False
    return all(mine == theirs for mine, theirs in zip(_chunks(one), _chunks(other), strict=True))


def _chunks(path: Path) -> Iterator[bytes]:
    with files.guarded("read", path), path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _fingerprint(row: Row) -> bytes:
    """A digest of everything that a row says."""
    found = hashlib.sha256()
    small = {name: value for name, value in row.items() if name != "processes"}
    found.update(json.dumps(small, sort_keys=True, default=str).encode())
    for process in row["processes"] or ():
        scalars = {name: process[name] for name in process if name not in compact.LISTS}
        found.update(json.dumps(scalars, sort_keys=True, default=str).encode())
        for name in compact.LISTS:
            values = compact.nanoseconds(process.get(name) or ())
            found.update(f"{name} {len(values)} ".encode())
            found.update(values.tobytes())
    return found.digest()


def _median_s(row: Row) -> object:
    return row["latency"]["median_s"] if row["latency"] else None
