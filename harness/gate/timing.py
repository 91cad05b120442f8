"""From pairs to findings: latency, first inference, session creation and peak memory, all in one family.

Latency is what a gate is for: it may pass, fail, improve, or stay open. The other three come for free with the same
pairs and are far noisier between processes; they have wide margins of their own and can only pass or fail. All that
screening flagged, of whichever metric, is confirmed under one Holm correction, so that one promise covers the lot.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from harness.gate.measure import CONFIRM, CTRL_C, SCREEN, Chooser, Measured
from harness.gate.nouns import Finding, Half, Pair, Settings, Verdict
from harness.gate.outputs import sentences
from harness.stats import paired
from harness.stats.paired import Confirmed, Screened

LATENCY = "latency"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """Something that every half of a pair has one value of.

    Attributes:
        value: the value, in `unit`; None where the system does not tell.
        margin: the growth that is allowed.
    """

    name: str
    unit: str
    value: Callable[[Half], float | None]
    margin: Callable[[Settings], float]


METRICS = (
    Metric(
        name=LATENCY,
        unit="seconds",
        value=lambda half: statistics.median(half.bursts_ns) / 1e9,
        margin=lambda settings: settings.max_slowdown,
    ),
    Metric(
        name="first_inference",
        unit="seconds",
        value=lambda half: half.first_inference_ns / 1e9,
        margin=lambda settings: settings.max_startup,
    ),
    Metric(
        name="session_creation",
        unit="seconds",
        value=lambda half: half.session_ns / 1e9,
        margin=lambda settings: settings.max_startup,
    ),
    Metric(
        name="peak_memory",
        unit="bytes",
        value=lambda half: half.peak_rss_bytes,
        margin=lambda settings: settings.max_memory,
    ),
)

Key = tuple[str, str]
"""Case and metric."""


def ratios(metric: Metric, pairs: Sequence[Pair]) -> list[float]:
    """log(head / base) of every pair that has the metric."""
    if metric.name == LATENCY:
        return [pair.log_ratio for pair in pairs]
    both = [(metric.value(pair.base), metric.value(pair.head)) for pair in pairs]
    return [math.log(h / b) for b, h in both if b and h]


def of_phase(pairs: Sequence[Pair], phase: str) -> list[Pair]:
    """The pairs of one phase."""
    return [pair for pair in pairs if pair.phase == phase]


def screened(metric: Metric, pairs: Sequence[Pair], settings: Settings) -> Screened | None:
    """What screening says of a metric; None where nothing was measured."""
    values = ratios(metric, of_phase(pairs, SCREEN))
    return paired.screen(values, margin=metric.margin(settings)) if values else None


def flagged(metric: Metric, pairs: Sequence[Pair], settings: Settings) -> bool:
    """Whether a metric has to be confirmed: latency in both directions, the others only where they got worse."""
    found = screened(metric, pairs, settings)
    return found is not None and found.flagged and (metric.name == LATENCY or found.direction == "slower")


def chooser(settings: Settings) -> Chooser:
    """What screening decides."""
    return Chooser(
        flag=lambda pairs: any(flagged(metric, pairs, settings) for metric in METRICS),
        wide=lambda cases: too_wide(cases, settings),
    )


def too_wide(cases: Mapping[str, Sequence[Pair]], settings: Settings) -> list[str]:
    """Cases that could not pass if screening ended now and flagged nothing of theirs, so that more pairs would help.

    The same question as at the end, with the family as it would be now: who stops screening here does not end
    inconclusive for its spread. Whether a case looks changed has no say in how long it is screened.
    """
    family = [(name, one.name) for name, pairs in cases.items() for one in METRICS if flagged(one, pairs, settings)]
    return [name for name, pairs in cases.items() if pairs and undecided(name, pairs, family, settings)]


def undecided(name: str, pairs: Sequence[Pair], family: Collection[Key], settings: Settings) -> bool:
    """Whether latency, had it not been flagged, would be inconclusive."""
    values = ratios(METRICS[0], of_phase(pairs, SCREEN))
    first = paired.screen(values, margin=settings.max_slowdown)
    judged = paired.judge(
        dataclasses.replace(first, flagged=False),
        None,
        interval=paired.ratio_interval(values),
        seen=seen(name, pairs, family, settings),
        margin=settings.max_slowdown,
        effect=settings.detect,
    )
    return judged.verdict == "inconclusive"


def seen(name: str, pairs: Sequence[Pair], family: Collection[Key], settings: Settings) -> float:
    """The smallest slow-down that this gate would have seen at this spread; infinity where it could see none."""
    return paired.detectable(
        ratios(METRICS[0], pairs),
        pairs=(max(len(of_phase(pairs, SCREEN)), settings.screen_pairs), settings.confirm_pairs),
        alpha=settings.family_alpha,
        cases=shared(name, family),
        margin=settings.max_slowdown,
    )


def shared(name: str, family: Collection[Key]) -> int:
    """How many share Holm's correction where this case's latency is one of them: had it slowed down, it would be."""
    return len({*family, (name, LATENCY)})


def confirmed(done: Measured, settings: Settings) -> dict[Key, Confirmed]:
    """All that was flagged and measured again, of every case and metric, in one family."""
    cases: dict[str, list[float]] = {}
    directions: dict[str, paired.Direction] = {}
    margins: dict[str, float] = {}
    keys: dict[str, Key] = {}
    for name, pairs in done.pairs.items():
        if name in done.broken:
            continue
        for metric in METRICS:
            found = screened(metric, pairs, settings)
            values = ratios(metric, of_phase(pairs, CONFIRM))
            if found is None or not values or not flagged(metric, pairs, settings):
                continue
            text = f"{name} {metric.name}"
            keys[text] = (name, metric.name)
            cases[text], directions[text], margins[text] = values, found.direction, metric.margin(settings)
    found_all = paired.confirm(cases, directions=directions, margins=margins, family_alpha=settings.family_alpha)
    return {keys[text]: one for text, one in found_all.items()}


def findings(name: str, done: Measured, family: Mapping[Key, Confirmed], settings: Settings) -> tuple[Finding, ...]:
    """One finding per metric of a case that did not break; latency comes first.

    Args:
        name: of the case.
        done: everything that was measured.
        family: from `confirmed`.
        settings: how the gate decides.
    """
    pairs = done.pairs[name]
    if not pairs:
        why = done.interrupted or "nothing was measured"
        return (
            Finding(
                metric=LATENCY,
                verdict=Verdict.INCONCLUSIVE,
                sentence=sentences.unclear(LATENCY, 0, wanted=settings.detect, why=why),
            ),
        )
    found = [latency(name, done, family, settings)]
    found += [one for metric in METRICS[1:] if (one := other(metric, name, pairs, family, settings)) is not None]
    return tuple(found)


def latency(name: str, done: Measured, family: Mapping[Key, Confirmed], settings: Settings) -> Finding:
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
        sentence = sentences.unclear(
            LATENCY,
            interval.n,
            wanted=(1 + margin) * (1 + settings.detect) - 1,
            detectable=visible,
            ratio=interval.ratio if interval.bounded else None,
            low=bounds[0],
            high=bounds[1],
            why=why,
            remedy="" if why else remedy(screening + fresh, shared(name, family), settings),
        )
    return finding(metric, verdict, sentence, pairs, interval, one, visible)


def cut_short(screening: Sequence[float], fresh: Sequence[float], name: str, done: Measured, settings: Settings) -> str:
    """Why a case did not get all the pairs that its verdict asks for; empty where it did."""
    if len(screening) < settings.screen_pairs:
        return done.interrupted or "too few pairs"
    wanted = name in done.flagged or flagged(METRICS[0], done.pairs[name], settings)
    return done.interrupted if wanted and len(fresh) < settings.confirm_pairs else ""


def remedy(values: Sequence[float], cases: int, settings: Settings) -> str:
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
    metric: Metric, name: str, pairs: Sequence[Pair], family: Mapping[Key, Confirmed], settings: Settings
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
    metric: Metric,
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
