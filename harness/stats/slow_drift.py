"""How far the mean of a sweep may lie from the host's long-run level: what its rounds tell of a slow drift.

The processes of a case know how they differ, and the interval across them takes them for independent. On a host that
drifts as slowly as a sweep lasts they are not: all rounds lie on the same side of the long-run level. The reference
workload is timed beside every process of every case, so that a round's median is known well, and the rounds in order
tell drift from noise: where it is slow, neighbouring rounds are more alike than distant ones.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence

ROUNDS = 3
"""Fewest rounds that tell a drift from noise: of two, neighbours are all that there is."""

CASES = 6
"""Fewest cases that were timed in every round: of fewer, the scatter of a round's median is not known."""

EXTRAPOLATED = 5.0
"""How many times what distant rounds vary more than neighbouring ones the mean of a sweep varies about the long-run
level: where the pace remembers itself (1/e) for as long as the sweep of five rounds lasts, the rounds vary by 0.32 of
the pace's variance, neighbours by 0.18, and the mean by 0.68 more than independent rounds would."""

SHARE = 6.0
"""Where rounds differ at all, at least their variance divided by so much: five rounds say little of their order."""

MOST = 2.0
"""At most so many times the variance of the rounds: a host that jumped once is not extrapolated to jump on."""

CERTAIN = 3.0
"""How many times the variance that the scatter inside rounds explains must be seen between them."""


def variance(cases: Sequence[Mapping[int, float]]) -> float:
    """What the variance of the logarithm of a case's mean lacks, since rounds are not independent; 0 on a calm host.

    The constants are set by simulation (`benchmarks/coverage.py`). Medians over cases: somebody else's burst in some
    processes of a round does not count. A case's own level is taken out, and cases that missed a round say nothing: the
    reference workload may be slower beside a large model, or in another runtime.

    Args:
        cases: of each case, by round, the logarithm of what the reference workload took beside its process.
    """
    rounds = sorted(max((one.keys() for one in cases), key=len, default=()))
    whole = [[one[number] for number in rounds] for one in cases if one.keys() >= set(rounds)]
    if len(rounds) < ROUNDS or len(whole) < CASES:
        return 0.0
    centred = [[value - statistics.median(one) for value in one] for one in whole]
    by_round = list(zip(*centred, strict=True))
    levels = [statistics.median(one) for one in by_round]
    apart = statistics.variance(levels)
    if apart <= CERTAIN * statistics.fmean(_of_median(one) for one in by_round):
        return 0.0
    neighbours: float = statistics.fmean((after - before) ** 2 for before, after in itertools.pairwise(levels)) / 2
    found: float = min(max(EXTRAPOLATED * (apart - neighbours), apart / SHARE), MOST * apart)
    return found


def _of_median(values: Sequence[float]) -> float:
    """Variance of the median of one round, by its robust scatter; pi / 2 is the median's against the mean's."""
    middle = statistics.median(values)
    scatter = 1.4826 * statistics.median(abs(one - middle) for one in values)
    return math.pi / 2 * scatter**2 / len(values)
