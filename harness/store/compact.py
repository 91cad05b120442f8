"""Samples as whole numbers in one block of memory: from the worker's reply to the file and back, never an object each.

A process may have 20,000 samples and more warm-ups; as Python's own integers they take 40 bytes each, as text in
JSON once more, and a sweep of thousands of cases would not fit into memory. Here they are 8 bytes each, and Arrow
takes them and gives them back without looking at one.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from harness.store.columns import PROCESS

LISTS: Final = tuple(name for name, kind in PROCESS.items() if kind == [int])
"""What of a process is a list of nanoseconds."""

SCALARS: Final[Mapping[str, Any]] = {name: kind for name, kind in PROCESS.items() if name not in LISTS}
"""What of a process is small."""


def nanoseconds(values: Iterable[int]) -> array[int]:
    """Whole numbers as a block of 64-bit integers; one that is such a block already is taken as it is.

    Raises:
        OverflowError: if one does not fit.
    """
    return values if isinstance(values, array) and values.typecode == "q" else array("q", values)


def joined(processes: Any, rows: Sequence[Mapping[str, Any]], whole: Any) -> Any:
    """A column of processes with their lists.

    Args:
        processes: Arrow's list of structs of `SCALARS`, one entry per row.
        rows: the same rows with everything.
        whole: Arrow's type of the result.

    Returns:
        Arrow's list of structs of `PROCESS`.
    """
    import pyarrow as pa

    every = [process for row in rows for process in row["processes"] or ()]
    small = processes.values
    fields = [_lists([process[name] for process in every]) if name in LISTS else small.field(name) for name in PROCESS]
    structs = pa.StructArray.from_arrays(fields, fields=list(whole.value_type))
    return pa.Array.from_buffers(
        whole, len(processes), processes.buffers()[:2], offset=processes.offset, children=[structs]
    )


def _lists(found: Sequence[Iterable[int] | None]) -> Any:
    import pyarrow as pa

    values, ends = array("q"), array("i", [0])
    for one in found:
        values.extend(nanoseconds(one or ()))
        ends.append(len(values))
    inner = pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(values)])
    return pa.Array.from_buffers(pa.list_(pa.int64()), len(found), [None, pa.py_buffer(ends)], children=[inner])


def taken(column: Any) -> Iterator[list[dict[str, Any]] | None]:
    """The processes of every row of Arrow's list of structs, whatever fields it has; lists as `nanoseconds`."""
    structs = column.values
    names = [field.name for field in structs.type]
    # One record per process, its lists apart: only they are large.
    small = [name for name in names if name not in LISTS]
    values = {name: structs.field(name).to_pylist() for name in small}
    values |= {name: _arrays(structs.field(name)) for name in names if name not in small}
    ends, there = column.offsets.to_pylist(), column.is_valid().to_pylist()
    for place, known in enumerate(there):
        span = range(ends[place], ends[place + 1])
        yield [{name: values[name][at] for name in names} for at in span] if known else None


def _arrays(column: Any) -> list[Sequence[int] | None]:
    import pyarrow as pa

    flat = column.values
    if not pa.types.is_int64(flat.type) or flat.null_count:
        found: list[Sequence[int] | None] = column.to_pylist()
        return found
    block = memoryview(flat.buffers()[1] or b"").cast("B").cast("q")[flat.offset : flat.offset + len(flat)]
    ends, there = column.offsets.to_pylist(), column.is_valid().to_pylist()
    return [array("q", block[ends[at] : ends[at + 1]].tobytes()) if known else None for at, known in enumerate(there)]
