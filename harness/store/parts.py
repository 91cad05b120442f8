"""The parts of a finished run put together: one file, made with a few parts in memory at a time.

Parts are taken over as Arrow has them, column by column: nothing in them becomes an object of Python's. Groups of
rows of about `GROUP_BYTES` are written one after the other, so that neither thousands of cases nor their samples have
to fit into memory, and a reader needs no more than one group at a time either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from harness.store import files, samples

GROUP_BYTES: Final = 4_000_000
"""What a group of rows takes in memory, about; a single row may be larger."""

GROUP_ROWS: Final = 2_000
"""Rows in a group at most."""


def merge(parts: Iterable[Path], path: Path) -> None:
    """Write the rows of files, in their order, as one file that is there whole or not at all.

    Args:
        parts: of harness's own, one row or more each.
        path: what is written, by way of a temporary file beside it.

    Raises:
        StoreError: where a part is damaged or the file cannot be written; the parts are untouched.
    """
    with files.replacing(path) as file, samples.writer(file) as out:
        for group in groups(map(table, parts)):
            out.write_table(group)


def groups(tables: Iterable[Any], most_bytes: int = GROUP_BYTES, most_rows: int = GROUP_ROWS) -> Iterator[Any]:
    """Tables joined to larger ones, each written before the next is read."""
    import pyarrow as pa

    waiting: list[Any] = []
    size = rows = 0
    for one in tables:
        if waiting and (size + one.nbytes > most_bytes or rows + one.num_rows > most_rows):
            yield pa.concat_tables(waiting)
            waiting, size, rows = [], 0, 0
        waiting.append(one)
        size, rows = size + one.nbytes, rows + one.num_rows
    if waiting:
        yield pa.concat_tables(waiting)


def stream(path: Path) -> Iterator[Any]:
    """A file as Arrow's tables of all columns, a group of rows at a time; see `table`.

    Raises:
        StoreError: where it is damaged.
        FileNotFoundError: if it is not there.
    """
    with samples.opened(path) as file:
        current = file.schema_arrow.equals(samples.schema())
        for place in range(file.num_row_groups if current else 0):
            yield file.read_row_group(place, use_threads=False)
    if not current:
        rows = samples.stream(path)
        while some := list(islice(rows, samples.HEAVY_BATCH)):
            yield samples.as_table(some)


def table(part: Path) -> Any:
    """A part as Arrow's table of all columns; one of an earlier version, which lacks some, by way of its rows."""
    with samples.opened(part) as file:
        if file.schema_arrow.equals(samples.schema()):
            return file.read(use_threads=False)
    return samples.as_table(samples.read(part))
