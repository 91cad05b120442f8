"""Every sample of a run as one Parquet file: rows to bytes, and bytes to rows.

One row per outcome, its processes nested inside with all their warm-ups and samples. The format's version and its
history are in `harness.store.columns`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import repeat
from pathlib import Path
from typing import Any, Final

from harness import foreign
from harness.errors import NewerSchema, StoreError
from harness.special_files import require_plain
from harness.store import absent, compact, content
from harness.store.arrow_memory import plain_memory
from harness.store.columns import COLUMNS, HEAVY, JSON, SCHEMA, SCHEMA_KEY
from harness.store.rows import Row

HEAVY_BATCH: Final = 16
"""Rows whose samples are held at a time, by whoever reads them one after the other."""

LIGHT_BATCH: Final = 2_000
"""The same of rows without samples."""


def encode(rows: Iterable[Row], *, brief: bool = False) -> bytes:
    """A Parquet file of whole rows, in order of their start, with a checksum on every page.

    Args:
        rows: whole ones.
        brief: whether it is soon replaced: then it may be larger, and takes half of the processor time.
    """
    plain_memory()
    import pyarrow as pa

    found = as_table(sorted(rows, key=lambda row: (row["started_at"], row["case"])))
    sink = pa.BufferOutputStream()
    with writer(sink, brief=brief) as out:
        out.write_table(found)
    encoded: bytes = sink.getvalue().to_pybytes()
    return encoded


def writer(sink: Any, said: Mapping[str, str] | None = None, *, brief: bool = False) -> Any:
    """What writes tables of `as_table` to a file, each as a group of rows that can be read without the others.

    Args:
        sink: an open file, of Python's or of Arrow's.
        said: what else stands in the file's metadata.
        brief: see `encode`.
    """
    import pyarrow.parquet as pq

    whole = schema().with_metadata({**schema().metadata, **(said or {})})
    how = (
        {"compression": "none", "use_dictionary": False, "write_statistics": False}
        if brief
        else {"compression": "zstd"}
    )
    return pq.ParquetWriter(sink, whole, write_page_checksum=True, **how)


@cache
@cache
def schema() -> Any:
    """Arrow's schema of a stored file."""
    plain_memory()
    import pyarrow as pa

    return pa.schema(
        [pa.field(name, _arrow(kind)) for name, kind in COLUMNS.items()], metadata={SCHEMA_KEY: str(SCHEMA)}
    )


def as_table(rows: Sequence[Row]) -> Any:
    """Whole rows as Arrow's table, in the order that they come in."""
    plain_memory()
    import pyarrow as pa
    import pyarrow.json

    if not rows:
        return schema().empty_table()
    place = schema().get_field_index("processes")
    light = schema().set(place, pa.field("processes", _arrow([compact.SCALARS])))
    # By way of JSON, because pyarrow (26.0) imports pandas wherever it is given Python's own lists, even empty ones:
    # 40 MB that the coordinator can do without. Samples take no such way (`harness.store.compact`).
    lines = "\n".join(json.dumps(_to_record(row), allow_nan=False) for row in rows)
    table = pa.json.read_json(
        pa.BufferReader(lines.encode()),
        read_options=pa.json.ReadOptions(use_threads=False, block_size=len(lines) + 1),
        parse_options=pa.json.ParseOptions(explicit_schema=light, unexpected_field_behavior="error"),
    ).combine_chunks()
    small = table.column(place).chunk(0)
    whole = compact.joined(small, rows, schema().field(place).type)
    return table.set_column(place, schema().field(place), whole).replace_schema_metadata(schema().metadata)


def read(path: Path, *, samples: bool = True) -> list[Row]:
    """The rows of one Parquet file; as `stream`, all at once."""
    return list(stream(path, samples=samples))


def stream(path: Path, *, samples: bool = True) -> Iterator[Row]:
    """The rows of one Parquet file, a few of them in memory at a time.

    Args:
        path: a file of results/samples, or a part of an unfinished run.
        samples: whether to load the column `processes` too; without it the rows are those of `public`.

    Raises:
        NewerSchema: if a newer harness wrote it.
        StoreError: if it is damaged, or not harness's own.
        FileNotFoundError: if it is not there.
    """
    names = [name for name in COLUMNS if samples or name not in HEAVY]
    with opened(path) as file:
        for batch in file.iter_batches(HEAVY_BATCH if samples else LIGHT_BATCH, columns=names, use_threads=False):
            yield from _rows(path, batch, names)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A Parquet file of harness's own, checked; damage that shows later is an error of the same kind.

    Raises:
        NewerSchema, StoreError, FileNotFoundError: as `stream`.
    """
    plain_memory()
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        require_plain(path)
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            metadata = file.schema_arrow.metadata or {}
            check_schema(path, {key.decode(): value.decode() for key, value in metadata.items()})
            if wrong := absent.problem(_columns(file.schema)):
                raise damaged(path, wrong)
            yield file
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise damaged(path, error) from error


def _rows(path: Path, batch: Any, names: Sequence[str]) -> Iterator[Row]:
    """The rows of a batch of whatever columns the file has.

    Raises:
        StoreError: if one of them cannot be one.
    """
    there = batch.schema.names
    heavy = [name for name in there if name in HEAVY]
    processes = compact.taken(batch.column(heavy[0])) if heavy else repeat(None)
    for record, own in zip(batch.select([n for n in there if n not in HEAVY]).to_pylist(), processes, strict=False):
        if wrong := content.wrong_row(record):
            raise damaged(path, wrong)
        yield absent.row({**record, "processes": own}, names)


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
    if foreign.whole(version) > SCHEMA:
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
    """A row for Arrow's reader of JSON, its processes without their samples."""
    found = {
        name: json.dumps(row[name], allow_nan=False) if kind is JSON and row[name] is not None else row[name]
        for name, kind in COLUMNS.items()
    }
    if row["processes"] is not None:
        found["processes"] = [{name: one[name] for name in compact.SCALARS} for one in row["processes"]]
    return found


def _arrow(kind: Any) -> Any:
    import pyarrow as pa

    if isinstance(kind, Mapping):
        return pa.struct([pa.field(name, _arrow(inner)) for name, inner in kind.items()])
    if isinstance(kind, list):
        return pa.list_(_arrow(kind[0]))
    return {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_(), JSON: pa.string()}[kind]
