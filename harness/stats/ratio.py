"""The ratio head / base from paired processes: its estimate, its interval and its p-value.

One number per fresh pair of processes: the logarithm of head / base. Where nothing changed, swapping the two sides
changes nothing but the sign, so the numbers are symmetric about zero whatever their distribution: that is all that
the signed-rank test (Wilcoxon, 1945) assumes.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.stats import ranks

Side = Literal["two-sided", "greater", "less"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A ratio head / base with its interval.

    Attributes:
        low, high: 0 and infinity where n pairs cannot bound it (fewer than 6 at 95%); see `bounded`.
        n: pairs that it rests on.
    """

    ratio: float
    low: float
    high: float
    n: int

    @property
    def bounded(self) -> bool:
        """Whether there were enough pairs for an interval at all."""
        return math.isfinite(self.high)


def log_ratios(base: Sequence[float], head: Sequence[float]) -> tuple[float, ...]:
    """log(head / base), pair by pair.

    Raises:
        ValueError: if the lengths differ, there is no pair, or a value is not finite and above zero.
    """
    if len(base) != len(head):
        raise ValueError(f"{len(base)} base values and {len(head)} head values: pairs need as many of each")
    for side, values in (("base", base), ("head", head)):
        for index, value in enumerate(ranks.checked(values, f"{side} value")):
            if value <= 0:
                raise ValueError(f"{side} value {index} is {value}: a ratio needs values above zero")
    return tuple(math.log(h / b) for b, h in zip(base, head, strict=True))


def _shifted(values: Sequence[float], margin: float) -> list[float]:
    if not (math.isfinite(margin) and margin > -1):
        raise ValueError(f"margin is {margin}: it must be a finite share above -1, such as 0.03 for 3%")
    null = math.log1p(margin)
    return [value - null for value in ranks.checked(values)]


def ratio_interval(log_ratios: Sequence[float], confidence: float = 0.95) -> Interval:
    """Ratio head / base: Hodges-Lehmann estimate, interval by inverting the exact signed-rank test.

    The interval holds the true ratio with at least the confidence asked for, for any symmetric distribution of the
    log-ratios, outliers included (verified by simulation, docs/statistics.md). With n pairs no interval of finite
    width can claim more than 1 - 2**(1 - n): below that it is (0, infinity).

    Args:
        log_ratios: one finite number per pair of fresh processes.
        confidence: between 0 and 1.

    Raises:
        ValueError: if there is no pair, or a number is not finite.
    """
    values = ranks.checked(log_ratios)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}: it must lie between 0 and 1, such as 0.95")
    n = len(values)
    averages = ranks.walsh(values)
    ratio = math.exp(statistics.median(averages))
    least = ranks.critical(n, (1 - confidence) / 2)
    if least is None:
        return Interval(ratio=ratio, low=0.0, high=math.inf, n=n)
    index = len(averages) - least
    return Interval(ratio=ratio, low=math.exp(averages[index]), high=math.exp(averages[least - 1]), n=n)


def signed_rank(
    log_ratios: Sequence[float], margin: float = 0.0, side: Side = "two-sided", hosts: Sequence[str] = ()
) -> float:
    """p-value of Wilcoxon's signed-rank test that the ratio is 1 + margin.

    Args:
        log_ratios: one finite number per pair.
        margin: the ratio under the null hypothesis, minus one.
        side: `greater` asks whether head is beyond 1 + margin, `less` whether it is below, `two-sided` either.
        hosts: which host each pair was measured on: the strata (`ranks.aligned`); none where there is one.

    Returns:
        The p-value, exact up to 60 pairs with ties and zeros (Pratt's treatment) taken into account.

    Raises:
        ValueError: if there is no pair, a number is not finite, or the margin is not above -1, or hosts are missing.
    """
    values = _shifted(log_ratios, margin)
    greater = 1.0 if side == "less" else ranks.positive_tail(values, hosts)
    less = 1.0 if side == "greater" else ranks.positive_tail([-value for value in values], hosts)
    return min(1.0, 2 * min(greater, less)) if side == "two-sided" else min(greater, less)
