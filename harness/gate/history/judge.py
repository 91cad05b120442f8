"""`harness gate --history`: the newest stored results against their own past. Measures nothing.

Every series (one metric of one case on one host, runtime and set of weights) is judged on its own; results of different
hosts, runtimes or weights are never set against each other. What counts is the last change of level: an older one that
a later one undid fails nothing. A change stays a regression until it is undone or accepted.
"""

from __future__ import annotations

import datetime as dt
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.gate.history.series import Key, kind, name, newest
from harness.gate.model import CaseVerdict, Finding, GateSettings, Report, Verdict, gravest
from harness.gate.text import commits
from harness.gate.text.phrases import NAMES, short
from harness.metrics import BY_NAME, METRICS
from harness.stats.rule import MIN_EFFECT
from harness.stats.scan import Change, Scan, scan
from harness.store.history import Point, Series, history
from harness.units import count

EXACT = frozenset(metric.name for metric in METRICS if not metric.noisy)
"""Metrics without noise: the same artifact gives the same number again."""

FINEST = {metric.name: metric.finest for metric in METRICS}
"""Digits below these are rounding of the arithmetic, not a step."""


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
    found = history(results, repo=repo, cases=cases, metrics=tuple(BY_NAME), since=since)
    going, stale = newest(found.series)
    verdicts = _verdicts(going, settings)
    notes = [f"left out: {problem}" for problem in found.problems]
    if stale:
        notes.append(f"{count(stale, 'series', 'series')} of earlier runtimes, weights or environments left out")
    quiet = Counter(
        finding.sentence.partition("not judged: ")[2]
        for case in verdicts
        for finding in case.findings
        if finding.verdict is Verdict.NOT_COMPARABLE
    )
    notes += [f"{count(n, 'series', 'series')} not judged: {why}" for why, n in quiet.most_common()]
    if not verdicts:
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


def _verdicts(series: Sequence[Series], settings: GateSettings) -> list[CaseVerdict]:
    judged = [_usable(one) for one in series]
    # The scan's own rate holds here: the family of a gate is its confirmed cases, that of a history all series.
    scans = scan(
        {str(place): _values(one) for place, one in enumerate(judged)},
        exact={str(place) for place, one in enumerate(judged) if one.series.metric in EXACT},
    )
    by_case: dict[Key, list[tuple[_Judged, Finding]]] = {}
    for place, one in enumerate(judged):
        finding = _finding(one, scans[str(place)], settings)
        by_case.setdefault((one.series.case, one.series.host, kind(one.series)), []).append((one, finding))
    return [_case(name(key, by_case), found) for key, found in by_case.items()]


def _case(name: str, found: Sequence[tuple[_Judged, Finding]]) -> CaseVerdict:
    findings = tuple(finding for _, finding in found)
    judged = tuple(f.verdict for f in findings if f.verdict is not Verdict.NOT_COMPARABLE)
    notes = dict.fromkeys(note for one, _ in found for note in one.left_out)
    return CaseVerdict(
        name=name,
        verdict=gravest(judged) if judged else Verdict.NOT_COMPARABLE,
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
        left.append(
            f"{count(len(clean) - len(known), 'run')} of commits that this clone does not have left out (a shallow "
            "clone needs fetch-depth: 0)"
        )
        clean = known
    good = [point for point in clean if _is_number(point, series.metric)]
    # A failure has no value and has a finding of its own; what else is not a number is damage.
    damaged = sum(1 for point in clean if point.value is not None and not _is_number(point, series.metric))
    if damaged:
        left.append(f"{count(damaged, 'run')} without a usable {series.metric} left out")
    return _Judged(series=series, points=tuple(good), left_out=tuple(left))


def _is_number(point: Point, metric: str) -> bool:
    if point.value is None or not math.isfinite(point.value):
        return False
    return point.value >= 0 if metric in EXACT else point.value > 0


def _values(one: _Judged) -> list[float]:
    finest = FINEST.get(one.series.metric)
    values = [point.value for point in one.points if point.value is not None]
    return values if finest is None else [round(value / finest) * finest for value in values]


def _finding(one: _Judged, found: Scan, settings: GateSettings) -> Finding:
    series = one.series
    metric = NAMES.get(series.metric, series.metric)
    last = series.points[-1]
    if last.status == "failed" and last.value is None:
        return Finding(metric=metric, verdict=Verdict.FAILED, sentence=_broke(one, last), unit=series.unit)
    n = len(one.points)
    if found.abstained or n < 2:  # noqa: PLR2004  (a change lies between two)
        why = found.abstained or f"{count(n, 'point')}; nothing to compare with"
        return Finding(
            metric=metric,
            verdict=Verdict.NOT_COMPARABLE,
            sentence=commits.abstained(metric, why),
            n=n,
            unit=series.unit,
        )
    if not found.changes:
        return Finding(metric=metric, verdict=Verdict.PASS, sentence=commits.quiet(metric, n), n=n, unit=series.unit)
    return _changed(one, metric, found.changes, settings)


def _changed(one: _Judged, metric: str, changes: Sequence[Change], settings: GateSettings) -> Finding:
    """The last change: what of the series' present level its past did not have."""
    change = changes[-1]
    before, after = one.points[change.index - 1], one.points[change.index]
    first = changes[-2].index if len(changes) > 1 else 0
    ends = _label(before), _label(after)
    exact = one.series.metric in EXACT
    ratio = change.ratio if math.isfinite(change.ratio) else None
    text = commits.in_history(
        metric,
        ratio,
        change.low,
        change.high,
        values=(change.before, change.after),
        before=(ends[0], change.index - first),
        after=(ends[1], len(one.points) - change.index),
        p=None if exact else change.adjusted,
    )
    verdict = _verdict(one.series.metric, change, settings)
    if verdict is not Verdict.PASS and before.commit == after.commit and before.commit is not None:
        # Two runs of one commit: whatever changed, it was not in the repository.
        verdict = Verdict.INCONCLUSIVE
        text += "; both are runs of the same commit, so the host or what is installed on it changed"
    if verdict is Verdict.PASS:
        text += "; within the margin"
    return Finding(
        metric=metric,
        verdict=verdict,
        sentence=text,
        ratio=ratio,
        low=change.low if ratio is not None and math.isfinite(change.high) else None,
        high=change.high if ratio is not None and math.isfinite(change.high) else None,
        base=change.before,
        head=change.after,
        n=len(one.points) - first,
        p=None if exact else change.adjusted,
        unit=one.series.unit,
        commits=ends,
    )


def _verdict(metric: str, change: Change, settings: GateSettings) -> Verdict:
    """By the margins of a gate between two sides. Improvements count from the same size on as losses do."""
    grown = change.after > change.before
    smaller, larger = sorted((change.before, change.after))
    match metric:
        case "accuracy_drop":
            counts = larger - smaller > settings.max_accuracy_drop
        case "fidelity_loss":
            counts = larger > smaller * 10 ** (settings.max_fidelity_drop / 20)
        case "artifact_size":
            counts = larger > smaller * (1 + settings.max_size)
        case _:
            margin = _margin(metric, settings)
            counts = larger > smaller * (1 + MIN_EFFECT) and (not margin or _nearest(change) > 1 + margin)
    if not counts:
        return Verdict.PASS
    return Verdict.REGRESSION if grown else Verdict.IMPROVEMENT


def _nearest(change: Change) -> float:
    """How large a change is for sure, as a ratio above 1: the near end of its interval, where it has one."""
    low, high = (change.low, change.high) if change.ratio >= 1 else (1 / change.high, 1 / max(change.low, 1e-300))
    return low if low > 0 and math.isfinite(high) else max(change.ratio, 1 / change.ratio)


def _margin(metric: str, settings: GateSettings) -> float:
    margin: float = getattr(settings, BY_NAME[metric].option)
    return margin


def _broke(one: _Judged, last: Point) -> str:
    before = one.points[-1] if one.points else None
    since = f"; it last had a number at {short(_label(before))}" if before else "; it never had a number"
    return f"the newest run failed, at {short(_label(last))}{since}"


def _label(point: Point) -> str:
    """What a point is called: its commit, outside git the time of its run."""
    return point.commit or point.started_at or "an unknown run"
