"""What the reference workload tells of a slow drift of the host."""

from __future__ import annotations

import itertools
import math
import random
import statistics

import numpy as np
import pytest
from scipy import stats

from harness.stats import estimate, slow_drift
from harness.stats.slow_drift import PaceMoment


def moments(path: list[float], cases: int = 20, spread: float = 0.01, seed: int = 5) -> list[PaceMoment]:
    """The reference workload beside every process of a sweep in rounds, the host's pace from first to last as given."""
    rng = random.Random(seed)
    own = [rng.gauss(0, 0.5) for _ in range(cases)]
    found = []
    for place, level in enumerate(path):
        number = place % cases
        if number == 0:
            order = rng.sample(range(cases), cases)
        case = order[number]
        found.append(
            PaceMoment(case=str(case), round=place // cases, log_pace=rng.gauss(level + own[case], spread)),
        )
    return found


def wandering(rng: random.Random, steps: int, memory: float, spread: float) -> list[float]:
    """A pace that remembers 1/e of itself after so many processes."""
    keep, found = math.exp(-1 / memory), [rng.gauss(0, spread)]
    for _ in range(steps - 1):
        found.append(keep * found[-1] + math.sqrt(1 - keep**2) * rng.gauss(0, spread))
    return found


@pytest.mark.parametrize(("variance", "keep"), [(4.0, 0.9), (0.1, 0.3)])
def test_the_filter_is_the_likelihood_of_the_whole_path(variance: float, keep: float) -> None:
    """As matrices have it: the long-run level by generalised least squares, and integrated out."""
    levels, noise = [0.1, 0.5, -0.2, 0.9, 1.4, 1.1], 0.2
    n = len(levels)
    apart = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    whole = variance * keep**apart + noise * np.eye(n)
    inverse, ones = np.linalg.inv(whole), np.ones(n)
    weight = ones @ inverse @ ones
    level = ones @ inverse @ levels / weight
    off = np.array(levels) - level
    evidence = -(np.linalg.slogdet(whole)[1] + off @ inverse @ off + math.log(weight)) / 2
    found = slow_drift.possible(levels, noise, variance, keep)
    assert (evidence, level - np.mean(levels), weight**-0.5) == pytest.approx(
        (
            found.evidence,
            found.apart,
            found.error,
        )
    )
    still = slow_drift.possible(levels, noise, 1e-12, keep)
    assert slow_drift.still(levels, noise) == pytest.approx(still.evidence)


@pytest.mark.parametrize(
    "found",
    [
        [],
        moments([0.0] * 100),
        moments([0.0] * 60 + [0.1] * 60, cases=60),
        moments([0.0, 0.02, 0.04, 0.06] * 5, cases=5),
        moments([0.0] * 100, spread=0.0),
        moments([0.01 * number for number in range(18)], cases=6),
    ],
    ids=["nothing", "calm", "two rounds", "five cases", "exact", "too few"],
)
def test_without_a_drift_or_the_processes_to_see_one_nothing_is_added(found: list[PaceMoment]) -> None:
    """No more than the processes say themselves."""
    assert 0.0 == slow_drift.half_width(found)


@pytest.mark.parametrize("spread", [0.0, 0.01])
def test_a_host_that_gets_slower_and_slower_may_be_as_far_from_its_long_run_again(spread: float) -> None:
    """By 10% over the sweep: its own range is too little, and ten times of it was never seen."""
    found = slow_drift.half_width(moments([0.001 * place for place in range(100)], spread=spread))
    assert 0.08 < found < 0.5


def test_cases_that_stop_early_make_no_drift() -> None:
    """The reference is slower beside some cases: that those end after two rounds does not move the host."""
    slow = [
        PaceMoment(case=f"stopped{one.case}", round=one.round, log_pace=one.log_pace + 0.2)
        for one in moments([0.0] * 40)
    ]
    both = sorted([*moments([0.0] * 100), *slow], key=lambda one: one.round)
    assert 0.0 == slow_drift.half_width(both)


def test_a_burst_in_some_processes_of_a_round_is_no_drift() -> None:
    """A third of one round meets a neighbour."""
    path = [0.3 if 40 <= place < 60 and place % 3 == 0 else 0.0 for place in range(100)]
    assert 0.0 == slow_drift.half_width(moments(path))


def test_a_neighbour_who_comes_and_goes_is_not_taken_for_a_drift_that_goes_on() -> None:
    """By a quarter for a fifth of the time: the processes' own spread holds him."""
    path = [0.22 if 40 <= place < 60 or 130 <= place < 150 else 0.0 for place in range(200)]
    assert slow_drift.half_width(moments(path)) < 0.05


@pytest.mark.parametrize(("memory", "least"), [(20.0, 0.9), (150.0, 0.87)])
def test_where_a_drift_lasts_as_long_as_a_sweep_the_interval_gets_back_what_it_lacks(
    memory: float, least: float
) -> None:
    """Of 60 sweeps on a host that wanders by 4%: that few may by chance be a little below what is asked for."""
    rng = random.Random(12)
    alone: list[bool] = []
    stored: list[bool] = []
    for number in range(60):
        path = wandering(rng, 150, memory, 0.04)
        drift = slow_drift.half_width(moments(path, cases=30, seed=number))
        paces = [math.exp(path[place]) for place in range(10, 150, 30)]
        times = [pace * math.exp(rng.gauss(0, 0.02)) for pace in paces]
        for found, more in ((alone, 0.0), (stored, drift)):
            low, high = estimate.across(times, drift=more, paces=paces)
            found.append(low <= 1 <= high)
    assert statistics.fmean(stored) >= least
    assert statistics.fmean(stored) > statistics.fmean(alone)


def test_what_the_host_was_on_earlier_days_says_how_far_today_may_be_off() -> None:
    """Student's t about a level of which today is one; of fewer days nothing."""
    rng = random.Random(3)
    assert 0.0 == slow_drift.over_days(0.0, [0.1] * (slow_drift.LEAST_DAYS - 1))
    days = [0.01, -0.02, 0.03, 0.0, 0.05, -0.01]
    expected = float(stats.t.ppf(0.975, 6)) * statistics.stdev([0.0, *days])
    assert expected == pytest.approx(slow_drift.over_days(0.0, days))
    held = 0
    for _ in range(500):
        today, *others = (rng.choice((-0.1, 0.1, 0.1)) + rng.gauss(0, 0.02) for _ in range(7))
        held += abs(today - 0.1) <= slow_drift.over_days(today, others)
    assert held >= 460


def test_more_drift_is_a_wider_interval_about_the_same_middle() -> None:
    """Of the same processes; never a narrower one, whatever paces say."""
    found = [estimate.across([1.0, 1.1, 1.21], drift=drift) for drift in (0.0, 0.3, 1.0)]
    for (low, high), (lower, higher) in itertools.pairwise(found):
        assert lower < low
        assert high < higher
        assert low * high == pytest.approx(lower * higher)
    assert found[0] == estimate.across([1.0, 1.1, 1.21], drift=0.01, paces=[1.0, 1.1, 1.21])
    assert found[1] == estimate.across([1.0, 1.1, 1.21], drift=0.3, paces=[1.21, 1.0, 1.1])


def test_what_processes_differ_by_with_the_pace_is_not_counted_twice() -> None:
    """All of it is the pace: the drift alone is left, and the interval is as wide as that."""
    times = [1.0, 1.02, 1.04, 1.06, 1.08]
    low, high = estimate.across(times, drift=0.5, paces=times)
    assert math.log(high / low) / 2 == pytest.approx(0.5)
