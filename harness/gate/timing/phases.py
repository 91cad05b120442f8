"""The two phases of a measurement: what screening flags, when it has seen enough, and what fresh pairs confirm.

Latency, first inference, session creation and the model's memory are one family: all that screening flagged, of
whichever metric, is confirmed under one Holm correction, so that one promise covers the lot.
"""

from __future__ import annotations

import dataclasses
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
)
PEAK = PairMetric(metric=metrics.PEAK_MEMORY, value=lambda samples: samples.peak_rss_bytes)
"""Told and not judged: 57 MB of it are Python and onnxruntime, so that a model that doubles may not show."""

Key = tuple[str, str]
"""Case and metric."""


def ratios(metric: PairMetric, pairs: Sequence[Pair]) -> list[float]:
    """log(head / base) of every pair that has the metric."""
    if metric.name == LATENCY:
        return [pair.log_ratio for pair in pairs]
    both = [(metric.value(pair.base), metric.value(pair.head)) for pair in pairs]
    return [math.log(h / b) for b, h in both if b and h]


def of_phase(pairs: Sequence[Pair], phase: str) -> list[Pair]:
    """The pairs of one phase."""
    return [pair for pair in pairs if pair.phase == phase]


def screened(metric: PairMetric, pairs: Sequence[Pair], settings: GateSettings) -> Screened | None:
    """What screening says of a metric; None where nothing was measured."""
    values = ratios(metric, of_phase(pairs, SCREEN))
    return paired.screen(values, margin=metric.margin(settings)) if values else None


def flagged(metric: PairMetric, pairs: Sequence[Pair], settings: GateSettings) -> bool:
    """Whether a metric has to be confirmed: latency in both directions, the others only where they got worse."""
    found = screened(metric, pairs, settings)
    return found is not None and found.flagged and (metric.name == LATENCY or found.direction == "slower")


def chooser(settings: GateSettings) -> Chooser:
    """What screening decides."""
    return Chooser(
        flag=lambda pairs: any(flagged(metric, pairs, settings) for metric in METRICS),
        wide=lambda cases: too_wide(cases, settings),
    )


def too_wide(cases: Mapping[str, Sequence[Pair]], settings: GateSettings) -> list[str]:
    """Cases that could not pass if screening ended now and flagged nothing of theirs, so that more pairs would help.

    The same question as at the end, with the family as it would be now: who stops screening here does not end
    inconclusive for its spread. Whether a case looks changed has no say in how long it is screened.
    """
    family = [(name, one.name) for name, pairs in cases.items() for one in METRICS if flagged(one, pairs, settings)]
    return [name for name, pairs in cases.items() if pairs and undecided(name, pairs, family, settings)]


def undecided(name: str, pairs: Sequence[Pair], family: Collection[Key], settings: GateSettings) -> bool:
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


def seen(name: str, pairs: Sequence[Pair], family: Collection[Key], settings: GateSettings) -> float:
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


def confirmed(done: Measured, settings: GateSettings) -> dict[Key, Confirmed]:
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
