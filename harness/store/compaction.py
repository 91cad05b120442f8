"""Small files merged: the runs of a month and a class of hosts as one file, without a moment at which a row is lost.

1. The merged file is written whole, under a name of its own, and names what it replaces
   (`harness.store.stored_files`): from then on readers take it and leave those out. Before, they see those alone.
   Should a reader see both, each case of a run counts once (`harness.store.query.ONCE`).
2. It is read back and compared, row by row, before anything is removed.
3. What it replaces is removed once everybody who listed the folder before has had time to read it: by the next
   compaction, after a grace period.

Whoever is killed in between leaves either the files as they were or both; the next compaction goes on from there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any, BinaryIO, Final

from harness.errors import StoreError
from harness.store import parts, samples, stored_files
from harness.store.stored_files import COMPACT, Replaced

MOST_BYTES: Final = 128_000_000
"""What a merged file is made of at most, as stored; one of more than half of that stays as it is."""

STAMP: Final = "%Y%m%dT%H%M%SZ"

KEYS: Final = ("run", "case", "fingerprint", "run_started_at")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file of finished runs.

    Attributes:
        month: of its earliest run, such as `2026-11`.
        host_class: the fingerprint of its rows, or `several`.
        runs: that it holds.
    """

    path: Path
    size: int
    month: str
    host_class: str
    runs: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeGroup:
    """Files that become one.

    Attributes:
        sources: two at least, in the order of their names: of two copies of a row the first counts.
    """

    month: str
    host_class: str
    sources: tuple[Source, ...]

    def name(self, now: datetime) -> str:
        """What the merged file is called, without its suffix: when it was made, and of what."""
        of = hashlib.sha256("\n".join(one.path.name for one in self.sources).encode()).hexdigest()[:8]
        return f"{COMPACT}{now.strftime(STAMP)}-{of}"


def made_at(path: Path) -> datetime | None:
    """When a merged file was made, by its name; None where the name does not say."""
    try:
        return datetime.strptime(path.name.removeprefix(COMPACT).partition("-")[0], STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None


def source(path: Path) -> Source | None:
    """What a file holds; None where it holds nothing.

    Raises:
        StoreError: it is damaged, or not harness's own.
        FileNotFoundError: it is gone.
    """
    with samples.opened(path) as file:
        if any(name not in file.schema_arrow.names for name in KEYS):
            raise StoreError(f"{path} is of a version without {', '.join(KEYS)}: it stays as it is.")
        held = file.read(columns=[*KEYS], use_threads=False)
    if not held.num_rows:
        return None
    classes = {one or "unknown" for one in held["fingerprint"].unique().to_pylist()}
    first = min((one for one in held["run_started_at"].unique().to_pylist() if one), default="")
    return Source(
        path=path,
        size=path.stat().st_size,
        month=first[:7] or "unknown",
        host_class=_plain(classes.pop()) if len(classes) == 1 else "several",
        runs=frozenset(held["run"].unique().to_pylist()),
    )


def sources(paths: Iterable[Path], say: Say) -> Iterator[Source]:
    """What files hold, as far as they can be read; `say` hears of the others."""
    for path in paths:
        try:
            found = source(path)
        except StoreError as error:
            say(f"left as it is: {error}")
        except FileNotFoundError:
            continue
        else:
            if found is not None:
                yield found


def planned(found: Iterable[Source], most_bytes: int = MOST_BYTES) -> list[MergeGroup]:
    """Which files become one: those of a month and a class, two or more, up to a size."""
    places: dict[tuple[str, str], list[Source]] = {}
    for one in sorted(found, key=lambda one: one.path.name):
        if one.size <= most_bytes // 2:
            places.setdefault((one.month, one.host_class), []).append(one)
    groups: list[MergeGroup] = []
    for (month, host_class), every in sorted(places.items()):
        groups += [
            MergeGroup(month=month, host_class=host_class, sources=tuple(some))
            for some in _chunks(every, most_bytes)
            if len(some) > 1
        ]
    return groups


def write(group: MergeGroup, sink: BinaryIO) -> Replaced:
    """Write the rows of a group's files, each case of a run once, and what they replace.

    Raises:
        StoreError: a file is damaged; nothing was replaced.
        FileNotFoundError: one has gone.
    """
    gone: dict[str, tuple[int, str]] = {}
    for one in group.sources:
        gone |= stored_files.replaced_by(one.path)
        gone[one.path.name] = one.size, digest(one.path)
    # Read twice: what is compared afterwards is what was written, and not what a file has become since.
    with samples.writer(sink, {stored_files.REPLACES: stored_files.replaces_text(gone)}) as out:
        for table in tables(group.sources):
            out.write_table(table)
    return gone


def verify(group: MergeGroup, merged: Path) -> None:
    """Compare a merged file with what it was made of.

    Raises:
        StoreError: it is damaged, or holds something else.
    """
    with samples.opened(merged) as file:
        stored = (file.read_row_group(place, use_threads=False) for place in range(file.num_row_groups))
        for ours, theirs in zip_longest(tables(group.sources), stored):
            if ours is None or theirs is None or not _same(ours, theirs):
                raise StoreError(f"{merged} does not hold what it was made of: nothing was removed.")


def tables(some: Sequence[Source]) -> Iterator[Any]:
    """Rows of files as Arrow's tables of a group of rows each, each case of a run once."""
    return parts.groups(_once(some))


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def whole(path: Path) -> bool:
    """Whether a merged file can be read to its last row."""
    try:
        with samples.opened(path) as file:
            for place in range(file.num_row_groups):
                file.read_row_group(place, use_threads=False)
    except (StoreError, FileNotFoundError):
        return False
    return True


def _once(some: Sequence[Source]) -> Iterator[Any]:
    import pyarrow as pa

    seen: set[tuple[str, str]] = set()
    for one in some:
        for table in parts.stream(one.path):
            keys = list(zip(table["run"].to_pylist(), table["case"].to_pylist(), strict=True))
            new = []
            for key in keys:
                new.append(key not in seen)
                seen.add(key)
            kept = table if all(new) else table.filter(pa.array(new, pa.bool_()))
            if kept.num_rows:
                yield kept


def _chunks(every: Sequence[Source], most_bytes: int) -> Iterator[list[Source]]:
    chunk: list[Source] = []
    for one in every:
        if chunk and sum(other.size for other in chunk) + one.size > most_bytes:
            yield chunk
            chunk = []
        chunk.append(one)
    if chunk:
        yield chunk


def _same(ours: Any, theirs: Any) -> bool:
    # NaN, which files of others may hold, equals nothing: such groups are compared as text.
    return ours.equals(theirs) or (
        ours.schema.equals(theirs.schema) and repr(ours.to_pylist()) == repr(theirs.to_pylist())
    )


def _plain(text: str) -> str:
    """A fingerprint as part of a folder's name, whatever a file of others has for one."""
    return text if text.isalnum() and text.isascii() and len(text) <= 64 else "unknown"  # noqa: PLR2004
