"""Summaries brought up to date: files that are new are read once, and small segments become one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from harness.errors import StoreError
from harness.store import admission, stored_files
from harness.store.absent import STORED
from harness.store.summaries import ledger, narrow, segments
from harness.store.summaries.ledger import Ledger, NotedFile, NotedSegment

SMALL: Final = 16
"""So many segments of less than a fifth of a whole one become one."""


def update(
    connection: Any, folder: Path, samples: Path, noted: Ledger, fresh: Sequence[Path], problems: list[StoreError]
) -> None:
    """Read files that are not noted yet, and note them.

    Args:
        connection: DuckDB's.
        folder: of the summaries, whose lock the caller has.
        samples: the folder that the files lie in.
        noted: what is noted; gets what is made.
        fresh: the files.
        problems: gets one error for each that cannot be read; those stay without a note.

    Raises:
        StoreError: the cache cannot be written.
        FileNotFoundError: a file has gone.
        duckdb.Error: a file cannot be read, though it is one of harness's own.
    """
    states = {path: ledger.state(path) for path in fresh}
    good = admission.admitted(connection, [path for path in fresh if states[path] is not None], problems)
    for batch in _batches(connection, good):
        kept = rows_of(connection, samples, batch)
        if kept is None:  # files without a row are looked at each time
            continue
        # A file that changed while it was read is read again by the next.
        same = {_name(samples, path): path for path in batch if ledger.state(path) == states[path]}
        name = segments.write(connection, folder, kept)
        noted.segments[name] = _segment(connection, kept)
        for of, runs, once in _contents(connection, kept):
            if of in same and (found := states[same[of]]) is not None:
                replaces = stored_files.replaced_by(same[of])
                noted.files[of] = NotedFile(state=found, segment=name, runs=runs, once=once, replaces=replaces)
        ledger.write(folder, noted)  # whoever is interrupted goes on from here


def tidy(connection: Any, folder: Path, noted: Ledger) -> None:
    """Drop segments of which no file counts, and make one of many small ones.

    Raises:
        StoreError: the cache cannot be written.
        OSError, pyarrow.ArrowException: a segment is gone or damaged.
    """
    import pyarrow as pa

    held: dict[str, set[str]] = {}
    for name, file in noted.files.items():
        held.setdefault(file.segment, set()).add(name)
    for name in noted.segments.keys() - held.keys():
        del noted.segments[name]
    small = [name for name, one in noted.segments.items() if one.rows < segments.ROWS / 5]
    # One with rows that count no more is made anew at the next occasion.
    small += [name for name, one in noted.segments.items() if name not in small and len(held[name]) < one.files / 2]
    if len(small) < SMALL:
        return
    every = narrow.paths()
    parts = [segments.rows(folder, name, every, held[name], None) for name in small]
    kept = _sorted(pa.concat_tables(parts).unify_dictionaries())
    merged = segments.write(connection, folder, kept)
    for name in small:
        del noted.segments[name]
        for of in held[name]:
            one = noted.files[of]
            noted.files[of] = NotedFile(
                state=one.state, segment=merged, runs=one.runs, once=one.once, replaces=one.replaces
            )
    noted.segments[merged] = _segment(connection, kept)


def _batches(connection: Any, paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Files whose rows make a segment."""
    if not paths:
        return
    counts: dict[str, int] = dict(
        connection.execute(
            "SELECT file_name, num_rows FROM parquet_file_metadata(?)", [[admission.literal(path) for path in paths]]
        ).fetchall()
    )
    batch: list[Path] = []
    held = 0
    for path in paths:
        count = counts.get(str(path), segments.ROWS)
        if batch and held + count > segments.ROWS:
            yield batch
            batch, held = [], 0
        batch.append(path)
        held += count
    yield batch


def rows_of(connection: Any, samples: Path, paths: Sequence[Path]) -> Any | None:
    """What is kept of the rows of files, sorted; None where they have none."""
    import pyarrow as pa

    below = f"substr(filename, {len(f'{samples}{os.sep}') + 1}) AS {narrow.NAME}"
    sql = f"SELECT {below}, {narrow.selected()} FROM {STORED}"  # noqa: S608  (our own names)
    found = connection.sql(sql, params=[[admission.literal(path) for path in paths]]).to_arrow_reader(20_000)
    batches = [_short(batch) for batch in found if batch.num_rows]
    return _sorted(pa.Table.from_batches(batches).unify_dictionaries()) if batches else None


def _short(batch: Any) -> Any:
    """A batch whose texts are numbers for each row and their values once: those of a run are mostly the same."""
    import pyarrow as pa

    arrays = [
        array.dictionary_encode() if name in narrow.TEXTS or name == narrow.NAME else array
        for name, array in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def _sorted(table: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    keys = pa.table({name: table[name].cast(pa.string()) for name in ("case", "run", narrow.NAME)})
    return table.take(pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in keys.column_names]))


def _segment(connection: Any, kept: Any) -> NotedSegment:
    sql = f"SELECT count(*), count(DISTINCT {narrow.NAME}), coalesce(max(run_started_at), '') FROM kept"  # noqa: S608  (our own names)
    (counts,) = _asked(connection, kept, sql)
    return NotedSegment(rows=counts[0], files=counts[1], last=counts[2])


def _contents(connection: Any, kept: Any) -> list[tuple[str, tuple[str, ...], bool]]:
    """Of each file its name, the runs that it has, and whether it has each case of them once."""
    sql = (
        f'SELECT {narrow.NAME}, list(DISTINCT run), count(*) = count(DISTINCT (run, "case")) '  # noqa: S608  (our own names)
        "FROM kept GROUP BY ALL ORDER BY ALL"
    )
    return [(name, tuple(sorted(runs)), bool(once)) for name, runs, once in _asked(connection, kept, sql)]


def _asked(connection: Any, kept: Any, sql: str) -> list[tuple[Any, ...]]:
    connection.register("kept", kept)
    try:
        found: list[tuple[Any, ...]] = connection.execute(sql).fetchall()
    finally:
        connection.unregister("kept")
    return found


def _name(samples: Path, path: Path) -> str:
    return str(path.relative_to(samples))
