"""How much one site holds: which models it is about, and how many cases at most.

A case has a page, charts and histories of its own, and a line on pages that are read as a whole. Beyond some thousands
of cases a site takes minutes to make and its first page many megabytes to load, so what was measured last is shown, and
every page says what was left out and how to see it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from harness.errors import UsageError
from harness.records import case_id
from harness.store.asv.reconcile import Values
from harness.store.query import natural
from harness.suggest import suggest

if TYPE_CHECKING:
    import pandas as pd

MOST_CASES: Final = 5_000
"""Cases of a site at most, each counted for every host that has it: its first page has 2 MB then, and it is made in
about half a minute."""

NAMED: Final = 3
"""Models that are named where cases were left out."""


def of_models(rows: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """The rows of some models.

    Args:
        rows: stored rows.
        models: names or globs; none takes all.

    Raises:
        UsageError: where no model is meant.
    """
    if not models or rows.empty:
        return rows
    known = sorted(rows["model"].cat.categories, key=natural)
    if unknown := [name for name in models if not any(fnmatchcase(one, name) for one in known)]:
        raise UsageError(f"--models {unknown[0]}: nothing of such a model is stored; {suggest(unknown[0], known)}")
    return rows[rows["model"].isin([one for one in known if _meant(one, models)])]


def newest(rows: pd.DataFrame, most: int) -> tuple[pd.DataFrame, str]:
    """The rows of at most so many cases: whole models, those that were measured last first.

    Args:
        rows: stored rows, oldest run first.
        most: cases, each counted for every host that has it.

    Returns:
        Every row of the cases that stay, and what was left out, in words; empty where nothing was.
    """
    if rows.empty:
        return rows, ""
    hosts = rows.groupby("case", observed=True)["fingerprint"].nunique()
    last = rows.drop_duplicates("case", keep="last")[["case", "model", "run_started_at"]].astype(str)
    kept, said = _chosen(last.assign(hosts=last["case"].map(hosts)), most)
    return (rows[rows["case"].isin(kept)] if said else rows), said


def chosen(known: pd.DataFrame, models: Sequence[str], most: int) -> tuple[frozenset[str], str]:
    """The same before any row is read.

    Args:
        known: as `harness.store.query.measured_cases` has it.
        models: names or globs; none takes all.
        most: cases, each counted for every host that has it.

    Raises:
        UsageError: where no model is meant.
    """
    of = of_models(known.assign(model=known["model"].astype("category")), models)
    return _chosen(of[["case", "model", "run_started_at", "hosts"]].astype({"model": str}), most)


def _chosen(last: pd.DataFrame, most: int) -> tuple[frozenset[str], str]:
    """The cases that stay, and what was left out, of cases with their models, newest runs and hosts."""
    if last["hosts"].sum() <= most:
        return frozenset(last["case"]), ""
    ages = last.groupby("model")["run_started_at"].max()
    order = {name: place for place, name in enumerate(sorted(ages.index, key=natural))}
    # A stable sort: within a model the cases that were measured last.
    last = last.assign(age=last["model"].map(ages), place=-last["model"].map(order))
    last = last.sort_values(["age", "place", "run_started_at"], ascending=False, kind="stable")
    fitting = max(1, int((last["hosts"].cumsum() <= most).sum()))
    kept, left = last.iloc[:fitting], last.iloc[fitting:]
    models = sorted(set(left["model"]), key=natural)
    more = f" and {len(models) - NAMED:,} more" if len(models) > NAMED else ""
    each = "" if last["hosts"].max() == 1 else ", each counted for every host that has it"
    said = (
        f"{len(left):,} of {len(last):,} cases, of {', '.join(models[:NAMED])}{more}: a site holds {most:,}{each}, "
        f"those of the models that were measured last; harness report --models {models[0]} shows others, harness serve "
        "makes them when they are asked for, harness results has all"
    )
    return frozenset(kept["case"]), said if len(left) else ""


def values_of(values: Values, models: Sequence[str], left_out: Collection[str]) -> Values:
    """What asv's files add, without the models that are not meant and the cases that were left out."""
    if not models and not left_out:
        return values
    series = {
        key: points
        for key, points in values.series.items()
        if key.case not in left_out and (not models or _meant(case_id.parts(key.case).model, models))
    }
    return Values(commits=values.commits, series=series, hosts=values.hosts, problems=values.problems)


def _meant(model: str, models: Sequence[str]) -> bool:
    return any(fnmatchcase(model, pattern) for pattern in models)
