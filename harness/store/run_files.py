"""Runs from another results folder: checked, compared and copied a few rows at a time, however large they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.errors import StoreError
from harness.store import compact, examples, files, samples
from harness.store.rows import Row

CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferingRow:
    """A row of a run that says something else than the stored one.

    Attributes:
        what: the run and the case.
        kept, other: both medians in seconds; None where there is no such row, or it was not measured.
    """

    what: str
    kept: object
    other: object


def checked(path: Path, results: Path) -> dict[Path, Path]:
    """What belongs to a run beside its own file, once every row of it was read: where it goes -> where it lies.

    Raises:
        StoreError: if the file is damaged, or goes while it is read.
    """
    try:
        return examples.beside(path, samples.stream(path), results)
    except FileNotFoundError as error:
        raise StoreError(
            f"{path} went away while it was read: import its folder again when nothing writes it"
        ) from error


def differing(theirs: Iterable[Row], ours: Iterable[Row]) -> Iterator[DifferingRow]:
    """The rows that are not, or not so, among others; one row at a time is in memory, and a digest of each of ours."""
    kept = {(row["run"], row["case"]): (_fingerprint(row), _median_s(row)) for row in ours}
    for row in theirs:
        known, median_s = kept.get((row["run"], row["case"]), (b"", None))
        if known != _fingerprint(row):
            yield DifferingRow(what=f"run {row['run']}, {row['case']}", kept=median_s, other=_median_s(row))


def same_bytes(one: Path, other: Path) -> bool:
    """Whether two files hold the same."""
    if one.stat().st_size != other.stat().st_size:
        return False
    return all(mine == theirs for mine, theirs in zip(_chunks(one), _chunks(other), strict=True))


def sha256(path: Path) -> str:
    """The digest of a file's content."""
    found = hashlib.sha256()
    for chunk in _chunks(path):
        found.update(chunk)
    return found.hexdigest()


def copy(source: Path, target: Path) -> None:
    """Put a whole copy of a file in place, or leave what was there; the caller holds the lock that guards the target.

    Raises:
        StoreError: where one cannot be read or the other cannot be written.
    """
    with files.replacing(target) as file:
        for chunk in _chunks(source):
            file.write(chunk)


def _chunks(path: Path) -> Iterator[bytes]:
    with files.guarded("read", path), path.open("rb") as file:
        while chunk := file.read(CHUNK):
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
