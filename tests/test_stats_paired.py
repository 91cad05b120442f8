"""harness.stats.paired, ranks and power: against scipy where scipy knows, against simulation where nobody does."""

from __future__ import annotations

import math
import random
import statistics
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.stats import paired, power, ranks
from harness.stats.ratio import Side
from harness.stats.rule import CONFIRM_PAIRS, MIN_EFFECT, SCREEN_PAIRS

SIDES: list[Side] = ["two-sided", "greater", "less"]


def noise(seed: int, n: int, spread: float = 0.02, shift: float = 0.0) -> list[float]:
    """Normal log-ratios around log(1 + shift)."""
    generator = random.Random(seed)
    return [generator.gauss(math.log1p(shift), spread) for _ in range(n)]


def scipy_p(values: list[float], side: str, **options: Any) -> float:
    """Wilcoxon's p by scipy."""
    return float(stats.wilcoxon(values, alternative=side, **options).pvalue)


# --- signed rank ---------------------------------------------------------------------------------


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("n", [1, 2, 5, 8, 20, 50])
def test_signed_rank_equals_scipy(n: int, side: Side) -> None:
    """Exact for untied values of any number of pairs."""
    for seed in range(3):
        values = noise(seed, n, shift=0.01)
        assert scipy_p(values, side, method="exact") == pytest.approx(paired.signed_rank(values, side=side), rel=1e-9)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    "values",
    [
        [1.0, -1.0, 2.0, 2.0, -3.0, 4.0, 4.0, 4.0],
        [0.0, 0.0, 1.0, 2.0, -1.0, 3.0, 3.0],
        [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, -1.0, 2.0],
    ],
)
def test_signed_rank_with_ties_and_zeros_equals_every_sign_tried(values: list[float], side: Side) -> None:
    """Trying all signs (by scipy, with Pratt's zeros) gives the exact answer for ties as well."""
    method = stats.PermutationMethod(n_resamples=10**6)
    expected = scipy_p(values, side, zero_method="pratt", method=method)
    assert expected == pytest.approx(paired.signed_rank(values, side=side), rel=1e-9)


def test_signed_rank_of_many_pairs_is_close_to_exact() -> None:
    """Beyond the exact range the normal approximation takes over without a jump."""
    values = noise(1, ranks.EXACT + 5, shift=0.004)
    assert scipy_p(values, "greater", method="exact") == pytest.approx(
        paired.signed_rank(values, side="greater"), rel=0.05
    )


def test_signed_rank_of_many_pairs_is_corrected_for_continuity() -> None:
    """Near the middle the normal tail is right to four digits, which half a rank would spoil."""
    values = noise(4, ranks.EXACT + 5, shift=0.001)
    expected = scipy_p(values, "greater", method="exact")
    assert expected == pytest.approx(paired.signed_rank(values, side="greater"), abs=5e-4)


def test_margin_is_a_ratio_and_not_a_logarithm() -> None:
    """Numbers symmetric about log(1.5) are not evidence against a margin of 50%."""
    values = [math.log(1.5) + step for step in (-0.02, -0.011, 0.01, 0.021)]
    assert paired.signed_rank(values, 0.5) == 1.0


def test_all_zero_says_nothing() -> None:
    """Equal memory in every pair is not evidence of anything."""
    assert 1.0 == paired.signed_rank([0.0] * 8, side="greater")
    assert not paired.screen([0.0] * 8).flagged


def test_margin_moves_the_null() -> None:
    """A slow-down of 5% is beyond a margin of 3% and not beyond one of 8%."""
    values = noise(2, 20, 0.01, shift=0.05)
    assert paired.signed_rank(values, 0.03, "greater") < 0.01
    assert paired.signed_rank(values, 0.08, "greater") > 0.99
    assert paired.signed_rank(values, 0.03, "greater") == pytest.approx(
        paired.signed_rank([v - math.log(1.03) for v in values], side="greater")
    )


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_broken_numbers_are_refused_by_everything(broken: float) -> None:
    """NaN compares false with all: it would pass through a ranking unseen."""
    values = [0.01, broken, 0.02]
    for call in (paired.ratio_interval, paired.signed_rank, paired.screen, paired.detectable, paired.spread):
        with pytest.raises(ValueError, match="log-ratio 1 is"):
            call(values)
    with pytest.raises(ValueError, match=r"^resnet: log-ratio 1 is"):
        paired.confirm({"resnet": values}, directions={"resnet": "slower"})


def test_no_pairs_are_refused() -> None:
    """No pair, no statement."""
    for call in (paired.ratio_interval, paired.signed_rank, paired.screen, paired.detectable):
        with pytest.raises(ValueError, match="no log-ratios"):
            call([])


@pytest.mark.parametrize("zero", [0, -5])
def test_a_time_of_zero_is_refused(zero: float) -> None:
    """A burst that took no time has no ratio."""
    with pytest.raises(ValueError, match=r"head value 1 is .* above zero"):
        paired.log_ratios([1.0, 2.0], [1.0, zero])


def test_log_ratios_are_head_over_base() -> None:
    """Above zero is slower."""
    assert [math.log(2), -math.log(4)] == pytest.approx(paired.log_ratios([1.0, 8.0], [2.0, 2.0]))
    with pytest.raises(ValueError, match="2 base values and 1 head"):
        paired.log_ratios([1.0, 2.0], [1.0])


# --- interval ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_too_few_pairs_bound_nothing(n: int) -> None:
    """Five pairs cannot hold 95%: no finite interval is claimed."""
    found = paired.ratio_interval(noise(3, n))
    assert (0.0, math.inf, n, False) == (found.low, found.high, found.n, found.bounded)


def test_six_pairs_give_their_range() -> None:
    """With six pairs all Walsh averages are needed: 1 - 2**-5 = 96.9%."""
    values = noise(4, 6)
    found = paired.ratio_interval(values)
    assert found.bounded
    assert [math.exp(min(values)), math.exp(max(values))] == pytest.approx([found.low, found.high])


@given(st.lists(st.integers(-300, 300), min_size=6, max_size=14), st.floats(-0.2, 0.2))
@settings(max_examples=40, deadline=None)
def test_interval_is_the_inverse_of_the_test(numbers: list[int], ratio: float) -> None:
    """Ratios inside are those that the test does not reject at 5%, up to ties."""
    values = [number / 1000 + index * 1e-7 for index, number in enumerate(numbers)]
    found = paired.ratio_interval(values)
    assert found.low <= found.ratio <= found.high
    p = paired.signed_rank(values, ratio)
    if found.low * (1 + 1e-6) < 1 + ratio < found.high * (1 - 1e-6):
        assert p > 0.05
    elif not found.low * (1 - 1e-6) <= 1 + ratio <= found.high * (1 + 1e-6):
        assert p <= 0.05


@pytest.mark.parametrize("kind", ["normal", "t2", "outliers"])
@pytest.mark.parametrize("n", [8, 20])
def test_interval_holds_the_truth_as_often_as_it_says(kind: str, n: int) -> None:
    """Coverage stays at 95% (within the error of 2000 draws) for heavy tails and outliers, too."""
    generator = np.random.default_rng(5)
    draws = generator.standard_t(2, (2000, n)) if kind == "t2" else generator.normal(0, 1, (2000, n))
    if kind == "outliers":
        draws += (generator.random((2000, n)) < 0.1) * generator.normal(0, 8, (2000, n))
    found = [paired.ratio_interval(row) for row in (draws * 0.02 + math.log(1.05)).tolist()]
    held = statistics.fmean(interval.low <= 1.05 <= interval.high for interval in found)
    assert held > 0.937
    assert held < 0.985


def test_an_outlier_hardly_moves_the_ratio() -> None:
    """One pair hit by a neighbour's burst: the mean would move by 4%."""
    values = noise(6, 20, 0.005)
    calm = paired.ratio_interval(values).ratio
    assert calm == pytest.approx(paired.ratio_interval([*values[:-1], 0.8]).ratio, abs=0.002)


def test_confidence_is_checked() -> None:
    """95 is not a confidence."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        paired.ratio_interval([0.1], confidence=95)


# --- screening and confirming --------------------------------------------------------------------


def test_screen_flags_both_directions() -> None:
    """Improvements are flagged, so that they can be confirmed."""
    slower, faster = paired.screen(noise(7, 8, 0.005, 0.05)), paired.screen(noise(7, 8, 0.005, -0.05))
    assert (True, "slower", True, "faster") == (slower.flagged, slower.direction, faster.flagged, faster.direction)
    assert pytest.approx(1.05, abs=0.01) == slower.median


def test_screen_ignores_what_is_too_small_to_matter() -> None:
    """Eight pairs that agree on +0.5% are significant, and not flagged."""
    found = paired.screen([0.005 + 0.0001 * i for i in range(8)])
    assert not found.flagged
    assert found.p < 0.01


def test_screen_with_margin_lets_allowed_slowdowns_be() -> None:
    """+5% under a margin of 8% is fine; an improvement is still found."""
    assert not paired.screen(noise(8, 8, 0.005, 0.05), margin=0.08).flagged
    assert "faster" == paired.screen(noise(8, 8, 0.005, -0.05), margin=0.08).direction
    assert paired.screen(noise(8, 8, 0.005, -0.05), margin=0.08).flagged


def test_margin_does_not_make_noise_an_improvement() -> None:
    """Numbers around -1.5% are far below an allowed +8%, and that is not an improvement."""
    values = [-0.05, 0.03, -0.04, 0.02, -0.032, 0.012, -0.02, 0.005]
    assert not paired.screen([value - 0.005 for value in values], margin=0.08).flagged
    fresh = {"a": [value - 0.003 for value in values * 2]}
    assert not paired.confirm(fresh, directions={"a": "faster"}, margin=0.08)["a"].significant


def test_three_pairs_are_never_flagged() -> None:
    """Three equal signs happen once in four times."""
    assert not paired.screen([0.3, 0.31, 0.32]).flagged


def test_holm_is_the_step_down_rule() -> None:
    """The textbook's example, in the order that was given, never above 1."""
    assert [0.06, 0.06, 0.03, 0.02] == pytest.approx(paired.holm([0.03, 0.04, 0.01, 0.005]))
    assert [1.0, 1.0] == paired.holm([0.9, 0.6])
    assert [] == paired.holm([])


def test_confirm_is_one_sided_in_the_screened_direction() -> None:
    """A case that looked slower and is faster on fresh pairs is neither."""
    cases = {"a": noise(9, 20, 0.01, 0.05), "b": noise(10, 20, 0.01, -0.05)}
    right = paired.confirm(cases, directions={"a": "slower", "b": "faster"})
    wrong = paired.confirm(cases, directions={"a": "faster", "b": "slower"})
    assert (True, True) == (right["a"].significant, right["b"].significant)
    assert (False, False) == (wrong["a"].significant, wrong["b"].significant)
    assert right["a"].interval.low > 1 > right["b"].interval.high


def test_confirm_adjusts_over_the_family() -> None:
    """The same numbers count for less among many."""
    values = noise(11, 20, 0.04, 0.035)
    alone = paired.confirm({"a": values}, directions={"a": "slower"})["a"]
    names = ["a", *(f"null{i}" for i in range(9))]
    cases = {name: values if name == "a" else noise(20 + i, 20) for i, name in enumerate(names)}
    among = paired.confirm(cases, directions=dict.fromkeys(names, "slower"))["a"]
    assert alone.p == alone.adjusted == among.p
    assert among.adjusted > alone.adjusted


def test_confirm_takes_a_margin_for_every_case() -> None:
    """Latency and peak memory of one gate are one family with margins of their own."""
    values = noise(12, 20, 0.005, 0.05)
    found = paired.confirm(
        {"latency": values, "memory": values},
        directions={"latency": "slower", "memory": "slower"},
        margins={"memory": 0.1},
    )
    assert (True, False) == (found["latency"].significant, found["memory"].significant)


def test_confirm_wants_more_than_the_smallest_effect() -> None:
    """A certain +0.5% is a difference, not an alarm."""
    found = paired.confirm({"a": noise(13, 20, 0.001, MIN_EFFECT / 2)}, directions={"a": "slower"})["a"]
    assert found.adjusted < 0.001
    assert not found.significant


# --- power ---------------------------------------------------------------------------------------


def gate(generator: np.random.Generator, spread: float, effect: float, margin: float = 0.0) -> bool:
    """Whether one whole gate of one case reports a slow-down."""
    shift = math.log1p(effect)
    screened = paired.screen(generator.normal(shift, spread, SCREEN_PAIRS).tolist(), margin=margin)
    if not screened.flagged:
        return False
    fresh = {"a": generator.normal(shift, spread, CONFIRM_PAIRS).tolist()}
    found = paired.confirm(fresh, directions={"a": screened.direction}, margin=margin)["a"]
    return found.significant and screened.direction == "slower"


@pytest.mark.parametrize(("spread", "margin"), [(0.014, 0.0), (0.029, 0.0), (0.029, 0.03)])
def test_smallest_effect_is_seen_as_often_as_it_says(spread: float, margin: float) -> None:
    """The rule run for real on the effect that was computed sees it in 80% of gates, within the error of 800."""
    effect = power.smallest_effect(spread, margin=margin)
    generator = np.random.default_rng(14)
    seen = statistics.fmean(gate(generator, spread, effect, margin) for _ in range(800))
    assert pytest.approx(0.8, abs=0.045) == seen


def test_detectable_accounts_for_a_spread_seen_in_few_pairs() -> None:
    """With the spread guessed from eight pairs the promise of 80% still holds on average."""
    generator = np.random.default_rng(15)
    seen = []
    for _ in range(600):
        effect = paired.detectable(generator.normal(0, 0.025, SCREEN_PAIRS).tolist())
        seen.append(gate(generator, 0.025, effect))
    assert pytest.approx(0.82, abs=0.05) == statistics.fmean(seen)


def test_detectable_ignores_the_shift_and_grows_with_spread_family_and_margin() -> None:
    """A true change moves the numbers, not their spread."""
    calm, wild = noise(16, 20, 0.01), noise(16, 20, 0.03)
    base = paired.detectable(calm)
    assert base == pytest.approx(paired.detectable([value + 1 for value in calm]))
    assert base < paired.detectable(wild)
    assert paired.detectable(wild) < paired.detectable(wild, cases=10)
    assert paired.detectable(wild, margin=0.03) > paired.detectable(wild) + 0.025
    assert paired.detectable(wild, pairs=(16, 40)) < paired.detectable(wild)


def test_detectable_is_larger_than_if_the_spread_were_known() -> None:
    """Eight pairs may have seen too little of it."""
    values = noise(16, 8, 0.03)
    assert paired.detectable(values) > power.smallest_effect(paired.spread(values))


def test_many_pairs_see_less_by_the_square_root() -> None:
    """Four times the pairs of the largest stage that is simulated see half the effect."""
    some, many = (math.log1p(power.smallest_effect(0.2, pairs=(n, n))) for n in (power.MOST_SIMULATED, 160))
    assert some / 2 == pytest.approx(many, rel=0.02)


def test_detectable_is_infinite_where_nothing_can_be_seen() -> None:
    """Three pairs cannot be significant, and two show no spread."""
    assert math.inf == paired.detectable(noise(17, 8), pairs=(3, 20))
    assert math.inf == paired.detectable(noise(17, 8), pairs=(8, 4))
    assert math.inf == paired.detectable([0.01, 0.02])


def test_numbers_without_spread_are_seen_from_the_smallest_effect_on() -> None:
    """Equal memory in every pair: anything above 1% would be flagged."""
    assert pytest.approx(MIN_EFFECT) == paired.detectable([0.0] * 8)


def test_pairs_needed_are_enough_and_not_many_too_many() -> None:
    """The number of pairs that it names sees the effect; three quarters of it do not."""
    screening, confirming = paired.pairs_needed(0.03, 0.02)
    assert screening > SCREEN_PAIRS
    assert power.smallest_effect(0.03, pairs=(screening, confirming)) <= 0.02
    fewer = (screening * 3 // 4, confirming * 3 // 4)
    assert power.smallest_effect(0.03, pairs=fewer) > 0.02
    assert (SCREEN_PAIRS, CONFIRM_PAIRS) == paired.pairs_needed(0.005, 0.05)


def test_pairs_needed_refuses_effects_that_no_number_shows() -> None:
    """An effect inside the margin, or below what is ever flagged."""
    for effect, margin in ((0.03, 0.03), (MIN_EFFECT, 0.0)):
        with pytest.raises(ValueError, match="above the margin"):
            paired.pairs_needed(0.02, effect, margin=margin)


def test_power_options_are_checked() -> None:
    """80 is not a power."""
    with pytest.raises(ValueError, match="power 80"):
        power.smallest_effect(0.02, power=80)
    with pytest.raises(ValueError, match="spread is -1"):
        power.smallest_effect(-1)


@pytest.mark.parametrize(("kind", "rough"), [("normal", 1.0), ("outliers", 1.35)])
def test_spread_is_the_standard_deviation_without_the_outliers(kind: str, rough: float) -> None:
    """One value in ten that is eight times too far moves it by a third, and the standard deviation by far more."""
    generator = np.random.default_rng(18)
    values = generator.normal(0, 1, 600)
    if kind == "outliers":
        values[::10] *= 8
    assert rough == pytest.approx(paired.spread(values.tolist()), rel=0.15)


# --- verdicts ------------------------------------------------------------------------------------


def judged(screening: list[float], fresh: list[float] | None = None, **options: float) -> paired.Judgement:
    """The verdict on one case, the way a gate asks for it."""
    margin = options.get("margin", 0.0)
    screened = paired.screen(screening, margin=margin)
    confirmed = None
    if screened.flagged and fresh is not None:
        confirmed = paired.confirm({"a": fresh}, directions={"a": screened.direction}, margin=margin)["a"]
    return paired.judge(
        screened,
        confirmed,
        interval=confirmed.interval if confirmed else paired.ratio_interval(screening),
        seen=paired.detectable(screening + (fresh or []), margin=margin),
        **options,
    )


def test_judge_calls_confirmed_changes_by_their_direction() -> None:
    """Slower is a regression, faster an improvement."""
    assert "regression" == judged(noise(21, 8, 0.01, 0.06), noise(22, 20, 0.01, 0.06)).verdict
    assert "improvement" == judged(noise(21, 8, 0.01, -0.06), noise(22, 20, 0.01, -0.06)).verdict


def test_judge_passes_a_calm_case_and_not_a_wild_one() -> None:
    """No alarm is a pass only where one was possible."""
    calm, wild = judged(noise(23, 8, 0.01)), judged([0.1, -0.1, 0.12, -0.13, 0.05, -0.04, 0.2, -0.19])
    assert "pass" == calm.verdict
    assert "inconclusive" == wild.verdict
    assert "would have been seen only from" in wild.reason


def test_judge_does_not_pass_what_it_suspects() -> None:
    """Flagged without fresh pairs, or with fresh pairs that allow a large slow-down, is inconclusive."""
    suspect = [0.03, 0.05, 0.02, 0.06, 0.04, 0.01, 0.05, 0.03]
    assert "inconclusive" == judged(suspect).verdict
    again = [0.09, -0.06, 0.1, -0.05, 0.12, -0.04, 0.1, -0.03, 0.08, 0.02]
    found = judged(suspect, again, effect=0.05)
    assert "inconclusive" == found.verdict
    assert "neither confirm it nor exclude" in found.reason


def test_judge_waits_for_the_fresh_pairs_of_a_suspect() -> None:
    """Its screening alone excludes +5%, but what was selected for being slow is not a fair sample."""
    found = judged(noise(21, 8, 0.003, 0.02))
    assert ("inconclusive", "looked slower, but no fresh pairs were measured") == (found.verdict, found.reason)


def test_judge_clears_a_suspect_whose_fresh_pairs_are_calm() -> None:
    """The interval of the fresh pairs excludes the slow-down asked about."""
    assert "pass" == judged([0.03, 0.05, 0.02, 0.06, 0.04, 0.01, 0.05, 0.03], noise(24, 20, 0.01)).verdict


def test_judge_does_not_pass_what_fresh_pairs_of_another_metric_show() -> None:
    """Screening flagged nothing, but pairs that were measured again for peak memory are all far slower."""
    found = paired.judge(
        paired.screen(noise(23, 8, 0.01)), None, interval=paired.ratio_interval(noise(22, 20, 0.01, 0.1)), seen=0.02
    )
    assert ("inconclusive", True) == (found.verdict, "screening saw nothing" in found.reason)


def test_judge_counts_the_effect_from_the_margin_on() -> None:
    """+5% with 8% allowed is a pass, with 3% allowed a regression."""
    numbers = (noise(25, 8, 0.005, 0.05), noise(26, 20, 0.005, 0.05))
    assert "pass" == judged(*numbers, margin=0.08).verdict
    assert "regression" == judged(*numbers, margin=0.03).verdict


def test_judge_with_too_few_pairs_is_inconclusive() -> None:
    """A time limit after two pairs of a silent host."""
    assert "inconclusive" == judged([0.0001, 0.0002]).verdict


def test_judge_refuses_effects_below_what_is_flagged() -> None:
    """A pass about 0.5% would promise what screening never looks at."""
    with pytest.raises(ValueError, match="smaller changes are never flagged"):
        judged(noise(27, 8), effect=MIN_EFFECT)


def test_false_alarms_and_power_of_whole_gates() -> None:
    """Twenty cases at the widest realistic spread: alarms within 2.5%, +5% nearly always seen, +3% three times in four.

    150 gates: the limits allow for their error; benchmarks/noise.py takes thousands.
    """
    alarms = hits = small = 0
    generator = np.random.default_rng(28)
    for _ in range(150):
        truth = [0.05, 0.03] + [0.0] * 18
        screening = [generator.normal(math.log1p(e), 0.029, SCREEN_PAIRS).tolist() for e in truth]
        screened = {str(i): paired.screen(values) for i, values in enumerate(screening)}
        flagged = {name: found.direction for name, found in screened.items() if found.flagged}
        fresh = {n: generator.normal(math.log1p(truth[int(n)]), 0.029, CONFIRM_PAIRS).tolist() for n in flagged}
        found = {name for name, one in paired.confirm(fresh, directions=flagged).items() if one.significant}
        hits += "0" in found
        small += "1" in found
        alarms += bool(found - {"0", "1"})
    assert alarms <= 9
    assert hits >= 145
    assert small >= 112
