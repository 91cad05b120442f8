"""harness.gate.checks.costs: what a budget allows at most, judged on the pairs of a gate."""

from __future__ import annotations

import dataclasses

import pytest

from harness.gate.checks import costs
from harness.gate.model import METRIC_NAMES, Match, Pair, Verdict
from harness.records import Budget
from tests import outcomes, pairs


def of(budget: Budget, *, kind: str = "commit", size: int = 2_000_000) -> Match:
    """A match whose head may cost this much and has an artifact of this size."""
    case = outcomes.case()
    case = dataclasses.replace(case, model=dataclasses.replace(case.model, budget=budget))
    made = dataclasses.replace(outcomes.artifact(case), bytes=size)
    base = pairs.contender("base", dataclasses.replace(made, bytes=1_000_000), case, kind=kind)
    return pairs.match(base=base, head=pairs.contender("head", made, case, kind=kind))


def alike(base_ms: float, head_ms: float, count: int = 12, joules: tuple[float, float] | None = None) -> list[Pair]:
    """Pairs whose processes all take these, 1% more or less."""
    found = []
    for place in range(count):
        wobble = 1 + 0.01 * (place % 3 - 1)
        sides = [
            dataclasses.replace(
                pairs.side_samples(1.0, {}),
                bursts_ns=(milliseconds * 1e6 * wobble,) * 7,
                energy_j=None if joules is None else joules[at] * wobble,
            )
            for at, milliseconds in enumerate((base_ms, head_ms))
        ]
        found.append(dataclasses.replace(pairs.pair(), base=sides[0], head=sides[1]))
    return found


@pytest.mark.parametrize(
    ("base_ms", "head_ms", "verdict", "said"),
    [
        (8.0, 9.0, Verdict.PASS, "inside (8.00 ms"),
        (8.0, 12.0, Verdict.REGRESSION, "base was inside and head is outside"),
        (12.0, 13.0, Verdict.PASS, "base is outside of it already, so that it is not head that left it"),
        (8.0, 10.0, Verdict.INCONCLUSIVE, "cannot tell"),
        (10.0, 12.0, Verdict.INCONCLUSIVE, "cannot tell"),
        (10.0, 10.0, Verdict.PASS, "base and head lie on it alike"),
    ],
)
def test_head_fails_where_it_left_what_base_kept(base_ms: float, head_ms: float, verdict: Verdict, said: str) -> None:
    """Only where the whole interval of each is on its side of 10 ms."""
    (found,) = costs.check(of(Budget(latency_s=0.01)), alike(base_ms, head_ms))
    assert ("budget_latency", verdict) == (found.metric, found.verdict)
    assert "latency, budget 10.0 ms: " in found.sentence
    assert said in found.sentence


@pytest.mark.parametrize("count", [1, 5])
def test_few_pairs_fail_nothing_and_say_that_they_are_few(count: int) -> None:
    """Of five values the lowest and the highest are no 95% interval."""
    (left,) = costs.check(of(Budget(latency_s=0.01)), alike(8.0, 12.0, count))
    (kept,) = costs.check(of(Budget(latency_s=0.01)), alike(8.0, 9.0, count))
    assert (Verdict.INCONCLUSIVE, Verdict.PASS) == (left.verdict, kept.verdict)
    for found in (left, kept):
        assert f"lowest to highest of {count}, too few pairs for a 95% interval" in found.sentence
    (size,) = costs.check(of(Budget(size_bytes=1_500_000)), [])
    assert (Verdict.REGRESSION, False) == (size.verdict, "too few" in size.sentence)


def test_every_limit_of_a_budget_is_judged() -> None:
    """Size exactly, memory and energy by processes; what no counter tells is not comparable and fails nothing."""
    everything = Budget(latency_s=0.01, size_bytes=1_500_000, memory_bytes=20_000_000, energy_j=0.005)
    found = costs.check(of(everything), alike(8.0, 8.0, joules=(0.004, 0.006)))
    assert [Verdict.REGRESSION, Verdict.PASS, Verdict.PASS, Verdict.REGRESSION] == [one.verdict for one in found]
    assert (
        "artifact size, budget 1.50 MB: base was inside and head is outside (1.00 MB -> 2.00 MB)" in found[0].sentence
    )
    assert "energy per inference, budget 5.00 mJ: base was inside" in found[3].sentence
    assert {one.metric for one in found} < set(METRIC_NAMES)
    assert 4 == len({one.metric for one in found})  # one is not accepted with another
    unknown = costs.check(of(everything), alike(8.0, 8.0))[3]
    assert (Verdict.NOT_COMPARABLE, True) == (unknown.verdict, "it was not measured on this host" in unknown.sentence)


def test_what_is_not_measured_or_differs_on_purpose_fails_nothing() -> None:
    """The same artifact is only weighed; where one case is set against another a limit is for information."""
    assert ["budget_size"] == [one.metric for one in costs.check(of(Budget(latency_s=0.01, size_bytes=3_000_000)), ())]
    assert () == costs.check(of(Budget()), alike(1.0, 9.0))
    (found,) = costs.check(of(Budget(latency_s=0.01), kind="case"), alike(8.0, 12.0))
    assert Verdict.PASS is found.verdict
