"""Ratios of two latencies with their interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

from harness.records import within_run
from harness.stats.estimate import CONFIDENCE, t_quantile


def interval(
    over: Mapping[str, Any], under: Mapping[str, Any], *, same_run: bool = False
) -> tuple[float, float] | None:
    """The 95% interval of the ratio of two latencies that were measured in processes of their own.

    Welch's interval on the logarithms: each side's interval across its processes is Student's t about the mean of their
    logarithms, so that its middle is that mean and its width gives the mean's error. The interval lies about the ratio
    of the middles, whose error that is, and is widened where needed to hold the ratio of the medians, which is the
    estimate that is shown: a median of ten processes is by a fifth less certain than their mean, and an interval about
    it with the mean's error held the truth in .915 only. As `harness.report.compare.compare` does for whole lists.

    Args:
        over: the latency that is divided, with `median_s`, `ci95_low_s`, `ci95_high_s` and `processes`.
        under: the one that it is divided by.
        same_run: whether both were measured in the rounds of one run, so that a drift of the host is in both.

    Returns:
        Both ends; None where a side has no interval.
    """
    sides, middle = [], 0.0
    sign = 1
    for side in (over, under):
        low, high = within_run(side) if same_run else (side.get("ci95_low_s"), side.get("ci95_high_s"))
        n = side.get("processes") or 1
        if not low or not high or n < 2 or not side.get("median_s"):  # noqa: PLR2004  (one process has no spread)
            return None
        sides.append((math.log(high / low) / 2 / _t(n - 1), n - 1))
        middle += sign * (math.log(high) + math.log(low)) / 2
        sign = -1
    (first, m), (second, n) = sides
    variance = first**2 + second**2
    spread = first**4 / m + second**4 / n
    freedom = max(int(variance**2 / spread), 1) if spread > 0 else min(m, n)
    reach = math.sqrt(variance) * _t(freedom)
    ratio = over["median_s"] / under["median_s"]
    return min(math.exp(middle - reach), ratio), max(math.exp(middle + reach), ratio)


@cache
def _t(freedom: int) -> float:
    return t_quantile((1 + CONFIDENCE) / 2, freedom)
