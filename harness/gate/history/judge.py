"""`harness gate --history`: the newest stored results against their own past. Measures nothing.

Every series (one metric of one case on one host, runtime and set of weights) is judged on its own; results of different
hosts, runtimes or weights are never set against each other. The newest level is set against the level before every
regression: each stands until it is undone or accepted, whatever came after it (`harness.gate.history.standing`).
"""

from __future__ import annotations

import datetime as dt
import math
import time
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from harness.gate.history import looks, usable
from harness.gate.history.series import Key, SeriesNames, age, kind, newest, of_this_clone
from harness.gate.history.standing import EXACT, LevelChange, level_changes
from harness.gate.history.usable import UsablePoints, UsableSeries
from harness.gate.model import CaseVerdict, Finding, GateSettings, Report, Verdict, whole
from harness.gate.text import commits
from harness.gate.text.phrases import NAMES, short
from harness.metrics import BY_NAME
from harness.stats import spending
from harness.stats.scan import Change, Scan, Span, scan
from harness.store.history import Point, Series, history
from harness.store.point_columns import PointColumns
from harness.units import count


def judge(
    results: Path,
    *,
    repo: Path | None,
    cases: Sequence[str] = (),
    since: str | None = None,
    settings: GateSettings | None = None,
) -> Report:
    """Judge every stored series against its own past.

    Args:
        results: the results folder; one that is missing holds nothing, and the report says so.
        repo: a folder inside the clone whose order of commits counts; None orders by time.
        cases: case ids or globs; none takes all.
        since: a revision of `repo`; older commits are left out.
        settings: its margins are those of a gate between two sides.

    Raises:
        UsageError: if git does not know `since`.
        StoreError: where the folder itself cannot be listed.
    """
    began, started = time.monotonic(), dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    settings = settings or GateSettings()
    found = history(results, repo=repo, cases=cases, metrics=tuple(BY_NAME), since=since, reference=True)
    known, foreign = of_this_clone(found.series, repo)
    going, stale = newest(known)
    notes = [*(f"left out: {problem}" for problem in found.problems), *found.notes]
    notes += [f"{count(foreign, 'series', 'series')} of {usable.ELSEWHERE}"] if foreign else []
    level = spending.PROMISE
    if going:
        level, note = looks.level(results, max(going, key=age).points[-1])
        notes += [note] if note else []
    verdicts = _verdicts(going, settings, level)
    if stale:
        notes.append(f"{count(stale, 'series', 'series')} of earlier runtimes, weights or environments left out")
    quiet = Counter(
        finding.sentence.partition(commits.NOT_JUDGED)[2]
        for case in verdicts
        for finding in case.findings
        if finding.verdict is Verdict.NOT_COMPARABLE
    )
    notes += [f"{count(n, 'series', 'series')} not judged: {why}" for why, n in quiet.most_common()]
    if not verdicts and not foreign:
        notes.append(
            f"no results under {results} match what was chosen; see what there is with: harness history"
            if cases or since
            else f"no results under {results}; make some with: harness sweep"
        )
    hosts = sorted({series.host for series in going})
    return Report(
        base=None,
        head=None,
        cases=tuple(verdicts),
        settings=settings,
        fingerprint=", ".join(hosts),
        host={},
        started_at=started,
        wall_s=time.monotonic() - began,
        notes=tuple(notes),
    )


def _verdicts(series: Sequence[Series], settings: GateSettings, level: float) -> list[CaseVerdict]:
    points = UsablePoints()
    judged = [points.of(one) for one in series]
    # The family is all series that were looked at; a host's drift is in all of its series of one metric.
    named = {str(place): one for place, one in enumerate(judged)}
    kinds: dict[tuple[str, str], tuple[str, str]] = {}  # one object for each
    scans = scan(
        {place: one.values for place, one in named.items()},
        exact={place for place, one in named.items() if one.series.metric in EXACT},
        any_false=level,
        kinds={place: kinds.setdefault(of := (one.series.host, one.series.metric), of) for place, one in named.items()},
        unpaced=[place for place, one in named.items() if _in_host_time(one)],
    )
    by_case: dict[Key, list[tuple[UsableSeries, Finding]]] = {}
    for place, one in named.items():
        of_case = by_case.setdefault((one.series.case, one.series.host, kind(one.series)), [])
        of_case += [(one, finding) for finding in _findings(one, scans[place], settings)]
    names = SeriesNames(by_case)
    return [_case(names.of(key), found, settings) for key, found in by_case.items()]


def _case(name: str, found: Sequence[tuple[UsableSeries, Finding]], settings: GateSettings) -> CaseVerdict:
    findings = tuple(finding for _, finding in found)
    notes = dict.fromkeys(note for one, _ in found for note in one.left_out)
    return CaseVerdict(
        name=name,
        verdict=whole(findings, settings),
        findings=findings,
        notes=tuple(notes),
    )


def _in_host_time(one: UsableSeries) -> bool:
    """Whether a host's pace is still in the values."""
    return BY_NAME[one.series.metric].unit == "seconds" and not one.divided


def _findings(one: UsableSeries, found: Scan, settings: GateSettings) -> tuple[Finding, ...]:
    """What is found of one series; a case that broke still says which regressions stood."""
    series = one.series
    metric = NAMES.get(series.metric, series.metric)
    n = len(one.points)
    judged = level_changes(series.metric, one.values, found.changes, settings) if found.changes else ()
    standing = tuple(
        _changed(one, metric, each, n) for each in judged if each.verdict is Verdict.REGRESSION and not each.cleared
    )
    if PointColumns.of(series.points).last_failed:
        sentence = _broke(one, series.points[-1])
        broke = Finding(metric=metric, verdict=Verdict.FAILED, sentence=sentence, unit=series.unit)
        return (broke, *standing)
    if found.abstained or n < 2:  # noqa: PLR2004  (a change lies between two)
        why = found.abstained or f"{count(n, 'point')}; nothing to compare with"
        return (_not_judged(metric, why, n, series.unit),)
    if standing:
        return standing
    if judged and (judged[-1].verdict is Verdict.IMPROVEMENT or judged[-1].cleared):
        return (_changed(one, metric, judged[-1], n),)
    return (_quiet(one, metric, found, n),)


def _quiet(one: UsableSeries, metric: str, found: Scan, n: int) -> Finding:
    """A series none of whose changes goes beyond the margin; the last of them is named."""
    if not found.changes:
        return _unchanged(metric, n, one.series.unit)
    change = found.changes[-1]
    first = found.changes[-2].index if len(found.changes) > 1 else 0
    sentence = _sentence(one, metric, change, (first, change.index), (change.index, n)) + "; within the margin"
    return Finding(metric=metric, verdict=Verdict.PASS, sentence=sentence, n=n, unit=one.series.unit)


# Most series of a large store end here: those of which the same is said share it.
@lru_cache(maxsize=4096)
def _unchanged(metric: str, n: int, unit: str) -> Finding:
    return Finding(metric=metric, verdict=Verdict.PASS, sentence=commits.quiet(metric, n), n=n, unit=unit)


@lru_cache(maxsize=4096)
def _not_judged(metric: str, why: str, n: int, unit: str) -> Finding:
    sentence = commits.abstained(metric, why)
    return Finding(metric=metric, verdict=Verdict.NOT_COMPARABLE, sentence=sentence, n=n, unit=unit)


def _changed(one: UsableSeries, metric: str, found: LevelChange, n: int) -> Finding:
    """A change beyond the margin, and what is left of it today."""
    change = found.change
    exact = one.series.metric in EXACT
    ends = one.points[found.before[1] - 1], one.points[found.after[0]]
    text = _sentence(one, metric, change, found.before, found.after)
    verdict = found.verdict
    if found.cleared:
        verdict = Verdict.PASS
        text += "; undone since: back within the margin"
    elif ends[0].commit == ends[1].commit and ends[0].commit is not None:
        # Two runs of one commit: whatever changed, it was not in the repository.
        verdict = Verdict.INCONCLUSIVE
        text += "; both are runs of the same commit, so the host or what is installed on it changed"
    if found.after[1] < n and not found.cleared:
        now = found.now
        ratio = now.ratio if math.isfinite(now.ratio) else None
        text += f"; {commits.still(metric, ratio, values=(now.before, now.after))}"
    ratio = change.ratio if math.isfinite(change.ratio) else None
    bounded = ratio is not None and math.isfinite(change.high)
    return Finding(
        metric=metric,
        verdict=verdict,
        sentence=text,
        ratio=ratio,
        low=change.low if bounded else None,
        high=change.high if bounded else None,
        base=change.before,
        head=change.after,
        n=found.after[1] - found.before[0],
        p=None if exact else change.adjusted,
        unit=one.series.unit,
        commits=(_label(ends[0]), _label(ends[1])),
    )


def _sentence(one: UsableSeries, metric: str, change: Change, before: Span, after: Span) -> str:
    """A change between two levels in words."""
    return commits.in_history(
        metric,
        change.ratio if math.isfinite(change.ratio) else None,
        change.low,
        change.high,
        values=(change.before, change.after),
        before=(_label(one.points[before[1] - 1]), before[1] - before[0]),
        after=(_label(one.points[after[0]]), after[1] - after[0]),
        p=None if one.series.metric in EXACT else change.adjusted,
    ) + (", in units of the reference workload" if one.divided else "")


def _broke(one: UsableSeries, last: Point) -> str:
    before = one.points[-1] if one.points else None
    since = f"; it last had a number at {short(_label(before))}" if before else "; it never had a number"
    return f"the newest run failed, at {short(_label(last))}{since}"


def _label(point: Point) -> str:
    """What a point is called: its commit, outside git the time of its run."""
    return point.commit or point.started_at or "an unknown run"
