"""Intervals of ratios."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from harness.report.compare import compare
from harness.report.ratios import interval


def latency(median: float, half: float, processes: int = 3) -> dict[str, Any]:
    """A latency whose interval reaches as far on both sides, as a factor."""
    return {"median_s": median, "ci95_low_s": median / half, "ci95_high_s": median * half, "processes": processes}


def test_as_the_comparison_has_it() -> None:
    """The same interval as that of whole lists."""
    over, under = latency(0.010, 1.05, 4), latency(0.005, 1.02, 3)
    frames = [
        pd.DataFrame(
            [
                {
                    "case": "a", "weights": "w", "median_s": one["median_s"], "low_s": one["ci95_low_s"],
                    "high_s": one["ci95_high_s"], "processes": one["processes"],
                }
            ]
        )
        for one in (under, over)
    ]  # fmt: skip
    expected = compare(*frames).iloc[0]
    assert pytest.approx((expected["low"], expected["high"])) == interval(over, under)


@pytest.mark.parametrize(
    "other", [latency(0.005, 1.02, 1), {"median_s": 0.005}, latency(0.005, 1.02) | {"ci95_low_s": None}]
)
def test_without_an_interval_of_either_side(other: dict[str, Any]) -> None:
    """One process, or none, says nothing about the spread."""
    assert interval(latency(0.01, 1.05), other) is None
    assert interval(other, latency(0.01, 1.05)) is None


def test_no_spread_at_all() -> None:
    """Processes that agree to the last digit give an interval without width."""
    ends = interval(latency(0.01, 1.0), latency(0.005, 1.0))
    assert ends is not None
    assert all(math.isclose(2.0, end) for end in ends)
