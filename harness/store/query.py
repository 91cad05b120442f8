"""What is stored, across runs: DuckDB over the folder's Parquet files, finished runs and unfinished ones alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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
from harness.store.summaries import narrow
from harness.store.summaries.look import StoreLook, look

if TYPE_CHECKING:
    import pandas as pd

ONCE = "QUALIFY row_number() OVER (PARTITION BY run, \"case\" ORDER BY filename LIKE '%.parts%', filename) = 1"
"""A part and the finished run, or two copies of a file, hold the same case of the same run: one is enough."""

DIGITS = re.compile(r"(\d+)")
LIGHT = tuple(name for name in COLUMNS if name not in HEAVY)
ALWAYS = frozenset({"case", "model", "status", "reason", "notes", "latency", "run", "run_started_at", "started_at"})
"""What rows are chosen, ordered and marked by."""

ORDERED = ("run", "run_started_at", "started_at", "model")
"""Kept columns that every question about rows reads."""

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
            problems: list[StoreError] = []
            try:
                looked = look(connection, results, problems)
                rows, before, looked = read(connection, looked, problems, columns, all_runs=all_runs)
                notes = of_the_future(connection, looked, problems)
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
    looked: StoreLook,
    problems: list[StoreError],
    columns: Sequence[str],
    *,
    all_runs: bool,
    models: Sequence[str] | None = None,
) -> tuple[list[Row], list[Row], StoreLook]:
    """Rows as `Query.rows` has them, those of earlier runs that `Query.among` has beside them, and what was readable.

    Args:
        connection: DuckDB's.
        looked: the files.
        problems: gets one error for each that turns out to be damaged.
        columns: stored columns that rows are to have.
        all_runs: every run's rows instead of the newest per case.
        models: their names; None for all.

    Raises:
        FileNotFoundError: a file has gone.
    """
    found, looked = _select(connection, looked, problems, columns, all_runs=all_runs, models=models)
    rows = sorted(found if all_runs else standing(found), key=lambda row: natural(row["case"]))
    return rows, [] if all_runs else _earlier(connection, looked, rows, columns), looked


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
    import pandas as pd

    found, problems = arrow_table(results, select, categories, case=case)
    if found is None:
        empty = pd.DataFrame({name: [] for name in select})
        return ColumnTable(frame=empty.astype(dict.fromkeys(categories, "category")), problems=problems)
    return ColumnTable(frame=found.to_pandas(), problems=problems)


def arrow_table(
    results: Path,
    select: Mapping[str, str],
    categories: Collection[str] = (),
    *,
    case: Callable[[str], bool] | None = None,
) -> tuple[Any | None, tuple[StoreError, ...]]:
    """As `table`, as a table of Arrow, without pandas; None where nothing is stored. With it what was left out.

    Raises:
        StoreError: where the folder itself cannot be listed.
    """
    with connected() as connection:
        for _ in range(ATTEMPTS):
            problems: list[StoreError] = []
            try:
                looked = look(connection, results, problems)
                found = _arrow(connection, looked, problems, select, categories, case)
            except FileNotFoundError:
                continue
            return found, tuple(problems)
    raise changing(results)


def measured_cases(results: Path) -> pd.DataFrame | None:
    """Of a large store the cases, before anything else is read of them; None of a small one, which is read whole.

    Args:
        results: the results folder.

    Returns:
        `case`, `model`, `run_started_at` of its newest run, and `hosts`, how many have it.

    Raises:
        StoreError: where the folder itself cannot be listed.
    """
    with connected() as connection:
        for _ in range(ATTEMPTS):
            try:
                looked = look(connection, results, [])
                if not looked.counting:
                    return None
                kept = looked.rows(connection, ["model", "run_started_at", "fingerprint"])
            except FileNotFoundError:
                continue
            frame: pd.DataFrame = connection.sql(
                f'SELECT "case", any_value(model) AS model, max({settled_sql("run_started_at")}) AS run_started_at, '  # noqa: S608  (our own names)
                f'greatest(count(DISTINCT fingerprint), 1) AS hosts FROM {kept} GROUP BY "case" ORDER BY "case"'
            ).df()
            return frame
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
    # Of the few columns that are asked for: the types of all of them cost as much as the answer.
    held = absent.stored({name: COLUMNS[name] for name in dict.fromkeys((*columns, "run", "case"))})
    sql = f'SELECT {names} FROM {held} AS stored SEMI JOIN wanted USING (filename, run, "case")'  # noqa: S608  (our own names)
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
    return list(map(absent.reader(columns), found))


@lru_cache(maxsize=100_000)
def natural(text: str) -> tuple[tuple[bool, int, str], ...]:
    """A sort key that puts t2 before t10."""
    return tuple(map(_piece, DIGITS.split(text)))


@lru_cache(maxsize=4096)  # names have most of their parts in common
def _piece(piece: str) -> tuple[bool, int, str]:
    """A part of a name that is digits, or has none."""
    return (False, foreign.whole(piece), piece) if piece.isdecimal() else (True, 0, piece)


def _arrow(
    connection: Any,
    looked: StoreLook,
    problems: list[StoreError],
    select: Mapping[str, str],
    categories: Collection[str],
    case: Callable[[str], bool] | None,
) -> Any | None:
    """As `arrow_table`, of these files; those that turn out to be damaged are left out."""
    import duckdb

    if not looked.paths:
        return None
    # What summaries keep is asked of them; anything else, and a store without, of the files.
    kept = narrow.read_by(select.values()) if looked.counting else None
    columns = ", ".join(
        f'{text if kept is None else narrow.expression(text)} AS "{name}"' for name, text in select.items()
    )
    order = f'ORDER BY {settled_sql("run_started_at")}, run, started_at, "case"'
    try:
        named = [] if case is None else _cases(connection, looked)
        models = {model for model, name in named if case is not None and case(name)}
        every = case is None or models == {model for model, _ in named}
        cases = None if every else {name for model, name in named if model in models}
        relation = (
            absent.stored_in(_literals(looked.paths))
            if kept is None
            else looked.rows(connection, [*ORDERED, *kept], cases)
        )
        of = "" if every else "WHERE model IN (SELECT unnest(?))"
        once = "" if kept is not None and looked.once else ONCE
        sql = f"SELECT {columns} FROM {relation} {of} {once} {order}"  # noqa: S608  (our own names)
        return _asked(connection, sql, [] if every else [sorted(models)], categories)
    except duckdb.Error:
        # Only now is the culprit looked for, file by file: reading each of hundreds twice is not free.
        good = _readable(connection, looked.paths, problems, columns)
        if len(good) == len(looked.paths):
            raise
        return _arrow(connection, looked.without(set(looked.paths) - set(good)), problems, select, categories, case)


def _cases(connection: Any, looked: StoreLook) -> list[tuple[str, str]]:
    """The models and cases that are stored."""
    found: list[tuple[str, str]] = connection.execute(
        f'SELECT DISTINCT model, "case" FROM {looked.newest(connection)}'  # noqa: S608  (our own names)
    ).fetchall()
    return found


def _asked(connection: Any, sql: str, params: Sequence[Any], categories: Collection[str]) -> Any:
    # By way of Arrow, whose text becomes categories without a Python string per row.
    found = connection.sql(sql, params=params).to_arrow_table()
    for place, name in enumerate(found.column_names):
        if name in categories:
            found = found.set_column(place, name, found.column(place).dictionary_encode())
    return found


def _select(
    connection: Any,
    looked: StoreLook,
    problems: list[StoreError],
    wanted: Sequence[str],
    *,
    all_runs: bool,
    models: Sequence[str] | None = None,
) -> tuple[list[Row], StoreLook]:
    """The rows of all files in one query, and the files; only where it fails is the culprit looked for, one by one."""
    import duckdb

    columns = ", ".join(f'"{name}"' for name in wanted)
    latest = f"ORDER BY {settled_sql('run_started_at')} DESC, run DESC"
    of = "" if models is None else f'WHERE "model" IN ({", ".join("?" * len(models))})'
    rows: list[Row] = []
    holding = looked.paths
    if not holding:
        return [], looked
    try:
        if all_runs:
            select = f"SELECT {columns} FROM {STORED} {of} {ONCE}"  # noqa: S608  (our own names)
        else:
            holding = _newest(connection, looked, of, latest, models)
            newest = f'{STORED} AS stored SEMI JOIN newest USING (filename, run, "case", failed)'
            newest = newest.replace(STORED, f"(SELECT *, status = 'failed' AS failed FROM {STORED} {of})", 1)  # noqa: S608
            select = f"SELECT {columns} FROM {newest} {ONCE}"  # noqa: S608  (as above)
        if not holding:
            return [], looked
        select = f"WITH once AS ({select}) SELECT {columns} FROM once {latest}, started_at"  # noqa: S608  (as above)
        found = connection.execute(select, [_literals(holding), *(models or ())])
        while some := found.fetchmany(FETCH):
            rows += absent.rows(wanted, some)
    except duckdb.Error:
        good = _readable(connection, holding, problems, columns)
        if len(good) == len(holding):
            raise
        rest = looked.without(set(holding) - set(good))
        return _select(connection, rest, problems, wanted, all_runs=all_runs, models=models)
    return rows, looked


def _newest(connection: Any, looked: StoreLook, of: str, latest: str, models: Sequence[str] | None) -> list[Path]:
    """Make the table `newest` of the newest failed row and the newest other one of each case; the files that hold them.

    Most columns of most rows are of no use: 2,000 cases that were measured 500 times have theirs in a file or two.
    """
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE newest AS "  # noqa: S608  (our own names)
        f"WITH once AS (SELECT * FROM {looked.newest(connection)} {of} {ONCE}) "
        f'SELECT filename, run, "case", failed FROM once '
        f'QUALIFY row_number() OVER (PARTITION BY "case", failed {latest}) = 1',
        list(models or ()),
    )
    holding = {name for (name,) in connection.execute("SELECT DISTINCT filename FROM newest").fetchall()}
    return [path for path in looked.paths if str(path) in holding]


def names(
    connection: Any, looked: StoreLook, problems: list[StoreError]
) -> tuple[list[tuple[str, str, str, int, int]], StoreLook]:
    """Model, variant and target of all stored rows, each combination once, with its rows and newest rows; the files.

    Files that do not answer are left out.

    Raises:
        FileNotFoundError: one has gone.
    """
    import duckdb

    if not looked.paths:
        return [], looked
    try:
        sql = (
            'SELECT model, variant, target, sum(n)::BIGINT, count(DISTINCT ("case", failed)) '  # noqa: S608  (our own names)
            f"FROM {looked.newest(connection)} GROUP BY ALL"
        )
        found: list[tuple[str, str, str, int, int]] = connection.execute(sql).fetchall()
    except duckdb.Error:
        good = _readable(connection, looked.paths, problems, "model, variant, target")
        if len(good) == len(looked.paths):
            raise
        return names(connection, looked.without(set(looked.paths) - set(good)), problems)
    return list(found), looked


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


def _earlier(connection: Any, looked: StoreLook, rows: Sequence[Row], columns: Sequence[str]) -> list[Row]:
    """Rows of `harness.store.earlier`, of the files that can be read; `_select` has said which cannot."""
    import duckdb

    try:
        return earlier.rows(connection, looked, rows, columns, ONCE)
    except duckdb.Error:
        good = _readable(connection, looked.paths, [], ", ".join(f'"{name}"' for name in columns))
        if len(good) == len(looked.paths):
            raise
        return _earlier(connection, looked.without(set(looked.paths) - set(good)), rows, columns)


def of_the_future(connection: Any, looked: StoreLook, problems: Sequence[StoreError]) -> tuple[str, ...]:
    """Which runs say that they are of the future; not asked where files are damaged, which says enough."""
    paths = looked.perhaps_after(limit())
    if problems or not paths:
        return ()
    sql = f"SELECT DISTINCT run, run_started_at FROM {STORED} WHERE run_started_at > '{limit()}'"  # noqa: S608  (our own names)
    return ahead(connection.execute(sql, [_literals(paths)]).fetchall())


def _literals(paths: Iterable[Path]) -> list[str]:
    return [admission.literal(path) for path in paths]
