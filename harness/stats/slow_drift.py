"""How far the host's pace in a sweep may lie from its long-run level: what the reference workload tells of its drift.

The processes of a case know how they differ, and the interval across them takes them for independent. On a host that
drifts as slowly as a sweep lasts they are not: all of them lie on the same side of the long-run level. The reference
workload is timed beside every process of every case, so that the pace is known from the beginning of the sweep to its
end. How fast it wanders is seen well; how far it would wander beyond the sweep is not, and every memory that what was
seen does not rule out counts (`half_width`). Earlier days of the same host say it outright (`over_days`).
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.stats.estimate import CONFIDENCE, t_quantile

ROUNDS = 3
"""Fewest rounds that tell a drift from noise: a case's own level is taken out of its rounds."""

CASES = 6
"""Fewest cases that were timed in every round: of fewer, too little of the pace is seen."""

STRETCHES = 20
"""Most stretches of a sweep whose median pace is taken."""

LEAST = 5
"""Fewest of them."""

TIMES = 6
"""Processes that a stretch has at least."""

STEP = 2.0
"""A step between two stretches counts up to so many times the typical one: a neighbour who comes or goes is not a
drift, and the spread of the processes holds him."""

MEMORIES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
"""After how long the pace may remember 1/e of itself, in lengths of the sweep; each as likely as another beforehand."""

VARIANCES = 14
"""How many variances of the pace are tried, from a quarter of what is noise to `MOST` of what was seen."""

MOST = 30.0

CERTAIN = 2.0
"""Logarithm of the evidence for a drift against none that it takes (Bayes factor 7)."""

EXACT = 1e-8
"""Variance that a stretch's median has at least: clocks tick."""

LEAST_DAYS = 5
"""Earlier days that say how far this host's pace goes from day to day."""

_OUTSIDE = 1 - CONFIDENCE
_NORMAL = statistics.NormalDist()


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceMoment:
    """The reference workload beside one process: of which case and round, and the logarithm of its time."""

    case: str
    round: int
    log_pace: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PossibleDrift:
    """What one memory and variance of the pace make of the levels seen.

    Attributes:
        evidence: logarithm of the likelihood, the long-run level integrated out.
        apart: the long-run level less the mean of the levels seen, as expected.
        error: its standard deviation.
    """

    evidence: float
    apart: float
    error: float


def half_width(moments: Sequence[PaceMoment]) -> float:
    """Half the width of the 95% interval of the long-run pace about that of the sweep, as a logarithm; 0: no drift.

    The pace is taken for an Ornstein-Uhlenbeck process that is seen with noise, and its memory and variance for any of
    a grid, weighed by what each makes of what was seen. The grid is set by simulation (`benchmarks/coverage.py`).
    Medians over processes: somebody else's burst in some of them does not count. A case's own level is taken out, and
    cases that missed a round say nothing: the reference workload may be slower beside a large model, or in another
    runtime.

    Args:
        moments: in the order of time.
    """
    levels, noise = _levels(moments)
    if not levels:
        return 0.0
    variance = statistics.pvariance(levels)
    low, high = noise / 4, max(MOST * variance, noise)
    tried = [low * (high / low) ** (place / (VARIANCES - 1)) for place in range(VARIANCES)]
    found = [
        possible(levels, noise, own, math.exp(-1 / (len(levels) * memory))) for memory in MEMORIES for own in tried
    ]
    top = max(one.evidence for one in found)
    weights = [math.exp(one.evidence - top) for one in found]
    if top + math.log(statistics.fmean(weights)) < still(levels, noise) + CERTAIN:
        return 0.0
    return _half(found, weights)


def over_days(level: float, earlier: Sequence[float]) -> float:
    """The same from what this host's pace was on earlier days; 0 where they are too few.

    Args:
        level: logarithm of today's pace.
        earlier: of one run a day, in the same unit: the same cases and runtime.
    """
    if len(earlier) < LEAST_DAYS:
        return 0.0
    return t_quantile((1 + CONFIDENCE) / 2, len(earlier)) * statistics.stdev([level, *earlier])


def _levels(moments: Sequence[PaceMoment]) -> tuple[list[float], float]:
    """The pace of every stretch, steps cut, and the variance of its noise; nothing where too little was timed."""
    kept = _whole(moments)
    stretches = min(STRETCHES, len(kept) // TIMES)
    if stretches < LEAST:
        return [], 0.0
    edges = [round(len(kept) * number / stretches) for number in range(stretches + 1)]
    parts = [kept[start:end] for start, end in itertools.pairwise(edges)]
    medians = [statistics.median(part) for part in parts]
    steps = [after - before for before, after in itertools.pairwise(medians)]
    most = STEP * 1.4826 * statistics.median(abs(one) for one in steps)
    levels = [0.0, *itertools.accumulate(max(-most, min(most, one)) for one in steps)]
    return levels, max(statistics.fmean(map(_of_median, parts)), EXACT)


def _whole(moments: Sequence[PaceMoment]) -> list[float]:
    """What was timed beside cases that were in every round, their own levels taken out."""
    cases: dict[str, dict[int, float]] = {}
    for one in moments:
        cases.setdefault(one.case, {})[one.round] = one.log_pace
    rounds = {one.round for one in moments}
    own: Mapping[str, float] = {
        case: statistics.median(times.values()) for case, times in cases.items() if times.keys() == rounds
    }
    if len(rounds) < ROUNDS or len(own) < CASES:
        return []
    return [one.log_pace - own[one.case] for one in moments if one.case in own]


def _of_median(values: Sequence[float]) -> float:
    """Variance of the median of one stretch, by its robust scatter; pi / 2 is the median's against the mean's."""
    middle = statistics.median(values)
    scatter = 1.4826 * statistics.median(abs(one - middle) for one in values)
    return math.pi / 2 * scatter**2 / len(values)


def possible(levels: Sequence[float], noise: float, variance: float, keep: float) -> PossibleDrift:
    """Kalman's filter of a pace about an unknown long-run level (by generalised least squares).

    Args:
        levels: what was seen.
        noise: variance of what each of them is off by.
        variance: of the pace.
        keep: what the pace keeps of itself from one to the next.
    """
    seen, ones, own = 0.0, 0.0, variance
    logs = squares = mixed = weight = 0.0
    for level in levels:
        total = own + noise
        off, off_one = level - seen, 1 - ones
        logs += math.log(total)
        squares += off * off / total
        mixed += off * off_one / total
        weight += off_one * off_one / total
        gain = own / total
        seen, ones = keep * (seen + gain * off), keep * (ones + gain * off_one)
        own = keep * keep * own * (1 - gain) + variance * (1 - keep * keep)
    level = mixed / weight
    evidence = -(logs + squares - mixed * level + math.log(weight)) / 2
    return PossibleDrift(evidence=evidence, apart=level - statistics.fmean(levels), error=1 / math.sqrt(weight))


def still(levels: Sequence[float], noise: float) -> float:
    """The evidence where the pace does not move."""
    n = len(levels)
    return -(n * math.log(noise) + n * statistics.pvariance(levels) / noise + math.log(n / noise)) / 2


def _half(found: Sequence[PossibleDrift], weights: Sequence[float]) -> float:
    """What the long-run level lies beyond with 5%, whichever of them is true."""
    whole = sum(weights)
    kept = [(one, weight / whole) for one, weight in zip(found, weights, strict=True) if weight > whole * EXACT]

    def outside(half: float) -> float:
        return sum(
            weight * (_NORMAL.cdf((-half - one.apart) / one.error) + _NORMAL.cdf((one.apart - half) / one.error))
            for one, weight in kept
        )

    low, high = 0.0, max(abs(one.apart) + 4 * one.error for one, _ in kept)
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if outside(middle) > _OUTSIDE else (low, middle)
    return high
