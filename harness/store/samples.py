"""Every sample of a run as one Parquet file: rows to bytes, and bytes to rows.

One row per outcome, its processes nested inside with all their warm-ups and samples. The format's version and its
history are in `harness.store.columns`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.errors import NewerSchema, StoreError
from harness.special_files import require_plain
from harness.store import absent, content
from harness.store.columns import COLUMNS, HEAVY, JSON, SCHEMA, SCHEMA_KEY
from harness.store.rows import Row


def encode(rows: Iterable[Row]) -> bytes:
    """A Parquet file of whole rows, in order of their start, with a checksum on every page."""
    import pyarrow as pa
    import pyarrow.json
    import pyarrow.parquet as pq

    schema = pa.schema(
        [pa.field(name, _arrow(kind)) for name, kind in COLUMNS.items()], metadata={SCHEMA_KEY: str(SCHEMA)}
    )
    ordered = sorted(rows, key=lambda row: (row["started_at"], row["case"]))
    # By way of JSON, because pyarrow (26.0) imports pandas wherever it is given Python's own lists, even empty ones:
    # 40 MB that the coordinator can do without.
    lines = "\n".join(json.dumps(_to_record(row), allow_nan=False) for row in ordered) or "{}"
    table = pa.json.read_json(
        pa.BufferReader(lines.encode()),
        read_options=pa.json.ReadOptions(use_threads=False, block_size=len(lines) + 1),
        parse_options=pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
    )
    table = table.slice(0, len(ordered)).replace_schema_metadata(schema.metadata)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    encoded: bytes = sink.getvalue().to_pybytes()
    return encoded


def read(path: Path, *, samples: bool = True) -> list[Row]:
    """The rows of one Parquet file.

    Args:
        path: a file of results/samples, or a part of an unfinished run.
        samples: whether to load the column `processes` too; without it the rows are those of `public`.

    Raises:
        NewerSchema: if a newer harness wrote it.
        StoreError: if it is damaged, or not harness's own.
        FileNotFoundError: if it is not there.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [name for name in COLUMNS if samples or name not in HEAVY]
    try:
        require_plain(path)
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            metadata = file.schema_arrow.metadata or {}
            check_schema(path, {key.decode(): value.decode() for key, value in metadata.items()})
            if wrong := absent.problem(_columns(file.schema)):
                raise damaged(path, wrong)
            table = file.read(columns=names, use_threads=False)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise damaged(path, error) from error
    records = table.to_pylist()
    if wrong := next((wrong for record in records if (wrong := content.wrong_row(record))), ""):
        raise damaged(path, wrong)
    return [absent.row(record, names) for record in records]


def check_schema(path: Path, metadata: Mapping[str, str]) -> None:
    """Refuse a file that this harness cannot read.

    Args:
        path: the file, for the message.
        metadata: of the Parquet file.

    Raises:
        NewerSchema: if a newer harness wrote it.
        StoreError: if harness did not write it.
    """
    version = metadata.get(SCHEMA_KEY, "")
    if not version.isdecimal():
        raise StoreError(
            f"{path} was not written by harness (its metadata has no {SCHEMA_KEY}): move it out of the results folder."
        )
    if int(version) > SCHEMA:
        raise NewerSchema(
            f"{path} has schema version {version}; this harness reads versions up to {SCHEMA}: update onnx-harness, "
            "or choose another results folder with --results."
        )


def damaged(path: Path, cause: object) -> StoreError:
    """The error for a Parquet file that cannot be read, with what to do about it."""
    detail = " ".join(str(cause).split()).rstrip(".")
    return StoreError(
        f"{path} is damaged ({detail}): restore it from a copy or from version control, or move it away; "
        "the other files do not depend on it."
    )


def _columns(schema: Any) -> Iterator[tuple[str, str, str]]:
    found = (schema.column(place) for place in range(len(schema)))
    return (
        (one.path, one.physical_type, "NULL" if one.logical_type.type == "NULL" else one.converted_type)
        for one in found
    )


def _to_record(row: Row) -> dict[str, Any]:
    return {
        name: json.dumps(row[name], allow_nan=False) if kind is JSON and row[name] is not None else row[name]
        for name, kind in COLUMNS.items()
    }


def _arrow(kind: Any) -> Any:
    import pyarrow as pa

    if isinstance(kind, Mapping):
        return pa.struct([pa.field(name, _arrow(inner)) for name, inner in kind.items()])
    if isinstance(kind, list):
        return pa.list_(_arrow(kind[0]))
    return {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_(), JSON: pa.string()}[kind]
