"""Intervals of ratios."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from harness.report.compare import compare
from harness.report.figures.across import SAME
from harness.report.figures.across import ratios as heat_map
from harness.report.ratios import interval
from harness.stats import estimate


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


def of(medians: list[float]) -> dict[str, Any]:
    """A latency as it is stored of processes with these medians."""
    low, high = estimate.across(medians)
    return {
        "median_s": statistics.median(medians),
        "ci95_low_s": low,
        "ci95_high_s": high,
        "processes": len(medians),
    }


NOISES: dict[str, Callable[[random.Random], float]] = {
    "normal": lambda rng: rng.gauss(0.0, 0.03),
    "outliers": lambda rng: rng.gauss(0.0, 0.018) + (rng.choice((-0.08, 0.08)) if rng.random() < 0.1 else 0.0),
}


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("processes", [5, 10, 20])
def test_the_interval_holds_the_truth_as_promised(noise: str, processes: int) -> None:
    """The true ratio is 1.1; whoever compares lists gets the same interval."""
    rng = random.Random(11)
    draw = NOISES[noise]
    held, times = 0, 2000
    for _ in range(times):
        over = of([1.1 * math.exp(draw(rng)) for _ in range(processes)])
        under = of([math.exp(draw(rng)) for _ in range(processes)])
        low, high = interval(over, under) or (0.0, 0.0)
        assert low <= over["median_s"] / under["median_s"] <= high
        held += low <= 1.1 <= high
    assert 0.93 <= held / times <= 0.985


def test_lists_of_skewed_sides_have_the_same_interval() -> None:
    """Medians that are not the middle of their intervals: one process of each side is far off."""
    over, under = of([1.0, 1.01, 1.02, 1.03, 1.6]), of([2.0, 2.01, 2.02, 1.2, 2.03])
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
    found = compare(*frames).iloc[0]
    assert pytest.approx((found["low"], found["high"])) == interval(over, under)
    assert found["low"] <= found["ratio"] <= found["high"]


def test_cells_without_a_change_are_grey() -> None:
    """Grey: the interval holds 1 or is absent, or the change is at most 1%. Percent with one decimal stands in all."""
    ends = {
        "slower": (1.10, 1.05, 1.15, "slower"),
        "unsure": (1.10, 0.99, 1.22, "same"),
        "small": (1.008, 1.006, 1.010, "same"),
        "unknown": (1.25, None, None, "unjudged"),
        "one of many": (0.95, 0.92, 0.98, "same"),
    }
    frame = pd.DataFrame(
        {
            "case": name,
            "model": "m",
            "variant": name,
            "target": "cpu",
            "median_s": 1.0,
            "median_s_before": 1.0,
            **dict(zip(("ratio", "low", "high", "verdict"), values, strict=True)),
        }
        for name, values in ends.items()
    )
    cells = heat_map(frame)["data"][0]
    found = {name: (z[0], text[0]) for name, z, text in zip(cells["y"], cells["z"], cells["text"], strict=True)}
    assert {"m/unsure": (0, "+10.0%"), "m/small": (0, "+0.8%"), "m/unknown": (0, "+25.0%?")} == {
        name: found[name] for name in ("m/unsure", "m/small", "m/unknown")
    }
    assert found["m/slower"][0] == pytest.approx(math.log2(1.10), rel=1e-4)
    assert "<b>+10.0%</b>" == found["m/slower"][1]
    assert found["m/one of many"][0] == pytest.approx(math.log2(0.95), rel=1e-4)
    assert "-5.0%" == found["m/one of many"][1]
    middle = [place for place, colour in cells["colorscale"] if colour == SAME]
    assert pytest.approx([0.5, math.log2(1.01)]) == [sum(middle) / 2, (middle[1] - middle[0]) * cells["zmax"]]
    ticks = cells["colorbar"]["ticktext"]
    assert any("1%" in text for text in ticks)
    # Where the legend is low, its rule of three lines has no room beside ticks halfway.
    twice = pd.concat([frame, frame.assign(variant=frame["variant"] + "2")])
    assert (3, 5) == (len(ticks), len(heat_map(twice)["data"][0]["colorbar"]["ticktext"]))
