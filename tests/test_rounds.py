"""harness.measure.rounds and harness.flow.rounds: the order of processes, resuming, and what is stored on the way."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness.flow.execute import Job
from harness.flow.preview import SweepSettings
from harness.flow.progress import ProcessOutcome
from harness.flow.rounds import SweepRounds
from harness.measure.rounds import turns
from harness.records import Evaluation, HostInfo, Run, RuntimeInfo, within_run
from harness.stats.estimate import latency
from harness.store import query, samples
from harness.store.journal import Journal
from tests import outcomes

CASES = [f"m/v{i}/cpu-t1-b1" for i in range(6)]
RUNTIME = RuntimeInfo(name="onnxruntime", version="1.31.1", package="onnxruntime-gpu")


def test_round_k_is_process_k_of_every_case_in_an_order_of_its_own() -> None:
    """Every case once in every round; rounds differ in order, and the seed decides it."""
    found = list(turns(CASES, processes=4, seed="a"))
    assert [number for number in range(4) for _ in CASES] == [turn.process for turn in found]
    orders = [tuple(turn.case for turn in found if turn.process == number) for number in range(4)]
    assert all(set(CASES) == set(order) for order in orders)
    assert len(set(orders)) > 1
    assert found == list(turns(CASES, processes=4, seed="a"))
    assert found != list(turns(CASES, processes=4, seed="b"))


def test_the_old_order_is_one_case_after_the_other() -> None:
    """As `--order case` asks."""
    found = list(turns(CASES[:2], processes=2, seed="a", order="case"))
    assert [(CASES[0], 0), (CASES[0], 1), (CASES[1], 0), (CASES[1], 1)] == [(t.case, t.process) for t in found]


@pytest.mark.parametrize("order", ["round", "case"])
@pytest.mark.parametrize("stop", [1, 5, 8, 13, 23])
def test_an_interrupted_sweep_goes_on_where_it_stopped(stop: int, order: str) -> None:
    """What ran before and what runs after are together what would have run, in the same order."""
    whole = list(turns(CASES, processes=4, seed="a", order=order))
    done = Counter(turn.case for turn in whole[:stop])
    assert whole[stop:] == list(turns(CASES, processes=4, seed="a", order=order, done=done))


def test_a_case_that_ends_takes_no_further_part() -> None:
    """It is asked just before its turn."""
    ended: set[str] = set()
    seen = []
    for turn in turns(CASES, processes=3, seed="a", going=lambda case: case not in ended):
        seen.append(turn)
        if turn.case == CASES[2]:
            ended.add(turn.case)
    assert 1 == sum(turn.case == CASES[2] for turn in seen)
    assert 16 == len(seen)


class Heard:
    """A watcher that keeps what it hears."""

    def __init__(self) -> None:
        self.rounds: list[int] = []
        self.rows: list[tuple[str, dict[str, Any]]] = []

    def round(self, number: int, of: int) -> None:  # noqa: ARG002  (what a watcher hears)
        """A round begins."""
        self.rounds.append(number)

    def sharpened(self, row: Any) -> None:
        """A process is stored."""
        self.rows.append(("sharpened", row))

    def finished(self, row: Any) -> None:
        """A case is complete."""
        self.rows.append(("finished", row))

    def stopped(self, row: Any) -> None:
        """A case gets no further process."""
        self.rows.append(("stopped", row))

    def reopened(self, row: Any) -> None:
        """It does."""
        self.rows.append(("reopened", row))


def jobs(processes: int = 3) -> list[Job]:
    """Jobs of three variants."""
    settings = SweepSettings(processes=processes, time_per_case=1.0, ci_width=0.02)
    found = [outcomes.case(variant=name) for name in ("fp32", "fp16", "int8")]
    return [
        Job(case=case, built=outcomes.artifact(case), settings=settings, cache=Path(), runtime=RUNTIME)
        for case in found
    ]


def evaluated(job: Job) -> Evaluation:
    """What a job's artifact computes, judged by what its recipe claims."""
    found = outcomes.measured(job.case).evaluation
    assert isinstance(found, Evaluation)
    return dataclasses.replace(found, precision=job.case.recipe.precision)


def timed(job: Job, ns: int = 1_000_000, **changes: Any) -> ProcessOutcome:
    """What a process of a job might give."""
    started = f"2026-01-31T10:{job.process:02}:00.000+00:00"
    samples = dataclasses.replace(outcomes.process(ns + job.process), started_at=started)
    base = ProcessOutcome(
        case=job.case,
        process=job.process,
        started_at=started,
        samples=samples,
        evaluation=evaluated(job),
        placement={"CPUExecutionProvider": 1.0},
        runtime=RUNTIME,
        host=HostInfo(fingerprint="0123456789ab", facts={"cpu": "A CPU"}),
        noise={"load1": float(job.process), "steal": None},
    )
    return dataclasses.replace(base, **changes)


def dead(job: Job) -> ProcessOutcome:
    """A process that gave nothing."""
    return timed(job, samples=None, evaluation=None, placement={}, noise={}, reason="the worker died")


def run() -> Run:
    """A run of three processes."""
    return outcomes.run(settings={"processes": 3})


def test_after_the_first_round_every_case_has_an_answer(tmp_path: Path) -> None:
    """Readable by others while the sweep goes on; it gets sharper with every process."""
    watch = Heard()
    with Journal.open(tmp_path, run(), resume=True) as journal:
        work = SweepRounds(jobs(), journal, watch)
        for count, job in enumerate(work.jobs(), start=1):
            work.take(timed(job))
            if count == 3:
                rows = query.rows(tmp_path)
                assert [1, 1, 1] == [row["latency"]["processes"] for row in rows]
                assert [1] == watch.rounds
        stored = samples.read(journal.finish())
    assert [1, 2, 3] == watch.rounds
    assert ["sharpened"] * 6 + ["finished"] * 3 == [kind for kind, _ in watch.rows]
    assert [3, 3, 3] == [row["latency"]["processes"] for row in stored]
    for row in stored:
        assert [f"2026-01-31T10:0{k}:00.000+00:00" for k in range(3)] == [one["started_at"] for one in row["processes"]]
        assert {"load1": 1.0, "steal": None} == {name: row["noise"][name] for name in ("load1", "steal")}


@pytest.mark.parametrize("stop", [1, 4, 8])
def test_a_round_that_is_interrupted_goes_on_the_next_day(tmp_path: Path, stop: int) -> None:
    """In the middle of its round, with every process that was stored and its own time; the run keeps its name."""
    expected: list[tuple[str, int]] = []
    with Journal.open(tmp_path / "whole", run(), resume=True) as journal:
        work = SweepRounds(jobs(), journal, Heard())
        for job in work.jobs():
            expected.append((job.case.id, job.process))
            work.take(timed(job))
    seen: list[tuple[str, int]] = []
    with Journal.open(tmp_path / "cut", run(), resume=True) as journal:
        work = SweepRounds(jobs(), journal, Heard())
        for job in work.jobs():
            if len(seen) == stop:
                break
            seen.append((job.case.id, job.process))
            work.take(timed(job))
    later = dataclasses.replace(run(), id="20260201T090000Z-aaaaaa", started_at="2026-02-01T09:00:00+00:00")
    with Journal.open(tmp_path / "cut", later, resume=True) as journal:
        assert run().id == journal.run.id
        work = SweepRounds(jobs(), journal, Heard())
        for job in work.jobs():
            seen.append((job.case.id, job.process))
            next_day = f"2026-02-01T09:0{job.process}:00.000+00:00"
            found = timed(job)
            assert found.samples is not None
            work.take(dataclasses.replace(found, samples=dataclasses.replace(found.samples, started_at=next_day)))
        rows = samples.read(journal.finish())
    assert expected == seen
    days = [one["started_at"][:10] for row in rows for one in row["processes"]]
    assert {"2026-01-31": stop, "2026-02-01": 9 - stop} == Counter(days)
    for row in rows:
        assert row["latency"]["processes"] == 3


def test_a_crash_costs_its_process_alone_and_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The case goes on with its next process; also where a resumed sweep has the evaluation from the cache alone."""
    asked: list[str] = []

    def cached(job: Job, *_: Any) -> Any:
        asked.append(job.case.id)
        return evaluated(job)

    monkeypatch.setattr("harness.flow.execute.evaluate", cached)
    one = jobs()[:1]
    with Journal.open(tmp_path, run(), resume=True) as journal:
        work = SweepRounds(one, journal, Heard())
        work.take(timed(next(work.jobs())))
        again = SweepRounds(one, journal, Heard())
        for job in again.jobs():
            again.take(dead(job) if job.process == 1 else timed(job))
        row = again.rows[one[0].case.id]
    assert ("measured", 2) == (row["status"], row["latency"]["processes"])
    assert [{"process": 2, "started_at": "2026-01-31T10:01:00.000+00:00", "reason": "the worker died"}] == row[
        "crashes"
    ]
    assert any("1 of 3 processes crashed" in note for note in row["notes"])
    assert [one[0].case.id] == asked


def test_a_case_that_failed_is_measured_from_the_start_when_the_sweep_is_resumed(tmp_path: Path) -> None:
    """What was wrong may have been fixed; nothing of before is mixed in."""
    one = jobs()[:1]
    with Journal.open(tmp_path, run(), resume=True) as journal:
        work = SweepRounds(one, journal, Heard())
        for job in work.jobs():
            work.take(dead(job))
        assert "failed" == work.rows[one[0].case.id]["status"]
        again = SweepRounds(one, journal, Heard())
        assert [one[0].case] == again.todo()
        for job in again.jobs():
            again.take(timed(job))
        row = again.rows[one[0].case.id]
    assert ("measured", 3, None) == (row["status"], row["latency"]["processes"], row["crashes"])


def test_the_interval_of_a_case_spans_a_host_whose_pace_doubles_in_the_middle_of_a_round(tmp_path: Path) -> None:
    """No case is favoured: with the same work, no interval excludes another case's median."""
    with Journal.open(tmp_path, run(), resume=True) as journal:
        work = SweepRounds(jobs(), journal, Heard())
        for count, job in enumerate(work.jobs()):
            work.take(timed(job, 1_000_000 if count < 4 else 2_000_000))
        rows = list(work.rows.values())
    assert 3 == len(rows)
    for row in rows:
        for other in rows:
            assert row["latency"]["ci95_low_s"] <= other["latency"]["median_s"] <= row["latency"]["ci95_high_s"]


def test_what_is_stored_on_the_way_is_what_all_processes_together_give(tmp_path: Path) -> None:
    """Going through the store loses nothing: the same summary as of all samples at once."""
    one = jobs()[:1]
    every = []
    with Journal.open(tmp_path, run(), resume=True) as journal:
        work = SweepRounds(one, journal, Heard())
        for job in work.jobs():
            found = timed(job, 1_000_000 + 7_000 * job.process)
            every.append(found.samples)
            work.take(found)
        row = work.rows[one[0].case.id]
    assert dataclasses.asdict(latency([one for one in every if one], 0.02)) == row["latency"]


def paced(levels: list[float], tmp_path: Path, order: str = "round") -> list[Any]:
    """The rows of a sweep of six cases in rounds, the host's pace of each round as given."""
    one = jobs(len(levels))[0]
    settings = SweepSettings(processes=len(levels), time_per_case=1.0, ci_width=0.02, order=order)
    many = []
    for threads in range(1, 7):
        target = dataclasses.replace(one.case.target, intra_threads=threads)
        many.append(dataclasses.replace(one, case=dataclasses.replace(one.case, target=target), settings=settings))
    with Journal.open(tmp_path, run(), resume=True) as journal:
        work = SweepRounds(many, journal, Heard())
        for count, job in enumerate(work.jobs()):
            pace = levels[job.process] * (1 + 0.001 * (count % 5))
            found = timed(job, round(1_000_000 * pace))
            assert found.samples is not None
            beside = round(250_000 * pace)
            samples_ = dataclasses.replace(found.samples, reference_before_ns=beside, reference_after_ns=beside)
            work.take(dataclasses.replace(found, samples=samples_))
        before = [row["latency"] for row in work.rows.values()]
        work.widen()
        work.widen()
        stored = [journal.whole(name)["latency"] for name in work.rows]
        assert [row["latency"] for row in work.rows.values()] == stored
    for old, new in zip(before, stored, strict=True):
        changed = {name for name in old if old[name] != new[name]}
        assert changed <= {"ci95_low_s", "ci95_high_s", "run95_low_s", "run95_high_s", "stop"}
        assert (old["ci95_low_s"], old["ci95_high_s"]) == within_run(old) == within_run(new)
    return stored


def test_on_a_host_that_drifts_from_round_to_round_the_interval_is_wider_than_its_processes_say(tmp_path: Path) -> None:
    """Doing it twice is doing it once; the interval within the run stands beside it, and nothing else changes."""
    for found in paced([1.0, 1.03, 1.06], tmp_path):
        assert found["ci95_low_s"] < found["run95_low_s"] < found["run95_high_s"] < found["ci95_high_s"]
        assert "time" == found["stop"]


@pytest.mark.parametrize(("levels", "order"), [([1.0] * 3, "round"), ([1.0, 1.03, 1.06], "case")])
def test_where_rounds_tell_of_no_drift_the_interval_stays(levels: list[float], order: str, tmp_path: Path) -> None:
    """A calm host, and one case after the other."""
    assert {None} == {found["run95_low_s"] for found in paced(levels, tmp_path, order)}
