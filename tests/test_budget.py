"""harness.budget: what is good enough, and what is fastest."""

from __future__ import annotations

from typing import Any

import pytest

from harness import budget


def row(variant: str, median: float, **more: Any) -> dict[str, Any]:
    """A measured row of one model on one target."""
    latency = {"median_s": median, "ci95_low_s": median * 0.99, "ci95_high_s": median * 1.01}
    base = {
        "model": "m",
        "target": "cpu-t1-b1",
        "variant": variant,
        "status": "measured",
        "latency": latency,
        "weights": {"digest": "w"},
    }
    return base | more


def labelled(drop: float) -> dict[str, Any]:
    """Accuracy with this drop, and a budget of one point."""
    return {"accuracy": {"metric": "top1", "value": 0.9, "drop": drop}, "budget": {"accuracy_drop": 0.01}}


def test_the_fastest_inside_the_budget_wins_not_the_fastest() -> None:
    """int4 is faster and too wrong."""
    rows = [row("fp32", 1.0, **labelled(0.0)), row("int8", 0.5, **labelled(0.01)), row("int4", 0.1, **labelled(0.02))]
    best = budget.fastest(rows)["m", "cpu-t1-b1"]
    assert best is not None
    assert "int8" == best["variant"]


def test_what_is_emulated_is_never_recommended() -> None:
    """The fastest file computes in another arithmetic than its name says: shown, not chosen."""
    rows = [row("fp32", 1.0, **labelled(0.0)), row("fp16", 0.5, status="emulated", **labelled(0.0))]
    best = budget.fastest(rows)["m", "cpu-t1-b1"]
    assert best is not None
    assert "fp32" == best["variant"]
    assert [] == budget.tied(best, rows)


@pytest.mark.parametrize("status", ["mixed", "unverified"])
def test_what_is_mixed_or_unverified_is_recommended_with_its_remark(status: str) -> None:
    """It is the fastest, and whoever recommends it has a sentence to say beside it; what is measured needs none."""
    half = row("int8", 0.5, status=status, reason="54% of compute in int8", **labelled(0.0))
    rows = [row("fp32", 1.0, **labelled(0.0)), half]
    best = budget.fastest(rows)["m", "cpu-t1-b1"]
    assert best is half
    assert f"{status}: 54% of compute in int8" == budget.remark(half)
    assert "" == budget.remark(rows[0])


@pytest.mark.parametrize(
    ("value", "expected"), [(0.80, "top1 is 88.89% of the reference's, budget 99.00%"), (0.895, "")]
)
def test_a_share_of_the_reference(value: float, expected: str) -> None:
    """MLPerf's way to say how much accuracy must be left."""
    accuracy = {"metric": "top1", "value": value, "reference": 0.9, "drop": 0.9 - value}
    held = row("x", 1.0, accuracy=accuracy, budget={"accuracy_share": 0.99})
    assert expected == budget.excess(held)
    assert ((expected,) if expected else ()) == budget.exceeded(held)
    (unknown,) = budget.exceeded(row("x", 1.0, budget={"accuracy_share": 0.99}))
    assert "accuracy share, budget 99.00%: cannot be judged" in unknown


def test_without_a_budget_nothing_is_recommended() -> None:
    """Fast and unjudged is not good enough."""
    assert {("m", "cpu-t1-b1"): None} == budget.fastest([row("int4", 0.1, fidelity={"max_abs": 1.0})])


@pytest.mark.parametrize(
    ("fidelity", "expected"),
    [
        ({"max_abs": 0.0, "centred_sqnr_db": None}, ""),
        ({"max_abs": 0.1, "centred_sqnr_db": 25.0}, ""),
        ({"max_abs": 0.1, "centred_sqnr_db": 15.0}, "fidelity 15.0 dB, budget 20.0 dB"),
        ({"max_abs": 0.1, "centred_sqnr_db": None}, None),
        ({}, None),
    ],
)
def test_fidelity_decides_where_there_are_no_labels(fidelity: dict[str, Any], expected: str | None) -> None:
    """Exact is inside; unknown is unknown."""
    assert expected == budget.excess(row("x", 1.0, fidelity=fidelity, budget={"fidelity_db": 20.0}))


def test_size_and_latency_count_too() -> None:
    """An accurate build may still be too large or too slow."""
    limits = labelled(0.0)["budget"] | {"size_bytes": 10, "latency_s": 2.0}
    good = labelled(0.0) | {"budget": limits}
    assert "20 bytes, budget 10 bytes" == budget.excess(row("x", 1.0, **good, artifact={"bytes": 20}))
    assert "median 3e+03 ms, budget 2e+03 ms" == budget.excess(row("x", 3.0, **good))


def test_speedup_is_against_fp32_of_the_same_run_weights_and_target() -> None:
    """Numbers of other weights are another model, and another run was another moment of the host."""
    rows = [row("fp32", 3.0, weights={"digest": "other"}), row("fp32", 2.0), row("int8", 1.0)]
    assert 2.0 == budget.speedup(rows[2], rows)
    assert budget.speedup(rows[2], rows[:1]) is None
    assert budget.speedup(row("int8", 1.0, run="later"), rows) is None


def by(package: str, version: str) -> dict[str, Any]:
    """What measured a row."""
    return {"measured_by": {"name": "onnxruntime", "package": package, "version": version}}


@pytest.mark.parametrize(
    "other",
    [
        {"run": "later", "run_started_at": "2026-01-10"},
        {"run": "r", "fingerprint": "another host"},
        {"run": "r"} | by("onnxruntime", "1.31.1"),
        {"run": "r", "weights": {"digest": "other"}},
    ],
)
def test_the_choice_lies_within_what_was_measured_together(other: dict[str, Any]) -> None:
    """A faster row of another run, host, runtime or set of weights is neither preferred nor tied, but named apart."""
    first = {"run": "r", "fingerprint": "host", "run_started_at": "2026-01-01"} | by("onnxruntime", "1.20.0")
    together = [row("fp32", 2.0, **first, **labelled(0.0)), row("int8", 1.0, **first, **labelled(0.0))]
    alone = row("int4", 1.005, **{**first, **labelled(0.0), **other})
    choice = budget.choices([*together, alone])["m", "cpu-t1-b1"]
    assert (together[1], together, [alone]) == (choice.best, [*choice.rows], [*choice.apart])
    assert [] == budget.tied(together[1], [*together, alone])
    assert budget.speedup(alone, [*together, alone]) is None


def test_a_failed_case_is_never_the_choice_whatever_numbers_a_file_gives_it() -> None:
    """Alone in its run it made every table of the store end with an error."""
    broken = row("int8", 1.0, run="s", **labelled(0.0)) | {"status": "failed"}
    good = row("fp32", 2.0, run="r", **labelled(0.0))
    assert good == budget.choices([good, broken])["m", "cpu-t1-b1"].best
    assert {} == budget.choices([broken])


def in_run(run: str, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    """These rows in a run; runs are as old as their names say, and all rows have labels and a budget."""
    return [{**labelled(0.0), **one, "run": run, "run_started_at": run} for one in rows]


@pytest.mark.parametrize(
    ("later", "takes_over"),
    [
        pytest.param(["fp32", "int4"], False, id="other builds say nothing of the one that is shipped"),
        pytest.param(["int8"], False, id="without the baseline there is no speed-up"),
        pytest.param(["fp32", "int8"], True, id="the build and its baseline are what it rests on"),
        pytest.param(["fp32", "int8", "int4", "fp16"], True, id="everything"),
    ],
)
def test_a_small_later_sweep_does_not_take_over_a_choice(later: list[str], *, takes_over: bool) -> None:
    """Only a run that tried the build and its baseline replaces the run that named it, whatever the order of rows."""
    medians = {"fp32": 4.0, "fp16": 3.0, "int8": 1.0, "int4": 2.0}
    old = in_run("2026-01-01", *(row(name, medians[name]) for name in ("fp32", "fp16", "int8")))
    new = in_run("2026-01-02", *(row(name, medians[name] * 1.5) for name in later))
    kept = new if takes_over else old
    for rows in ([*old, *new], [*new, *old]):
        choice = budget.choices(rows)["m", "cpu-t1-b1"]
        assert (kept, "int8") == ([*choice.rows], (choice.best or {})["variant"])
        apart = [one for one in old if one["variant"] not in later] if takes_over else new
        assert apart == [*choice.apart]


def test_a_run_that_cannot_run_the_build_takes_over_and_one_that_failed_does_not() -> None:
    """What is no longer supported is not shipped; a failure takes nothing away, as in every table."""
    old = in_run("2026-01-01", row("fp32", 4.0), row("int8", 1.0))
    for status, best in (("unsupported", "fp32"), ("failed", "int8")):
        new = in_run("2026-01-02", row("fp32", 4.0), row("int8", 1.0, status=status, latency=None))
        choice = budget.choices([*new, *old])["m", "cpu-t1-b1"]
        assert best == (choice.best or {})["variant"]


def test_a_run_in_which_the_build_is_too_wrong_takes_over() -> None:
    """The build was tried again and is outside now: the run before does not stand in its place."""
    old = in_run("2026-01-01", row("fp32", 4.0), row("int8", 1.0))
    new = in_run("2026-01-02", row("fp32", 4.0), row("int8", 1.0, **labelled(0.5)))
    assert new[0] == budget.choices([*old, *new])["m", "cpu-t1-b1"].best


def test_a_newer_run_without_a_build_inside_the_budget_hides_none() -> None:
    """Measuring a build that is too wrong again does not take the recommendation away; without any, the newest says."""
    old = row("fp32", 2.0, run="a", run_started_at="2026-01-01", **labelled(0.0))
    new = row("int4", 0.1, run="b", run_started_at="2026-01-10", **labelled(0.5))
    choice = budget.choices([old, new])["m", "cpu-t1-b1"]
    assert (old, (new,)) == (choice.best, choice.apart)
    worse = old | labelled(0.5)
    choice = budget.choices([worse, new])["m", "cpu-t1-b1"]
    assert (None, (new,), (worse,)) == (choice.best, choice.rows, choice.apart)


def test_ties_are_cases_whose_intervals_overlap() -> None:
    """2% apart with 1% either side: inconclusive; 10% apart one is faster."""
    rows = [row(name, median, **labelled(0.0)) for name, median in (("a", 1.0), ("b", 1.015), ("c", 1.1))]
    assert [rows[1]] == budget.tied(rows[0], rows)


FAULT = "y channel 4 is dead: it varies in the reference and is constant in the artifact"


@pytest.mark.parametrize("limits", [{}, {"fidelity_db": -90.0}, {"accuracy_drop": 0.01}, {"fidelity_equal": 0.1}])
def test_a_dead_part_is_outside_every_budget(limits: dict[str, Any]) -> None:
    """Also where accuracy is fine, and where there is no budget at all."""
    close = {"max_abs": 1.0, "centred_sqnr_db": 28.2, "faults": [FAULT]}
    held = row("int8", 0.1, fidelity=close, accuracy=labelled(0.0)["accuracy"], budget=limits)
    assert FAULT == budget.excess(held)
    assert (FAULT,) == budget.exceeded(held)
    assert budget.BudgetVerdict(verdict=budget.OUTSIDE, phrase=FAULT) == budget.judged(held)
    assert {("m", "cpu-t1-b1"): None} == budget.fastest([held])


@pytest.mark.parametrize(
    ("close", "limits", "expected"),
    [
        ({"equal": 0.97}, {"fidelity_equal": 0.95}, ""),
        ({"equal": 0.90}, {"fidelity_equal": 0.95}, "fidelity: 90.00% of values equal, budget 95.00%"),
        ({"equal": 0.97}, {"fidelity_db": 20.0}, None),  # decibels say nothing of whole numbers
        ({"equal": 1.0, "max_abs": 0.0}, {"fidelity_db": 20.0}, ""),
        ({"equal": 0.97, "centred_sqnr_db": 33.0}, {"fidelity_db": 20.0}, ""),
        ({"equal": 0.20, "centred_sqnr_db": 33.0}, {"fidelity_db": 20.0}, None),
        (
            {"equal": 0.97, "centred_sqnr_db": 33.0},
            {"fidelity_db": 20.0, "fidelity_equal": 0.99},
            "fidelity: 97.00% of values equal, budget 99.00%",
        ),
        ({"reason": "`y` is random: two runs of the reference differ"}, {"fidelity_db": 20.0}, None),
    ],
)
def test_shares_and_decibels(close: dict[str, Any], limits: dict[str, Any], expected: str | None) -> None:
    """Each kind of output has its own budget."""
    found = budget.excess(row("x", 1.0, fidelity=close, budget=limits))
    assert expected == found


def test_the_worst_part_is_named() -> None:
    """Where there are several."""
    close = {"max_abs": 1.0, "centred_sqnr_db": 15.0, "worst": "y channel 4"}
    found = budget.excess(row("x", 1.0, fidelity=close, budget={"fidelity_db": 20.0}))
    assert "fidelity 15.0 dB (y channel 4), budget 20.0 dB" == found


@pytest.mark.parametrize(
    ("low", "drop", "high", "verdict"),
    [
        (-0.004, 0.0, 0.008, budget.INSIDE),
        (-0.0126, 0.0, 0.0126, budget.CANNOT_TELL),
        (0.002, 0.012, 0.03, budget.CANNOT_TELL),
        (0.02, 0.05, 0.09, budget.OUTSIDE),
    ],
)
def test_so_many_examples_can_tell_or_not(low: float, drop: float, high: float, verdict: str) -> None:
    """The interval of the paired drop against the budget of one point."""
    accuracy = {"metric": "top1", "value": 0.9 - drop, "reference": 0.9, "drop": drop, "n": 300}
    held = row("x", 1.0, accuracy=accuracy | {"drop_low": low, "drop_high": high}, budget={"accuracy_drop": 0.01})
    found = budget.judged(held)
    assert verdict == found.verdict
    assert ("300 examples cannot tell: top1 drops" in found.phrase) is (verdict == budget.CANNOT_TELL)
    choice = budget.choices([held])["m", "cpu-t1-b1"]
    assert (found if drop <= 0.01 else None) == choice.judgement


def test_outputs_that_are_the_references_own_lose_nothing() -> None:
    """However few the examples are."""
    accuracy = {
        "metric": "top1",
        "value": 0.9,
        "reference": 0.9,
        "drop": 0.0,
        "n": 10,
        "drop_low": -0.2,
        "drop_high": 0.2,
    }
    held = row("x", 1.0, accuracy=accuracy, fidelity={"max_abs": 0.0}, budget={"accuracy_share": 0.99})
    assert budget.BudgetVerdict(verdict=budget.INSIDE) == budget.judged(held)


def test_without_a_budget_it_is_said() -> None:
    """And what to set where decibels cannot judge."""
    assert "no accuracy or fidelity budget" == budget.judged(row("x", 1.0)).phrase
    (sentence,) = budget.exceeded(row("x", 1.0, fidelity={"equal": 0.97}, budget={"fidelity_db": 20.0}))
    assert "97.00% of values equal, which is not in decibels: set the budget `fidelity_equal`" in sentence


def test_a_limit_of_memory_is_held_and_one_that_cannot_be_judged_says_so() -> None:
    """Above it is outside; without a measured memory nothing is recommended by it."""
    within = {"accuracy": labelled(0.0)["accuracy"], "budget": {"accuracy_drop": 0.01, "memory_bytes": 1000}}
    fits, large, unknown = (
        row("v", 1.0, **within, **more) for more in ({"model_bytes": 900}, {"model_bytes": 2000}, {})
    )
    assert ["", "2,000 bytes of memory, budget 1,000 bytes", None] == [
        budget.excess(one) for one in (fits, large, unknown)
    ]
    assert [budget.INSIDE, budget.OUTSIDE, budget.UNKNOWN] == [
        budget.judged(one).verdict for one in (fits, large, unknown)
    ]
    assert () == budget.exceeded(fits)
    assert "cannot be judged" in budget.exceeded(unknown)[0]


def test_a_limit_of_energy_is_held_and_one_that_no_counter_judges_says_why() -> None:
    """In the unit that people read; where there is no counter nothing is recommended by it."""
    within = {"accuracy": labelled(0.0)["accuracy"], "budget": {"accuracy_drop": 0.01, "energy_j": 0.005}}
    absent = {"inference_j": None, "source": "this host shows no RAPL"}
    fits, large, unknown = (
        row("v", 1.0, **within, energy=one) for one in ({"inference_j": 0.004}, {"inference_j": 0.0062}, absent)
    )
    assert ["", "6.20 mJ for an inference, budget 5.00 mJ", None] == [
        budget.excess(one) for one in (fits, large, unknown)
    ]
    assert "energy, budget 5.00 mJ: cannot be judged, this host shows no RAPL" == budget.judged(unknown).phrase
    assert ("energy, budget 5.00 mJ: cannot be judged, this host shows no RAPL",) == budget.exceeded(unknown)
