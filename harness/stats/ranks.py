"""Ranks, signed ranks and Walsh averages: what the robust tests and intervals of this package are made of.

Source of the methods: Hollander, Wolfe and Chicken, Nonparametric Statistical Methods, 3rd edition, chapter 3.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from functools import lru_cache

EXACT = 60
"""Up to this many non-zero values the signed-rank distribution is enumerated; beyond, the normal one is close."""

SHAMOS = 1.048358
"""Makes the median pairwise distance estimate the standard deviation of a normal distribution."""

BORROWED = 2
"""How many values' worth of the whole a host's scale takes in: two or three values say little of a scale."""


def checked(values: Sequence[float], what: str = "log-ratio") -> list[float]:
    """The values as floats.

    Raises:
        ValueError: if there are none, or one of them is NaN or infinite; the text says which.
    """
    found = [float(value) for value in values]
    if not found:
        raise ValueError(f"no {what}s: at least one is needed")
    for index, value in enumerate(found):
        if not math.isfinite(value):
            raise ValueError(f"{what} {index} is {value}: every {what} must be a finite number; drop the broken pair")
    return found


def midranks2(values: Sequence[float]) -> list[int]:
    """Twice the rank of every value, from 2 upwards; ties share their mean rank (hence twice, to stay whole)."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0] * len(values)
    start = 0
    while start < len(order):
        stop = start
        while stop + 1 < len(order) and values[order[stop + 1]] == values[order[start]]:
            stop += 1
        for place in order[start : stop + 1]:
            ranks[place] = start + stop + 2
        start = stop + 1
    return ranks


@lru_cache(maxsize=512)
def sign_counts(ranks2: tuple[int, ...]) -> tuple[int, ...]:
    """How many of the 2**n assignments of signs give each (doubled) sum of positive ranks."""
    counts = [1]
    for rank in ranks2:
        longer = counts + [0] * rank
        for total, count in enumerate(counts):
            longer[total + rank] += count
        counts = longer
    return tuple(counts)


def aligned(values: Sequence[float], hosts: Sequence[str]) -> list[float]:
    """The sizes of the values, each over the scale of its host, so that a noisy host does not take the high ranks.

    Hosts are strata (aligned ranks: Hodges and Lehmann, Annals of Mathematical Statistics 33, 1962): values of
    different hosts are compared after each host's own scale is taken out. The scale is made of sizes alone, so that a
    test that ranks them and flips signs stays exact whatever the hosts' noise. Ranks within each host alone, summed
    (as van Elteren's test does, 1960), would rank a few values at a time, which costs power.

    Args:
        values: one per pair.
        hosts: which host each was measured on; none, or one host, leaves the sizes as they are.

    Raises:
        ValueError: if there are not as many hosts as values.
    """
    sizes = [abs(value) for value in values]
    if len(set(hosts)) <= 1:
        return sizes
    if len(hosts) != len(sizes):
        raise ValueError(f"{len(hosts)} hosts for {len(sizes)} values: every value needs the host that it is of")
    by_host: dict[str, list[float]] = {}
    for host, size in zip(hosts, sizes, strict=True):
        by_host.setdefault(host, []).append(size)
    typical = statistics.fmean(sizes)
    scales = {host: (sum(own) + BORROWED * typical) / (len(own) + BORROWED) for host, own in by_host.items()}
    return [size / scales[host] if size else 0.0 for host, size in zip(hosts, sizes, strict=True)]


def positive_tail(values: Sequence[float], hosts: Sequence[str] = ()) -> float:
    """P(sum of positive ranks >= the one seen) where every sign is a fair coin: small where values are positive.

    Zeros take part in ranking and are then dropped (Pratt, 1959); ties get midranks and the exact distribution that
    belongs to them. Exact up to `EXACT` non-zero values; beyond, normal with correction for ties and continuity.

    Args:
        values: one per pair.
        hosts: as in `aligned`.
    """
    ranks = midranks2(aligned(values, hosts))
    signed = [(rank, value > 0) for rank, value in zip(ranks, values, strict=True) if value]
    if not signed:
        return 1.0
    seen = sum(rank for rank, positive in signed if positive)
    if len(signed) <= EXACT:
        counts = sign_counts(tuple(sorted(rank for rank, _ in signed)))
        return sum(counts[seen:]) / (1 << len(signed))
    mean = sum(rank for rank, _ in signed) / 2
    deviation = math.sqrt(sum(rank * rank for rank, _ in signed)) / 2
    return statistics.NormalDist().cdf(-(seen - 1 - mean) / deviation)


@lru_cache(maxsize=512)
def critical(n: int, level: float) -> int | None:
    """The smallest sum of positive ranks of n untied values with upper tail probability <= level.

    None where even n positive values are not that unlikely.
    """
    total = n * (n + 1) // 2
    if n > EXACT:
        deviation = math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
        return math.ceil(total / 2 + 0.5 + statistics.NormalDist().inv_cdf(1 - level) * deviation)
    counts = sign_counts(tuple(range(1, n + 1)))
    tail, least = 0, None
    for rank_sum in range(total, -1, -1):
        tail += counts[rank_sum]
        if tail > level * 2**n:
            break
        least = rank_sum
    return least


def walsh(values: Sequence[float]) -> list[float]:
    """The n (n + 1) / 2 means of all pairs (a value with itself included), sorted."""
    n = len(values)
    return sorted((values[i] + values[j]) / 2 for i in range(n) for j in range(i, n))


def hodges_lehmann(values: Sequence[float]) -> float:
    """The median of the Walsh averages: a centre nearly as precise as the mean, that outliers hardly move."""
    return statistics.median(walsh(values))


def spread(values: Sequence[float]) -> float:
    """Robust standard deviation: the median distance of two values (Shamos, 1976), scaled to normal noise.

    86% as precise as the standard deviation for normal noise, and it stands up to 29% of outliers.

    Raises:
        ValueError: if there are fewer than two values, or one is not finite.
    """
    found = checked(values)
    if len(found) < 2:  # noqa: PLR2004  (one value has no distance)
        raise ValueError("the spread needs at least two values")
    n = len(found)
    return SHAMOS * statistics.median(abs(found[i] - found[j]) for i in range(n) for j in range(i))
