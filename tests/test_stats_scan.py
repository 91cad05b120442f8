"""harness.stats.scan and changes: textbook definitions by hand, false alarms and power by simulation."""

from __future__ import annotations

import itertools
import math
import statistics
import time

import numpy as np
import pytest
from scipy import stats

from harness.stats import changes, drift, scan, strength


def latencies(seed: int, rows: int, n: int, phi: float = 0.0) -> list[list[float]]:
    """Rows of latencies with 2% noise whose neighbours correlate by phi."""
    noise = np.random.default_rng(seed).normal(0, 0.02, (rows, n))
    for index in range(1, n):
        noise[:, index] += phi * noise[:, index - 1]
    found: list[list[float]] = (0.01 * np.exp(noise)).tolist()
    return found


def stepped(values: list[float], at: int, ratio: float) -> list[float]:
    """The values, slower by a ratio from one point on."""
    return [value * ratio if index >= at else value for index, value in enumerate(values)]


# --- the statistic -------------------------------------------------------------------------------


def test_cusum_is_the_textbooks() -> None:
    """S_k sums ranks minus their mean, ends at zero, and is Pettitt's U / 2."""
    values = np.array([3.0, 1.0, 4.0, 1.5, 9.0, 2.6, 5.0])
    sums = strength.cusum(strength.ranks_of(values))
    assert [0, -3, -2, -4, -1, -2, 0] == sums.tolist()
    for k in range(1, 7):
        pettitt = sum(math.copysign(1, values[j] - values[i]) for i in range(k) for j in range(k, 7))
        assert -pettitt / 2 == sums[k - 1]


def test_ranks_share_ties() -> None:
    """Midranks, as scipy gives them."""
    values = [2.0, 1.0, 2.0, 5.0, 2.0, 1.0]
    assert stats.rankdata(values).tolist() == strength.ranks_of(np.array(values)).tolist()


@pytest.mark.parametrize(("n", "k"), [(8, 3), (8, 4), (11, 5), (40, 3), (40, 12)])
def test_tail_of_every_place_is_the_exact_rank_sum_test(n: int, k: int) -> None:
    """Each |S_k| has the two-sided tail of Mann and Whitney's exact test."""
    order = np.random.default_rng(n + k).permutation(np.arange(1.0, n + 1))
    first, second = np.split(np.concatenate([np.sort(order[:k]), order[k:]]), [k])
    expected = stats.mannwhitneyu(first, second, method="exact").pvalue
    size = abs(strength.cusum(order)[k - 1])
    found = strength.surprise(n, np.array([float(k)]), np.array([2.0 * size]))
    assert float(expected) == pytest.approx(10.0 ** -float(found[0]), rel=1e-6)


def test_tail_of_large_groups_is_close_to_exact() -> None:
    """The normal tail takes over beyond twelve points on the smaller side."""
    order = np.concatenate([np.arange(8, 28), np.arange(1, 8), np.arange(28, 41)]).astype(float)
    expected = stats.mannwhitneyu(order[:18], order[18:], method="exact").pvalue
    size = abs(strength.cusum(order)[17])
    found = 10.0 ** -float(strength.surprise(40, np.array([18.0]), np.array([2 * size]))[0])
    assert float(expected) == pytest.approx(found, rel=0.1, abs=0.01)


def test_tail_of_large_groups_is_corrected_for_continuity() -> None:
    """Near the middle the normal tail is right to a few thousandths, which half a rank would spoil."""
    order = np.random.default_rng(6).permutation(np.arange(1.0, 41))
    expected = stats.mannwhitneyu(order[:18], order[18:], method="exact").pvalue
    assert 0.2 < expected < 0.8
    size = abs(strength.cusum(order)[17])
    found = 10.0 ** -float(strength.surprise(40, np.array([18.0]), np.array([2 * size]))[0])
    assert float(expected) == pytest.approx(found, abs=0.006)


def test_p_value_equals_all_orders_tried() -> None:
    """Of all 40320 orders of eight points, as many are as extreme as the permutation p-value says."""
    every = np.array(list(itertools.permutations(range(1, 9))), dtype=float)
    strengths, _ = strength.strength(every)
    for row in ([1, 2, 3, 4, 5, 6, 7, 8], [2, 1, 3, 7, 4, 8, 6, 5], [5, 1, 8, 2, 7, 3, 6, 4]):
        (found,) = changes.places([[float(x) for x in row]])
        own, _ = strength.strength(np.array(row, dtype=float))
        assert float((strengths >= own - 1e-9).mean()) == pytest.approx(found.p, abs=0.012)


def test_p_values_do_not_end_at_the_number_of_orders() -> None:
    """A clear change among thousands of series needs a p-value below one in ten thousand."""
    (found,) = changes.places([stepped(latencies(1, 1, 100)[0], 60, 1.2)])
    assert 60 == found.index
    assert 0 < found.p < 1e-12


def test_p_values_are_uniform_without_change() -> None:
    """Within the error of 3000 series, 5% fall below 5% and 1% below 1%."""
    ps = [place.p for place in changes.places(latencies(2, 3000, 30))]
    assert pytest.approx(0.05, abs=0.013) == statistics.fmean(p <= 0.05 for p in ps)
    assert pytest.approx(0.01, abs=0.006) == statistics.fmean(p <= 0.01 for p in ps)


@pytest.mark.parametrize(("before", "after"), [(5, 5), (40, 3), (3, 20), (30, 30)])
def test_step_interval_holds_the_truth(before: int, after: int) -> None:
    """At least 95% of intervals hold a true step, heavy tails included."""
    rows = np.random.default_rng(3).standard_t(3, (800, before + after))
    rows[:, before:] += 1.5
    found = [changes.step_interval(row[:before], row[before:], 0.95) for row in rows.tolist()]
    held = statistics.fmean(low <= 1.5 <= high for _, low, high in found)
    assert held > 0.935


def test_step_interval_leaves_out_what_the_tables_say() -> None:
    """Five against five: U = 2 is the critical value at 95%, so two of the 25 differences fall away on each side."""
    before, after = [0.0, 1.0, 2.1, 3.3, 4.6], [10.0, 20.7, 31.1, 43.0, 52.9]
    differences = sorted(b - a for a in before for b in after)
    assert [differences[12], differences[2], differences[-3]] == pytest.approx(
        changes.step_interval(before, after, 0.95)
    )


def test_step_of_too_few_points_is_not_bounded() -> None:
    """Three against three: even the most extreme order happens once in ten."""
    assert (1.0, -math.inf, math.inf) == changes.step_interval([0.0, 0.1, 0.2], [1.0, 1.1, 1.2], 0.95)


# --- the scan ------------------------------------------------------------------------------------


def test_a_change_is_found_where_it_happened_and_sized() -> None:
    """+10% from point 30 on."""
    found = scan.scan({"a": stepped(latencies(4, 1, 50)[0], 30, 1.1)})["a"]
    (change,) = found.changes
    assert 30 == change.index
    assert change.low < 1.1 < change.high
    assert pytest.approx(1.1, abs=0.02) == change.ratio
    assert pytest.approx(1.1, abs=0.03) == change.after / change.before
    assert change.p <= change.adjusted < 0.05


def test_several_changes_are_found() -> None:
    """Slower by 10% at 40, fixed at 80."""
    values = stepped(stepped(latencies(5, 1, 120)[0], 40, 1.1), 80, 1 / 1.1)
    found = scan.scan({"a": values})["a"].changes
    assert [40, 80] == [change.index for change in found]
    assert found[0].ratio > 1 > found[1].ratio


def test_four_points_after_a_change_are_enough_and_two_are_not() -> None:
    """A clear +20%: the newest four points suffice on a host of which little is known, two could be a bad day."""
    values = latencies(6, 1, 40)[0]
    assert [36] == [change.index for change in scan.scan({"a": stepped(values, 36, 1.2)})["a"].changes]
    late = scan.scan({"a": stepped(values, 38, 1.2)})["a"].changes
    assert all(change.index <= 37 for change in late)
    assert () == scan.scan({"a": stepped(values, 39, 1.2)})["a"].changes


def test_false_findings_stay_rare_over_many_series() -> None:
    """Nothing changed in 400 series: Benjamini and Hochberg leave next to nothing."""
    found = scan.scan({str(i): row for i, row in enumerate(latencies(7, 400, 50))})
    assert sum(bool(one.changes) for one in found.values()) <= 2
    assert sum(bool(one.abstained) for one in found.values()) <= 30


def test_most_changes_are_found_over_many_series() -> None:
    """+5% halfway in 20 of 200 series."""
    rows = latencies(8, 200, 60)
    found = scan.scan({str(i): stepped(row, 30, 1.05) if i < 20 else row for i, row in enumerate(rows)})
    assert sum(bool(found[str(i)].changes) for i in range(20)) >= 17
    assert sum(bool(found[str(i)].changes) for i in range(20, 200)) <= 3


def test_a_drifting_series_is_not_judged() -> None:
    """Neighbours that correlate by 0.7 would be called changes again and again."""
    found = scan.scan({str(i): row for i, row in enumerate(latencies(9, 100, 100, phi=0.7))})
    assert sum(bool(one.changes) for one in found.values()) <= 5
    rows = {str(i): row for i, row in enumerate(latencies(9, 100, 100, phi=0.9))}
    together = scan.scan(rows, kinds=dict.fromkeys(rows, "host"))
    assert sum("the host drifted" in one.abstained for one in together.values()) >= 90


def test_a_step_of_five_percent_among_many_series_is_judged() -> None:
    """In none of 12 draws is the series that changed, or more than one in 40 of the others, taken for a drift."""
    for seed in range(12):
        rows = {str(i): row for i, row in enumerate(latencies(seed, 40, 20))}
        rows["0"] = stepped(rows["0"], 8 + seed % 5, 1.05)
        found = scan.scan(rows, any_false=0.025, kinds=dict.fromkeys(rows, "host"))
        assert "" == found["0"].abstained
        assert sum(bool(one.abstained) for one in found.values()) <= 1


def test_a_change_alone_is_no_drift() -> None:
    """A large step correlates neighbours as well; once the levels are out, nothing is left of it."""
    rows = latencies(10, 40, 60)
    found = [scan.scan({"a": stepped(row, 25, 1.3)})["a"] for row in rows]
    assert sum(bool(one.abstained) for one in found) <= 4
    assert sum(bool(one.changes) for one in found) >= 36


def test_short_series_say_how_many_points_they_need() -> None:
    """Seven points cannot be significant, whatever they are."""
    found = scan.scan({"a": [1.0, 1.1, 1.0, 1.1, 9.0, 9.1, 9.0], "b": []})
    assert ("7 points; at least 8 are needed", ()) == (found["a"].abstained, found["a"].changes)
    assert "0 points; at least 8 are needed" == found["b"].abstained
    level = [1.0, 1.1, 1.03, 1.02, 1.05, 1.06]
    assert [6] == [c.index for c in scan.scan({"a": [*level, *(9 * value for value in level)]})["a"].changes]


def test_every_step_of_an_exact_series_is_a_change() -> None:
    """Bytes have no noise: the newest commit alone is enough."""
    found = scan.scan({"size": [100, 100, 110], "drop": [0.0, 0.0, 0.01]}, exact={"size", "drop"})
    (size,), (drop,) = found["size"].changes, found["drop"].changes
    assert (2, 100, 110, 0.0) == (size.index, size.before, size.after, size.adjusted)
    assert [1.1] * 3 == pytest.approx([size.ratio, size.low, size.high])
    assert (2, True) == (drop.index, math.isnan(drop.ratio))
    assert () == scan.scan({"size": [5, 5, 5]}, exact=["size"])["size"].changes


def test_a_constant_series_has_no_change() -> None:
    """All points tied: no ranks to speak of, no division by zero."""
    assert scan.Scan() == scan.scan({"a": [2.0] * 30})["a"]


@pytest.mark.parametrize("broken", [math.nan, math.inf, 0.0, -1.0])
def test_broken_values_are_refused(broken: float) -> None:
    """A gap in a history has to be left out, not passed as NaN."""
    with pytest.raises(ValueError, match=r"a: value 2 is .* leave gaps out"):
        scan.scan({"a": [1.0, 1.0, broken]})


def test_fdr_is_checked() -> None:
    """5 is not a share."""
    with pytest.raises(ValueError, match="fdr is 5"):
        scan.scan({}, fdr=5)


def test_adjusted_p_values_are_benjamini_and_hochbergs() -> None:
    """As scipy adjusts them."""
    ps = [0.01, 0.04, 0.03, 0.5, 0.011]
    assert stats.false_discovery_control(ps).tolist() == pytest.approx(scan.benjamini_hochberg(ps))


def test_a_thousand_series_take_seconds() -> None:
    """A thousand histories of 200 points: under ten seconds of processor time."""
    rows = {str(i): row for i, row in enumerate(latencies(11, 1000, 200))}
    start = time.process_time()
    scan.scan(rows)
    assert time.process_time() - start < 10


def test_stopping_early_changes_no_p_value_that_counts() -> None:
    """Orders are made until every series is decided: what is not ignored has the p-value of all of them."""
    rows = latencies(5, 40, 40)
    whole = changes.places(rows)
    for place, early in zip(whole, changes.places(rows, ignore=0.05), strict=True):
        assert place.index == early.index
        assert (place.p if place.p <= 0.05 else 1.0) == early.p


@pytest.mark.parametrize("series", [4, 40])
def test_series_that_moved_together_are_not_judged_without_a_reference(series: int) -> None:
    """A pace that all of them share changed none of them; a change of one is still found, and independent ones are."""
    rng = np.random.default_rng(7)
    pace = np.concatenate([np.zeros(30), np.full(10, 0.05)])
    names = [str(number) for number in range(series)]
    own = {name: rng.normal(0, 0.01, 40) for name in names}
    kinds = dict.fromkeys(names, "latency")
    moved = scan.scan({name: np.exp(noise + pace).tolist() for name, noise in own.items()}, kinds=kinds, unpaced=names)
    assert all("moved together" in found.abstained for found in moved.values())
    one = {name: np.exp(noise + (4 * pace if name == "0" else 0.0)).tolist() for name, noise in own.items()}
    found = scan.scan(one, kinds=kinds, unpaced=names)
    assert not any("moved together" in each.abstained for each in found.values())
    assert [30] == [change.index for change in found["0"].changes]


def test_independent_series_rarely_look_as_if_they_moved_together() -> None:
    """Neighbours that correlate by 0.6 within each series do not make a shared pace: 2 of 100 groups at most."""
    rng = np.random.default_rng(6)
    seen = 0
    for _ in range(100):
        rows = rng.normal(0, 0.02, (10, 40))
        for place in range(1, 40):
            rows[:, place] = 0.6 * rows[:, place - 1] + 0.8 * rows[:, place]
        logs = {str(number): row for number, row in enumerate(rows)}
        seen += bool(drift.moved_together(logs, dict.fromkeys(logs, "latency")))
    assert seen <= 2
