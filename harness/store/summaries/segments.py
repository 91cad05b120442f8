"""A segment: what is kept of the rows of some files, sorted by case, and beside it the newest of each case.

::

    <name>.parquet          one row for each stored row (`harness.store.summaries.narrow`)
    <name>.newest.parquet   of each case the newest failed row and the newest other one, and how many there are

Written once, whole, and never changed. Pages carry checksums; one that is damaged does not count any more.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final

from harness.store import files
from harness.store.summaries import narrow

ROWS: Final = 250_000
"""Rows of a segment at most, save where one file has more."""

GROUP_ROWS: Final = 4_000
"""Rows that are read or left out together: a case lies in one or two groups of a segment."""

NEWEST_SQL: Final = f"""
WITH once AS (
    SELECT *, status = 'failed' AS failed, count(*) OVER (PARTITION BY "case", status = 'failed') AS n FROM kept
    QUALIFY row_number() OVER (PARTITION BY run, "case" ORDER BY {narrow.NAME}) = 1
)
SELECT "case", model, variant, target, failed, n::BIGINT AS n, run, run_started_at, {narrow.NAME} FROM once
QUALIFY row_number() OVER (PARTITION BY "case", failed ORDER BY run_started_at DESC, run DESC) = 1
ORDER BY "case", failed
"""  # noqa: S608  (our own names)


def write(connection: Any, folder: Path, kept: Any) -> str:
    """Make a segment of rows; its name.

    Args:
        connection: DuckDB's.
        folder: of the segments.
        kept: the rows, as Arrow has them.

    Raises:
        StoreError: it cannot be written.
    """
    name = secrets.token_hex(8)
    connection.register("kept", kept)
    try:
        newest = connection.sql(NEWEST_SQL).to_arrow_table()
    finally:
        connection.unregister("kept")
    _write(folder / f"{name}.newest.parquet", newest)
    _write(folder / f"{name}.parquet", kept)
    return name


def _write(path: Path, table: Any) -> None:
    import pyarrow.parquet as pq

    with files.replacing(path) as file:
        pq.write_table(table, file, row_group_size=GROUP_ROWS, compression="zstd", write_page_checksum=True)


def newest(folder: Path, name: str) -> Any:
    """Of each case of a segment the newest rows, as `NEWEST_SQL` has them.

    Raises:
        OSError, pyarrow.ArrowException: it is gone or damaged.
    """
    import pyarrow.parquet as pq

    return pq.read_table(folder / f"{name}.newest.parquet", page_checksum_verification=True)


def rows(
    folder: Path, name: str, columns: Sequence[str], names: Collection[str] | None, cases: Collection[str] | None
) -> Any:
    """Rows of a segment, as Arrow has them.

    Args:
        folder: of the segments.
        name: the segment's.
        columns: paths of kept columns; `narrow.NAME` comes with them.
        names: the files whose rows are wanted; None for all.
        cases: those that are wanted; None for all. Groups without one of them are not read.

    Raises:
        OSError, pyarrow.ArrowException: it is gone or damaged.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    wanted = list(dict.fromkeys([narrow.NAME, "case", *columns]))
    # Text that repeats is a number for each row and its values once.
    texts = [one for one in wanted if one in {narrow.NAME, "case", *narrow.TEXTS}]
    with pq.ParquetFile(folder / f"{name}.parquet", page_checksum_verification=True, read_dictionary=texts) as file:
        groups = range(file.num_row_groups) if cases is None else _holding(file, sorted(cases))
        found = file.read_row_groups(list(groups), columns=wanted, use_threads=False)
    for column, among in (("case", cases), (narrow.NAME, names)):
        if among is not None:
            found = found.filter(pc.is_in(found[column], value_set=_texts(sorted(among))))
    return found


def _holding(file: Any, cases: Sequence[str]) -> list[int]:
    """The groups that may hold one of these cases, by their first and last."""
    from bisect import bisect_left

    leaf = next(at for at in range(len(file.schema.names)) if file.schema.column(at).path == "case")
    found = []
    for group in range(file.num_row_groups):
        said = file.metadata.row_group(group).column(leaf).statistics
        if said is None or not said.has_min_max:
            found.append(group)
            continue
        at = bisect_left(cases, said.min)
        if at < len(cases) and cases[at] <= said.max:
            found.append(group)
    return found


def _texts(values: Sequence[str]) -> Any:
    import pyarrow as pa

    return pa.array(values, pa.string())
