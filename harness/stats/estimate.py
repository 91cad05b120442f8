"""Estimates with honest intervals.

Samples of one process share its memory layout, its clock speed and its neighbours, so they agree with each other
more than with the next process. The 95% interval of a case is therefore taken *across* processes: one number per
process (its median), Student's t on their logarithms. With a single process only the spread inside it is known,
and the interval says no more than that (order statistics, distribution-free).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from harness.records import Latency, ProcessSamples

CONFIDENCE = 0.95
PERCENTILE_CONFIDENCE = 0.99
PERCENTILE_RULE = "upper bound at 99% (MLPerf early stopping), every process weighing the same"
"""How percentiles are taken, as it is stored beside them; rows of earlier versions have the plain rank and no rule."""

DRIFT = 1.6
"""How many half-widths of the ratio's interval runs of unchanged work lie apart, 95 times in 100: 1.52 in the history
of `results/two-cores` (240 pairs of runs), where intervals of 95% excluded 1 in 19%; see `benchmarks/drift.py`."""

MANY = 20
"""Samples that are never all the same by chance."""

EXACT = 1e-9
"""Sums of weights that are equal on paper are equal up to this."""


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Distribution-free interval of the median, from order statistics.

    The r-th smallest and r-th largest value bracket the median with probability 1 - 2 P(Binomial(n, 1/2) < r).
    With too few values for the confidence asked (n < 6 at 95%) the whole range is returned, which covers it with
    probability 1 - 2**(1 - n).

    Raises:
        ValueError: if there are no values.
    """
    ordered = sorted(values)
    n = len(ordered)
    if not n:
        raise ValueError("no values")
    tail = (1 - confidence) / 2
    rank, term, below = 0, 0.5**n if n < 1000 else 0.0, 0.0  # noqa: PLR2004  (2**-1074 is the smallest float)
    if n < 1000:  # noqa: PLR2004
        while rank < n // 2 and below + term <= tail:
            below += term
            term *= (n - rank) / (rank + 1)
            rank += 1
    else:
        z = statistics.NormalDist().inv_cdf(1 - tail)
        rank = int((n - z * math.sqrt(n)) / 2)
    first = max(rank - 1, 0)
    return ordered[first], ordered[n - 1 - first]


@lru_cache(maxsize=4096)
def t_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's t for probability >= 0.5 and whole degrees of freedom, by bisection on its exact CDF.

    Source: Abramowitz and Stegun, 26.7.3 and 26.7.4 (finite sums for whole degrees of freedom).
    """

    def cdf(t: float) -> float:
        theta = math.atan2(t, math.sqrt(freedom))
        cos2 = math.cos(theta) ** 2
        even = freedom % 2 == 0
        term = total = 1.0
        for k in range(1, (freedom - 2) // 2 + 1 if even else (freedom - 3) // 2 + 1):
            term *= cos2 * ((2 * k - 1) / (2 * k) if even else (2 * k) / (2 * k + 1))
            total += term
        if even:
            return 0.5 + math.sin(theta) * total / 2
        inner = math.sin(theta) * math.cos(theta) * total if freedom > 1 else 0.0
        return 0.5 + (theta + inner) / math.pi

    low, high = 0.0, 1.0
    while cdf(high) < probability:
        high *= 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if cdf(middle) < probability else (low, middle)
    return high


def across(
    medians: Sequence[float],
    confidence: float = CONFIDENCE,
    *,
    drift: float = 0.0,
    paces: Sequence[float] = (),
) -> tuple[float, float]:
    """Interval of the typical value from one positive number per process: Student's t on their logarithms.

    It is widened where needed to hold the median of the numbers, which is the estimate that is reported. Where the host
    drifted, two errors are independent: what the processes differ by beyond its pace, and how far that may lie from its
    long-run level.

    Args:
        medians: of the processes.
        confidence: of the interval.
        drift: half the width of the interval of the host's long-run level, as a logarithm (`harness.stats.slow_drift`).
        paces: the reference workload beside each process, where it was timed beside all of them.

    Raises:
        ValueError: if there are fewer than two numbers.
    """
    logs = [math.log(m) for m in medians]
    quantile = t_quantile((1 + confidence) / 2, len(logs) - 1) / math.sqrt(len(logs))
    half = quantile * _deviation(logs)
    if drift:
        beyond = [one - math.log(pace) for one, pace in zip(logs, paces, strict=True)] if paces else logs
        half = max(half, math.hypot(min(half, quantile * _deviation(beyond)), drift))
    centre, typical = statistics.fmean(logs), statistics.median(medians)
    return min(math.exp(centre - half), typical), max(math.exp(centre + half), typical)


def _deviation(values: Sequence[float]) -> float:
    """The standard deviation of a sample; `statistics.stdev` takes thirty times as long, for its exact fractions.

    Raises:
        ValueError: if there are fewer than two numbers.
    """
    if len(values) < 2:  # noqa: PLR2004
        raise ValueError("a deviation takes two numbers")
    beyond = [value - values[0] for value in values]  # equal ones are exactly zero, whatever their sum is rounded to
    mean = math.fsum(beyond) / len(beyond)
    return math.sqrt(math.fsum((one - mean) ** 2 for one in beyond) / (len(beyond) - 1))


@lru_cache(maxsize=4096)
def discards(n: int, rank: int) -> int | None:
    """How many of n samples may be as large as the bound of a percentile, the bound included; None for too few.

    The largest t >= 1 for which at most t of n samples lie beyond the percentile with a probability of 1% or less, so
    that seeing t there says with 99% confidence that the percentile is not above the smallest of them. One is the
    fewest that MLPerf allows: 64 samples for the 90th percentile, 130 for the 95th, 662 for the 99th.

    Source: MLPerf LoadGen, `EarlyStopping` of the scenario single stream with tolerance 0 (loadgen/results.cc).
    """
    beyond = 1 - rank / 100
    most = 1 - PERCENTILE_CONFIDENCE
    if _at_most(1, n, beyond) > most:
        return None
    low, high = 1, max(math.ceil(n * beyond), 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _at_most(middle, n, beyond) <= most else (low, middle)
    return low


def _at_most(k: int, n: int, share: float) -> float:
    """P(Binomial(n, share) <= k), for k not far above the mean: summed downwards until nothing is added."""
    if k >= n:
        return 1.0
    log_term = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    term = math.exp(log_term + k * math.log(share) + (n - k) * math.log1p(-share))
    total = 0.0
    while k >= 0 and term > total * 1e-17:
        total += term
        term *= k * (1 - share) / ((n - k + 1) * share)
        k -= 1
    return total


def percentile(processes: Sequence[Sequence[float]], rank: int) -> float | None:
    """An upper bound of a percentile that holds with 99% confidence; None where there are too few samples for one.

    Every process weighs the same, however many samples it gave: a time budget gives most samples to the fastest
    process. What is lost by that counts: as many samples as would say as much with equal weights (Kish's effective
    size, processes times the harmonic mean of their counts), which is all of them where the counts are equal.

    Args:
        processes: the samples of each, at least one process with at least one sample each.
        rank: 90, 95 or 99.
    """
    import numpy as np

    effective = int(len(processes) ** 2 / sum(1 / len(samples) for samples in processes) + EXACT)
    over = discards(effective, rank)
    if over is None:
        return None
    values = np.concatenate([np.asarray(samples, dtype=np.float64) for samples in processes])
    counts = [len(samples) for samples in processes]
    if len(set(counts)) == 1:
        return float(np.partition(values, effective - over)[effective - over])
    level = (effective - over + 1) / effective
    weights = np.repeat([1 / count / len(processes) for count in counts], counts)
    order = np.lexsort((weights, values))
    reached = np.cumsum(weights[order]) >= level - EXACT
    return float(values[order[reached.argmax() if reached.any() else -1]])


def tick(processes: Sequence[Sequence[int]]) -> int:
    """The step of the clock that samples were read from, as far as they show it: the smallest difference of any two.

    A sample is off by up to as much, and processes that agree to the tick agree no better than that.

    Args:
        processes: the samples of each in nanoseconds, sorted.

    Returns:
        In nanoseconds, 1 or more; 1 of fewer than `MANY` samples. Where all are the same, the clock is coarser than it
        shows, and may be as coarse as they are long.
    """
    import numpy as np

    if sum(map(len, processes)) < MANY:
        return 1
    steps = np.concatenate([np.diff(np.asarray(samples, dtype=np.int64)) for samples in processes])
    steps = steps[steps > 0]
    every = {int(value) for samples in processes for value in (samples[0], samples[-1])}
    if len(every) == 1:
        return max(*every, 1)
    return int(steps.min()) if steps.size else 1


def in_order(samples: Sequence[int]) -> Any:
    """Whole numbers as a sorted array."""
    import numpy as np

    return np.sort(np.asarray(samples, dtype=np.int64))


def median(samples: Sequence[int]) -> float:
    """The median of whole numbers, exactly; `statistics.median` sorts them as objects."""
    return _middle(in_order(samples))


def _middle(ordered: Any) -> float:
    """The median of a sorted array of whole numbers, exactly."""
    half = len(ordered) // 2
    return int(ordered[half]) if len(ordered) % 2 else (int(ordered[half - 1]) + int(ordered[half])) / 2


def latency(processes: Sequence[ProcessSamples], ci_width: float) -> Latency:
    """Summarise the processes of one case.

    Args:
        processes: each with at least one sample.
        ci_width: full relative width of the interval (0.02 = 2%) at which it counts as `precise`.

    Returns:
        The median of the processes' medians with its interval across processes; the mean of their means; the minimum of
        all samples; and upper bounds of percentiles (`percentile`).

    Raises:
        ValueError: if there is no process, or one without samples.
    """
    # Arrays: a second of a fast model gives hundreds of thousands of samples, each several Python objects otherwise.
    ordered = [in_order(p.samples_ns) for p in processes]
    samples: list[Any] = [one / 1e9 for one in ordered]
    medians = [max(_middle(one), 1) / 1e9 for one in ordered]
    typical = statistics.median(medians)
    low, high = across(medians) if len(medians) > 1 else median_interval(samples[0].tolist())
    coarse = 1 + tick(ordered) / 1e9 / typical
    low, high = min(max(low, 1e-9), typical / coarse), max(high, typical * coarse)
    return Latency(
        median_s=typical,
        ci95_low_s=low,
        ci95_high_s=high,
        mean_s=statistics.fmean(statistics.fmean(process) for process in samples),
        min_s=float(min(one[0] for one in samples)),
        p90_s=percentile(samples, 90),
        p95_s=percentile(samples, 95),
        p99_s=percentile(samples, 99),
        percentile_rule=PERCENTILE_RULE,
        n=sum(map(len, samples)),
        processes=len(medians),
        stop="precise" if high - low <= ci_width * typical else "time",
        warmup_n=sum(len(p.warmup_ns) for p in processes),
    )


def trusted(medians: Sequence[float], drift: float = DRIFT) -> float:
    """The smallest relative difference between two cases to believe, from one and the same work in fresh processes.

    Half the width of Welch's interval of the ratio of two cases with as many processes of this spread each, times
    the drift, since two runs differ by what happened to the host in between as well.

    Args:
        medians: of the processes.
        drift: how many half-widths runs of unchanged work lie apart, 95 times in 100.

    Raises:
        ValueError: if there are fewer than two numbers.
    """
    logs = [math.log(m) for m in medians]
    n = len(logs)
    half = t_quantile((1 + CONFIDENCE) / 2, 2 * (n - 1)) * statistics.stdev(logs) * math.sqrt(2 / n)
    return math.expm1(drift * half)


def spread(medians: Sequence[float]) -> float:
    """Relative range of positive numbers: (largest - smallest) / median."""
    return (max(medians) - min(medians)) / statistics.median(medians)
