"""Histories: a line with a small drawing for each series, and the whole chart of one on demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from harness.records import case_id
from harness.report import downsample, links, wording
from harness.report.data import Data
from harness.report.figures import history as charts
from harness.report.histories import MEANINGS, UNITS, ChartedSeries, title
from harness.report.palette import SeriesStyle
from harness.report.parts import Page
from harness.store.query import natural

if TYPE_CHECKING:
    from harness.stats.scan import Scan

Scans = Mapping[tuple[str, str], "Scan"]

FIELDS: Final = (
    "id",
    "case",
    "page",
    "host",
    "runtime",
    "points",
    "value",
    "last",
    "change",
    "moved",
    "mark",
    "changed",
    "spark",
)


def page(data: Data, series: Mapping[str, Sequence[ChartedSeries]]) -> Page:
    """The page itself; its lines and charts are scripts."""
    names = metrics(series)
    return Page(
        path="history.html",
        template="history.html.j2",
        title="History",
        context={
            "metrics": [
                {
                    "name": name,
                    "title": title(name),
                    "meaning": MEANINGS.get(name, "imported"),
                    "src": links.lines(name),
                }
                for name in names
            ],
            "hosts": {host: data.host(host) for host in data.every_host},
            "count": len(series),
            "since": data.since,
        },
    )


def metrics(series: Mapping[str, Sequence[ChartedSeries]]) -> list[str]:
    """What there are histories of: harness's own metrics first, then imported ones."""
    there = {one.metric for group in series.values() for one in group}
    return [*(name for name in UNITS if name in there), *sorted(there - UNITS.keys(), key=natural)]


def index(data: Data, series: Mapping[str, Sequence[ChartedSeries]], scans: Scans, metric: str) -> dict[str, Any]:
    """The lines of one metric, in the order of `series`: what the page lists, searches and sorts."""
    lines = []
    for identity, group in series.items():
        one = next((one for one in group if one.metric == metric), None)
        if one is None:
            continue
        scan = scans[identity, metric]
        last = float(one.numbers[-1])
        before = float(one.numbers[-2]) if len(one.numbers) > 1 else None
        moved = last / before if before else None
        revisions = [data.revision(number) for number in one.at.tolist()] if scan.changes else []
        latest = scan.changes[-1] if scan.changes else None
        lines.append(
            [
                links.slug(identity),
                one.case,
                links.case(one.case) if one.case in data.cases else "",
                one.fingerprint,
                one.runtime,
                len(one.numbers),
                wording.number(last, one.unit),
                last,
                "-" if moved is None else wording.change(moved),
                moved,
                charts.explained(latest, revisions) if latest else scan.abstained and f"not judged: {scan.abstained}",
                latest is not None,
                downsample.sparkline(one.numbers),
            ]
        )
    return {"fields": FIELDS, "lines": lines}


def detail(
    data: Data, group: Sequence[ChartedSeries], scans: Scans, marks: Mapping[str, SeriesStyle]
) -> dict[str, Any]:
    """The charts of one series' metrics, each with its table."""
    first = group[0]
    variant = case_id.parts(first.case).variant or first.case
    colour = marks[variant].colour if variant in marks else "#0a7bc2"
    found: dict[str, Any] = {}
    entries = _revisions(data, first)
    for one in group:
        scan = scans[one.id, one.metric]
        same = one.at.tobytes() == first.at.tobytes()
        columns = (entries if same else _revisions(data, one)) | _numbers(one)
        drawn = charts.history(columns, scan.changes, unit=one.unit, title=one.title, colour=colour, bare=True)
        found[one.metric] = {
            "title": one.title,
            "figure": drawn,
            "at": None if same else one.at.tolist(),
            "changes": [charts.explained(change, columns["revision"]) for change in scan.changes],
            "abstained": scan.abstained,
            "confidence": f"{one.confidence:.0%}",
        }
    return {
        "case": first.case,
        "page": links.case(first.case) if first.case in data.cases else "",
        "host": data.host(first.fingerprint),
        "runtime": first.runtime,
        "weights": first.weights if first.source else first.weights[:12],
        "source": first.source,
        "at": first.at.tolist(),
        "metrics": found,
    }


def runs(data: Data) -> list[tuple[str, str, str, str]]:
    """For each run, oldest first: what its points are called, when, why, and where a click leads; then each commit."""
    return [
        *(
            (
                run.revision,
                wording.when(run.commit_time if run.commit_time and not run.dirty else run.started_at),
                data.subjects.get(run.commit or "", ""),
                links.address(data.commit_url, run.commit or ""),
            )
            for run in reversed(data.runs)
        ),
        *(
            (
                one.hash[:8],
                wording.when(one.time) if one.time else "",
                data.subjects.get(one.hash, ""),
                links.address(data.commit_url, one.hash),
            )
            for one in data.asv.commits
        ),
    ]


def points(data: Data, one: ChartedSeries) -> dict[str, Any]:
    """A series as the chart takes it: column -> a value per point."""
    return _revisions(data, one) | _numbers(one)


def _revisions(data: Data, one: ChartedSeries) -> dict[str, Any]:
    """What the points of a series are called."""
    table = data.once(runs)
    entries = [table[number] for number in one.at.tolist()]
    return {
        "revision": [entry[0] for entry in entries],
        "when": [entry[1] for entry in entries],
        "subject": [entry[2] for entry in entries],
    }


def _numbers(one: ChartedSeries) -> dict[str, Any]:
    import numpy as np

    absent = np.full(len(one.numbers), np.nan)
    return {
        "value": one.numbers,
        "low": absent if one.low is None else one.low,
        "high": absent if one.high is None else one.high,
    }
