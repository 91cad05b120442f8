"""Values that only asv's files hold, on the first page: the newest of each series against the one before it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from harness.report import links, wording
from harness.report.data import Data
from harness.report.histories import NOISY, UNITS, ChartedSeries
from harness.report.pages import levels
from harness.report.parts import Cell, Facet, Page, Table, num, text
from harness.store.query import natural

if TYPE_CHECKING:
    from harness.stats.scan import Scan

KINDS: Final[Mapping[str, str]] = {"slower": "slower", "faster": "faster", "worse": "slower", "better": "faster"}
ORDER: Final = ("worse", "better", "overlap", "same", "alone")
SAID: Final[Mapping[str, str]] = {
    "worse": "worse: intervals apart",
    "better": "better: intervals apart",
    "overlap": "intervals overlap",
    "same": "the same",
    "alone": "no earlier value",
}


def newest(data: Data, series: Mapping[str, Sequence[ChartedSeries]]) -> Table:
    """The newest value of each series against the one before it, what got worse first.

    Metrics without noise are listed where they changed; the others always. A value without an interval is its own.
    """
    found: list[tuple[tuple[Any, ...], list[Cell], Mapping[str, str]]] = []
    for one in (one for group in series.values() for one in group if one.source):
        verdict, ratio = judged(one)
        noisy = one.metric in NOISY or one.metric not in UNITS
        if (verdict in ("same", "alone") and not noisy) or (one.metric in NOISY and one.metric != "latency"):
            continue
        before = data.revision(int(one.at[-2])) if len(one.at) > 1 else ""
        cells = [
            text(one.case, href=links.history(one.id, one.metric)),
            text(one.title),
            text(one.runtime or wording.NONE, kind="nowrap"),
            text(one.weights or wording.NONE),
            num(value(one), float(one.numbers[-1])),
            num(wording.NONE if ratio is None else wording.change(ratio), ratio, kind=KINDS.get(verdict, "")),
            text(SAID[verdict], kind=KINDS.get(verdict, "")),
            text(f"{before} to {data.revision(int(one.at[-1]))}" if before else data.revision(int(one.at[-1]))),
        ]
        rank = (ORDER.index(verdict), natural(one.case), one.metric, natural(one.runtime))
        found.append((rank, cells, {"host": one.fingerprint}))
    found.sort(key=lambda entry: entry[0])
    return Table(
        columns=("case", "metric", "runtime", "weights", "value [interval]#", "change#", "verdict", "commits"),
        rows=[cells for _, cells, _ in found],
        facets=[facets for _, _, facets in found],
        caption="Newest values of asv's files",
        lead=4,
        searchable=len(found) > levels.SHOWN,
    )


def judged(one: ChartedSeries) -> tuple[str, float | None]:
    """What became of the newest value, and its ratio to the one before: intervals that touch tell nothing."""
    if len(one.numbers) < 2:  # noqa: PLR2004  (a value and one before it)
        return "alone", None
    before, after = (float(number) for number in one.numbers[-2:])
    ratio = after / before if before > 0 else None
    if after == before:
        return "same", ratio
    exact = one.metric in UNITS and one.metric not in NOISY
    low, high = (ends if ends is not None else [math.nan, math.nan] for ends in (one.low, one.high))
    ends = [float(end) for end in (low[-2], high[-2], low[-1], high[-1])]
    if not exact and (not all(map(math.isfinite, ends)) or (ends[2] <= ends[1] and ends[0] <= ends[3])):
        return "overlap", ratio
    return ("worse" if after > before else "better"), ratio


def value(one: ChartedSeries) -> str:
    """The newest value with its interval."""
    last = float(one.numbers[-1])
    shown = wording.number(last, one.unit)
    if one.low is None or not (math.isfinite(one.low[-1]) and math.isfinite(one.high[-1])):
        return shown
    factor, _ = wording.scale([last], one.unit)
    return f"{shown} [{wording.digits(float(one.low[-1]) * factor)}, {wording.digits(float(one.high[-1]) * factor)}]"


def page(
    data: Data, series: Mapping[str, Sequence[ChartedSeries]], scans: Mapping[tuple[str, str], Scan], asv: str
) -> Page:
    """The first page where there are no samples at all.

    Args:
        data: what is stored.
        series: by id.
        scans: what the search for changes of level found.
        asv: the way to asv's own pages; empty where there are none.
    """
    hosts = {host: data.host(host) for host in data.every_host}
    recent = levels.recent_levels(data, series, scans)
    tiles = [_tiles(series, recent, host) for host in hosts]
    # The host to look at first is the one with most regressions, else the newest, as where there are samples.
    first = max(tiles, key=lambda one: one["counts"]["worse"], default={"host": ""})
    return Page(
        path="index.html",
        template="values.html.j2",
        title="Overview",
        facets=[Facet(name="host", label="Host", values=hosts, chosen=first["host"], every=False)],
        context={"newest": newest(data, series), "tiles": tiles, "levels": recent.table, "hosts": hosts, "asv": asv},
    )


def _tiles(series: Mapping[str, Sequence[ChartedSeries]], recent: levels.RecentLevels, host: str) -> dict[str, Any]:
    """What one host came to, in numbers: the page shows one at a time."""
    own = [one for group in series.values() for one in group if one.fingerprint == host]
    verdicts = [judged(one)[0] for one in own if one.metric == "latency"]
    return {
        "host": host,
        "count": len({one.id for one in own}),
        "commits": len({int(place) for one in own for place in one.at}),
        "counts": {name: verdicts.count(name) for name in ORDER},
        "levels": sum(of == host for of, _ in recent.lines),
    }
