"""The pages of a model and of its cases, made here or in processes of their own where there are many."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.report import links, render, thin
from harness.report.data import RECENT_RUNS, Data, ordered, picked
from harness.report.figures import samples as sample_charts
from harness.report.histories import Series
from harness.report.keys import Keys
from harness.report.output import Entry, Output
from harness.report.pages import case, model
from harness.report.palette import Mark
from harness.report.parts import assign
from harness.report.values import Values
from harness.store import query
from harness.store.rows import Row

if TYPE_CHECKING:
    import pandas as pd

CHUNK: Final = 100
"""Cases whose samples are held in memory at a time."""

MANY: Final = 200
"""Cases from which on a second process is worth its start of a second."""

MOST_WORKERS: Final = 3
"""Each takes a quarter of a gigabyte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One model whose pages have to be made.

    Attributes:
        data: what is stored, without rows; `latest` are those of this model.
        recent: stored rows of the recent runs.
        cases: the newest stored row of each case.
        series: case -> its series, one per host, runtime and weights.
        look: a mark for every variant.
        shared: what all pages share.
        key: a digest of everything that the pages are made from.
    """

    name: str
    data: Data
    recent: pd.DataFrame
    cases: pd.DataFrame
    series: Mapping[str, Sequence[Series]]
    look: Mapping[str, Mark]
    shared: Mapping[str, Any]
    key: str


def stale(
    data: Data,
    series: Mapping[str, Sequence[Series]],
    look: Mapping[str, Mark],
    shared: Mapping[str, Any],
    keys: Keys,
    output: Output,
) -> list[Job]:
    """The models to be made anew; one none of whose rows has changed is passed over with all its cases."""
    of_case: dict[str, list[Series]] = {}
    for group in series.values():
        # Pages of cases name and link a series; its numbers are in a script of its own.
        of_case.setdefault(group[0].case, []).append(replace(group[0], at=None, numbers=None, low=None, high=None))
    recent = [run.id for run in data.runs[:RECENT_RUNS]]
    found = []
    for name, rows in data.rows.groupby("model", observed=True):
        cases = rows.drop_duplicates("case", keep="last")
        shown = rows[rows["run"].isin(recent) | rows.index.isin(data.newest.index)]
        own = {str(case): of_case[str(case)] for case in cases["case"] if str(case) in of_case}
        key = keys.rows(shown, extra=[one.id for group in own.values() for one in group])
        paths = [links.model(str(name)), links.raw(str(name)), *(links.case(str(case)) for case in cases["case"])]
        if not all(output.keep(path, key) for path in paths):
            latest = tuple(row for row in data.latest if row["model"] == name)
            found.append(
                Job(
                    name=str(name),
                    data=replace(data, rows=data.rows.iloc[:0], latest=latest, positions={}, asv=Values()),
                    recent=_slim(rows[rows["run"].isin(recent)]),
                    cases=_slim(cases),
                    series=own,
                    look=look,
                    shared=shared,
                    key=key,
                )
            )
    return found


@contextmanager
def made(jobs: Sequence[Job], output: Output, processes: int) -> Iterator[None]:
    """Make the pages of some models while the block runs, and be done with them at its end.

    Args:
        jobs: the models.
        output: the site.
        processes: that may work at once, this one included.
    """
    workers = min(MOST_WORKERS, processes - 1, len(jobs) - 1)
    if workers < 1 or sum(len(job.cases) for job in jobs) < MANY:
        yield
        for job in jobs:
            make(job, output)
        return
    # Processes are started anew and not forked: DuckDB's threads would not survive that.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures: list[Future[dict[str, Entry]]] = []
        try:
            for job in jobs:
                known = {path: entry for path, entry in output.known.items() if path in _paths(job)}
                futures.append(pool.submit(_apart, job, output.folder, known))
            yield
            # What no worker has begun is made here, from the end.
            for job, future in reversed(list(zip(jobs, futures, strict=True))):
                if future.cancel():
                    make(job, output)
            for future in futures:
                if not future.cancelled():
                    output.add(future.result())
        finally:
            for future in futures:
                future.cancel()


def make(job: Job, output: Output) -> None:
    """Write the pages of one model."""
    for path, content in _pages(job):
        output.put(path, content, job.key)


def _apart(job: Job, folder: Path, known: dict[str, Entry]) -> dict[str, Entry]:
    output = Output(folder=folder, known=known)
    make(job, output)
    return output.seen


def _paths(job: Job) -> set[str]:
    return {links.model(job.name), links.raw(job.name), *(links.case(str(case)) for case in job.cases["case"])}


def _slim(rows: pd.DataFrame) -> pd.DataFrame:
    """What `harness.store.query.pick` needs, without the names of all other cases."""
    return rows[["case", "run", "filename"]].astype(object)


def _pages(job: Job) -> Iterator[tuple[str, str]]:
    """A model's page and those of its cases; samples are read in chunks and thinned at once."""
    latest = job.data.latest
    found = model.page(job.data, job.name, latest, ordered(picked(job.recent)), job.look)
    yield found.path, render.html(found, job.shared)
    by_case: dict[str, list[Row]] = {}
    for row in latest:
        by_case.setdefault(row["case"], []).append(row)
    quantiles: list[dict[str, Any]] = []
    index = {(row["run"], row["case"]): place for place, row in enumerate(found.context["order"])}
    for start in range(0, len(job.cases), CHUNK):
        for samples in query.pick(job.cases.iloc[start : start + CHUNK], ("case", "variant", "run", "processes")):
            processes = samples["processes"] or []
            rows = by_case[samples["case"]]
            row = next(row for row in rows if row["run"] == samples["run"])
            page = case.page(job.data, row, rows, processes, job.series.get(samples["case"], []))
            yield page.path, render.html(page, job.shared)
            if own := thin.quantiles(processes):
                place = index[samples["run"], samples["case"]]
                quantiles.append(
                    {"case": samples["case"], "variant": samples["variant"], "row": place, "quantiles": own}
                )
    yield links.raw(job.name), _raw(job.name, quantiles, job.look)


def _raw(name: str, quantiles: Sequence[Mapping[str, Any]], look: Mapping[str, Mark]) -> str:
    import pandas as pd

    frame = pd.DataFrame(quantiles, columns=["case", "variant", "row", "quantiles"])
    frame = frame.sort_values("row", kind="stable")
    figures = {"raw-violin": sample_charts.violin(frame, look), "raw-ecdf": sample_charts.ecdf(frame, look)}
    return assign("raw", links.slug(name), figures)
