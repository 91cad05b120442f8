"""benchmarks/nights.py and harness.stats: months of nights, the budget of looks, exact bounds of counted shares."""

from __future__ import annotations

import pytest
from scipy.stats import beta

from benchmarks import nights
from harness.stats import binomial, spending


@pytest.mark.parametrize("model", ["independent", "lag-1 correlation 0.3", "host steps, divided"])
def test_unchanged_months_stay_green(model: str) -> None:
    """Eight months of ten series: three red ones would happen once in 170 times at the promised 5%."""
    found = nights.simulated(nights.MODELS[model], 8, series=10, before=30)
    assert found.red <= 2


def test_a_clear_change_is_seen_within_the_month() -> None:
    """+10% at 2% noise, beside nine unchanged series: found in each of four months."""
    found = nights.simulated(nights.MODELS["independent"], 4, series=10, before=30, effect=0.1)
    assert all(night is not None for night in found.nights)


def test_no_thirty_days_spend_more_than_the_budget() -> None:
    """However often somebody looks, once a night or a hundred times; and a nightly look always has something left."""
    for step in (1.0, 0.01):
        spent: list[tuple[float, float]] = []
        for place in range(400):
            spent.append((place * step, spending.level(spent, place * step)))
            last = [level for day, level in spent if place * step - day < spending.DAYS]
            assert sum(last) <= spending.BUDGET + 1e-12
        assert spent[-1][1] > 0
    nightly: list[tuple[float, float]] = []
    for day in range(120):
        nightly.append((float(day), spending.level(nightly, float(day))))
    assert nightly[-1][1] > spending.BUDGET / 60


@pytest.mark.parametrize(("k", "n"), [(0, 16), (3, 100), (100, 100), (59, 60), (1, 3000)])
def test_exact_bounds_are_those_of_the_beta_distribution(k: int, n: int) -> None:
    """Clopper and Pearson's interval, as scipy's quantiles give it."""
    low = 0.0 if k == 0 else beta.ppf(0.025, k, n - k + 1)
    high = 1.0 if k == n else beta.ppf(0.975, k + 1, n - k)
    assert pytest.approx((low, high), abs=1e-9) == binomial.interval(k, n)
