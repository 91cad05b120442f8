"""Rows of earlier runs that stand beside the newest of each case: what a choice may still rest on.

A later sweep of two variants takes those two out of the run before, which then lacks what its other rows were compared
with. Which run decides is said by `harness.budget.choices`; here is which of them can: those of which no newer one
tried everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.store import absent
from harness.store.admission import literal
from harness.store.clock import settled_sql
from harness.store.rows import Row
from harness.store.summaries.look import StoreLook

if TYPE_CHECKING:
    import pandas as pd

NEEDED = frozenset({"model", "variant", "target", "run"})
"""The columns without which no choice can be made."""


def deciding(runs: Iterable[tuple[str, frozenset[str]]]) -> list[str]:
    """The runs of which no newer one tried everything.

    Args:
        runs: run -> the variants of one model and target that it tried, newest first.
    """
    found: list[tuple[str, frozenset[str]]] = []
    for run, tried in runs:
        if not any(tried <= newer for _, newer in found):
            found.append((run, tried))
    return [run for run, _ in found]


def scattered(newest: Sequence[Row]) -> list[tuple[str, str]]:
    """The models and targets whose newest numbers are of several runs: of all others the newest run has everything."""
    if len({row["run"] for row in newest}) <= 1:
        return []
    found: dict[tuple[str, str], set[str]] = {}
    for row in newest:
        if row.get("latency"):
            found.setdefault((row["model"], row["target"]), set()).add(row["run"])
    return [place for place, runs in found.items() if len(runs) > 1]


def rows(connection: Any, looked: StoreLook, newest: Sequence[Row], columns: Sequence[str], once: str) -> list[Row]:
    """Rows of those runs, as far as they are not among the newest.

    Args:
        connection: DuckDB's.
        looked: the files.
        newest: the newest row of each case.
        columns: stored columns that rows are to have.
        once: the clause that leaves one row of a case of a run.

    Raises:
        duckdb.Error: if a file cannot be read.
        FileNotFoundError: one has gone: look again.
    """
    places = scattered(newest)
    if not places or not set(columns) >= NEEDED:
        return []
    time = settled_sql("any_value(run_started_at)")
    tried = "list(DISTINCT variant) FILTER (status != 'failed')"
    asked = ["model", "target", "variant", "status", "run", "run_started_at"]
    # One text for each place: names that hold no line break, in lists that DuckDB takes as parameters.
    sql = (
        f"SELECT model, target, run, {tried}, list(DISTINCT filename) "  # noqa: S608  (our own names)
        f"FROM (SELECT * FROM {looked.rows(connection, asked)} {once}) "
        "WHERE concat_ws(chr(10), model, target) IN (SELECT unnest(?)) "
        f"GROUP BY ALL ORDER BY {time} DESC, run DESC"
    )
    runs: dict[tuple[str, str], list[tuple[str, frozenset[str]]]] = {}
    holding: dict[str, set[str]] = {}
    for model, target, run, variants, files in connection.execute(
        sql, [["\n".join(map(str, one)) for one in places]]
    ).fetchall():
        if variants:
            runs.setdefault((model, target), []).append((run, frozenset(variants)))
            holding.setdefault(run, set()).update(files)
    deciding_runs = {place: deciding(some) for place, some in runs.items()}
    paths = sorted({name for some in deciding_runs.values() for run in some for name in holding[run]})
    if not paths:
        return []
    wanted = ["\n".join(map(str, (*place, run))) for place, some in deciding_runs.items() for run in some]
    names = ", ".join(f'"{name}"' for name in columns)
    sql = (
        f"SELECT {names} FROM (SELECT * FROM {absent.stored_in(map(literal, map(Path, paths)))} {once}) "  # noqa: S608  (as above)
        'WHERE concat_ws(chr(10), model, target, run) IN (SELECT unnest(?)) ORDER BY run, "case"'
    )
    there = {(row["run"], row["case"]) for row in newest}
    found = connection.execute(sql, [wanted]).fetchall()
    return [row for row in map(absent.reader(columns), found) if (row["run"], row["case"]) not in there]


def keys(frame: pd.DataFrame, newest: pd.DataFrame) -> pd.DataFrame:
    """The same of a table of columns, whose choices lie within a host.

    Args:
        frame: every row, oldest run first, with `fingerprint`, `model`, `target`, `variant`, `run`, `status`
            and `median_s`.
        newest: the newest row of each case and host, of those.

    Returns:
        The rows of `frame` that decide and are not in `newest`.
    """
    place = ["fingerprint", "model", "target"]
    timed = newest[newest["median_s"].notna()]
    counts = timed.groupby(place, observed=True)["run"].nunique()
    several = counts[counts > 1].index
    if several.empty:
        return frame.iloc[:0]
    own = frame[frame.set_index(place).index.isin(several)]
    tried: dict[tuple[Any, ...], dict[str, set[str]]] = {}
    for *where, run, variant in own.loc[own["status"] != "failed", [*place, "run", "variant"]].itertuples(index=False):
        tried.setdefault(tuple(where), {}).setdefault(run, set()).add(variant)
    wanted = {
        (*where, run)
        for where, runs in tried.items()
        for run in deciding((run, frozenset(variants)) for run, variants in reversed(runs.items()))
    }
    kept = own[own.set_index([*place, "run"]).index.isin(wanted)]
    return kept[~kept.index.isin(newest.index)]
