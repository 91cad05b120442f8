"""`harness gate --history`: the newest stored results against their own past. Measures nothing.

Every series (one metric of one case on one host, runtime and set of weights) is judged on its own; results of different
hosts, runtimes or weights are never set against each other. The newest level is set against the level before every
regression: each stands until it is undone or accepted, whatever came after it (`harness.gate.history.standing`).
"""

from __future__ import annotations

import datetime as dt
import math
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.gate.history import looks
from harness.gate.history.series import Key, age, kind, name, newest, of_this_clone
from harness.gate.history.standing import EXACT, LevelChange, level_changes
from harness.gate.model import CaseVerdict, Finding, GateSettings, Report, Verdict, whole
from harness.gate.text import commits
from harness.gate.text.phrases import NAMES, short
from harness.metrics import BY_NAME, LATENCY, METRICS
from harness.stats import spending
from harness.stats.scan import Change, Scan, Span, scan
from harness.store.history import Point, Series, history
from harness.units import count

FINEST = {metric.name: metric.finest for metric in METRICS}
"""Digits below these are rounding of the arithmetic, not a step."""


ELSEWHERE = "commits that this clone does not have left out (a shallow clone needs fetch-depth: 0)"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    series: Series
    points: tuple[Point, ...]
    left_out: tuple[str, ...]


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
    notes += [f"{count(foreign, 'series', 'series')} of {ELSEWHERE}"] if foreign else []
    level = spending.PROMISE
    points = [one.points[-1] for one in going]
    if points:
        level, note = looks.level(results, max(points, key=age))
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
    judged = [_usable(one) for one in series]
    # The family is all series that were looked at; a host's drift is in all of its series of one metric.
    scans = scan(
        {str(place): _values(one) for place, one in enumerate(judged)},
        exact={str(place) for place, one in enumerate(judged) if one.series.metric in EXACT},
        any_false=level,
        kinds={str(place): (one.series.host, one.series.metric) for place, one in enumerate(judged)},
        unpaced=[str(place) for place, one in enumerate(judged) if _in_host_time(one)],
    )
    by_case: dict[Key, list[tuple[_Judged, Finding]]] = {}
    for place, one in enumerate(judged):
        of_case = by_case.setdefault((one.series.case, one.series.host, kind(one.series)), [])
        of_case += [(one, finding) for finding in _findings(one, scans[str(place)], settings)]
    return [_case(name(key, by_case), found, settings) for key, found in by_case.items()]


def _case(name: str, found: Sequence[tuple[_Judged, Finding]], settings: GateSettings) -> CaseVerdict:
    findings = tuple(finding for _, finding in found)
    notes = dict.fromkeys(note for one, _ in found for note in one.left_out)
    return CaseVerdict(
        name=name,
        verdict=whole(findings, settings),
        findings=findings,
        notes=tuple(notes),
    )


def _usable(series: Series) -> _Judged:
    """The points that say something about a commit, and why the others do not."""
    left: list[str] = []
    points = list(series.points)
    clean = [point for point in points if not point.dirty]
    if len(clean) < len(points):
        left.append(f"{count(len(points) - len(clean), 'run')} of uncommitted changes left out")
    known = [point for point in clean if point.position is not None]
    if known and len(known) < len(clean):
        left.append(f"{count(len(clean) - len(known), 'run')} of {ELSEWHERE}")
        clean = known
    good = [point for point in clean if _is_number(point, series.metric)]
    # A failure has no value and has a finding of its own; what else is not a number is damage.
    damaged = sum(1 for point in clean if point.value is not None and not _is_number(point, series.metric))
    if damaged:
        left.append(f"{count(damaged, 'run')} without a usable {series.metric} left out")
    if series.metric == LATENCY.name:
        paced = [point for point in good if point.reference_ns]
        if len(good) > len(paced) >= len(good) / 2:
            left.append(f"{count(len(good) - len(paced), 'run')} without the time of the reference workload left out")
            good = paced
    return _Judged(series=series, points=tuple(good), left_out=tuple(left))


def _is_number(point: Point, metric: str) -> bool:
    if point.value is None or not math.isfinite(point.value):
        return False
    return point.value >= 0 if metric in EXACT else point.value > 0


def _divided(one: _Judged) -> bool:
    """Whether every point has the time of the reference workload: a host that got slower is then no change."""
    return one.series.metric == LATENCY.name and bool(one.points) and all(point.reference_ns for point in one.points)


def _in_host_time(one: _Judged) -> bool:
    """Whether a host's pace is still in the values."""
    return BY_NAME[one.series.metric].unit == "seconds" and not _divided(one)


def _values(one: _Judged) -> list[float]:
    """What is judged; latency where it can be as what the host at its usual pace would have taken."""
    if _divided(one):
        usual = statistics.median(point.reference_ns or 0.0 for point in one.points)
        return [(point.value or 0.0) * usual / (point.reference_ns or usual) for point in one.points]
    finest = FINEST.get(one.series.metric)
    values = [point.value for point in one.points if point.value is not None]
    return values if finest is None else [round(value / finest) * finest for value in values]


def _findings(one: _Judged, found: Scan, settings: GateSettings) -> tuple[Finding, ...]:
    """What is found of one series; a case that broke still says which regressions stood."""
    series = one.series
    metric = NAMES.get(series.metric, series.metric)
    last = series.points[-1]
    n = len(one.points)
    judged = level_changes(series.metric, _values(one), found.changes, settings) if n else ()
    standing = tuple(
        _changed(one, metric, each, n) for each in judged if each.verdict is Verdict.REGRESSION and not each.cleared
    )
    if last.status == "failed" and last.value is None:
        broke = Finding(metric=metric, verdict=Verdict.FAILED, sentence=_broke(one, last), unit=series.unit)
        return (broke, *standing)
    if found.abstained or n < 2:  # noqa: PLR2004  (a change lies between two)
        why = found.abstained or f"{count(n, 'point')}; nothing to compare with"
        return (
            Finding(
                metric=metric,
                verdict=Verdict.NOT_COMPARABLE,
                sentence=commits.abstained(metric, why),
                n=n,
                unit=series.unit,
            ),
        )
    if standing:
        return standing
    if judged and (judged[-1].verdict is Verdict.IMPROVEMENT or judged[-1].cleared):
        return (_changed(one, metric, judged[-1], n),)
    return (_quiet(one, metric, found, n),)


def _quiet(one: _Judged, metric: str, found: Scan, n: int) -> Finding:
    """A series none of whose changes goes beyond the margin; the last of them is named."""
    sentence = commits.quiet(metric, n)
    if found.changes:
        change = found.changes[-1]
        first = found.changes[-2].index if len(found.changes) > 1 else 0
        sentence = _sentence(one, metric, change, (first, change.index), (change.index, n)) + "; within the margin"
    return Finding(metric=metric, verdict=Verdict.PASS, sentence=sentence, n=n, unit=one.series.unit)


def _changed(one: _Judged, metric: str, found: LevelChange, n: int) -> Finding:
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


def _sentence(one: _Judged, metric: str, change: Change, before: Span, after: Span) -> str:
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
    ) + (", in units of the reference workload" if _divided(one) else "")


def _broke(one: _Judged, last: Point) -> str:
    before = one.points[-1] if one.points else None
    since = f"; it last had a number at {short(_label(before))}" if before else "; it never had a number"
    return f"the newest run failed, at {short(_label(last))}{since}"


def _label(point: Point) -> str:
    """What a point is called: its commit, outside git the time of its run."""
    return point.commit or point.started_at or "an unknown run"
