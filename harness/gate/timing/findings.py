"""From pairs to findings: latency, first inference, session creation and memory.

All of them pass, fail or stay open by one rule, and say what would have been seen. Latency is what a gate is for. The
others come for free with the same pairs and are far noisier between processes; they have wide margins of their own, and
a doubt about them leaves the gate open only where they were asked for (`harness.gate.model.counts`). What was flagged
and what was confirmed is said by `harness.gate.timing.phases`.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence

from harness.gate.model import Finding, GateSettings, Pair, Verdict
from harness.gate.text import sentences
from harness.gate.timing.phases import (
    LATENCY,
    METRICS,
    PEAK,
    Key,
    PairMetric,
    effect,
    flagged,
    of_phase,
    ratios,
    screened,
    seen,
    shared,
)
from harness.gate.timing.rounds import CONFIRM, CTRL_C, FLEET_GONE, SCREEN, TIME_LIMIT, Measured
from harness.stats import paired
from harness.stats.paired import Confirmed
from harness.stats.sequential import looks

STOPPED = {
    TIME_LIMIT: "give it more time (--time-limit), or fewer cases (--models)",
    CTRL_C: "let it run to its end",
    FLEET_GONE: "run it again when the scheduler is back",
}
"""What would help where measuring was stopped."""


def findings(name: str, done: Measured, family: Mapping[Key, Confirmed], settings: GateSettings) -> tuple[Finding, ...]:
    """One finding per metric of a case that did not break; latency comes first.

    Args:
        name: of the case.
        done: everything that was measured.
        family: from `phases.confirmed`.
        settings: how the gate decides.
    """
    pairs = done.pairs[name]
    if not pairs:
        why = done.interrupted or "nothing was measured"
        return (
            Finding(
                metric=LATENCY,
                verdict=Verdict.INCONCLUSIVE,
                sentence=sentences.unclear(LATENCY, 0, wanted=settings.detect, why=why, remedy=STOPPED.get(why, "")),
            ),
        )
    found = [timed(metric, name, done, family, settings) for metric in METRICS]
    return tuple(one for one in (*found, information(PEAK, pairs)) if one is not None)


def information(metric: PairMetric, pairs: Sequence[Pair]) -> Finding | None:
    """The finding of a metric that is shown and not judged; None where the system does not give it."""
    values = ratios(metric, pairs)
    if not values:
        return None
    interval = paired.ratio_interval(values)
    sentence = sentences.informed(metric.name, interval.ratio, interval.low, interval.high, interval.n)
    return finding(metric, Verdict.PASS, sentence, pairs, interval, None, None)


def latency(name: str, done: Measured, family: Mapping[Key, Confirmed], settings: GateSettings) -> Finding:
    """The finding that a gate is for."""
    found = timed(METRICS[0], name, done, family, settings)
    assert found is not None  # noqa: S101  (every pair has a latency)
    return found


def timed(
    metric: PairMetric, name: str, done: Measured, family: Mapping[Key, Confirmed], settings: GateSettings
) -> Finding | None:
    """What the pairs say of one metric; None where they do not have it."""
    pairs, margin = done.pairs[name], metric.margin(settings)
    screening = ratios(metric, of_phase(pairs, SCREEN))
    fresh = ratios(metric, of_phase(pairs, CONFIRM))
    first = screened(metric, pairs, settings)
    if first is None:
        return None
    one = family.get((name, metric.name))
    values = fresh or screening
    interval = one.interval if one is not None else paired.ratio_interval(values)
    visible = seen(metric, name, pairs, family, settings)
    beyond = effect(metric, settings)
    why = cut_short(metric, name, done, one, settings)
    if why and not (one is not None and one.significant and why != CTRL_C):
        verdict = Verdict.INCONCLUSIVE
    else:
        first = dataclasses.replace(first, flagged=flagged(metric, pairs, settings))
        found = paired.judge(first, one, interval=interval, seen=visible, margin=margin, effect=beyond)
        verdict = Verdict(found.verdict)
    helps: list[str] = []
    if verdict is Verdict.INCONCLUSIVE:
        helps = [STOPPED[why]] if why in STOPPED else []
        if not why or visible > (1 + margin) * (1 + beyond) - 1:  # else the pairs that are missing would do
            cases = shared(metric, name, family)
            helps += filter(None, [remedy(metric, screening + fresh, cases, settings)])
    stage = "" if len(screening) < settings.screen_pairs else f"{'during' if fresh else 'before'} confirmation"
    sentence = said(
        metric, verdict, interval, visible, why=why, stage=stage, remedy="; ".join(helps), settings=settings
    )
    return finding(metric, verdict, sentence, pairs, interval, one, visible)


def said(
    metric: PairMetric,
    verdict: Verdict,
    interval: paired.Interval,
    visible: float,
    *,
    why: str,
    stage: str,
    remedy: str,
    settings: GateSettings,
) -> str:
    """A verdict in words, with its numbers and, where the gate does not ask for the metric, that it decides nothing."""
    margin = metric.margin(settings)
    numbers = (interval.ratio, interval.low, interval.high, interval.n)
    if verdict in (Verdict.REGRESSION, Verdict.IMPROVEMENT):
        text = sentences.moved(metric.name, *numbers, allowed=margin)
    elif verdict is Verdict.PASS:
        text = sentences.unchanged(metric.name, *numbers, allowed=margin, detectable=visible)
    else:
        text = sentences.unclear(
            metric.name,
            interval.n,
            wanted=(1 + margin) * (1 + effect(metric, settings)) - 1,
            detectable=visible,
            ratio=interval.ratio if interval.bounded else None,
            low=interval.low if interval.bounded else None,
            high=interval.high if interval.bounded else None,
            allowed=margin,
            why=why,
            stage=stage,
            remedy=remedy,
        )
    ignored = settings.metrics and metric.name not in settings.metrics
    return f"{text}; for information, as --metrics does not name it" if ignored else text


def cut_short(metric: PairMetric, name: str, done: Measured, one: Confirmed | None, settings: GateSettings) -> str:
    """Why a metric did not get all the pairs that its verdict asks for; empty where it did."""
    pairs = done.pairs[name]
    screening = ratios(metric, of_phase(pairs, SCREEN))
    fresh = len(ratios(metric, of_phase(pairs, CONFIRM)))
    if len(screening) < settings.screen_pairs:
        return done.interrupted or "too few pairs"
    wanted = flagged(metric, pairs, settings) or (metric.name == LATENCY and name in done.flagged)
    if not wanted or fresh >= settings.confirm_pairs:
        return ""
    planned = any(look.pairs == fresh for look in looks(settings.confirm_pairs))
    if planned and (one.significant if one is not None else not flagged(metric, pairs, settings)):
        return ""  # settled at one of the looks
    return done.interrupted


def remedy(metric: PairMetric, values: Sequence[float], cases: int, settings: GateSettings) -> str:
    """How many pairs would decide a case of this spread."""
    if len(values) < 3:  # noqa: PLR2004  (no spread to judge by)
        return ""
    margin = metric.margin(settings)
    try:
        screen, confirm = paired.pairs_needed(
            paired.spread(values),
            (1 + margin) * (1 + effect(metric, settings)) - 1,
            alpha=settings.family_alpha,
            cases=cases,
            margin=margin,
        )
    except ValueError:
        return ""
    if confirm <= settings.confirm_pairs:
        return "run it again, or on a quieter host"
    return f"about --pairs {screen},{confirm} or a quieter host would show that"


def finding(
    metric: PairMetric,
    verdict: Verdict,
    sentence: str,
    pairs: Sequence[Pair],
    interval: paired.Interval,
    one: Confirmed | None,
    visible: float | None,
) -> Finding:
    """A finding with its numbers."""
    base = [value for pair in pairs if (value := metric.value(pair.base))]
    head = [value for pair in pairs if (value := metric.value(pair.head))]
    return Finding(
        metric=metric.name,
        verdict=verdict,
        sentence=sentence,
        ratio=interval.ratio,
        low=interval.low if interval.bounded else None,
        high=interval.high if interval.bounded else None,
        base=statistics.median(base) if base else None,
        head=statistics.median(head) if head else None,
        n=interval.n,
        p=one.adjusted if one is not None else None,
        detectable=visible if visible is not None and math.isfinite(visible) else None,
        unit=metric.unit,
    )


def spread(done: Measured) -> float | None:
    """Spread of the log-ratios between pairs, the median over cases; None where nothing was timed often enough."""
    known = [paired.spread([pair.log_ratio for pair in pairs]) for pairs in done.pairs.values() if len(pairs) > 2]  # noqa: PLR2004
    return statistics.median(known) if known else None
