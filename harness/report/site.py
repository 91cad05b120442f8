"""The whole site: what is read, which pages there are, and which files had to be written."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness
from harness.report import histories, links, render, thin
from harness.report.data import RECENT_RUNS, Data, load, ordered, picked
from harness.report.figures import samples as sample_charts
from harness.report.histories import Series
from harness.report.keys import Keys
from harness.report.output import Output
from harness.report.pages import case, compare, history, model, overview
from harness.report.palette import Mark, marks
from harness.report.parts import Page, script_json
from harness.store import query
from harness.store.rows import Row

if TYPE_CHECKING:
    import pandas as pd

    from harness.stats.scan import Scan

if TYPE_CHECKING:
    pass

CHUNK = 100
"""Cases whose samples are held in memory at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a site is asked to show.

    Attributes:
        asv: asv's own published pages, linked where the folder has an index.html.
        compare: two runs or revisions that the comparison opens with.
        live: whether the pages ask a server for news, as `harness serve` wants it.
    """

    results: Path
    out: Path
    repo: Path | None = None
    commit_url: str = ""
    asv: Path | None = None
    compare: tuple[str, str] | None = None
    since: str = ""
    live: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What came of it.

    Attributes:
        written: files that were new or differed.
        kept: files that were as they should be.
        problems: stored files that were left out, and why.
    """

    index: Path
    written: int
    kept: int
    problems: tuple[str, ...]


def build(request: Request) -> Built:
    """Make the site, or bring it up to date.

    Raises:
        UsageError: if a revision or run is not known.
        StoreError: if the results cannot be read or the site cannot be written.
    """
    data = load(request.results, repo=request.repo, since=request.since, commit_url=request.commit_url)
    output = Output.open(request.out)
    for name in render.STATIC:
        output.put(f"static/{name}", render.static(name))
    output.put("static/plotly.min.js", render.plotly())
    shared = _shared(data)
    output.put("data/site.js", f"harness.site={script_json(_site(data, request))};\n")
    if data.rows.empty:
        output.put(
            "index.html", render.html(Page(path="index.html", template="empty.html.j2", title="No results yet"), shared)
        )
    else:
        _write(data, request, shared, output)
    output.close()
    return Built(index=request.out / "index.html", written=output.written, kept=output.kept, problems=data.problems)


def _write(data: Data, request: Request, shared: Mapping[str, Any], output: Output) -> None:
    look = marks(data.rows["variant"].cat.categories)
    keys = Keys(data, shared)
    series = histories.collect(data, data.positions)
    scans = histories.scans(series)
    output.put(*_page(overview.overview(data, series, scans, _asv(request)), shared))
    _history(data, series, scans, look, shared, keys, output)
    _compare(data, request, shared, keys, output)
    _cases_and_models(data, series, look, shared, keys, output)


def _history(
    data: Data,
    series: Mapping[str, Sequence[Series]],
    scans: Mapping[tuple[str, str], Scan],
    look: Mapping[str, Mark],
    shared: Mapping[str, Any],
    keys: Keys,
    output: Output,
) -> None:
    output.put(*_page(history.page(data, series), shared))
    output.put("data/runs.js", _assign("runs", "all", history.runs(data)))
    for metric in histories.UNITS:
        found = history.index(data, series, scans, metric)
        output.put(f"data/history/{metric}.js", _assign("history", metric, found))
    for identity, group in series.items():
        path, key = links.series(identity), keys.series(group, scans)
        if not output.keep(path, key):
            content = history.detail(data, group, scans, look)
            output.put(path, _assign("series", links.slug(identity), content), key)


def _compare(data: Data, request: Request, shared: Mapping[str, Any], keys: Keys, output: Output) -> None:
    found = compare.pairs(data, request.compare)
    output.put(*_page(compare.page(found), shared))
    for pair in found:
        path, key = f"data/compare/{pair.id}.js", keys.rows(pair.before.rows, pair.after.rows)
        if output.keep(path, key):
            continue
        parts = compare.charts(pair)
        body = render.fragment("pair.html.j2", pair=pair, **parts)
        figures = {chart.id: chart.figure for chart in (parts["heat"], parts["moved"]) if chart is not None}
        output.put(path, _assign("pairs", pair.id, {"html": body, "figures": figures}), key)


def _cases_and_models(
    data: Data,
    series: Mapping[str, Sequence[Series]],
    look: Mapping[str, Mark],
    shared: Mapping[str, Any],
    keys: Keys,
    output: Output,
) -> None:
    """The pages of models and cases. A model none of whose rows has changed is passed over with all its cases."""
    of_case: dict[str, list[Series]] = {}
    for group in series.values():
        of_case.setdefault(group[0].case, []).append(group[0])
    recent = [run.id for run in data.runs[:RECENT_RUNS]]
    for name, rows in data.rows.groupby("model", observed=True):
        cases = rows.drop_duplicates("case", keep="last")
        shown = rows[rows["run"].isin(recent) | rows.index.isin(data.newest.index)]
        key = keys.rows(shown, extra=[one.id for case in cases["case"] for one in of_case.get(str(case), [])])
        paths = [links.model(str(name)), links.raw(str(name)), *(links.case(str(case)) for case in cases["case"])]
        if not all(output.keep(path, key) for path in paths):
            for path, content in _model(data, str(name), rows[rows["run"].isin(recent)], cases, of_case, look, shared):
                output.put(path, content, key)


def _model(
    data: Data,
    name: str,
    recent: pd.DataFrame,
    cases: pd.DataFrame,
    of_case: Mapping[str, Sequence[Series]],
    look: Mapping[str, Mark],
    shared: Mapping[str, Any],
) -> Iterator[tuple[str, str]]:
    """A model's page and those of its cases; samples are read in chunks and thinned at once."""
    latest = [row for row in data.latest if row["model"] == name]
    found = model.page(data, name, latest, ordered(picked(recent)), look)
    yield _page(found, shared)
    by_case: dict[str, list[Row]] = {}
    for row in latest:
        by_case.setdefault(row["case"], []).append(row)
    quantiles: list[dict[str, Any]] = []
    index = {(row["run"], row["case"]): place for place, row in enumerate(found.context["order"])}
    for start in range(0, len(cases), CHUNK):
        for samples in query.pick(cases.iloc[start : start + CHUNK], ("case", "variant", "run", "processes")):
            processes = samples["processes"] or []
            rows = by_case[samples["case"]]
            row = next(row for row in rows if row["run"] == samples["run"])
            yield _page(case.page(data, row, rows, processes, of_case.get(samples["case"], [])), shared)
            if own := thin.quantiles(processes):
                place = index[samples["run"], samples["case"]]
                quantiles.append(
                    {"case": samples["case"], "variant": samples["variant"], "row": place, "quantiles": own}
                )
    yield links.raw(name), _raw(name, quantiles, look)


def _raw(name: str, quantiles: Sequence[Mapping[str, Any]], look: Mapping[str, Mark]) -> str:
    import pandas as pd

    frame = pd.DataFrame(quantiles, columns=["case", "variant", "row", "quantiles"])
    frame = frame.sort_values("row", kind="stable")
    figures = {"raw-violin": sample_charts.violin(frame, look), "raw-ecdf": sample_charts.ecdf(frame, look)}
    return _assign("raw", links.slug(name), figures)


def _assign(kind: str, key: str, value: Any) -> str:
    """A script that hands data to the page that asked for it; a JSON file could not be read from file://."""
    return f"harness.receive({script_json(kind)},{script_json(key)},{script_json(value)});\n"


def _page(page: Page, shared: Mapping[str, Any]) -> tuple[str, str]:
    return page.path, render.html(page, shared)


def _shared(data: Data) -> dict[str, Any]:
    models = [] if data.rows.empty else sorted(data.rows["model"].cat.categories, key=query.natural)
    return {
        "hosts": {host: data.host(host) for host in data.hosts},
        "models": [{"name": name, "href": links.model(name)} for name in models],
        "version": harness.__version__,
        "problems": data.problems,
        "since": data.since,
        "results": str(data.results),
        "asv_files": data.rows.empty and any(data.results.glob("*/*-*.json")),
        "seeded": sorted(
            {row["model"] for row in data.latest if row["weights"] and row["weights"]["kind"] == "seeded"}
        ),
    }


def _site(data: Data, request: Request) -> dict[str, Any]:
    """What changes with every build, kept out of the pages so that those can stay as they are."""
    return {
        "made": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "live": request.live,
        "runs": len(data.runs),
    }


def _asv(request: Request) -> str:
    """The way from the site to asv's pages, where there are any."""
    import os

    if request.asv is None or not (request.asv / "index.html").is_file():
        return ""
    return Path(os.path.relpath(request.asv / "index.html", request.out)).as_posix()
