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

from harness.records import Latency, ProcessSamples

CONFIDENCE = 0.95
FEWEST_FOR_PERCENTILE = {90: 64, 95: 130, 99: 662}
"""Fewest samples for which a percentile is given: MLPerf's early stopping rule at 99% confidence."""


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


def across(medians: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Interval of the typical value from one positive number per process: Student's t on their logarithms.

    It is widened where needed to hold the median of the numbers, which is the estimate that is reported.

    Raises:
        ValueError: if there are fewer than two numbers.
    """
    logs = [math.log(m) for m in medians]
    half = t_quantile((1 + confidence) / 2, len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    centre, typical = statistics.fmean(logs), statistics.median(logs)
    return math.exp(min(centre - half, typical)), math.exp(max(centre + half, typical))


def percentile(ordered: Sequence[float], rank: int) -> float | None:
    """The rank-th percentile of sorted values, or None where there are too few values to know it."""
    if len(ordered) < FEWEST_FOR_PERCENTILE[rank]:
        return None
    return ordered[min(len(ordered) - 1, math.ceil(rank / 100 * len(ordered)) - 1)]


def latency(processes: Sequence[ProcessSamples], ci_width: float) -> Latency:
    """Summarise the processes of one case.

    Args:
        processes: each with at least one sample.
        ci_width: full relative width of the interval (0.02 = 2%) at which it counts as `precise`.

    Returns:
        The median of the processes' medians with its interval across processes; the mean, minimum and percentiles
        of all samples together.

    Raises:
        ValueError: if there is no process, or one without samples.
    """
    medians = [max(statistics.median(p.samples_ns), 1) / 1e9 for p in processes]
    pooled = sorted(t / 1e9 for p in processes for t in p.samples_ns)
    typical = statistics.median(medians)
    low, high = across(medians) if len(medians) > 1 else median_interval(pooled)
    return Latency(
        median_s=typical,
        ci95_low_s=min(low, typical),  # rounding, where all of them are equal
        ci95_high_s=max(high, typical),
        mean_s=statistics.fmean(pooled),
        min_s=pooled[0],
        p90_s=percentile(pooled, 90),
        p95_s=percentile(pooled, 95),
        p99_s=percentile(pooled, 99),
        n=len(pooled),
        processes=len(medians),
        stop="precise" if high - low <= ci_width * typical else "time",
        warmup_n=sum(len(p.warmup_ns) for p in processes),
    )


def spread(medians: Sequence[float]) -> float:
    """Relative range of positive numbers: (largest - smallest) / median."""
    return (max(medians) - min(medians)) / statistics.median(medians)
