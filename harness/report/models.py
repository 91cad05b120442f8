"""The pages of a model and of its cases, made here or in processes of their own where there are many."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from harness.explain import stored as explanations
from harness.report import downsample, links, render
from harness.report.data import Data
from harness.report.figures import samples as sample_charts
from harness.report.histories import ChartedSeries
from harness.report.keys import Keys
from harness.report.output import Entry, Output
from harness.report.pages import case, explained, model
from harness.report.palette import SeriesStyle
from harness.report.parts import assign
from harness.report.rows import BRIEF, ordered, picked
from harness.store import examples, query, stored_files
from harness.store.asv.reconcile import Values
from harness.store.rows import Row

if TYPE_CHECKING:
    import pandas as pd

CHUNK: Final = 100
"""Cases whose samples are held in memory at a time."""

LARGE: Final = 1_000_000
"""Bytes of stored samples from which on a second process is worth its start of a second."""

RECENT_RUNS: Final = 5
"""Runs whose rows can be chosen on a model's page beside the newest of each case, at most."""

RECENT_ROWS: Final = 200
"""Rows of a model's recent runs that its page holds at most, the newest run aside."""

MOST_WORKERS: Final = 3
"""Each takes a quarter of a gigabyte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelJob:
    """One model whose pages have to be made.

    Attributes:
        data: what is stored, without rows; `latest` are those of this model.
        recent: stored rows of the recent runs.
        newest: the newest stored row of each case on each host.
        cases: case -> the run of the newest of those, whatever the host: what its page shows.
        series: case -> its series, one per host, runtime and weights.
        look: a mark for every variant.
        shared: what all pages share.
        explained: the cases of which there is an explanation.
        key: a digest of everything that the pages are made from.
    """

    name: str
    data: Data
    recent: pd.DataFrame
    newest: pd.DataFrame
    cases: Mapping[str, str]
    series: Mapping[str, Sequence[ChartedSeries]]
    look: Mapping[str, SeriesStyle]
    shared: Mapping[str, Any]
    explained: frozenset[str]
    key: str


def stale(
    data: Data,
    series: Mapping[str, Sequence[ChartedSeries]],
    look: Mapping[str, SeriesStyle],
    shared: Mapping[str, Any],
    keys: Keys,
    output: Output,
) -> list[ModelJob]:
    """The models to be made anew; one none of whose rows has changed is passed over with all its cases."""
    of_case: dict[str, list[ChartedSeries]] = {}
    for group in series.values():
        # Pages of cases name and link a series; its numbers are in a script of its own.
        of_case.setdefault(group[0].case, []).append(replace(group[0], at=None, numbers=None, low=None, high=None))
    newest = dict(list(data.newest.groupby("model", observed=True)))
    latest, among = _by_model(data.latest), _by_model(data.among)
    found = []
    for name, rows in data.rows.groupby("model", observed=True):
        recent = _recent(data, rows)
        paged = newest[name].drop_duplicates("case", keep="last")
        cases = dict(zip(paged["case"].astype(str), paged["run"].astype(str), strict=True))
        decides = {row["run"] for row in among.get(str(name), ())}
        last = rows.drop_duplicates(["case", "fingerprint"], keep="last")  # a failure that follows numbers is noted
        stands = rows.index.isin(newest[name].index) | rows.index.isin(last.index)
        shown = rows[rows["run"].isin(recent) | rows["run"].isin(decides) | stands]
        own = {case: of_case[case] for case in cases if case in of_case}
        known = explanations.states(data.results, cases)
        extra = [
            *(one.id for group in own.values() for one in group),
            *known.values(),
            keys.marks(sorted({*rows["variant"]})),
        ]
        extra += examples.states(data.results, (row["evaluation"] for row in latest.get(str(name), ())))
        key = keys.rows(shown, extra=extra)
        paths = [links.model(str(name)), links.raw(str(name)), *(links.case(case) for case in cases)]
        paths += [links.explained(case) for case in known]
        if not all(output.keep(path, key) for path in paths):
            found.append(
                ModelJob(
                    name=str(name),
                    data=replace(
                        data,
                        rows=data.rows.iloc[:0],
                        latest=tuple(latest.get(str(name), ())),
                        among=tuple(among.get(str(name), ())),
                        positions={},
                        asv=Values(),
                    ),
                    recent=_slim(rows[rows["run"].isin(recent)]),
                    newest=_slim(newest[name]),
                    cases=cases,
                    series=own,
                    look=look,
                    shared=shared,
                    explained=frozenset(known),
                    key=key,
                )
            )
    return found


def _recent(data: Data, rows: pd.DataFrame) -> list[str]:
    """The newest runs of a model, as many as its page can hold."""
    counts = rows["run"].value_counts()
    found: list[str] = []
    for run in [run.id for run in data.runs if counts.get(run.id, 0)][:RECENT_RUNS]:
        if found and sum(counts[one] for one in (*found, run)) > RECENT_ROWS:
            break
        found.append(run)
    return found


@contextmanager
def worker_pool(results: Path, processes: int, large: int = LARGE) -> Iterator[Executor | None]:
    """Processes that make pages, started while the results are still being read.

    Args:
        results: the results folder.
        processes: that may work at once, this one included.
        large: bytes of results from which several processes are faster than one.

    Returns:
        None where this process alone is faster.
    """
    workers = min(MOST_WORKERS, processes - 1)
    if workers < 1 or sum(path.stat().st_size for path in stored_files.finished_files(results)) < large:
        yield None
        return
    # Processes are started anew and not forked: DuckDB's threads would not survive that.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for _ in range(workers):
            pool.submit(_ready)
        yield pool


def _ready() -> None:
    """What takes a new process longest."""
    import duckdb  # noqa: F401
    import pandas as pd  # noqa: F401

    render.environment()


@contextmanager
def made(jobs: Sequence[ModelJob], output: Output, pool: Executor | None) -> Iterator[None]:
    """Make the pages of some models while the block runs, and be done with them at its end.

    Args:
        jobs: the models.
        output: the site.
        pool: who else may work; None makes all of it here, after the block.
    """
    if pool is None:
        yield
        for job in jobs:
            make(job, output)
        return
    futures: list[Future[dict[str, Entry]]] = []
    with TemporaryDirectory() as folder:
        claims = Path(folder)
        try:
            for place, job in enumerate(jobs):
                known = {path: output.known[path] for path in _paths(job) if path in output.known}
                futures.append(pool.submit(_apart, job, output.folder, known, claims / str(place)))
            yield
            # What nobody else has begun is made here, from the end; what a worker only holds in its queue, too.
            for place, job in reversed(list(enumerate(jobs))):
                if _claim(claims / str(place)):
                    make(job, output)
            for future in futures:
                output.add(future.result())
        finally:
            for future in futures:
                future.cancel()


def _claim(path: Path) -> bool:
    """Whether this process is the first that asks for a job."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def make(job: ModelJob, output: Output) -> None:
    """Write the pages of one model."""
    for path, content in _pages(job):
        output.put(path, content, job.key)


def _apart(job: ModelJob, folder: Path, known: dict[str, Entry], claim: Path) -> dict[str, Entry]:
    if not _claim(claim):
        return {}
    output = Output(folder=folder, known=known)
    make(job, output)
    return output.seen


def _by_model(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["model"], []).append(row)
    return found


def _paths(job: ModelJob) -> set[str]:
    own = {*(links.case(case) for case in job.cases), *(links.explained(case) for case in job.explained)}
    return {links.model(job.name), links.raw(job.name), *own}


def _slim(rows: pd.DataFrame) -> pd.DataFrame:
    """What `harness.store.query.pick` needs, without the names of all other cases."""
    return rows[["case", "run", "filename"]].astype(object)


def _pages(job: ModelJob) -> Iterator[tuple[str, str]]:
    """The pages of a model's cases, and its own; samples are read in chunks and downsampled at once."""
    by_case: dict[str, list[Row]] = {}
    for row in job.data.latest:
        by_case.setdefault(row["case"], []).append(row)
    paged = [job.cases[case] == run for case, run in zip(job.newest["case"], job.newest["run"], strict=True)]
    whole = {row["case"]: row for row in picked(job.newest[paged])}
    of_run: dict[tuple[str, str], str] = {}
    quantiles: list[dict[str, Any]] = []
    startups: dict[tuple[str, str], model.Intervals] = {}
    spreads: dict[tuple[str, str], downsample.Spread] = {}
    for start in range(0, len(job.newest), CHUNK):
        for samples in query.pick(job.newest.iloc[start : start + CHUNK], ("case", "variant", "run", "processes")):
            name, run, processes = samples["case"], samples["run"], samples["processes"] or []
            startups[run, name] = model.intervals(processes)
            if own := downsample.quantiles(processes):
                quantiles.append({"case": name, "variant": samples["variant"], "run": run, "quantiles": own})
            if (found := downsample.spread(processes)) is not None:
                spreads[run, name] = found
            if job.cases[name] == run:
                # What `latest` says beside it: that a failure followed.
                row = whole[name] | next(row for row in by_case[name] if row["run"] == run)
                where = run, row["fingerprint"]
                if where not in of_run:
                    of_run[where] = render.fragment("facts.html.j2", facts=case.of_run(job.data.run(run), row))
                shown = explanations.get(job.data.results, name) if name in job.explained else None
                page = case.page(
                    job.data,
                    row,
                    by_case[name],
                    processes,
                    job.series.get(name, []),
                    of_run[where],
                    explained=shown is not None,
                )
                yield page.path, render.html(page, job.shared)
                if shown is not None:
                    more = explained.page(shown)
                    yield more.path, render.html(more, job.shared)
    recent = ordered(picked(job.recent, BRIEF))
    page = model.page(job.data, job.name, job.data.latest, recent, job.look, startups, spreads)
    yield page.path, render.html(page, job.shared)
    places = {(row["run"], row["case"]): place for place, row in enumerate(page.context["order"])}
    drawn = [{**one, "row": places[one.pop("run"), one["case"]]} for one in quantiles]
    yield links.raw(job.name), _raw(job.name, drawn, job.look)


def _raw(name: str, quantiles: Sequence[Mapping[str, Any]], look: Mapping[str, SeriesStyle]) -> str:
    import pandas as pd

    frame = pd.DataFrame(quantiles, columns=["case", "variant", "row", "quantiles"])
    frame = frame.sort_values("row", kind="stable")
    return assign("raw", links.slug(name), {"raw-ecdf": sample_charts.ecdf(frame, look)})
