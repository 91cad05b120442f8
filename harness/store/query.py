"""What is stored, across runs: DuckDB over the folder's Parquet files, finished runs and unfinished ones alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import foreign
from harness.errors import StoreError
from harness.store import absent, admission, earlier, stored_files
from harness.store.absent import STORED
from harness.store.clock import ahead, limit, settled_sql
from harness.store.columns import COLUMNS, HEAVY
from harness.store.database import connected
from harness.store.rows import Row
from harness.store.samples import damaged
from harness.store.standing import standing

if TYPE_CHECKING:
    import pandas as pd

ONCE = "QUALIFY row_number() OVER (PARTITION BY run, \"case\" ORDER BY filename LIKE '%.parts%', filename) = 1"
"""A part and the finished run, or two copies of a file, hold the same case of the same run: one is enough."""

DIGITS = re.compile(r"(\d+)")
LIGHT = tuple(name for name in COLUMNS if name not in HEAVY)
ALWAYS = frozenset({"case", "model", "status", "reason", "notes", "latency", "run", "run_started_at", "started_at"})
"""What rows are chosen, ordered and marked by."""

FETCH = 2_000
"""Rows that are taken from DuckDB at a time."""

ATTEMPTS = 5
"""How often the folder is listed where files vanish while they are read: a run that finishes replaces its parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Stored rows.

    Attributes:
        rows: without samples, ordered by case, newest run first.
        among: those, and rows of earlier runs on which a choice may rest (`harness.store.earlier`): what speed-ups and
            builds to ship are taken from.
        problems: files that were left out and why, one error each.
        notes: what else a reader has to know: runs from the future.
    """

    rows: tuple[Row, ...]
    among: tuple[Row, ...] = ()
    problems: tuple[StoreError, ...] = ()
    notes: tuple[str, ...] = ()


def query(
    results: Path,
    *,
    models: Sequence[str] | None = None,
    all_runs: bool = False,
    columns: Sequence[str] = LIGHT,
) -> Query:
    """What is stored, leaving out files that cannot be read.

    The newest run that has a case gives its row, whatever its weights, host or commit: it answers "what became of
    this case last". A key of case *and* weights would keep a failure (which has no weights yet) beside the success
    that followed it, and numbers of weights long replaced beside the present ones. Rows can thus differ in weights
    or host; `harness.store.rows.series` tells which of them may be compared. A failure that follows numbers does not
    take their place (`harness.store.standing`).

    Args:
        results: the results folder; one that is missing holds nothing.
        models: names or globs; None takes all.
        all_runs: every run's rows instead of the newest per case.
        columns: stored columns that rows are to have, none of them heavy; those that tell rows apart are always there.

    Raises:
        StoreError: where the folder itself cannot be listed.
    """
    columns = read_columns(columns)
    with connected() as connection:
        for attempt in range(ATTEMPTS):
            paths = stored_files.sample_files(results)
            problems: list[StoreError] = []
            try:
                good = admission.admitted(connection, paths, problems)
                rows, before = read(connection, good, problems, columns, all_runs=all_runs)
                notes = of_the_future(connection, good, problems)
            except FileNotFoundError:
                if attempt == ATTEMPTS - 1:
                    raise changing(results) from None
                continue
            break
    if models is not None:
        rows, before = (
            [row for row in some if any(fnmatchcase(row["model"], pattern) for pattern in models)]
            for some in (rows, before)
        )
    return Query(rows=tuple(rows), among=(*rows, *before), problems=tuple(problems), notes=notes)


def read_columns(columns: Collection[str]) -> tuple[str, ...]:
    """The columns that are read where these are asked for."""
    return tuple(name for name in LIGHT if name in columns or name in ALWAYS)


def read(
    connection: Any,
    paths: list[Path],
    problems: list[StoreError],
    columns: Sequence[str],
    *,
    all_runs: bool,
    models: Sequence[str] | None = None,
) -> tuple[list[Row], list[Row]]:
    """Rows as `Query.rows` has them, and those of earlier runs that `Query.among` has beside them.

    Args:
        connection: DuckDB's.
        paths: the files; those that turn out to be damaged are taken out.
        problems: gets one error for each of these.
        columns: stored columns that rows are to have.
        all_runs: every run's rows instead of the newest per case.
        models: their names; None for all.

    Raises:
        FileNotFoundError: a file has gone.
    """
    found = _select(connection, paths, problems, columns, all_runs=all_runs, models=models)
    rows = sorted(found if all_runs else standing(found), key=lambda row: natural(row["case"]))
    return rows, [] if all_runs else _earlier(connection, paths, rows, columns)


def changing(results: Path) -> StoreError:
    """That the files of a folder come and go faster than they can be read."""
    return StoreError(f"{results / 'samples'} keeps changing while it is read: wait until the sweep there ends.")


def rows(results: Path, *, models: Sequence[str] | None = None, all_runs: bool = False) -> list[Row]:
    """As `query`, but a file that cannot be read is an error.

    Raises:
        NewerSchema: if a newer harness wrote one of the files.
        StoreError: if a file is damaged or foreign.
    """
    found = query(results, models=models, all_runs=all_runs)
    if found.problems:
        raise found.problems[0]
    return list(found.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnTable:
    """Stored rows by column, for stores that are too large to become Python objects.

    Attributes:
        frame: the columns that were asked for, oldest run first.
        problems: files that were left out and why, one error each.
    """

    frame: pd.DataFrame
    problems: tuple[StoreError, ...] = ()


def table(
    results: Path,
    select: Mapping[str, str],
    categories: Collection[str] = (),
    *,
    case: Callable[[str], bool] | None = None,
) -> ColumnTable:
    """Chosen columns of every run's rows, each case of a run once; DuckDB -> pandas, never a dict per row.

    Args:
        results: the results folder; one that is missing holds nothing.
        select: name of a column -> DuckDB's expression for it over the stored columns, such as `latency.median_s`;
            `filename` is the file that holds the row.
        categories: columns of text that repeats; they become categories, which 200,000 rows are far cheaper as.
        case: says of a case's name whether it is wanted: of models that have none such, nothing is read.

    Raises:
        StoreError: where the folder itself cannot be listed.
    """
    import duckdb

    columns = ", ".join(f'{expression} AS "{name}"' for name, expression in select.items())
    order = f'ORDER BY {settled_sql("run_started_at")}, run, started_at, "case"'
    with connected() as connection:
        for _ in range(ATTEMPTS):
            problems: list[StoreError] = []
            try:
                good = admission.admitted(connection, stored_files.sample_files(results), problems)
                for again in (True, False):
                    try:
                        models = None if case is None else _models(connection, good, case)
                        of = "" if models is None else "WHERE model IN (SELECT unnest(?))"
                        sql = f"SELECT {columns} FROM {STORED} {of} {ONCE} {order}"  # noqa: S608  (our own names)
                        frame = _frame(connection, sql, good, select, categories, models)
                        break
                    except duckdb.Error:
                        if not again:
                            raise
                        # Only now is the culprit looked for, file by file: reading each of hundreds twice is not free.
                        good = _readable(connection, good, problems, columns)
            except FileNotFoundError:
                continue
            return ColumnTable(frame=frame, problems=tuple(problems))
    raise changing(results)


def pick(keys: pd.DataFrame, columns: Sequence[str] = LIGHT) -> list[Row]:
    """Whole rows of chosen cases, read only from the files that hold them.

    Args:
        keys: a row's `filename`, as `table` gives it, `run` and `case`.
        columns: stored columns; with `processes` they are large.

    Raises:
        StoreError: where a file has gone or broken since it was listed.
    """
    import duckdb

    if keys.empty:
        return []
    names = ", ".join(f'stored."{name}"' for name in columns)
    sql = f'SELECT {names} FROM {STORED} AS stored SEMI JOIN wanted USING (filename, run, "case")'  # noqa: S608  (our own names)
    wanted = keys[["filename", "run", "case"]].drop_duplicates().astype(object)
    with connected() as connection:
        for attempt in range(ATTEMPTS):
            wanted = wanted.assign(filename=wanted["filename"].map(stored_files.moved(set(wanted["filename"]))))
            paths = sorted(map(Path, set(wanted["filename"])))
            connection.register("wanted", wanted)
            try:
                found = connection.execute(sql, [[admission.literal(path) for path in paths]]).fetchall()
            except duckdb.Error as error:
                if attempt < ATTEMPTS - 1 and not all(path.exists() for path in paths):
                    continue
                raise damaged(paths[0].parent, error) from error
            break
    return [absent.row(dict(zip(columns, values, strict=True)), columns) for values in found]


@lru_cache(maxsize=100_000)
def natural(text: str) -> tuple[tuple[bool, int, str], ...]:
    """A sort key that puts t2 before t10."""
    # Text and digits take turns.
    return tuple(
        (False, foreign.whole(piece), piece) if place % 2 and piece.isdecimal() else (True, 0, piece)
        for place, piece in enumerate(DIGITS.split(text))
    )


def _models(connection: Any, paths: Sequence[Path], case: Callable[[str], bool]) -> list[str] | None:
    """The models that have a wanted case; None where that is every one."""
    if not paths:
        return None
    sql = f'SELECT DISTINCT model, "case" FROM {STORED}'  # noqa: S608  (our own names)
    found = connection.execute(sql, [[admission.literal(path) for path in paths]]).fetchall()
    wanted = {model for model, name in found if case(name)}
    return None if wanted == {model for model, _ in found} else sorted(wanted)


def _frame(
    connection: Any,
    sql: str,
    paths: Sequence[Path],
    select: Mapping[str, str],
    categories: Collection[str],
    models: Sequence[str] | None,
) -> pd.DataFrame:
    import pandas as pd

    if not paths:
        empty = pd.DataFrame({name: [] for name in select})
        return empty.astype(dict.fromkeys(categories, "category"))
    # By way of Arrow, whose text becomes categories without a Python string per row.
    params = [[admission.literal(path) for path in paths], *([] if models is None else [models])]
    found = connection.sql(sql, params=params).to_arrow_table()
    for place, name in enumerate(found.column_names):
        if name in categories:
            found = found.set_column(place, name, found.column(place).dictionary_encode())
    frame: pd.DataFrame = found.to_pandas()
    return frame


def _select(
    connection: Any,
    paths: list[Path],
    problems: list[StoreError],
    wanted: Sequence[str],
    *,
    all_runs: bool,
    models: Sequence[str] | None = None,
) -> list[Row]:
    """The rows of all files in one query; only where that fails is the culprit looked for, file by file."""
    import duckdb

    if not paths:
        return []
    columns = ", ".join(f'"{name}"' for name in wanted)
    latest = f"ORDER BY {settled_sql('run_started_at')} DESC, run DESC"
    of = "" if models is None else f'WHERE "model" IN ({", ".join("?" * len(models))})'
    rows: list[Row] = []
    holding: Sequence[Path] = paths
    try:
        if all_runs:
            select = f"SELECT {columns} FROM {STORED} {of} {ONCE}"  # noqa: S608  (our own names)
        else:
            holding = _newest(connection, paths, of, latest, models)
            newest = f'{STORED} AS stored SEMI JOIN newest USING (filename, run, "case", failed)'
            newest = newest.replace(STORED, f"(SELECT *, status = 'failed' AS failed FROM {STORED} {of})", 1)  # noqa: S608
            select = f"SELECT {columns} FROM {newest} {ONCE}"  # noqa: S608  (as above)
        if not holding:
            return []
        select = f"WITH once AS ({select}) SELECT {columns} FROM once {latest}, started_at"  # noqa: S608  (as above)
        found = connection.execute(select, [[admission.literal(path) for path in holding], *(models or ())])
        while some := found.fetchmany(FETCH):
            rows += [absent.row(dict(zip(wanted, values, strict=True)), wanted) for values in some]
    except duckdb.Error:
        good = _readable(connection, paths, problems, columns)
        if len(good) == len(paths):
            raise
        paths[:] = good
        return _select(connection, good, problems, wanted, all_runs=all_runs, models=models)
    return rows


def _newest(
    connection: Any, paths: Sequence[Path], of: str, latest: str, models: Sequence[str] | None
) -> Sequence[Path]:
    """Make the table `newest` of the newest failed row and the newest other one of each case; the files that hold them.

    Most columns of most rows are of no use: 2,000 cases that were measured 500 times have theirs in a file or two.
    """
    keys = "filename, run, \"case\", status = 'failed' AS failed"
    once = f"SELECT {keys}, run_started_at FROM {STORED} {of} {ONCE}"  # noqa: S608  (our own names)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE newest AS WITH once AS ({once}) "  # noqa: S608  (as above)
        f'SELECT filename, run, "case", failed FROM once '
        f'QUALIFY row_number() OVER (PARTITION BY "case", failed {latest}) = 1',
        [[admission.literal(path) for path in paths], *(models or ())],
    )
    holding = {name for (name,) in connection.execute("SELECT DISTINCT filename FROM newest").fetchall()}
    return [path for path in paths if str(path) in holding]


def names(connection: Any, paths: list[Path], problems: list[StoreError]) -> list[tuple[str, str, str, int]]:
    """Model, variant and target of all stored rows, each combination once, with how many rows have it.

    Files that do not answer are left out of `paths`.

    Raises:
        FileNotFoundError: one has gone.
    """
    import duckdb

    if not paths:
        return []
    sql = f"SELECT model, variant, target, count(*) FROM {STORED} GROUP BY ALL"  # noqa: S608  (our own names)
    try:
        found: list[tuple[str, str, str, int]] = connection.execute(
            sql, [[admission.literal(path) for path in paths]]
        ).fetchall()
    except duckdb.Error:
        good = _readable(connection, paths, problems, "model, variant, target")
        if len(good) == len(paths):
            raise
        paths[:] = good
        return names(connection, paths, problems)
    return list(found)


def _readable(connection: Any, paths: Sequence[Path], problems: list[StoreError], columns: str) -> list[Path]:
    """The files whose columns can be read; why the others cannot goes to `problems`."""
    import duckdb

    good = []
    for path in paths:
        try:
            connection.execute(f"SELECT {columns} FROM {STORED}", [[admission.literal(path)]]).fetchall()  # noqa: S608  (our own names)
            good.append(path)
        except duckdb.Error as error:
            admission.require_there(path)
            problems.append(damaged(path, error))
    return good


def _earlier(connection: Any, paths: Sequence[Path], rows: Sequence[Row], columns: Sequence[str]) -> list[Row]:
    """Rows of `harness.store.earlier`, of the files that can be read; `_select` has said which cannot."""
    import duckdb

    try:
        return earlier.rows(connection, [admission.literal(path) for path in paths], rows, columns, ONCE)
    except duckdb.Error:
        good = _readable(connection, paths, [], ", ".join(f'"{name}"' for name in columns))
        if len(good) == len(paths):
            raise
        return _earlier(connection, good, rows, columns)


def of_the_future(connection: Any, paths: Sequence[Path], problems: Sequence[StoreError]) -> tuple[str, ...]:
    """Which runs say that they are of the future; not asked where files are damaged, which says enough."""
    if problems or not paths:
        return ()
    sql = f"SELECT DISTINCT run, run_started_at FROM {STORED} WHERE run_started_at > '{limit()}'"  # noqa: S608  (our own names)
    return ahead(connection.execute(sql, [[admission.literal(path) for path in paths]]).fetchall())
