"""harness.stats.sequential: looks that may end a confirmation early, at no cost in false alarms."""

from __future__ import annotations

import numpy as np
import pytest

from harness.stats import paired, ranks, sequential


def tails(n: int) -> np.ndarray:
    """P(sum of positive ranks >= w) by w, from the exact distribution."""
    counts = np.array([float(c) for c in ranks.sign_counts(tuple(range(2, 2 * n + 1, 2)))])[::2]
    return np.asarray(np.cumsum(counts[::-1])[::-1] / 2.0**n)


@pytest.mark.parametrize("planned", [10, 15, 20, 30])
def test_the_looks_together_hold_every_level(planned: int) -> None:
    """100,000 confirmations without a change: no level from 5% to 0.1% is passed more often than it says."""
    rng = np.random.default_rng(planned)
    draws = 100_000
    values = rng.standard_normal((draws, planned))
    smallest = np.ones(draws)
    for look in sequential.looks(planned):
        seen = values[:, : look.pairs]
        order = np.abs(seen).argsort(axis=1).argsort(axis=1) + 1
        sums = (order * (seen > 0)).sum(axis=1)
        smallest = np.minimum(smallest, tails(look.pairs)[sums] / look.share)
    for level in (0.05, 0.025, 0.0125, 0.005, 0.0025, 0.001):
        assert (smallest <= level).mean() <= level + 3 * np.sqrt(level / draws)


def test_p_is_the_smallest_of_the_looks_so_far() -> None:
    """Eight pairs without exception count, whatever follows; pairs between two looks count as the last look."""
    first = [0.1, 0.11, 0.12, 0.13, 0.14, 0.15, 0.16, 0.17]
    assert pytest.approx(2**-8 / 0.16) == sequential.signed_rank_p(first, planned=20)
    assert pytest.approx(2**-8 / 0.16) == sequential.signed_rank_p([*first, *[-0.2, -0.21, -0.22]], planned=20)
    assert pytest.approx(2**-11 / 0.75) == sequential.signed_rank_p([*first, 0.2, 0.21, 0.22], planned=20)
    assert 1.0 == sequential.signed_rank_p([-value for value in first], planned=20)


def test_looks_of_any_plan_are_in_order_and_spend_no_more_than_they_may() -> None:
    """Of every number of pairs the last look is at all of them; beyond twenty the shares sum to one at most."""
    for planned in range(1, 80):
        looks = sequential.looks(planned)
        assert planned == looks[-1].pairs
        assert [look.pairs for look in looks] == sorted({look.pairs for look in looks})
        assert planned <= sequential.FEW or sum(look.share for look in looks) <= 1 + 1e-9
    assert (8, 14, 20) == tuple(look.pairs for look in sequential.looks(20))


def test_the_interval_holds_the_truth_where_pairs_end_early() -> None:
    """+6% at a spread of 4%, ended at the first look that settles it: the interval holds the truth 95 times in 100."""
    rng = np.random.default_rng(3)
    held = ended = 0
    for _ in range(600):
        values = (np.log(1.06) + rng.normal(0, 0.04, 20)).tolist()
        for look in sequential.looks(20):
            if sequential.signed_rank_p(values[: look.pairs], planned=20) <= 0.025:
                break
        ended += look.pairs < 20
        found = sequential.interval(values[: look.pairs], planned=20)
        held += found.low <= 1.06 <= found.high
    assert ended > 200
    assert held / 600 >= 0.95 - 2 * np.sqrt(0.05 * 0.95 / 600)


def test_an_obvious_change_is_settled_at_the_first_look() -> None:
    """+20% at a spread of 3% is confirmed by eight pairs, alone in its family; beside nine others by fourteen."""
    rng = np.random.default_rng(4)
    values = (np.log(1.2) + rng.normal(0, 0.03, 20)).tolist()
    alone = paired.confirm({"x": values[:8]}, directions={"x": "slower"}, planned=20)
    assert alone["x"].significant
    others = {str(i): [0.01, -0.01, 0.02, -0.02, 0.0, 0.03, -0.03, 0.004] for i in range(9)}
    directions: dict[str, paired.Direction] = dict.fromkeys([*others, "x"], "slower")
    beside = paired.confirm({**others, "x": values[:8]}, directions=directions, planned=20)
    assert not beside["x"].significant
    assert paired.confirm({**others, "x": values[:14]}, directions=directions, planned=20)["x"].significant
