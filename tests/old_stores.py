"""The stores that earlier versions wrote, and what they would be with fewer or more columns."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

V1 = Path(__file__).parent / "stores" / "v1"

DROPPED = (
    "budget.structure", "build_s", "fidelity.top1_agreement", "floor_s", "fusion", "kernels", "latency.p90_s",
    "latency.p95_s", "noise", "peak_rss_bytes", "processes.preempted", "processes.stop",
    "reference.labelled", "session_config", "session_s", "steps", "weights.reason",
)  # fmt: skip
"""Columns and fields that stand for those that later versions add."""


def copy(folder: Path) -> Path:
    """The first store, to be changed."""
    return shutil.copytree(V1, folder)


def rewrite(path: Path, edit: Callable[[Any], Any]) -> None:
    """Write a Parquet file anew with `edit` applied to its table."""
    import pyarrow.parquet as pq

    pq.write_table(edit(pq.read_table(path)), path, compression="zstd", write_page_checksum=True)


def without(table: Any, *names: str) -> Any:
    """A table without these columns, or fields of structs and of lists of structs (`latency.p90_s`)."""
    import pyarrow as pa

    gone = {name for name in names if "." not in name}
    fields = [name.split(".") for name in names if "." in name]
    arrays, schema = [], []
    for column, field in zip(table.columns, table.schema, strict=True):
        if field.name in gone:
            continue
        inner = {name for outer, name in fields if outer == field.name}
        kept = _kept(field.type, inner) if inner else field.type
        values = _less(column.to_pylist(), inner) if inner else column
        arrays.append(pa.array(values, type=kept) if inner else values)
        schema.append(pa.field(field.name, kept))
    return pa.table(arrays, schema=pa.schema(schema, metadata=table.schema.metadata))


def _kept(kind: Any, gone: set[str]) -> Any:
    import pyarrow as pa

    if pa.types.is_list(kind):
        return pa.list_(_kept(kind.value_type, gone))
    return pa.struct([field for field in kind if field.name not in gone])


def _less(value: Any, gone: set[str]) -> Any:
    if isinstance(value, list):
        return [_less(entry, gone) for entry in value]
    return None if value is None else {name: entry for name, entry in value.items() if name not in gone}


def with_more(table: Any) -> Any:
    """A table with a column and a struct's field that nobody knows yet."""
    import pyarrow as pa

    place = table.schema.get_field_index("latency")
    kind = pa.struct([*table.schema.field("latency").type, pa.field("p999_s", pa.float64())])
    latency = [None if row is None else {**row, "p999_s": 1.0} for row in table.column("latency").to_pylist()]
    more = table.append_column("energy_j", pa.array([1.0] * len(table)))
    return more.set_column(place, pa.field("latency", kind), pa.array(latency, type=kind))
