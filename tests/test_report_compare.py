"""Two sides against each other."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from harness.report.compare import compare, judged
from harness.stats.estimate import across


def side(**medians: list[float]) -> pd.DataFrame:
    """A side whose cases have these medians of processes."""
    lines: list[dict[str, Any]] = []
    for case, values in medians.items():
        low, high = across(values) if len(values) > 1 else (values[0] * 0.99, values[0] * 1.01)
        middle = sorted(values)[len(values) // 2]
        lines.append(
            {"case": case, "median_s": middle, "low_s": low, "high_s": high, "processes": len(values), "weights": "w"}
        )
    return pd.DataFrame(lines)


QUIET = [0.99, 1.0, 1.005, 0.995, 1.01]


def test_a_clear_change_is_named_and_sized() -> None:
    """Twice the time, with an interval around it; the same case is the same."""
    found = compare(side(a=QUIET, b=QUIET), side(a=[2 * v for v in QUIET], b=QUIET)).set_index("case")
    assert "slower" == found.loc["a", "verdict"]
    assert 2.0 == pytest.approx(found.loc["a", "ratio"])
    low, high = found[["low", "high"]].to_numpy(float)[0]
    assert low < 2.0 < high
    assert "same" == found.loc["b", "verdict"]


def test_the_interval_is_welchs() -> None:
    """With equal spreads of five processes the degrees of freedom are 8, as a two-sample t-test has them."""
    logs = [math.log(v) for v in QUIET]
    mean = sum(logs) / 5
    error = math.sqrt(sum((x - mean) ** 2 for x in logs) / 4 / 5)
    found = compare(side(a=QUIET), side(a=[1.5 * v for v in QUIET])).iloc[0]
    assert math.log(found["high"] / 1.5) == pytest.approx(2.306 * math.sqrt(2) * error, rel=0.01)


def test_noise_is_no_change() -> None:
    """A difference inside the spread of the processes is the same."""
    noisy = [0.7, 1.0, 1.3, 0.8, 1.2]
    assert ["same"] == compare(side(a=noisy), side(a=[1.1 * v for v in noisy]))["verdict"].tolist()


def test_many_cases_need_more_evidence() -> None:
    """What one comparison alone would call a change is none among a thousand."""
    before, after = [0.99, 1.0, 1.01], [1.03, 1.04, 1.05]
    alone = compare(side(a=before), side(a=after))
    assert "slower" == alone["verdict"][0]
    many = {f"c{i}": before for i in range(1000)}
    found = compare(side(**many), side(**(many | {"c0": after}))).set_index("case")
    assert "same" == found.loc["c0", "verdict"]
    assert alone["low"][0] == pytest.approx(found.loc["c0", "low"])


def test_one_process_is_not_judged() -> None:
    """The spread inside one process says nothing about the next one."""
    assert ["unjudged"] == compare(side(a=[1.0]), side(a=[2.0]))["verdict"].tolist()


def test_other_weights_are_not_compared() -> None:
    """A ratio of two models' latencies is not a change of one."""
    assert compare(side(a=QUIET), side(a=QUIET).assign(weights="other")).empty


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.0, -1.0])
def test_what_is_no_latency_is_left_out(bad: float) -> None:
    """NaN, infinite, zero and negative medians have no ratio."""
    assert compare(side(a=QUIET), side(a=QUIET).assign(median_s=bad)).empty


def test_regressions_come_first_the_largest_on_top() -> None:
    """Then improvements, then the rest."""
    factors = {"same": 1.0, "little": 1.3, "much": 3.0, "faster": 0.5}
    found = compare(
        side(**dict.fromkeys(factors, QUIET)), side(**{n: [f * v for v in QUIET] for n, f in factors.items()})
    )
    assert ["much", "little", "faster", "same"] == found["case"].tolist()


def test_two_empty_sides() -> None:
    """Nothing in common is not an error."""
    assert compare(side(a=QUIET), side(b=QUIET)).empty


def test_values_of_asv_are_judged_by_intervals_that_lie_apart() -> None:
    """The ends of a ratio are those of both intervals; a side of samples counts with its interval at 99%."""
    values = [{"case": "a", "median_s": 1.0, "low_s": 0.9, "high_s": 1.1, "processes": 3, "source": "env"}]
    before = pd.DataFrame(values)

    def judge(after: pd.DataFrame) -> pd.Series[Any]:
        return judged(after.merge(before, on="case", suffixes=("", "_before"))).iloc[0]

    apart = judge(before.assign(median_s=1.5, low_s=1.2, high_s=1.7))
    assert "slower" == apart["verdict"]
    assert (1.2 / 1.1, 1.7 / 0.9) == pytest.approx((apart["low"], apart["high"]))
    assert "same" == judge(before.assign(median_s=1.15, low_s=1.05, high_s=1.2))["verdict"]
    assert "unjudged" == judge(before.assign(low_s=math.nan))["verdict"]
    samples = judge(before.assign(median_s=1.5, low_s=1.4, high_s=1.5 * 1.5 / 1.4, source=""))
    # t(0.995, 2) / t(0.975, 2) = 9.925 / 4.303
    assert 1.5 * (1.4 / 1.5) ** (9.925 / 4.303) / 1.1 == pytest.approx(samples["low"], rel=1e-3)
    assert 0.98 == pytest.approx(samples["confidence"])
