"""Exact bounds of a share that was counted."""

from __future__ import annotations

import math
from collections.abc import Callable


def at_most(k: int, n: int, share: float) -> float:
    """P(at most k of n) where each happens with this chance."""
    if share <= 0:
        return 1.0
    if share >= 1:
        return 1.0 if k >= n else 0.0
    odds = [
        math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1)
        + i * math.log(share) + (n - i) * math.log1p(-share)
        for i in range(k + 1)
    ]  # fmt: skip
    return min(1.0, math.fsum(math.exp(one) for one in odds))


def interval(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share of which k of n were seen (Clopper and Pearson, Biometrika 26, 1934).

    Raises:
        ValueError: if there is none of n, or k is not among them.
    """
    if not (n >= 1 and 0 <= k <= n):
        raise ValueError(f"{k} of {n}: there must be at least one, and no more seen than there are")
    tail = (1 - confidence) / 2
    low = 0.0 if k == 0 else _where(lambda share: 1 - at_most(k - 1, n, share) >= tail)
    high = 1.0 if k == n else _where(lambda share: at_most(k, n, share) < tail)
    return low, high


def _where(holds: Callable[[float], bool]) -> float:
    """The smallest share for which a condition holds that holds for all larger ones."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
