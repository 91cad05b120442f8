"""harness.stats.correctness: against scipy where scipy knows the answer, by simulation where coverage is claimed."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from scipy import optimize, stats

from harness.stats import correctness
from harness.stats.correctness import Drop
from harness.stats.rule import Margin


def answers(lost: int, gained: int, both: int, neither: int = 0) -> tuple[list[bool], list[bool]]:
    """Right and wrong answers of base and head with these counts."""
    base = [True] * lost + [False] * gained + [True] * both + [False] * neither
    head = [False] * lost + [True] * gained + [True] * both + [False] * neither
    return base, head


def drop(low: float, high: float, reference: float = 0.8) -> Drop:
    """A drop with this interval."""
    return Drop(
        value=(low + high) / 2, low=low, high=high, reference=reference, n=100, detectable=0.02, identical=False
    )


@pytest.mark.parametrize(("lost", "gained"), [(0, 0), (1, 0), (5, 0), (0, 5), (12, 3), (40, 41), (700, 610)])
def test_mcnemar_equals_scipys_binomial_test(lost: int, gained: int) -> None:
    """Exact for few and for many disagreements, one-sided and two-sided."""
    found = correctness.mcnemar(*answers(lost, gained, 10))
    if lost + gained:
        worse = float(stats.binomtest(lost, lost + gained, alternative="greater").pvalue)
        both = float(stats.binomtest(lost, lost + gained).pvalue)
        assert [worse, both] == pytest.approx([found.p_worse, found.p], rel=1e-9)
    else:
        assert (1.0, 1.0) == (found.p_worse, found.p)
    assert (lost, gained, lost + gained + 10) == (found.lost, found.gained, found.n)


@pytest.mark.parametrize("call", [correctness.mcnemar, correctness.right_drop, correctness.bootstrap_drop])
def test_examples_must_be_the_same_and_some(call: object) -> None:
    """Nothing is paired with nothing, or with another number of examples."""
    assert callable(call)
    with pytest.raises(ValueError, match="must be the same"):
        call([True, False], [True])
    with pytest.raises(ValueError, match="no "):
        call([], [])


@pytest.mark.parametrize(("lost", "gained", "n"), [(9, 3, 50), (4, 0, 20), (1, 7, 300), (30, 25, 100)])
def test_right_drop_inverts_the_score_test(lost: int, gained: int, n: int) -> None:
    """At both ends, the score statistic under the likelihood maximised by brute force is the normal quantile."""
    found = correctness.right_drop(*answers(lost, gained, n - lost - gained))

    def score(difference: float) -> float:
        def unlikely(share: float) -> float:
            rest = 1 - 2 * share - difference
            return -(
                lost * math.log(share + difference) + gained * math.log(share) + (n - lost - gained) * math.log(rest)
            )

        floor = max(1e-12, 1e-12 - difference)
        found = optimize.minimize_scalar(
            unlikely, bounds=(floor, (1 - difference) / 2 - 1e-12), method="bounded", options={"xatol": 1e-12}
        )
        share = float(found.x)
        variance = n * (2 * share + difference - difference**2)
        return (lost - gained - n * difference) / math.sqrt(variance)

    assert [1.96, -1.96] == pytest.approx([score(found.low), score(found.high)], abs=0.005)
    assert (lost - gained) / n == pytest.approx(found.value)


def test_right_drop_of_equal_answers_still_has_a_width() -> None:
    """Twenty equal answers do not exclude a drop of 10%; ten thousand exclude 0.1%."""
    few, many = correctness.right_drop(*answers(0, 0, 20)), correctness.right_drop(*answers(0, 0, 10_000))
    assert few.identical
    assert 0.1 < few.high < 0.25
    assert many.high < 0.001


@pytest.mark.parametrize("n", [30, 200])
def test_right_drop_holds_the_truth(n: int) -> None:
    """At least 95% of intervals hold a true drop of 3 points, within the error of 1500 draws."""
    generator = np.random.default_rng(1)
    held = []
    for lost, gained in generator.multinomial(n, [0.06, 0.03, 0.91], 1500)[:, :2].tolist():
        low, high = correctness.tango(lost, gained, n, 0.95)
        held.append(low <= 0.03 <= high)
    assert pytest.approx(0.96, abs=0.022) == statistics.fmean(held)


@pytest.mark.parametrize("n", [20, 80])
def test_bootstrap_equals_scipys_bca(n: int) -> None:
    """The same interval as scipy's BCa, up to the noise of resampling, also where a few drops are far larger."""
    generator = np.random.default_rng(2)
    base = generator.beta(8, 2, n)
    head = base - 0.02 * generator.lognormal(0, 1.3, n)
    found = correctness.bootstrap_drop(base.tolist(), head.tolist())
    known = stats.bootstrap(
        (base - head,), np.mean, method="BCa", n_resamples=20_000, rng=np.random.default_rng(3)
    ).confidence_interval
    assert [float(known.low), float(known.high)] == pytest.approx([found.low, found.high], rel=0.02)
    assert float((base - head).mean()) == pytest.approx(found.value)


def test_bootstrap_is_the_same_every_time() -> None:
    """Seeded: a gate that runs twice on the same numbers says the same."""
    generator = np.random.default_rng(4)
    base, head = generator.random(50).tolist(), generator.random(50).tolist()
    assert correctness.bootstrap_drop(base, head) == correctness.bootstrap_drop(base, head)
    assert correctness.bootstrap_drop(base, head).low != correctness.bootstrap_drop(base, head, seed=1).low


def test_bootstrap_of_few_differences_is_widened() -> None:
    """One example of sixty differs: resampling alone would claim far too much."""
    head = [0.9] * 59 + [0.4]
    found = correctness.bootstrap_drop([0.9] * 60, head)
    assert found.high > 0.045
    assert found.low < -0.03
    assert not found.identical


def test_one_example_says_nearly_nothing() -> None:
    """Its interval is nearly the whole range, and nothing is detectable."""
    found = correctness.bootstrap_drop([0.9], [0.5])
    assert (True, True) == (found.low < -0.5, found.high > 1)
    assert math.inf == found.detectable


def test_a_constant_drop_is_as_certain_as_so_many_examples_make_it() -> None:
    """Every one of 40 loses 0.1: 1 - 0.05**(1 / 40) of all others may still differ by the whole span."""
    found = correctness.bootstrap_drop([0.5] * 40, [0.4] * 40)
    unseen = 1 - 0.05 ** (1 / 40)
    assert [0.1, 0.1 - unseen, 0.1 + unseen] == pytest.approx([found.value, found.low, found.high])


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_broken_scores_are_refused(broken: float) -> None:
    """A NaN score would make a NaN mean, and every comparison with it false."""
    with pytest.raises(ValueError, match="head score 1 is"):
        correctness.bootstrap_drop([1.0, 1.0], [1.0, broken])


def test_detectable_drop_is_at_least_what_few_disagreements_show() -> None:
    """Six examples that one side alone has right are the fewest that mean something."""
    assert pytest.approx(0.06) == correctness.right_drop(*answers(0, 0, 100)).detectable
    assert math.inf == correctness.right_drop(*answers(1, 1, 3)).detectable


def test_detectable_drop_is_seen_as_often_as_it_says() -> None:
    """Among examples of which a fifth disagrees, the drop called detectable excludes zero in about 80% of draws."""
    generator = np.random.default_rng(5)
    n, disagree = 200, 0.2
    flat = correctness.right_drop(*answers(20, 20, 160))
    lose = (disagree + flat.detectable) / 2
    seen = [
        correctness.tango(lost, gained, n, 0.95)[0] > 0
        for lost, gained in generator.multinomial(n, [lose, disagree - lose, 1 - disagree], 800)[:, :2].tolist()
    ]
    assert pytest.approx(0.8, abs=0.06) == statistics.fmean(seen)


@pytest.mark.parametrize("margin", [Margin(points=-1), Margin(points=math.nan), Margin(share=99), Margin(share=0)])
def test_margins_are_checked(margin: Margin) -> None:
    """99 is not a share."""
    with pytest.raises(ValueError, match=r"margin of|share of"):
        margin.allowed(0.8)
