"""harness.measure.rounds and harness.flow.rounds: the order of processes, resuming, and what is stored on the way."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.build.cache import Cache
from harness.flow.execute import Job, evaluation_of
from harness.flow.long_run import UNKNOWN
from harness.flow.preview import SweepSettings
from harness.flow.progress import ProcessOutcome
from harness.flow.rounds import SweepRounds
from harness.measure.rounds import turns
from harness.records import Artifact, Evaluation, HostInfo, Run, RuntimeInfo, within_run
from harness.stats.estimate import latency, t_quantile
from harness.store import days, query, samples
from harness.store.journal import Journal
from tests import outcomes

CASES = [f"m/v{i}/cpu-t1-b1" for i in range(6)]
RUNTIME = RuntimeInfo(name="onnxruntime", version="1.31.1", package="onnxruntime-gpu")
HOST = HostInfo(fingerprint="0123456789ab", facts={"cpu": "A CPU"})


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


def remember(job: Job) -> None:
    """Put into the cache of a job what its artifact computes, as the first of its processes does."""
    found = evaluated(job)
    assert isinstance(job.built, Artifact)
    assert job.runtime is not None
    key, asked = evaluation_of(job.case, job.built, job.runtime, HOST)
    content = dataclasses.asdict(found) | {"key": key, "of": asked, "inside": None}
    Cache(job.cache).put_evaluation(key, content)


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
        host=HOST,
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


def test_a_crash_costs_its_process_alone_and_is_stored(tmp_path: Path) -> None:
    """The case goes on with its next process; also where a resumed sweep has the evaluation from the cache alone."""
    one = [dataclasses.replace(jobs()[0], cache=tmp_path / "cache")]
    remember(one[0])
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
    assert 40.0 == row["fidelity"]["centred_sqnr_db"]


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


DRIFTING = [1.0, 1.03, 1.06, 1.09, 1.12]


def swept(levels: list[float], journal: Journal, order: str = "round", cases: int = 6) -> SweepRounds:
    """A sweep of so many cases in rounds, the host's pace of each round as given."""
    one = jobs(len(levels))[0]
    settings = SweepSettings(processes=len(levels), time_per_case=1.0, ci_width=0.02, order=order)
    many = []
    for threads in range(1, cases + 1):
        target = dataclasses.replace(one.case.target, intra_threads=threads)
        many.append(dataclasses.replace(one, case=dataclasses.replace(one.case, target=target), settings=settings))
    work = SweepRounds(many, journal, Heard())
    for count, job in enumerate(work.jobs()):
        pace = levels[job.process] * (1 + 0.001 * (count % 5))
        found = timed(job, round(1_000_000 * pace))
        assert found.samples is not None
        beside = round(250_000 * pace)
        started = f"2026-01-31T10:00:{count:02}.000+00:00"
        samples_ = dataclasses.replace(
            found.samples, started_at=started, reference_before_ns=beside, reference_after_ns=beside
        )
        work.take(dataclasses.replace(found, samples=samples_, host=HostInfo(fingerprint="one", facts={})))
    return work


def paced(levels: list[float], tmp_path: Path, order: str = "round", earlier: Sequence[days.Day] = ()) -> list[Any]:
    """The rows of such a sweep, their intervals those of the long run."""
    with Journal.open(tmp_path, run(), resume=True) as journal:
        work = swept(levels, journal, order)
        before = [row["latency"] for row in work.rows.values()]
        work.widen(earlier)
        work.widen(earlier)
        rows = [journal.whole(name) for name in work.rows]
        assert [row["latency"] for row in work.rows.values()] == [row["latency"] for row in rows]
    for old, row in zip(before, rows, strict=True):
        new = row["latency"]
        changed = {name for name in old if old[name] != new[name]}
        assert changed <= {"ci95_low_s", "ci95_high_s", "run95_low_s", "run95_high_s", "stop"}
        assert (old["ci95_low_s"], old["ci95_high_s"]) == within_run(old) == within_run(new)
    return rows


def test_on_a_host_that_drifts_from_round_to_round_the_interval_is_wider_than_its_processes_say(tmp_path: Path) -> None:
    """Doing it twice is doing it once; the interval within the run stands beside it; what is not known is said."""
    for row in paced(DRIFTING, tmp_path):
        found = row["latency"]
        assert found["ci95_low_s"] < found["run95_low_s"] < found["run95_high_s"] < found["ci95_high_s"]
        assert "time" == found["stop"]
        assert 1 == row["notes"].count(UNKNOWN)


@pytest.mark.parametrize(("levels", "order"), [([1.0] * 5, "round"), (DRIFTING, "case")])
def test_where_rounds_tell_of_no_drift_the_interval_stays(levels: list[float], order: str, tmp_path: Path) -> None:
    """A calm host, and one case after the other."""
    rows = paced(levels, tmp_path, order)
    assert {None} == {row["latency"]["run95_low_s"] for row in rows}
    assert not any(UNKNOWN in row["notes"] for row in rows)


def test_what_the_host_was_on_earlier_days_widens_the_interval_of_a_calm_sweep(tmp_path: Path) -> None:
    """One pace a day, of the last run; neither another host's, nor today's own other runs, nor what is to come."""
    paces = {"2026-01-20": 1.1, "2026-01-21": 0.9, "2026-01-22": 1.2, "2026-01-25": 0.9, "2026-01-30": 1.0}
    starts = [(f"{day}T10:00:00+00:00", pace) for day, pace in paces.items()]
    for started, pace in [("2026-01-20T03:00:00+00:00", 7.0), *starts, ("2026-01-31T01:00:00+00:00", 9.0)]:
        name = started.translate(str.maketrans("", "", "-:"))[:15] + "Z-aaaaaa"
        with Journal.open(tmp_path, dataclasses.replace(run(), id=name, started_at=started), resume=False) as journal:
            swept([pace], journal, cases=1)
            journal.finish()
    seen = days.earlier(tmp_path, run().started_at)
    assert [0.25e-3 * pace for pace in paces.values()] == pytest.approx(
        [math.exp(statistics.median(day.values())) for day in seen], rel=0.01
    )
    assert seen == days.read_apart(tmp_path, run().started_at)
    rows = paced([1.0] * 5, tmp_path / "today", earlier=seen)
    off = t_quantile(0.975, 5) * statistics.stdev([0.0, *map(math.log, paces.values())])
    for row in rows:
        found = row["latency"]
        assert off == pytest.approx(math.log(found["ci95_high_s"] / found["ci95_low_s"]) / 2, rel=0.05)
        assert found["run95_high_s"] < found["ci95_high_s"]
        assert UNKNOWN not in row["notes"]
    other = [{dataclasses.replace(beside, host="two"): pace for beside, pace in day.items()} for day in seen]
    assert {None} == {row["latency"]["run95_low_s"] for row in paced([1.0] * 5, tmp_path / "two", earlier=other)}
    assert not days.earlier(tmp_path / "nothing", run().started_at)
    assert not days.read_apart(tmp_path / "nothing", run().started_at)
