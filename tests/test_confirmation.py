"""harness.confirmation and harness.flow.confirm: naming the fastest from fresh blocks, and saying how sure that is."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest

from harness import confirmation
from harness.confirmation import ConfirmedChoice, decide
from harness.flow.confirm import confirm_choice, confirm_jobs
from harness.flow.execute import Job
from harness.flow.preview import SweepSettings
from harness.measure import usual_bursts
from harness.records import Block, SideSamples
from harness.store.journal import Journal
from harness.store.rows import to_row
from tests import outcomes
from tests.conftest import Project
from tests.workers import worker

NOISE = 0.03
"""Spread of one process about its case, as on a busy host."""


def blocks(times: dict[str, float], seed: int, n: int = 12, noise: float = NOISE) -> list[Block]:
    """Blocks of cases that take so long, each process with a factor of its own, and a host whose pace drifts."""
    rng = random.Random(seed)
    found = []
    for number in range(n):
        host = 1 + 0.5 * number / n
        members = {}
        for name, typical in times.items():
            mine = typical * host * math.exp(rng.gauss(0, noise))
            bursts = tuple(mine * math.exp(rng.gauss(0, 0.02)) for _ in range(7))
            members[name] = SideSamples(session_ns=1, first_inference_ns=1, bursts_ns=bursts)
        found.append(Block(members=members, started_at=""))
    return found


def test_identical_builds_are_told_apart_in_at_most_a_twentieth_of_sweeps() -> None:
    """Four copies: the rate at which one is confirmed over, or found faster than, any other is the family's."""
    names = ("a", "b", "c", "d")
    found = [decide(names, "", blocks(dict.fromkeys(names, 1e6), seed)) for seed in range(300)]
    wrong = sum(bool(one.slower) for one in found)
    assert wrong <= 24, wrong  # 99.5% of draws of Binomial(300, .05)


def test_a_build_that_is_really_faster_is_named() -> None:
    """Five per cent at a spread of 3%: the best is right nearly always, and confirmed most of the time."""
    times = {"a": 1.05e6, "b": 1e6, "c": 1.05e6}
    found = [decide(tuple(times), "a", blocks(times, seed, noise=0.015)) for seed in range(100)]
    assert sum(one.best == "b" for one in found) >= 95
    assert sum(one.state == confirmation.CONFIRMED for one in found) >= 90


def test_nothing_is_confirmed_over_what_is_faster() -> None:
    """Where medians of bursts do not agree, as on a busy host, what was compared side by side counts."""
    bursts = {"x": (1e6, 3e6, 4e6), "a": (2e6, 1e6, 2e6), "d": (1e6, 2e6, 1e6)}  # a is furthest from x; d is before a
    members = {name: SideSamples(session_ns=1, first_inference_ns=1, bursts_ns=times) for name, times in bursts.items()}
    found = decide(("x", "a", "d"), "a", [Block(members=members, started_at="")] * 12)
    assert "d" == found.best
    assert {"a", "x"} == set(found.slower)
    assert found.ratio is not None
    assert found.ratio > 1


def test_the_factor_comes_with_an_interval_that_holds() -> None:
    """Also for the best of three alike: that it was picked is paid for."""
    times = {"a": 1e6, "b": 1e6, "c": 1e6, "base": 3.3e6}
    held = 0
    for seed in range(200):
        one = decide(("a", "b", "c"), "base", blocks(times, seed))
        assert one.low is not None
        assert one.high is not None
        held += one.low <= 3.3 <= one.high
    assert held >= 185


def test_the_verdict_never_contradicts_the_interval_beside_it() -> None:
    """What is found slower than the best, and is the baseline, is so by the interval that is shown as well."""
    found = [
        decide(tuple(times), "a", blocks(times, seed, noise=0.02))
        for seed in range(100)
        for times in ({"a": 1.02e6, "b": 1e6}, {"a": 1.03e6, "b": 1e6, "c": 1.01e6})
    ]
    slower = [one for one in found if "a" in one.slower]
    assert len(slower) > 50
    assert all(one.low is not None and one.low > 1 for one in slower)


def test_the_sentence() -> None:
    """The factor with interval and pairs, then the state, with whoever was not told apart."""
    times = {"int8-static": 1e6, "int8-entropy": 1e6, "fp16": 2e6, "fp32-default": 3.3e6}
    one = decide(("int8-static", "int8-entropy", "fp16"), "fp32-default", blocks(times, 3, noise=0.01))
    other = ({"int8-static", "int8-entropy"} - {one.best}).pop()
    assert f"not told apart from {other}" == one.verdict
    assert ("fp16",) == one.slower
    assert one.factor.startswith(f"{one.ratio:.2f}x fp32-default (95% ")
    assert one.factor.endswith(", 12 pairs)")
    sure = decide(("fp16", "int8-static"), "fp32-default", blocks(times, 3))
    assert ("int8-static", "confirmed: faster than fp16") == (sure.best, sure.verdict)
    assert ("fp32-default", "") == (decide(("fp32-default",), "fp32-default", blocks(times, 3)).best, "")


def test_what_was_cut_is_never_told_apart() -> None:
    """A candidate that was not measured again may be as fast."""
    one = decide(("a", "b"), "", blocks({"a": 1e6, "b": 2e6}, 1), cut=("c",))
    assert "not told apart from c" == one.verdict


def test_few_blocks_bound_nothing() -> None:
    """Three cannot give an interval, nor a small p."""
    one = decide(("a", "b"), "a", blocks({"a": 2e6, "b": 1e6}, 1, n=3))
    assert (confirmation.TIED, None, None) == (one.state, one.low, one.high)
    assert one.factor.endswith("x a (3 pairs)")
    with pytest.raises(ValueError, match="no blocks"):
        decide(("a", "b"), "a", [])


def row(variant: str, median: float, half: float = 0.01, **more: Any) -> dict[str, Any]:
    """A stored row inside its budget."""
    stored = to_row(outcomes.run(), outcomes.measured(outcomes.case(variant=variant)))
    latency = {"median_s": median, "ci95_low_s": median * (1 - half), "ci95_high_s": median * (1 + half)}
    limits = {"fidelity_db": 10.0}
    return {**stored, "latency": {**stored["latency"], **latency}, "budget": limits, "baseline": "fp32", **more}


def test_candidates_are_what_may_be_the_fastest() -> None:
    """Whatever the fastest's interval does not exclude, and whatever is near; six at most are measured."""
    sure, wide = row("a", 1.0), row("w", 3.0, half=0.7)
    assert (["a", "w"], []) == names(confirmation.candidates([sure, row("b", 1.5), wide, row("c", 9.0)]))
    assert (["a", "b"], []) == names(confirmation.candidates([sure, row("b", 1.2)]))
    assert (["a", "b"], []) == names(confirmation.candidates([row("a", 1.0, half=0.6), row("b", 1.55)]))
    many = [row(f"v{i}", 1 + i / 100, peak_rss_bytes=100) for i in range(8)]
    assert ([f"v{i}" for i in range(6)], ["v6", "v7"]) == names(confirmation.candidates(many))
    assert ["v0", "v1", "v2"] == names(confirmation.candidates(many, room=399))[0]
    assert ["v0", "v1"] == names(confirmation.candidates(many, room=-1))[0]


def names(found: tuple[list[Any], list[Any]]) -> tuple[list[str], list[str]]:
    """The variants of both lists."""
    first, rest = found
    return [one["variant"] for one in first], [one["variant"] for one in rest]


def jobs(rows: list[dict[str, Any]], **more: Any) -> dict[str, Job]:
    """A job for every row."""
    found = {}
    for one in rows:
        case = outcomes.case(variant=one["variant"])
        settings = SweepSettings(processes=1, time_per_case=1.0, ci_width=0.02)
        found[one["case"]] = Job(case=case, built=outcomes.artifact(case), settings=settings, cache=Path(), **more)
    return found


def test_a_choice_takes_what_competes_and_the_baseline() -> None:
    """What is slow or outside its budget is not measured again; a choice that is stored already is not either."""
    bad = row("int4", 0.5, fidelity={"max_abs": 1.0, "centred_sqnr_db": 1.0}, accuracy=None)
    rows = [row("fp32", 4.0), row("fp16", 2.0), row("int8", 1.0), row("int8-entropy", 1.1), bad]
    for one in rows[:4]:
        one["accuracy"] = None
    (found,) = confirm_jobs(rows, jobs(rows), blocks=12, seed="s")
    assert (("int8", "int8-entropy"), "fp32", 12) == (found.candidates, found.baseline, found.blocks)
    assert {"int8", "int8-entropy", "fp32"} == set(found.jobs)
    assert [] == list(confirm_jobs([*rows[:-1], {**rows[2], "choice": {}}, bad], {}, blocks=12, seed="s"))


def test_one_case_is_not_compared_with_itself() -> None:
    """It is said, and nothing is measured."""
    (found,) = confirm_jobs([row("fp32", 1.0)], jobs([row("fp32", 1.0)]), blocks=12, seed="s")
    one = confirm_choice(found)
    assert "not confirmed: the baseline itself, and no other case to compare it with" == one.verdict
    assert 0 == one.blocks


def test_a_case_that_dies_leaves_the_choice_unconfirmed(tmp_path: Path) -> None:
    """With the name of the case and the reason."""
    rows = [row("fp32", 1.1), row("int8", 1.0)]
    (found,) = confirm_jobs(rows, jobs(rows, client=worker(tmp_path, "os._exit(3)")), blocks=12, seed="s")
    one = confirm_choice(found)
    assert (confirmation.UNCONFIRMED, "int8", None) == (one.state, one.best, one.ratio)
    assert "the worker died" in one.verdict


def test_a_stored_choice_comes_back_and_decides(tmp_path: Path) -> None:
    """Through Parquet; the row that was named is the choice although another's median is smaller."""
    from harness import budget
    from harness.store import query

    chosen = ConfirmedChoice(
        state=confirmation.TIED, best="b", tied=("a",), baseline="a", ratio=1.1, low=1.0, high=1.2, blocks=12
    )
    with Journal.open(tmp_path, outcomes.run(), resume=True) as journal:
        for name in ("a", "b"):
            case = outcomes.case(variant=name)
            journal.append(outcomes.measured(case, (1_000_000 + (name == "b"),) * 3))
            whole = journal.whole(case.id)
            limits = dict.fromkeys(whole["budget"]) | {"accuracy_drop": 0.5}
            journal.put(whole | {"choice": confirm_json(chosen), "budget": limits})
        journal.finish()
    rows = query.rows(tmp_path)
    assert [chosen, chosen] == [confirmation.stored(one) for one in rows]
    ((_, choice),) = budget.choices(rows).items()
    assert choice.best is not None
    assert "b" == choice.best["variant"]


def confirm_json(found: ConfirmedChoice) -> Any:
    """As a row keeps it."""
    from harness.store.rows import plain

    return plain(found)


@pytest.mark.long
def test_a_sweep_confirms_its_choice(built_project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real workers: the sentence of the terminal, the row, and `harness results` say the same."""
    import json

    monkeypatch.setattr(confirmation, "BLOCKS", 6)  # the fewest that an interval can be made of
    monkeypatch.setenv(usual_bursts.VARIABLE, "7x2ms")
    project = built_project
    quick = ("sweep", "--processes", "1", "--time-per-case", "0.05", "--variants", "fp32,fp32-fused")
    out = project.run(*quick, "--confirm")
    line = next(line for line in out.partition("Builds to ship")[2].splitlines() if "/cpu-t1-b1 " in line)
    assert "confirmed" in line or "not told apart from" in line
    rows = json.loads(project.run("results", "--format", "json"))
    (stored,) = {json.dumps(one["choice"]) for one in rows if one["choice"]}
    found = ConfirmedChoice.of_json(json.loads(stored))
    assert 6 == found.blocks
    assert found.state in line
    bounds = (
        "" if found.low is None else f" [{found.low:.2f}, {found.high:.2f}]"
    )  # none where the blocks are too far apart
    assert found.ratio is None or f"{found.ratio:.2f}x{bounds}" in line
    shown = project.run("results")
    assert line in shown
    assert found.state == "confirmed" or found.verdict in shown
    assert "fp32" == found.baseline
    plain = project.run(*quick, "--no-confirm", "--fresh")
    assert "not confirmed" in plain
