"""harness.flow.early_stop, and what harness.flow.rounds makes of it: which cases stop, and which must not."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.flow import early_stop
from harness.flow.early_stop import RoundTime, certain_factor
from harness.flow.execute import Job
from harness.flow.preview import SweepSettings
from harness.flow.progress import ProcessOutcome
from harness.flow.rounds import SweepRounds
from harness.records import Accuracy, Budget, Evaluation, Outcome, Run
from harness.stats.slower import at_least
from harness.store.journal import Journal
from harness.store.rows import Row, public, to_row
from tests import outcomes
from tests.test_rounds import RUNTIME, Heard, dead, remember, timed

BUDGET = Budget(fidelity_db=30.0)
NAMES = ("fp32-default", "fp32", "fp16", "int8")
PROCESSES = 5

Script = Callable[[str, int], dict[str, Any] | None]
"""Variant, process -> the median in microseconds (`us`), the pace of the host, ...; None for a crash."""


def test_the_factor_is_the_lower_end_of_students_interval() -> None:
    """Checked by hand: the logs of 2 and 8 spread by 0.98, and with one degree of freedom t is 12.706."""
    assert pytest.approx(4.0) == at_least([4, 4], [1, 1])
    half = 12.7062 * 0.98026 / 2**0.5
    assert pytest.approx(4.0 * math.exp(-half), rel=1e-4) == at_least([2, 8], [1, 1])
    with pytest.raises(ValueError, match="needs 2 or more"):
        at_least([1], [1])
    with pytest.raises(ValueError, match="shorter"):
        at_least([1, 2, 3], [1, 2])


def test_others_of_the_same_rounds_tell_the_spread() -> None:
    """Two rounds of five cases: four degrees of freedom instead of one; a pace that all of them saw adds no spread."""
    others = [[5.0, 5.1], [7.0, 6.9], [2.0, 2.02]]
    alone, together = at_least([3.0, 3.1], [1.0, 1.0]), at_least([3.0, 3.1], [1.0, 1.0], others)
    assert alone < 2.5 < together < 3.05
    moved = [[first, 2 * second] for first, second in others]
    assert pytest.approx(together) == at_least([3.0, 6.2], [1.0, 2.0], moved)
    # Where the others agree too well, the two ratios' own spread stays.
    assert at_least([3.0, 4.0], [1.0, 1.0], [[5.0, 5.0]] * 8) < 2.9


def test_the_factor_holds_as_often_as_it_says() -> None:
    """Simulated: of 3,000 lower ends 2.5% lie above the truth, give or take three standard errors."""
    dice = np.random.default_rng(1)
    above = 0
    for _ in range(3000):
        rows = np.exp(dice.normal(0, 0.05, (5, 2)) + dice.normal(0, 0.5, 2))
        above += at_least(list(rows[0]), list(rows[1]), [list(row) for row in rows[2:]]) > 1
    assert above / 3000 <= 0.025 + 3 * (0.025 * 0.975 / 3000) ** 0.5


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cases compute lies in a cache in the folder that a test works in."""
    monkeypatch.chdir(tmp_path)


def rounds(*values: float, pace: Sequence[float | None] = ()) -> dict[int, RoundTime]:
    """A case's processes, one per round."""
    paces = pace or [1.0] * len(values)
    return {
        number: RoundTime(median_ns=value, pace_ns=one)
        for number, (value, one) in enumerate(zip(values, paces, strict=True))
    }


@pytest.mark.parametrize(
    ("case", "rival", "factor"),
    [
        pytest.param(rounds(3, 3), rounds(1, 1), 3.0, id="both rounds say so"),
        pytest.param(rounds(3), rounds(1), None, id="one round says nothing"),
        pytest.param(rounds(3, 3), rounds(1), None, id="they need rounds in common"),
        pytest.param({0: rounds(3)[0], 2: rounds(3)[0]}, rounds(1, 1), None, id="and they are counted by round"),
        pytest.param(rounds(3, 6), rounds(1, 2), 3.0, id="a pace that both saw divides out"),
        pytest.param(rounds(6, 6, pace=[2, 2]), rounds(2, 2), 1.5, id="a slow host explains half of it"),
        pytest.param(rounds(3, 3, pace=[0.5, 0.5]), rounds(1, 1), 3.0, id="a disturbed reference adds nothing"),
        pytest.param(rounds(6, 6, pace=[2, None]), rounds(2, 2), 3.0, id="without it the times alone decide"),
    ],
)
def test_both_clocks_must_agree(case: dict[int, RoundTime], rival: dict[int, RoundTime], factor: float | None) -> None:
    """As timed, and in units of the reference workload."""
    assert (None if factor is None else pytest.approx(factor)) == certain_factor(case, rival)


def planned(names: Sequence[str] = NAMES, *, budget: Budget = BUDGET, **settings: Any) -> list[Job]:
    """Jobs of variants of one model with a budget."""
    given = SweepSettings(
        **{"processes": PROCESSES, "time_per_case": 1.0, "ci_width": 0.02, "early_stop": True, **settings}
    )
    found = []
    for name in names:
        case = outcomes.case(variant=name)
        model = dataclasses.replace(case.model, budget=budget, baseline="fp32-default")
        case = dataclasses.replace(case, model=model)
        job = Job(case=case, built=outcomes.artifact(case), settings=given, cache=Path("cache"), runtime=RUNTIME)
        remember(job)
        found.append(job)
    return found


def process(job: Job, *, us: float, pace: float = 1.0, **changes: Any) -> ProcessOutcome:
    """A process of a job on a host of some pace."""
    found = timed(job, round(1000 * us * pace))
    assert found.samples is not None
    reference = round(250_000 * pace)
    samples = dataclasses.replace(found.samples, reference_before_ns=reference, reference_after_ns=reference)
    return dataclasses.replace(found, samples=samples, **changes)


def carry_on(work: SweepRounds, script: Script, stop: int | None = None) -> list[tuple[str, int]]:
    """Run what is left, or so many processes of it; which were run."""
    seen: list[tuple[str, int]] = []
    while work.todo():
        for job in work.jobs():
            if len(seen) == stop:
                return seen
            seen.append((job.case.recipe.name, job.process))
            said = script(*seen[-1])
            work.take(dead(job) if said is None else process(job, **said))
    return seen


def run() -> Run:
    """A run."""
    return outcomes.run(settings={"processes": PROCESSES})


class InMemory(Journal):
    """A journal that keeps whole rows and no file."""

    def __init__(self) -> None:
        self.run = run()
        self.rows: dict[str, Row] = {}
        self.kept: dict[str, Row] = {}

    def append(self, outcome: Outcome) -> Row:
        """Keep it as a row."""
        return self.put(to_row(self.run, outcome))

    def put(self, row: Row) -> Row:
        """Keep it."""
        self.kept[row["case"]] = row
        self.rows[row["case"]] = public(row)
        return self.rows[row["case"]]

    def whole(self, case: str) -> Row:
        """With its samples."""
        return self.kept[case]


def counts(seen: Sequence[tuple[str, int]]) -> dict[str, int]:
    """Processes by variant."""
    return {name: sum(one == name for one, _ in seen) for name in dict.fromkeys(one for one, _ in seen)}


def swept(jobs: Sequence[Job], script: Script) -> tuple[dict[str, int], dict[str, Any]]:
    """A whole sweep: processes and rows by variant."""
    work = SweepRounds(jobs, InMemory(), Heard())
    seen = carry_on(work, script)
    return counts(seen), {row["variant"]: row for row in work.rows.values()}


def of(medians: dict[str, float]) -> Script:
    """Every process of a variant takes the same."""
    return lambda variant, _: {"us": medians[variant]}


TIMES = {"fp32-default": 3000.0, "fp32": 4000.0, "fp16": 1500.0, "int8": 1000.0}


def test_a_case_that_cannot_be_the_fastest_stops_after_two_rounds() -> None:
    """It keeps its numbers and says why; the baseline, and whatever is within twice the fastest, goes on."""
    ran, rows = swept(planned(), of(TIMES))
    assert {"fp32-default": 5, "fp32": 2, "fp16": 5, "int8": 5} == ran
    stopped = rows["fp32"]
    assert ("measured", 2) == (stopped["status"], stopped["latency"]["processes"])
    assert stopped["stopped"].startswith("stopped after 2 of 5 processes: at least ")
    assert stopped["stopped"].endswith("x int8")
    assert 2.0 <= float(stopped["stopped"].split("at least ")[1].split("x")[0]) <= 4.0
    assert [None] * 3 == [rows[name]["stopped"] for name in ("fp32-default", "fp16", "int8")]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"early_stop": False}, "it was not asked for"),
        ({"order": "case"}, "there are no rounds"),
        ({"processes": 2}, "two are all"),
    ],
)
def test_nothing_stops(settings: dict[str, Any], why: str) -> None:
    """Every process runs."""
    ran, rows = swept(planned(**settings), of(TIMES))
    assert {settings.get("processes", PROCESSES)} == set(ran.values()), why
    assert all(row["stopped"] is None for row in rows.values())


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"fidelity": 10.0}, id="outside its budget"),
        pytest.param({"status": "emulated"}, id="it is not what it claims to be"),
        pytest.param({"drop": (0.001, -0.01, 0.03)}, id="so many examples cannot tell"),
    ],
)
def test_what_is_not_surely_good_enough_ends_nobody(wrong: dict[str, Any]) -> None:
    """Fast and wrong: the slower cases are what can be shipped."""

    def script(variant: str, _: int) -> dict[str, Any]:
        found = outcomes.measured().evaluation
        assert isinstance(found, Evaluation)
        closeness = found.fidelity
        assert closeness is not None
        found = dataclasses.replace(found, accuracy=None, precision="float32")
        changes: dict[str, Any] = {"us": TIMES[variant], "evaluation": found}
        if variant == "int8" and "fidelity" in wrong:
            worse = dataclasses.replace(closeness, centred_sqnr_db=wrong["fidelity"])
            changes["evaluation"] = dataclasses.replace(found, fidelity=worse)
        if variant == "int8" and "status" in wrong:
            changes["evaluation"] = dataclasses.replace(found, precision="int8", computation={"float32": 1.0})
        if "drop" in wrong:
            drop, low, high = wrong["drop"] if variant == "int8" else (0.0, -0.001, 0.001)
            accuracy = Accuracy(
                metric="top1", value=0.98 - drop, reference=0.98, drop=drop, n=450, drop_low=low, drop_high=high
            )
            changes["evaluation"] = dataclasses.replace(found, accuracy=accuracy)
        return changes

    budget = Budget(accuracy_drop=0.01) if "drop" in wrong else BUDGET
    ran, rows = swept(planned(budget=budget), script)
    if "status" in wrong:
        assert "emulated" == rows["int8"]["status"]
    # The fastest that is good enough is fp16: fp32 takes 2.67 times as long as that.
    assert {"fp32-default": 5, "fp32": 2, "fp16": 5, "int8": 5} == ran
    assert rows["fp32"]["stopped"].endswith("x fp16")


def test_without_a_budget_nobody_is_chosen_and_nobody_stops() -> None:
    """Whether the fastest can be shipped is not known."""
    ran, _ = swept(planned(budget=Budget()), of(TIMES))
    assert {5} == set(ran.values())


def test_a_case_whose_budget_of_latency_is_open_goes_on() -> None:
    """Its median of two processes lies about the limit: whether it is inside is asked for."""

    def script(variant: str, number: int) -> dict[str, Any]:
        return {"us": TIMES[variant] * (1 + 0.002 * (number % 2))}

    limit = dataclasses.replace(BUDGET, latency_s=4.004e-3)
    ran, _ = swept(planned(budget=limit), script)
    assert 5 == ran["fp32"]
    ran, _ = swept(planned(budget=dataclasses.replace(BUDGET, latency_s=8e-3)), script)
    assert 2 == ran["fp32"]


def test_other_targets_and_models_are_others() -> None:
    """Two threads end nothing on one."""
    one = planned(("fp32", "int8"))
    two = [
        dataclasses.replace(
            job, case=dataclasses.replace(job.case, target=dataclasses.replace(job.case.target, intra_threads=2))
        )
        for job in planned(("fp16",))
    ]

    ran, _ = swept([*one[:1], *two], of({"fp32": 4000.0, "fp16": 100.0}))
    assert {"fp32": 5, "fp16": 5} == ran


@pytest.mark.parametrize("at", range(13))
def test_a_host_whose_pace_doubles_in_the_middle_of_a_round_ends_nobody(at: int) -> None:
    """Equal builds, wherever it happens: none of them stops, with or without the reference workload."""
    for known, factor in itertools.product((True, False), (2.0, 6.0)):
        taken = itertools.count(1)

        def script(*_: Any, taken: Any = taken, known: bool = known, factor: float = factor) -> dict[str, Any]:
            pace = 1.0 if next(taken) <= at else factor
            return {"us": 1000.0, "pace": pace} if known else {"us": 1000.0 * pace}

        ran, _ = swept(planned(), script)
        assert {5} == set(ran.values())


def test_a_round_that_spans_two_days_ends_nobody_by_the_days() -> None:
    """The host is eight times as slow the next day; what was measured of a round before is not set against it."""
    same = dict.fromkeys(NAMES, 1000.0)
    for stop in range(1, 8):
        journal = InMemory()
        first = carry_on(SweepRounds(planned(), journal, Heard()), of(same), stop)
        work = SweepRounds(planned(), journal, Heard())
        second = carry_on(work, lambda variant, _: {"us": same[variant], "pace": 8.0})
        assert dict.fromkeys(NAMES, 5) == {name: counts([*first, *second])[name] for name in NAMES}


def test_what_stopped_stays_so_when_the_sweep_is_resumed(tmp_path: Path) -> None:
    """The next day knows why, from what is stored."""
    with Journal.open(tmp_path, run(), resume=True) as journal:
        first = carry_on(SweepRounds(planned(), journal, Heard()), of(TIMES), 10)
    assert 2 == counts(first)["fp32"]
    with Journal.open(tmp_path, run(), resume=True) as journal:
        work = SweepRounds(planned(), journal, Heard())
        assert ["fp32"] == [row["variant"] for row in work.complete()]
        second = carry_on(work, of(TIMES))
        rows = {row["variant"]: row for row in work.rows.values()}
    assert {"fp32-default": 5, "fp32": 2, "fp16": 5, "int8": 5} == counts([*first, *second])
    assert rows["fp32"]["stopped"]


def test_a_case_goes_on_when_what_it_was_slower_than_drops_out() -> None:
    """The fastest one crashes in every later round, so that it has no number: the others get all of their processes."""

    def script(variant: str, number: int) -> dict[str, Any] | None:
        return None if variant == "int8" and number >= 2 else {"us": TIMES[variant]}

    watch = Heard()
    times = TIMES | {"fp16": 2500.0}
    work = SweepRounds(planned(), InMemory(), watch)
    seen = carry_on(work, lambda variant, number: script(variant, number) and {"us": times[variant]})
    rows = {row["variant"]: row for row in work.rows.values()}
    assert "failed" == rows["int8"]["status"]
    assert {"fp32-default": 5, "fp32": 5, "fp16": 5, "int8": 5} == counts(seen)
    heard = [(kind, row["variant"]) for kind, row in watch.rows]
    assert heard.index(("stopped", "fp32")) < heard.index(("reopened", "fp32"))
    for name in ("fp32", "fp16"):
        assert (5, None) == (rows[name]["latency"]["processes"], rows[name]["stopped"])
        assert list(range(5)) == sorted(number for variant, number in seen if variant == name)


def test_a_case_whose_processes_crash_every_second_time_is_not_stopped() -> None:
    """Whether it has numbers at all is known after the last of them; and a fast one that crashes ends nobody."""

    def script(variant: str, number: int) -> dict[str, Any] | None:
        return None if variant in ("fp32", "int8") and number % 2 else {"us": TIMES[variant]}

    ran, rows = swept(planned(), script)
    assert {5} == set(ran.values())
    assert [2, 2] == [len(rows[name]["crashes"]) for name in ("fp32", "int8")]
    assert [3, 3] == [rows[name]["latency"]["processes"] for name in ("fp32", "int8")]


def test_a_late_process_of_a_case_that_stopped_counts() -> None:
    """A pool had it in flight: the row holds three processes and says so, and the case does not end twice."""
    jobs, watch = planned(), Heard()
    work = SweepRounds(jobs, InMemory(), watch)
    carry_on(work, of(TIMES), 8)
    assert work.rows[jobs[1].case.id]["stopped"]
    heard = len(watch.rows)
    work.take(process(dataclasses.replace(jobs[1], process=2), us=4000.0))
    row = work.rows[jobs[1].case.id]
    assert 3 == row["latency"]["processes"]
    assert row["stopped"].startswith("stopped after 3 of 5 processes")
    for number in (3, 4):
        work.take(process(dataclasses.replace(jobs[1], process=number), us=4000.0))
    row = work.rows[jobs[1].case.id]
    assert (5, None) == (row["latency"]["processes"], row["stopped"])
    assert heard == len(watch.rows)
    assert jobs[1].case not in work.todo()


def test_a_late_process_may_let_a_case_go_on_that_had_stopped() -> None:
    """It was as fast as the others: the case is measured on."""
    jobs, watch = planned(), Heard()
    work = SweepRounds(jobs, InMemory(), watch)
    carry_on(work, of(TIMES), 8)
    for job, us in zip(reversed(jobs), (1000.0, 1500.0, 500.0), strict=False):
        work.take(process(dataclasses.replace(job, process=2), us=us))
    assert ("reopened", "fp32") == (watch.rows[-1][0], watch.rows[-1][1]["variant"])
    assert work.rows[jobs[1].case.id]["stopped"] is None
    assert jobs[1].case in work.todo()


def test_what_stopped_does_not_compete() -> None:
    """Its interval of two processes is wide: it neither takes pairs from those that compete, nor ties with the best."""
    from harness import budget
    from harness.flow.confirm import confirm_jobs

    jobs = planned()
    _, rows = swept(jobs, lambda variant, number: {"us": TIMES[variant] * (1 + 0.02 * (number % 2))})
    stopped = rows["fp32"]
    assert stopped["stopped"]
    wide = {**stopped, "latency": {**stopped["latency"], "ci95_low_s": 1e-6}}
    given = [wide if row is stopped else row for row in rows.values()]
    (one,) = confirm_jobs(given, {job.case.id: job for job in jobs}, blocks=2, seed="a")
    assert "fp32" not in one.candidates
    assert wide not in budget.tied(rows["int8"], given)


def test_the_documentation_says_the_rules_numbers() -> None:
    """As the constants have them."""
    text = (Path(__file__).parent.parent / "docs" / "measuring.md").read_text(encoding="utf-8")
    assert f"at least {early_stop.FACTOR:.1f}x" in text
