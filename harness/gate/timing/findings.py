"""From pairs to findings: latency, first inference, session creation and memory.

Latency is what a gate is for: it may pass, fail, improve, or stay open. The other three come for free with the same
pairs and are far noisier between processes; they have wide margins of their own and can only pass or fail. What was
flagged and what was confirmed is said by `harness.gate.timing.phases`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from harness.gate.model import Finding, GateSettings, Pair, Verdict
from harness.gate.text import sentences
from harness.gate.timing.phases import LATENCY, METRICS, PEAK, Key, PairMetric, flagged, of_phase, ratios, seen, shared
from harness.gate.timing.rounds import CONFIRM, CTRL_C, SCREEN, TIME_LIMIT, Measured
from harness.stats import paired
from harness.stats.paired import Confirmed

STOPPED = {
    TIME_LIMIT: "give it more time (--time-limit), or fewer cases (--models)",
    CTRL_C: "let it run to its end",
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
    found = [latency(name, done, family, settings)]
    found += [one for metric in METRICS[1:] if (one := other(metric, name, pairs, family, settings)) is not None]
    found += filter(None, [information(PEAK, pairs)])
    return tuple(found)


def information(metric: PairMetric, pairs: Sequence[Pair]) -> Finding | None:
    """The finding of a metric that is told and not judged; None where the system does not tell it."""
    values = ratios(metric, pairs)
    if not values:
        return None
    interval = paired.ratio_interval(values)
    sentence = sentences.informed(metric.name, interval.ratio, interval.low, interval.high, interval.n)
    return finding(metric, Verdict.PASS, sentence, pairs, interval, None, None)


def latency(name: str, done: Measured, family: Mapping[Key, Confirmed], settings: GateSettings) -> Finding:
    """The finding that a gate is for."""
    metric, pairs = METRICS[0], done.pairs[name]
    screening = ratios(metric, of_phase(pairs, SCREEN))
    fresh = ratios(metric, of_phase(pairs, CONFIRM))
    values = fresh or screening
    interval = paired.ratio_interval(values)
    visible = seen(name, pairs, family, settings)
    one = family.get((name, LATENCY))
    why = cut_short(screening, fresh, name, done, settings)
    if why and not (one is not None and one.significant and why != CTRL_C):
        verdict = Verdict.INCONCLUSIVE
    else:
        first = paired.screen(screening, margin=settings.max_slowdown)
        judged = paired.judge(
            first,
            one,
            interval=interval,
            seen=visible,
            margin=settings.max_slowdown,
            effect=settings.detect,
        )
        verdict = Verdict(judged.verdict)
    margin = settings.max_slowdown
    numbers = (interval.ratio, interval.low, interval.high, interval.n)
    if verdict in (Verdict.REGRESSION, Verdict.IMPROVEMENT):
        sentence = sentences.moved(LATENCY, *numbers, allowed=margin)
    elif verdict is Verdict.PASS:
        sentence = sentences.unchanged(LATENCY, *numbers, allowed=margin, detectable=visible)
    else:
        bounds = (interval.low, interval.high) if interval.bounded else (None, None)
        wanted = (1 + margin) * (1 + settings.detect) - 1
        helps = [STOPPED[why]] if why in STOPPED else []
        if not why or visible > wanted:  # else the pairs that are missing would do
            helps += filter(None, [remedy(screening + fresh, shared(name, family), settings)])
        sentence = sentences.unclear(
            LATENCY,
            interval.n,
            wanted=wanted,
            detectable=visible,
            ratio=interval.ratio if interval.bounded else None,
            low=bounds[0],
            high=bounds[1],
            allowed=margin,
            why=why,
            remedy="; ".join(helps),
        )
    return finding(metric, verdict, sentence, pairs, interval, one, visible)


def cut_short(
    screening: Sequence[float], fresh: Sequence[float], name: str, done: Measured, settings: GateSettings
) -> str:
    """Why a case did not get all the pairs that its verdict asks for; empty where it did."""
    if len(screening) < settings.screen_pairs:
        return done.interrupted or "too few pairs"
    wanted = name in done.flagged or flagged(METRICS[0], done.pairs[name], settings)
    return done.interrupted if wanted and len(fresh) < settings.confirm_pairs else ""


def remedy(values: Sequence[float], cases: int, settings: GateSettings) -> str:
    """How many pairs would decide a case of this spread."""
    if len(values) < 3:  # noqa: PLR2004  (no spread to judge by)
        return ""
    spread = paired.spread(values)
    try:
        screen, confirm = paired.pairs_needed(
            spread,
            (1 + settings.max_slowdown) * (1 + settings.detect) - 1,
            alpha=settings.family_alpha,
            cases=cases,
            margin=settings.max_slowdown,
        )
    except ValueError:
        return ""
    if confirm <= settings.confirm_pairs:
        return "run it again, or on a quieter host"
    return f"about --pairs {screen},{confirm} or a quieter host would show that"


def other(
    metric: PairMetric, name: str, pairs: Sequence[Pair], family: Mapping[Key, Confirmed], settings: GateSettings
) -> Finding | None:
    """The finding of a metric that comes along: it fails where a growth beyond its margin is confirmed."""
    values = ratios(metric, of_phase(pairs, CONFIRM)) or ratios(metric, pairs)
    if not values:
        return None
    interval = paired.ratio_interval(values)
    one = family.get((name, metric.name))
    numbers = (interval.ratio, interval.low, interval.high, interval.n)
    if one is not None and one.significant:
        sentence = sentences.moved(metric.name, *numbers, allowed=metric.margin(settings))
        return finding(metric, Verdict.REGRESSION, sentence, pairs, interval, one, None)
    sentence = sentences.unchanged(metric.name, *numbers, allowed=metric.margin(settings))
    return finding(metric, Verdict.PASS, sentence, pairs, interval, one, None)


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
