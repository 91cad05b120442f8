"""The whole site: what is read, which pages there are, and which files had to be written."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness
from harness.records import case_id
from harness.report import histories, limits, links, models, pairs, render
from harness.report.data import Data, load
from harness.report.histories import ChartedSeries
from harness.report.keys import Keys
from harness.report.models import LARGE
from harness.report.output import Output, taken
from harness.report.pages import compare, history, overview, values
from harness.report.palette import SeriesStyle, marks
from harness.report.parts import Page, assign, script_json
from harness.store import query

if TYPE_CHECKING:
    from harness.stats.scan import Scan


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteRequest:
    """What a site is asked to show.

    Attributes:
        asv: asv's own published pages, linked where the folder has an index.html.
        compare: pairs of runs, commits, runtimes or hosts that the comparison offers, the first of them at first.
        live: whether the pages ask a server for news, as `harness serve` wants it.
        processes: that may work at once; a script that asks for more than one needs the `__main__` guard of
            `multiprocessing`.
        models: names or globs of the models that the site is about; none takes all.
        most_cases: that a site shows; others are left out, with a way to ask for them.
        large: bytes of results from which several processes are started.
    """

    results: Path
    out: Path
    repo: Path | None = None
    commit_url: str = ""
    asv: Path | None = None
    compare: Sequence[tuple[str, str]] = ()
    since: str = ""
    live: bool = False
    processes: int = 1
    models: Sequence[str] = ()
    most_cases: int = limits.MOST_CASES
    large: int = LARGE

    def read(self) -> Data:
        """What the site shows of what is stored.

        Raises:
            UsageError: if a revision or model is not known.
            StoreError: if the results cannot be read.
        """
        return load(
            self.results,
            repo=self.repo,
            since=self.since,
            commit_url=self.commit_url,
            models=self.models,
            most_cases=self.most_cases,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What came of it.

    Attributes:
        written: files that were new or differed.
        kept: files that were as they should be.
        problems: stored files that were left out, and why.
        more: models that were left out.
    """

    index: Path
    written: int
    kept: int
    problems: tuple[str, ...]
    more: tuple[str, ...] = ()


def build(request: SiteRequest) -> Built:
    """Make the site, or bring it up to date.

    Raises:
        UsageError: if a revision or run is not known.
        StoreError: if the results cannot be read or the site cannot be written.
    """
    with models.worker_pool(request.results, request.processes, request.large) as pool:
        return _build(request, pool)


def _build(request: SiteRequest, pool: Executor | None) -> Built:
    data = request.read()
    if not data.rows.empty or data.asv.series:
        for names in request.compare:
            pairs.asked(data, names)  # a side that nobody measured is said before anything is written
    with taken(request.out) as output:
        _put(data, request, output, pool)
        output.close()
    return Built(
        index=request.out / "index.html",
        written=output.written,
        kept=output.kept,
        problems=data.problems,
        more=data.more,
    )


def _put(data: Data, request: SiteRequest, output: Output, pool: Executor | None) -> None:
    for name in render.STATIC:
        output.put(f"static/{name}", render.static(name))
    output.put(f"static/{render.PLOTLY}", render.plotly())
    shared = _shared(data) | {"more": [(name, links.made_apart(name)) for name in data.more if request.live]}
    output.put("data/site.js", f"harness.site={script_json(_site(data, request))};\n")
    if data.rows.empty and data.asv.series:
        _write_values(data, request, shared, output)
    elif data.rows.empty:
        output.put(
            "index.html", render.html(Page(path="index.html", template="empty.html.j2", title="No results yet"), shared)
        )
    else:
        _write(data, request, shared, output, pool)


def _write(data: Data, request: SiteRequest, shared: Mapping[str, Any], output: Output, pool: Executor | None) -> None:
    series = histories.collect(data, data.positions)
    look = marks({*data.rows["variant"].cat.categories, *_variants(series)})
    keys = Keys(data, shared, look)
    with models.made(models.stale(data, series, look, shared, keys, output), output, pool):
        scans = histories.scans(series)
        output.put(*_page(overview.overview(data, series, scans, _asv(request)), shared))
        _history(data, series, scans, look, shared, keys, output)
        _compare(data, request, shared, keys, output)


def _write_values(data: Data, request: SiteRequest, shared: Mapping[str, Any], output: Output) -> None:
    """What a site without samples has: a first page and histories."""
    series = histories.collect(data, data.positions)
    scans = histories.scans(series)
    output.put(*_page(values.page(data, series, scans, _asv(request)), shared))
    look = marks(_variants(series))
    keys = Keys(data, shared, look)
    _history(data, series, scans, look, shared, keys, output)
    _compare(data, request, shared, keys, output)


def _variants(series: Mapping[str, Sequence[ChartedSeries]]) -> set[str]:
    """The variants that cases name."""
    cases = {group[0].case for group in series.values()}
    return {variant for case in cases if (variant := case_id.parts(case).variant)}


def _history(
    data: Data,
    series: Mapping[str, Sequence[ChartedSeries]],
    scans: Mapping[tuple[str, str], Scan],
    look: Mapping[str, SeriesStyle],
    shared: Mapping[str, Any],
    keys: Keys,
    output: Output,
) -> None:
    output.put(*_page(history.page(data, series), shared))
    output.put("data/runs.js", assign("runs", "all", history.runs(data)))
    for metric in history.metrics(series):
        found = history.index(data, series, scans, metric)
        output.put(links.lines(metric), assign("history", metric, found))
    for identity, group in series.items():
        path, key = links.series(identity), keys.series(group, scans)
        if not output.keep(path, key):
            content = history.detail(data, group, scans, look)
            output.put(path, assign("series", links.slug(identity), content), key)


def _compare(data: Data, request: SiteRequest, shared: Mapping[str, Any], keys: Keys, output: Output) -> None:
    found = pairs.offered(data, request.compare)
    output.put("static/compare.js", render.static("compare.js"))
    output.put(*_page(compare.page(data, found), shared))
    for pair in found:
        path, key = compare.script_path(pair), pairs.key(data, pair, keys)
        if not output.keep(path, key):
            output.put(path, compare.script(data, pair), key)


def _page(page: Page, shared: Mapping[str, Any]) -> tuple[str, str]:
    return page.path, render.html(page, shared)


def _shared(data: Data) -> dict[str, Any]:
    models = [] if data.rows.empty else sorted(data.rows["model"].cat.categories, key=query.natural)
    return {
        # By name, so that pages stay as they are where another of them measured last.
        "hosts": {host: data.host(host) for host in sorted(data.hosts)},
        "models": [{"name": name, "href": links.model(name)} for name in models],
        "version": harness.__version__,
        "problems": data.problems,
        "since": data.since,
        "results": str(data.results),
        "seeded": sorted(
            {row["model"] for row in data.latest if row["weights"] and row["weights"]["kind"] == "seeded"}
        ),
    }


def _site(data: Data, request: SiteRequest) -> dict[str, Any]:
    """What changes with every build, kept out of the pages so that those can stay as they are."""
    return {
        "made": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "live": request.live,
        "runs": len(data.runs),
    }


def _asv(request: SiteRequest) -> str:
    """The way from the site to asv's pages, where there are any."""
    import os

    if request.asv is None or not (request.asv / "index.html").is_file():
        return ""
    return Path(os.path.relpath(request.asv / "index.html", request.out)).as_posix()
