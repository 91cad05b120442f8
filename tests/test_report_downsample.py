"""Fewer points of long recordings."""

from __future__ import annotations

import statistics

import pytest

from harness.report import downsample


def process(samples: list[int], warmup: list[int] | None = None) -> dict[str, object]:
    """What is stored of a process."""
    return {"first_inference_ns": 1_000, "warmup_ns": warmup or [], "samples_ns": samples}


def test_a_short_recording_is_kept_whole() -> None:
    """Every sample is a point, at its own time after the first inference."""
    warm, own = downsample.timeline([process([10, 20, 30], [5])])
    assert (True, False) == (warm.warmup, own.warmup)
    assert [1.005e-6] == [round(at, 12) for at in warm.at]
    assert [1.015e-6, 1.035e-6, 1.065e-6] == [round(at, 12) for at in own.at]
    assert own.low.tolist() == own.seconds.tolist() == own.high.tolist()


def test_a_long_recording_keeps_its_spikes() -> None:
    """One slow sample of a thousand stays visible, and the level is the median."""
    samples = [100 + i % 3 for i in range(1_001)]
    samples[500] = 9_000
    (own,) = downsample.timeline([process(samples)])
    assert len(own.at) <= downsample.POINTS
    assert 9_000e-9 == own.high.max()
    assert statistics.median(samples) / 1e9 == statistics.median(own.seconds)
    assert round((1_000 + sum(samples)) / 1e9, 12) == round(own.at[-1], 12)


def test_no_process_is_no_point() -> None:
    """A case without numbers has an empty timeline and no quantiles."""
    assert [] == downsample.timeline([])
    assert [] == downsample.timeline([process([])])
    assert [] == downsample.quantiles([])


def test_quantiles_span_the_samples() -> None:
    """From the smallest to the largest, the median in the middle."""
    found = downsample.quantiles([process(list(range(1, 500))), process([500, 501])])
    assert downsample.QUANTILES == len(found)
    assert (1e-9, 501e-9) == (found[0], found[-1])
    assert 251e-9 == round(found[50], 15)


def test_sparklines_have_few_points() -> None:
    """Heights lie between 0 and 100; a flat history is a flat line."""
    assert [0, 50, 100] == downsample.sparkline([1.0, 2.0, 3.0])
    assert [50, 50] == downsample.sparkline([7.0, 7.0])
    assert 40 == len(downsample.sparkline([float(i) for i in range(1000)]))


def test_a_spread_counts_outliers_and_is_not_moved_by_them() -> None:
    """Two of 102 samples took a thousand times as long: counted and named, and the quarters stay."""
    samples = [*range(100, 200), 150_000, 160_000]
    found = downsample.spread([{"samples_ns": samples[:50]}, {"samples_ns": samples[50:]}, {"samples_ns": None}])
    assert found is not None
    assert (102, 2, 160e-6) == (found.n, found.outliers, found.largest)
    assert pytest.approx([125.25e-9, 150.5e-9, 175.75e-9], rel=1e-6) == [found.first, found.median, found.third]
    assert found.low < found.first < found.median < found.third < found.high < 200e-9
    assert downsample.spread([{"samples_ns": []}]) is None
