"""harness.stats.estimate, against scipy where scipy knows the answer."""

from __future__ import annotations

import math
import random
import statistics
from array import array

import pytest
from scipy import stats

from benchmarks import drift
from harness.records import ProcessSamples
from harness.stats import between, estimate


def process(samples: list[int], warmup: tuple[int, ...] = ()) -> ProcessSamples:
    """A process with these samples."""
    return ProcessSamples(
        started_at="2026-01-01T00:00:00.000+00:00",
        session_ns=1,
        first_inference_ns=1,
        warmup_ns=warmup,
        samples_ns=tuple(samples),
        steady=True,
        stop="time",
    )


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 9, 10, 30])
@pytest.mark.parametrize("probability", [0.9, 0.975, 0.995])
def test_t_quantile_equals_scipy(freedom: int, probability: float) -> None:
    """The finite sums give Student's t for odd and even degrees of freedom."""
    assert float(stats.t.ppf(probability, freedom)) == pytest.approx(
        estimate.t_quantile(probability, freedom), rel=1e-9
    )


@pytest.mark.parametrize("n", [6, 7, 20, 50, 99, 500, 999])
def test_median_interval_is_the_tightest_that_holds_the_confidence(n: int) -> None:
    """The ranks are those of the binomial distribution: one rank further in would fall below 95%."""
    low, high = estimate.median_interval(range(1, n + 1))
    rank = int(low)
    assert n + 1 == low + high
    assert 1 - 2 * float(stats.binom.cdf(rank - 1, n, 0.5)) >= 0.95
    assert 1 - 2 * float(stats.binom.cdf(rank, n, 0.5)) < 0.95


def test_median_interval_of_thousands_agrees_with_the_exact_one() -> None:
    """From 1000 values on a normal approximation takes over; it may differ by a rank."""
    low, _ = estimate.median_interval(range(1, 2001))
    assert float(stats.binom.ppf(0.025, 2000, 0.5)) == pytest.approx(low, abs=1.5)


def test_median_interval_of_few_values_is_their_range() -> None:
    """Five values cannot hold the median with 95%: nothing narrower than the range is claimed."""
    assert (1, 9) == estimate.median_interval([3, 1, 9, 4, 5])


def test_median_interval_needs_a_value() -> None:
    """No values, no interval."""
    with pytest.raises(ValueError, match="no values"):
        estimate.median_interval([])


def test_interval_across_processes_covers_as_promised() -> None:
    """Processes differ by 3% and agree within: 95% intervals must hold the truth about 95 times in 100."""
    rng = random.Random(7)
    hits = 0
    for _ in range(1000):
        low, high = estimate.across([math.exp(rng.gauss(0.0, 0.03)) for _ in range(5)])
        hits += low <= 1.0 <= high
    assert 930 <= hits <= 975


def test_pooling_samples_would_have_been_dishonest() -> None:
    """Processes that disagree give a wide interval, however many samples each has and however well those agree."""
    processes = [process([base + i for i in range(1000)]) for base in (100_000, 110_000, 120_000)]
    found = estimate.latency(processes, ci_width=0.02)
    assert found.ci95_low_s < 100e-6
    assert found.ci95_high_s > 120e-6
    assert "time" == found.stop


def test_latency_reports_median_of_medians_and_counts() -> None:
    """Median, mean, minimum and counts come from the samples; warm-up is counted and kept out."""
    processes = [process([100, 200, 300], (5, 5)), process([200, 200, 200], (5,)), process([300, 300, 900])]
    found = estimate.latency(processes, ci_width=0.02)
    assert 200e-9 == pytest.approx(found.median_s)
    assert statistics.fmean([200, 200, 500]) / 1e9 == pytest.approx(found.mean_s)
    assert 100e-9 == pytest.approx(found.min_s)
    assert (9, 3, 3) == (found.n, found.processes, found.warmup_n)


def test_interval_always_holds_the_reported_median() -> None:
    """One process that is far off moves the mean of the logarithms away from the median."""
    low, high = estimate.across([1.0] * 9 + [50.0])
    assert low <= 1.0 <= high


@pytest.mark.parametrize(("rank", "fewest"), [(90, 64), (95, 130), (99, 662)])
def test_percentiles_are_absent_below_their_sample_count(rank: int, fewest: int) -> None:
    """One sample too few: no guess. With just enough it is the largest of them, which plain ranks are not."""
    assert estimate.percentile([range(fewest - 1)], rank) is None
    assert fewest - 1 == estimate.percentile([range(fewest)], rank)
    assert math.ceil(rank / 100 * fewest) - 1 < fewest - 1


@pytest.mark.parametrize("rank", [90, 95, 99])
@pytest.mark.parametrize("n", [64, 100, 129, 130, 661, 662, 1000, 1001, 24_576, 270_336])
def test_discards_are_those_of_the_binomial_distribution(rank: int, n: int) -> None:
    """The largest t for which P(Binomial(n, 1 - p) <= t) is at most 1%, by scipy; MLPerf's own minimum is one."""
    beyond = 1 - rank / 100
    expected = int(stats.binom.ppf(0.01, n, beyond))
    while stats.binom.cdf(expected, n, beyond) > 0.01:
        expected -= 1
    assert (expected if expected >= 1 else None) == estimate.discards(n, rank)


@pytest.mark.parametrize(("rank", "n", "held"), [(90, 64, 64), (90, 100, 98), (90, 1000, 923), (99, 662, 662)])
def test_the_bound_is_an_order_statistic(rank: int, n: int, held: int) -> None:
    """Counted from one: t - 1 samples are larger, as LoadGen discards them; above the plain rank throughout."""
    assert held == estimate.percentile([range(1, n + 1)], rank)
    assert held > math.ceil(rank / 100 * n)


def test_the_bound_holds_with_its_confidence() -> None:
    """The true 90th percentile of exponential times is not above it in 99% of 2,000 runs or more."""
    rng = random.Random(3)
    truth = -math.log(0.1)
    held = sum((estimate.percentile([[rng.expovariate(1) for _ in range(200)]], 90) or 0) >= truth for _ in range(2000))
    assert held >= 1980


def test_processes_weigh_the_same() -> None:
    """One slow process of five gave a tenth of the samples of each other one, and is still a fifth of the times."""
    fast, slow = [[1.0] * 1000] * 4, [2.0] * 100
    assert 1.0 == estimate.percentile([[t for process in fast for t in process] + slow], 90)
    assert 2.0 == estimate.percentile([*fast, slow], 90)
    found = estimate.latency([*([process([1000] * 1000)] * 4), process([2000] * 100)], ci_width=0.02)
    assert 1200e-9 == pytest.approx(found.mean_s)
    assert estimate.PERCENTILE_RULE == found.percentile_rule


def test_uneven_processes_say_less() -> None:
    """Two processes of 4 and 996 samples say no more than 16 samples: too few for a 90th percentile."""
    assert estimate.percentile([[1.0] * 4, [1.0] * 996], 90) is None
    assert 1.0 == estimate.percentile([[1.0] * 500, [1.0] * 500], 90)


def test_samples_that_agree_to_the_nanosecond_are_precise() -> None:
    """Processes do not differ, and the clock shows its step: the interval is two steps wide."""
    found = estimate.latency([process([1000, 1001] * 5)] * 3, ci_width=0.02)
    assert "precise" == found.stop
    assert found.ci95_low_s == pytest.approx(1000.5e-9 / (1 + 1 / 1000.5))


def test_the_median_is_never_outside_its_interval() -> None:
    """Also where every process says the same, and the logarithm's rounding would move the ends past it."""
    for ns in (9009, 9010, 123457):
        found = estimate.latency(tuple(process([ns] * 9) for _ in range(5)), 0.02)
        assert found.ci95_low_s <= found.median_s <= found.ci95_high_s


def test_differences_to_believe_are_those_of_two_cases_and_their_drift() -> None:
    """By scipy: half of the t interval of a difference of two means of six, times the drift."""
    medians = [1.00, 1.02, 0.99, 1.01, 1.03, 0.98]
    logs = [math.log(median) for median in medians]
    half = stats.t.ppf(0.975, 10) * statistics.stdev(logs) * math.sqrt(2 / 6)
    assert math.exp(estimate.DRIFT * half) - 1 == pytest.approx(estimate.trusted(medians))
    low, high = estimate.across(medians)
    assert estimate.trusted(medians) > 1.4 * (high - low) / 2


def test_drift_is_what_the_recordings_show() -> None:
    """At least as far as 95% of the pairs of runs in this repository's history lie apart, and not twice as far."""
    found = drift.distances(drift.HISTORY)
    seen = between.at(found, 0.95)
    assert len(found) >= 200
    assert seen <= estimate.DRIFT < 2 * seen


@pytest.mark.parametrize("samples", [[5], [3, 1], [2, 9, 4], [7, 7, 1, 2**53], array("q", [10, 30, 20, 41])])
def test_the_median_of_whole_numbers_is_exact(samples: list[int]) -> None:
    """It is that of the standard library, which is slower."""
    assert statistics.median(samples) == estimate.median(samples)
