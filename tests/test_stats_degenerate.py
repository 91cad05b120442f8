"""Data on which statistics break: constant, two values, ties, one or two numbers, zeros, one that is far off.

No result is NaN, none is certain of what so few or such equal numbers cannot tell.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.records import ProcessSamples
from harness.report import ratios
from harness.stats import between, correctness, drift, estimate, paired, power, resampled, scan, sequential, slower
from harness.stats.between import RunMiddle

FEW = settings(max_examples=40, deadline=None)
TIMES = st.lists(st.sampled_from([1e-9, 1.0, 1.0, 1.0, 1.0 + 1e-12, 1.25, 2.0, 1e6]), min_size=1, max_size=9)
LOGS = st.lists(st.sampled_from([0.0, 0.0, -0.0, 0.005, 0.005, -0.005, 0.7, -30.0, 30.0]), min_size=1, max_size=9)
SCORES = st.lists(st.sampled_from([0.0, 0.0, 1.0, 1.0, 0.1 + 0.2, 0.3, -7.0]), min_size=1, max_size=9)


def numbers(found: Any) -> Iterator[float]:
    """Every float in a result."""
    if dataclasses.is_dataclass(found):
        for one in dataclasses.fields(found):
            yield from numbers(getattr(found, one.name))
    elif isinstance(found, dict):
        for value in found.values():
            yield from numbers(value)
    elif isinstance(found, (tuple, list)):
        for value in found:
            yield from numbers(value)
    elif isinstance(found, float):
        yield found


def timed(*processes: tuple[int, ...]) -> list[ProcessSamples]:
    """Processes with these samples."""
    return [
        ProcessSamples(
            started_at="", session_ns=1, first_inference_ns=1, warmup_ns=(), samples_ns=one, steady=True, stop="time"
        )
        for one in processes
    ]


@FEW
@given(TIMES)
def test_intervals_of_processes_hold_their_median_and_are_numbers(times: list[float]) -> None:
    """Of two or more; one process says what its samples say."""
    if len(times) > 1:
        low, high = estimate.across(times)
        assert 0 < low <= statistics.median(times) <= high < math.inf
        wider = estimate.across(times, drift=0.1, paces=times)
        assert wider[0] < low * 1.000001
        assert wider[1] > high * 0.999999
        assert 0 <= estimate.trusted(times) < math.inf or max(times) / min(times) > 2
        if len(set(times)) > 1 and len(times) > 2:
            assert low < high
    low, high = estimate.median_interval(times)
    assert min(times) <= low <= high <= max(times)


@FEW
@given(
    st.lists(
        st.lists(st.sampled_from([0, 0, 1000, 1000, 5000, 10**9]), min_size=1, max_size=25), min_size=1, max_size=5
    )
)
def test_a_latency_is_a_positive_number_within_an_interval_that_has_a_width(processes: list[list[int]]) -> None:
    """Whatever a clock says, zeros included."""
    found = estimate.latency(timed(*map(tuple, processes)), ci_width=0.02)
    assert 0 < found.ci95_low_s < found.median_s < found.ci95_high_s < math.inf
    assert not any(map(math.isnan, numbers(found)))


def test_processes_that_agree_to_the_tick_agree_no_better_than_that() -> None:
    """A clock that ticks in 5 us, five processes with the same median: the truth may be a tick away."""
    ticking = timed(*[(100_000, 105_000, 100_000, 95_000, 100_000)] * 5)
    found = estimate.latency(ticking, ci_width=0.02)
    assert 5_000 == estimate.tick([sorted(one.samples_ns) for one in ticking])
    assert (100e-6 / 1.05, 100e-6 * 1.05) == pytest.approx((found.ci95_low_s, found.ci95_high_s))
    assert "time" == found.stop
    fine = estimate.latency(timed(*[tuple(range(100_000, 100_200))] * 5), ci_width=0.02)
    assert fine.ci95_high_s - fine.ci95_low_s < 5e-9
    assert "precise" == fine.stop


def test_samples_that_are_all_the_same_say_no_more_than_their_size() -> None:
    """Of twenty or more the clock is coarser than they are apart; half or twice as much is not excluded."""
    same = estimate.latency(timed(*[(1_000_000,) * 5] * 4), ci_width=0.02)
    assert (0.5e-3, 2e-3) == pytest.approx((same.ci95_low_s, same.ci95_high_s))
    assert "time" == same.stop
    few = estimate.latency(timed((1_000_000,) * 19), ci_width=0.02)
    assert few.ci95_high_s == pytest.approx(1e-3, rel=1e-5)
    nothing = estimate.latency(timed(*[(0,) * 25] * 3), ci_width=0.02)
    assert 0 < nothing.ci95_low_s < nothing.ci95_high_s == pytest.approx(2e-9)


def test_two_cases_that_differ_by_less_than_a_tick_are_not_told_apart() -> None:
    """100 and 105 us on a clock that ticks in 5 us, all processes alike; 100 and 200 us are."""
    sides = {
        us: dataclasses.asdict(
            estimate.latency(timed(*[(us * 1000, us * 1000 + 5000, us * 1000) * 3] * 5), ci_width=0.02)
        )
        for us in (100, 105, 200)
    }
    close = ratios.interval(sides[105], sides[100])
    assert close is not None
    assert close[0] < 1 < close[1]
    apart = ratios.interval(sides[200], sides[100])
    assert apart is not None
    assert 1 < apart[0] <= 2 <= apart[1]


@FEW
@given(LOGS)
def test_the_gate_judges_any_pairs_without_a_nan_and_is_never_certain_of_few(logs: list[float]) -> None:
    """Fewer than six pairs have no bounds; nothing is confirmed on fewer than six."""
    found = paired.ratio_interval(logs)
    assert 0 <= found.low <= found.ratio * (1 + 1e-12)
    assert found.ratio <= found.high * (1 + 1e-12)
    assert found.bounded == (len(logs) >= 6)
    screened = paired.screen(logs, margin=0.01)
    assert 0 < screened.p <= 1
    seen = paired.detectable(logs)
    assert seen > 0
    confirmed = paired.confirm({"a": logs}, directions={"a": screened.direction}, margin=0.01, planned=20)["a"]
    assert len(logs) >= 6 or not confirmed.significant
    verdict = paired.judge(screened, confirmed, interval=found, seen=seen, margin=0.01)
    for one in (found, screened, confirmed):
        assert not any(map(math.isnan, numbers(one)))
    assert "inf" not in verdict.reason
    assert "nan" not in verdict.reason
    if not any(logs):
        assert not screened.flagged
        assert "regression" != verdict.verdict
    assert 0 < sequential.signed_rank_p(logs, planned=20) <= 1


def test_pairs_that_are_all_the_same_are_no_evidence_of_less_than_the_smallest_change() -> None:
    """A tick more in each of 28 pairs, a constant difference below 1%, is neither flagged nor confirmed."""
    logs = [math.log(201 / 200)] * 20
    assert not paired.screen(logs).flagged
    assert not paired.confirm({"a": logs}, directions={"a": "slower"})["a"].significant
    assert math.inf == paired.detectable(logs[:2])
    assert power.smallest_effect(0.0) == pytest.approx(0.01)


@FEW
@given(SCORES, st.sampled_from([0.0, 0.1, -1.0]))
def test_the_interval_of_a_drop_is_never_certain_of_a_difference_that_it_saw_once(
    base: list[float], gap: float
) -> None:
    """Every example differs by as much, rounding aside: how much others differ is not known."""
    found = correctness.bootstrap_drop(base, [one - gap for one in base])
    assert gap == pytest.approx(found.value)
    assert found.low < found.value - 0.05 / len(base)
    assert found.high > found.value + 0.05 / len(base)
    assert not any(map(math.isnan, numbers(found)))
    other = correctness.bootstrap_drop(base, base[::-1], resamples=500)
    assert other.low < other.high
    assert not any(map(math.isnan, numbers(other)))


@pytest.mark.parametrize("n", [1, 2, 5, 30])
@pytest.mark.parametrize("right", ["none", "one", "all"])
def test_intervals_of_shares_have_a_width(n: int, right: str) -> None:
    """None right, one, all; one example, two."""
    base = [True] * n
    head = [right == "all" or (right == "one" and place == 0) for place in range(n)]
    found = correctness.right_drop(base, head)
    assert found.low < found.high
    assert found.low <= found.value <= found.high
    low, high = correctness.wilson(sum(head), n)
    assert 0 <= low < high <= 1
    assert not any(map(math.isnan, numbers(found)))


@pytest.mark.parametrize(
    ("values", "differing"),
    [([1.0] * 30, 0), ([0.5] * 30, 30), ([1.0], 0), ([0.0, 0.0], 2), ([1.0, 0.0] * 10, 20)],
    ids=["all right", "all alike", "one", "two", "mixed"],
)
def test_a_statistic_that_no_resample_changes_has_no_interval(values: list[float], differing: int) -> None:
    """It is absent, not of width zero; that of the difference is what so many examples cannot exclude."""
    held = np.array(values)
    found = resampled.difference(
        lambda drawn: (float(held[drawn].mean()), 1.0), len(values), differing=differing, resamples=200
    )
    assert found.difference_low < found.difference_high
    if len(set(values)) == 1:
        assert (None, None) == (found.low, found.high)
    else:
        assert found.low is not None
        assert found.high is not None
        assert found.low < found.value < found.high
    nowhere = resampled.difference(
        lambda drawn: (1.0 if list(drawn) == list(range(len(values))) else math.nan, 0.5), len(values), differing=9
    )
    assert nowhere.difference_low < 0.5 * (-1) < nowhere.difference_high


@FEW
@given(st.lists(st.sampled_from([1.0, 1.0, 1.0, 1.25, 1e-9, 1e6]), min_size=3, max_size=12), st.integers(1, 12))
def test_a_history_of_any_numbers_is_searched(values: list[float], repeats: int) -> None:
    """Constant ones have no change; what is found has a ratio that is a number."""
    series = (values * repeats)[:40]
    found = scan.scan({"a": series, "b": [1.0] * 40})
    assert () == found["b"].changes
    assert not any(math.isnan(one) for one in numbers([*found["a"].changes]))
    if len(set(series)) == 1:
        assert () == found["a"].changes


def test_drifts_of_constant_series_are_none() -> None:
    """Neither correlated nor moved together."""
    logs = {name: np.zeros(20) for name in "abcdef"}
    assert {} == drift.moved_together(logs, dict.fromkeys(logs, "host"))
    for correlation, why in drift.correlations(logs, dict.fromkeys(logs, ()), {}).values():
        assert 0 <= correlation <= 1
        assert "" == why


def test_runs_without_a_spread_are_apart_or_not() -> None:
    """Two that are the same are; others are as far as can be."""
    one = RunMiddle(middle=0.0, error=0.0, n=5)
    assert 0.0 == between.half_widths(one, one)
    assert math.inf == between.half_widths(one, dataclasses.replace(one, middle=0.1))


def test_two_rounds_that_are_all_the_same_bound_a_factor_by_itself() -> None:
    """Without a spread the bound is the ratio; a difference in one round alone bounds nothing."""
    assert slower.at_least([2.0, 2.0], [1.0, 1.0]) == pytest.approx(2.0)
    assert slower.at_least([2.0, 4.0], [1.0, 1.0]) < 1
