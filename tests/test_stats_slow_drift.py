"""What rounds tell of a slow drift of the host."""

from __future__ import annotations

import itertools
import math
import random
import statistics

import pytest

from harness.stats import estimate, slow_drift

Paces = list[dict[int, float]]


def paces(levels: list[float], cases: int = 20, spread: float = 0.01) -> Paces:
    """Logarithms of the reference workload by case and round."""
    rng = random.Random(5)
    own = [rng.gauss(0, 0.5) for _ in range(cases)]
    return [{number: rng.gauss(level + one, spread) for number, level in enumerate(levels)} for one in own]


def test_a_slow_drift_is_what_distant_rounds_vary_more_than_neighbours() -> None:
    """By hand, without noise: variance of 0 to 4% in steps of 1% is 2.5e-4, of neighbours 0.5e-4."""
    found = slow_drift.variance(paces([0.0, 0.01, 0.02, 0.03, 0.04], spread=0.0))
    assert found == pytest.approx(min(5 * 2e-4, 2 * 2.5e-4))
    found = slow_drift.variance(paces([0.0, 0.03, 0.01, 0.04, 0.02], spread=0.0))  # neighbours differ most
    assert found == pytest.approx(2.5e-4 / 6)


@pytest.mark.parametrize(
    "found",
    [
        [],
        [{}] * 9,
        paces([0.0] * 5),
        paces([0.0, 0.1]),
        paces([0.0, 0.02, 0.04, 0.06], cases=5),
        paces([0.0] * 5, spread=0.0),
    ],
    ids=["nothing", "no reference", "calm", "two rounds", "five cases", "exact"],
)
def test_without_a_drift_or_the_rounds_to_see_one_nothing_is_added(found: Paces) -> None:
    """No more than the processes say themselves."""
    assert 0.0 == slow_drift.variance(found)


def test_cases_that_stop_early_make_no_drift() -> None:
    """The reference is slower beside some cases: that those end after two rounds does not move the host."""
    slow = [{number: value + 0.2 for number, value in one.items() if number < 2} for one in paces([0.0] * 5)]
    assert 0.0 == slow_drift.variance([*paces([0.0] * 5), *slow])


def test_a_burst_in_some_processes_of_a_round_is_no_drift() -> None:
    """A third of one round meets a neighbour."""
    found = paces([0.0] * 5)
    for one in found[::3]:
        one[2] += 0.3
    assert 0.0 == slow_drift.variance(found)


def test_where_a_drift_lasts_as_long_as_a_sweep_its_variance_gives_the_interval_back_what_it_lacks() -> None:
    """Of 200 sweeps on a host that wanders by 4%: far more intervals hold the long-run level, and most of them do."""
    rng = random.Random(12)
    keep = math.exp(-1 / 5)
    alone: list[bool] = []
    stored: list[bool] = []
    for _ in range(200):
        levels = [rng.gauss(0, 0.04)]
        for _ in range(4):
            levels.append(keep * levels[-1] + math.sqrt(1 - keep**2) * rng.gauss(0, 0.04))
        drift = slow_drift.variance([{n: rng.gauss(one, 0.01) for n, one in enumerate(levels)} for _ in range(30)])
        times = [math.exp(rng.gauss(one, 0.02)) for one in levels]
        for found, more in ((alone, 0.0), (stored, drift)):
            low, high = estimate.across(times, drift=more)
            found.append(low <= 1 <= high)
    assert statistics.fmean(alone) < 0.8
    assert statistics.fmean(stored) > statistics.fmean(alone) + 0.1


def test_more_drift_is_a_wider_interval_about_the_same_middle() -> None:
    """Of the same processes."""
    found = [estimate.across([1.0, 1.1, 1.21], drift=drift) for drift in (0.0, 0.001, 0.01)]
    for (low, high), (lower, higher) in itertools.pairwise(found):
        assert lower < low
        assert high < higher
        assert low * high == pytest.approx(lower * higher)
