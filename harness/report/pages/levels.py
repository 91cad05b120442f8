"""Changes of level near the newest end of the histories."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from harness.report import links, wording
from harness.report.data import Data
from harness.report.histories import ChartedSeries
from harness.report.pages import why
from harness.report.parts import Table, num, text

if TYPE_CHECKING:
    from harness.stats.scan import Change, Scan

RECENT: Final = 10
"""A change of level belongs on the first page while it lies within so many points of the newest one."""

SHOWN: Final = 50


class RecentLevels(NamedTuple):
    """A table of changes of level, and of each line of it the host and whether it is an increase."""

    table: Table
    lines: tuple[tuple[str, bool], ...]


def recent_levels(
    data: Data, series: Mapping[str, Sequence[ChartedSeries]], scans: Mapping[tuple[str, str], Scan]
) -> RecentLevels:
    """Changes of level near the newest end of the histories, increases first."""
    found: list[tuple[ChartedSeries, Change]] = []
    for (identity, metric), scan in scans.items():
        one = next(one for one in series[identity] if one.metric == metric)
        found += [(one, change) for change in scan.changes if change.index >= len(one.numbers) - RECENT]
    found.sort(key=lambda pair: (pair[1].after <= pair[1].before, -abs(_distance(pair[1]))))
    lines, facets = [], []
    artifacts = _artifacts(data, [one.case for one, _ in found[:SHOWN]])
    for one, change in found[:SHOWN]:
        before, after = (data.revision(int(one.at[place])) for place in (change.index - 1, change.index))
        worse = change.after > change.before
        known = change.ratio == change.ratio
        size = wording.change(change.ratio) if known else f"{change.before:.3g} to {change.after:.3g}"
        span = f" [{wording.change(change.low)}, {wording.change(change.high)}]" if change.low != change.high else ""
        lines.append(
            [
                text(
                    one.case, href=links.case(one.case) if one.case in data.cases else links.history(one.id, one.metric)
                ),
                text(one.title),
                num(size + span, change.ratio if known else None, kind="slower" if worse else "faster"),
                text(f"{before} to {after}", kind="nowrap"),
                text("exact" if change.p == 0 else f"adjusted p = {change.adjusted:.2g}"),
                text(_differs(data, one, change.index, artifacts), kind="long"),
            ]
        )
        facets.append({"host": one.fingerprint})
    table = Table(
        columns=("case", "metric", "change [95% interval]#", "between", "how sure", "what differs"),
        rows=lines,
        facets=facets,
        caption="Changes of level in recent history",
        lead=2,
    )
    return RecentLevels(table, tuple((one.fingerprint, change.after > change.before) for one, change in found[:SHOWN]))


def _artifacts(data: Data, cases: Sequence[str]) -> dict[tuple[int, str], str]:
    """The artifact of each run's case, by the run's number."""
    if not cases or data.rows.empty:
        return {}
    rows = data.rows[data.rows["case"].isin(cases)]
    return {
        (data.number(run), case): digest
        for run, case, digest in rows[["run", "case", "artifact"]].itertuples(index=False, name=None)
        if isinstance(digest, str)
    }


def _differs(data: Data, one: ChartedSeries, index: int, artifacts: Mapping[tuple[int, str], str]) -> str:
    """What the stored rows say was not the same on both sides of a change; runtime, weights and host are."""
    before, after = int(one.at[index - 1]), int(one.at[index])
    runs = len(data.runs)
    if after >= runs:  # asv's files know the commit alone
        commit = data.asv.commits[after - runs].hash
        return data.subjects.get(commit, "") or wording.NONE
    found = list(why.of_runs(*(data.runs[runs - 1 - number] for number in (before, after))))
    old, new = (artifacts.get((number, one.case)) for number in (before, after))
    if old != new:
        found.append(f"artifact {(old or 'none')[:8]} → {(new or 'none')[:8]}")
    subject = data.subjects.get(data.runs[runs - 1 - after].commit or "", "")
    return "; ".join([*found, *([f"commit: {subject}"] if subject else [])]) or why.NOTHING


def _distance(change: Change) -> float:
    return math.log(change.ratio) if change.ratio == change.ratio and change.ratio > 0 else math.inf
