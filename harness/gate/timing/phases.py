"""The two phases of a measurement: what screening flags, when it has seen enough, and what fresh pairs confirm.

Latency, first inference, session creation, the model's memory and its energy are one family: all that screening
flagged, of whichever metric, is confirmed under one Holm correction, so that one promise covers the lot.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from harness import metrics
from harness.gate.model import GateSettings, Pair, SideSamples
from harness.gate.timing.rounds import CONFIRM, SCREEN, Chooser, Measured
from harness.metrics import Metric
from harness.stats import paired
from harness.stats.paired import Confirmed, Screened
from harness.stats.sequential import looks

LATENCY = metrics.LATENCY.name


@dataclass(frozen=True, slots=True, kw_only=True)
class PairMetric:
    """A metric that every side of a pair has one value of.

    Attributes:
        metric: what it is.
        value: the value, in its unit; None where the system does not tell.
    """

    metric: Metric
    value: Callable[[SideSamples], float | None]

    @property
    def name(self) -> str:
        """Of the metric."""
        return self.metric.name

    @property
    def unit(self) -> str:
        """Of the value."""
        return self.metric.unit

    def margin(self, settings: GateSettings) -> float:
        """The growth that is allowed."""
        margin: float = getattr(settings, self.metric.option)
        return margin


METRICS = (
    PairMetric(metric=metrics.LATENCY, value=lambda samples: statistics.median(samples.bursts_ns) / 1e9),
    PairMetric(metric=metrics.FIRST_INFERENCE, value=lambda samples: samples.first_inference_ns / 1e9),
    PairMetric(metric=metrics.SESSION_CREATION, value=lambda samples: samples.session_ns / 1e9),
    PairMetric(metric=metrics.MODEL_MEMORY, value=lambda samples: samples.model_bytes),
    PairMetric(metric=metrics.ENERGY, value=lambda samples: samples.energy_j),
)
PEAK = PairMetric(metric=metrics.PEAK_MEMORY, value=lambda samples: samples.peak_rss_bytes)
"""Shown and not judged: 57 MB of it are Python and onnxruntime, so that a model that doubles may not show."""

Key = tuple[str, str]
"""Case and metric."""


def ratios(metric: PairMetric, pairs: Sequence[Pair]) -> list[float]:
    """log(head / base) of every pair that has the metric."""
    if metric.name == LATENCY:
        return [pair.log_ratio for pair in pairs]
    both = [(metric.value(pair.base), metric.value(pair.head)) for pair in pairs]
    return [math.log(h / b) for b, h in both if b and h]


def hosts(metric: PairMetric, pairs: Sequence[Pair]) -> list[str]:
    """Which host measured each of the pairs that have the metric: the strata of a test over several hosts."""
    has = metric.name == LATENCY
    return [pair.host for pair in pairs if has or (metric.value(pair.base) and metric.value(pair.head))]


def of_phase(pairs: Sequence[Pair], phase: str) -> list[Pair]:
    """The pairs of one phase."""
    return [pair for pair in pairs if pair.phase == phase]


def screened(metric: PairMetric, pairs: Sequence[Pair], settings: GateSettings) -> Screened | None:
    """What screening says of a metric; None where nothing was measured."""
    screening = of_phase(pairs, SCREEN)
    values = ratios(metric, screening)
    return paired.screen(values, margin=metric.margin(settings), hosts=hosts(metric, screening)) if values else None


def flagged(metric: PairMetric, pairs: Sequence[Pair], settings: GateSettings) -> bool:
    """Whether a metric has to be confirmed: latency in both directions, the others only where they got worse."""
    found = screened(metric, pairs, settings)
    return found is not None and found.flagged and (metric.name == LATENCY or found.direction == "slower")


def judged(settings: GateSettings) -> tuple[PairMetric, ...]:
    """The metrics that can fail this gate."""
    return tuple(one for one in METRICS if not settings.metrics or one.name in settings.metrics)


def certain(settings: GateSettings) -> tuple[PairMetric, ...]:
    """The metrics that get as many pairs as it takes to be sure of them: latency, else those that were asked for."""
    return judged(settings) if settings.metrics else METRICS[:1]


def effect(metric: PairMetric, settings: GateSettings) -> float:
    """The growth beyond the margin that a pass must have been able to see.

    Of a metric with a wide margin as much again: where a quarter more is allowed, 5% beyond it is nothing to speak of.
    """
    return settings.detect if metric.name == LATENCY else max(settings.detect, metric.margin(settings))


def chooser(settings: GateSettings) -> Chooser:
    """What screening decides, and what the looks at fresh pairs settle."""
    return Chooser(
        flag=lambda pairs: any(flagged(metric, pairs, settings) for metric in judged(settings)),
        wide=lambda cases: too_wide(cases, settings),
        need=lambda pairs: suspicion(pairs, settings),
        looks=tuple(look.pairs for look in looks(settings.confirm_pairs)),
        settled=lambda done: settled(done, settings),
    )


def suspicion(pairs: Sequence[Pair], settings: GateSettings) -> float:
    """How much screening speaks for a change for the worse beyond the margin, from 0 to 1, of whichever metric most.

    That is what a gate is for: where there is no time for all, a case that looks slower is decided first.
    """
    found = [screened(metric, pairs, settings) for metric in judged(settings)]
    return max((1 - one.p / 2 if one.direction == "slower" else one.p / 2 for one in found if one), default=0.0)


def settled(done: Measured, settings: GateSettings) -> list[str]:
    """Cases all of whose flagged metrics are confirmed by the pairs so far."""
    family = confirmed(done, settings)
    return [
        name
        for name in done.flagged
        if all(one.significant for (case, _), one in family.items() if case == name)
        and any(case == name for case, _ in family)
    ]


def too_wide(cases: Mapping[str, Sequence[Pair]], settings: GateSettings) -> list[str]:
    """Cases that could not pass if screening ended now and flagged nothing of theirs, so that more pairs would help.

    The same question as at the end, with the family as it would be now: who stops screening here does not end
    inconclusive for its spread. A case whose whole interval lies beyond what a pass allows needs no more screening
    either: it will be flagged, and fresh pairs decide.
    """
    family = [
        (name, one.name) for name, pairs in cases.items() for one in judged(settings) if flagged(one, pairs, settings)
    ]
    return [
        name
        for name, pairs in cases.items()
        if any(undecided(one, name, pairs, family, settings) for one in certain(settings))
    ]


def undecided(
    metric: PairMetric, name: str, pairs: Sequence[Pair], family: Collection[Key], settings: GateSettings
) -> bool:
    """Whether a metric, had it not been flagged, would be inconclusive for its spread."""
    values = ratios(metric, of_phase(pairs, SCREEN))
    if not values:
        return False
    limit = (1 + metric.margin(settings)) * (1 + effect(metric, settings))
    interval = paired.ratio_interval(values)
    if interval.high < limit or interval.low > limit:
        return False
    return seen(metric, name, pairs, family, settings) > limit - 1


def seen(
    metric: PairMetric, name: str, pairs: Sequence[Pair], family: Collection[Key], settings: GateSettings
) -> float:
    """The smallest growth that this gate would have seen at this spread; infinity where it could see none."""
    return paired.detectable(
        ratios(metric, pairs),
        pairs=(max(len(of_phase(pairs, SCREEN)), settings.screen_pairs), settings.confirm_pairs),
        alpha=settings.family_alpha,
        cases=shared(metric, name, family),
        margin=metric.margin(settings),
    )


def shared(metric: PairMetric, name: str, family: Collection[Key]) -> int:
    """How many share Holm's correction where this metric of a case is one of them: had it grown, it would be."""
    return len({*family, (name, metric.name)})


def confirmed(done: Measured, settings: GateSettings) -> dict[Key, Confirmed]:
    """All that was flagged and measured again, of every case and metric, in one family."""
    cases: dict[str, list[float]] = {}
    directions: dict[str, paired.Direction] = {}
    margins: dict[str, float] = {}
    strata: dict[str, list[str]] = {}
    keys: dict[str, Key] = {}
    for name, pairs in done.pairs.items():
        if name in done.broken:
            continue
        for metric in judged(settings):
            found = screened(metric, pairs, settings)
            fresh = of_phase(pairs, CONFIRM)
            values = ratios(metric, fresh)
            if found is None or not values or not flagged(metric, pairs, settings):
                continue
            text = f"{name} {metric.name}"
            keys[text] = (name, metric.name)
            cases[text], directions[text], margins[text] = values, found.direction, metric.margin(settings)
            strata[text] = hosts(metric, fresh)
    found_all = paired.confirm(
        cases,
        directions=directions,
        margins=margins,
        hosts=strata,
        family_alpha=settings.family_alpha,
        planned=settings.confirm_pairs,
    )
    return {keys[text]: one for text, one in found_all.items()}
