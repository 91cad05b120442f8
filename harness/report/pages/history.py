"""Histories: a line with a small drawing for each series, and the whole chart of one on demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from harness.report import links, thin, words
from harness.report.data import Data
from harness.report.figures import history as charts
from harness.report.histories import MEANINGS, TITLES, UNITS, Series
from harness.report.palette import Mark
from harness.report.parts import Page
from harness.store.query import natural

if TYPE_CHECKING:
    import pandas as pd

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


def page(data: Data, series: Mapping[str, Sequence[Series]]) -> Page:
    """The page itself; its lines and charts are scripts."""
    metrics = [metric for metric in UNITS if any(one.metric == metric for group in series.values() for one in group)]
    return Page(
        path="history.html",
        template="history.html.j2",
        title="History",
        context={
            "metrics": [{"name": name, "title": TITLES[name], "meaning": MEANINGS[name]} for name in metrics],
            "hosts": {host: data.host(host) for host in data.hosts},
            "count": len(series),
            "since": data.since,
        },
    )


def index(data: Data, series: Mapping[str, Sequence[Series]], scans: Scans, metric: str) -> dict[str, Any]:
    """The lines of one metric: what the page lists, searches and sorts."""
    lines = []
    for identity in sorted(series, key=natural):
        one = next((one for one in series[identity] if one.metric == metric), None)
        if one is None:
            continue
        scan = scans[identity, metric]
        last = float(one.numbers[-1])
        before = float(one.numbers[-2]) if len(one.numbers) > 1 else None
        moved = last / before if before else None
        revisions = [data.revision(int(place)) for place in one.places] if scan.changes else []
        latest = scan.changes[-1] if scan.changes else None
        lines.append(
            [
                links.slug(identity),
                one.case,
                links.case(one.case),
                one.fingerprint,
                one.runtime,
                len(one.numbers),
                words.number(last, UNITS[metric]),
                last,
                "-" if moved is None else words.change(moved),
                moved,
                charts.explained(latest, revisions) if latest else scan.abstained and f"not judged: {scan.abstained}",
                latest is not None,
                thin.sparkline(one.numbers),
            ]
        )
    return {"fields": FIELDS, "lines": lines}


def detail(data: Data, group: Sequence[Series], scans: Scans, marks: Mapping[str, Mark]) -> dict[str, Any]:
    """The charts of one series' metrics, each with its table."""
    first = group[0]
    variant = first.case.split("/")[1] if first.case.count("/") > 1 else first.case
    colour = marks[variant].colour if variant in marks else "#0a7bc2"
    found: dict[str, Any] = {}
    before: tuple[Any, pd.DataFrame] | None = None
    for one in group:
        scan = scans[one.id, one.metric]
        frame = points(data, one, before)
        before = (data.run_numbers[one.places], frame)
        drawn = charts.history(
            frame, scan.changes, unit=UNITS[one.metric], title=TITLES[one.metric], colour=colour, bare=True
        )
        found[one.metric] = {
            "title": TITLES[one.metric],
            "figure": drawn,
            "at": data.run_numbers[one.places].tolist(),
            "changes": [charts.explained(change, frame["revision"].tolist()) for change in scan.changes],
            "abstained": scan.abstained,
        }
    return {
        "case": first.case,
        "page": links.case(first.case),
        "host": data.host(first.fingerprint),
        "runtime": first.runtime,
        "weights": first.weights[:12],
        "metrics": found,
    }


def runs(data: Data) -> list[tuple[str, str, str, str]]:
    """For each run, oldest first: what its points are called, when, why, and where a click leads."""
    return [
        (
            run.revision,
            words.when(run.commit_time if run.commit_time and not run.dirty else run.started_at),
            data.subjects.get(run.commit or "", ""),
            links.address(data.commit_url, run.commit or ""),
        )
        for run in reversed(data.runs)
    ]


def points(data: Data, one: Series, points_of: tuple[Any, pd.DataFrame] | None = None) -> pd.DataFrame:
    """A series as the chart takes it.

    Args:
        data: what is stored.
        one: the series.
        points_of: run numbers and points of another metric of the case, which mostly are the same.
    """
    import numpy as np
    import pandas as pd

    numbers = data.run_numbers[one.places]
    if points_of is not None and points_of[0].size == numbers.size and (points_of[0] == numbers).all():
        frame = points_of[1].copy(deep=False)
    else:
        told = data.told(runs)
        frame = pd.DataFrame([told[number][:3] for number in numbers.tolist()], columns=["revision", "when", "subject"])
    frame["value"] = one.numbers
    frame["low"] = np.nan if one.low is None else one.low
    frame["high"] = np.nan if one.high is None else one.high
    return frame
