"""A measured value is never replaced by a failure; the failure stands beside it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness.errors import WorkerRefusal
from harness.flow.rounds import SweepRounds
from harness.records import Refusal, Status
from harness.report import data as report_data
from harness.runtimes.client import Client
from harness.store import query, samples
from harness.store.asv import results as asv
from harness.store.journal import Journal
from tests import outcomes
from tests.outcomes import case, measured, refused
from tests.test_rounds import Heard, jobs, run, timed

NO_BUILD = Refusal(status=Status.FAILED, reason="export: the hub cannot be reached")


def interrupted(results: Path, processes: int) -> None:
    """A sweep of one case that was stopped after some of its three processes."""
    with Journal.open(results, run(), resume=True) as journal:
        work = SweepRounds(jobs()[:1], journal, Heard())
        for job in work.jobs():
            if job.process < processes:
                work.take(timed(job))


@pytest.mark.parametrize("processes", [1, 3])
@pytest.mark.parametrize("status", [Status.FAILED, Status.UNSUPPORTED])
def test_a_build_that_fails_later_leaves_what_was_timed(tmp_path: Path, processes: int, status: Status) -> None:
    """The cache was cleared, and the artifact cannot be built again today."""
    interrupted(tmp_path, processes)
    (before,) = query.rows(tmp_path)
    broken = dataclasses.replace(jobs()[0], built=dataclasses.replace(NO_BUILD, status=status))
    for _ in range(2):  # a second try adds nothing
        with Journal.open(tmp_path, run(), resume=True) as journal:
            work = SweepRounds([broken], journal, Heard())
            assert [] == list(work.jobs())
            assert {before["case"]: NO_BUILD.reason} == work.failures
            after = journal.whole(before["case"])
        assert before["latency"] == after["latency"]
        assert processes == len(after["processes"])
        assert "measured" == after["status"]
        assert NO_BUILD.reason in after["notes"][-1]


def test_a_case_whose_build_failed_goes_on_once_it_succeeds(tmp_path: Path) -> None:
    """From the process it had come to; and the note of the failure is gone with its cause."""
    interrupted(tmp_path, 1)
    with Journal.open(tmp_path, run(), resume=True) as journal:
        SweepRounds([dataclasses.replace(jobs()[0], built=NO_BUILD)], journal, Heard())
    with Journal.open(tmp_path, run(), resume=True) as journal:
        work = SweepRounds(jobs()[:1], journal, Heard())
        for job in work.jobs():
            work.take(timed(job))
        (row,) = samples.read(journal.finish())
    assert ("measured", 3) == (row["status"], row["latency"]["processes"])
    assert not any("failed since" in note for note in row["notes"] or [])


def test_a_runtime_that_is_gone_ends_a_case_and_keeps_its_numbers(tmp_path: Path) -> None:
    """The next process answers that it cannot: what came before stays, and no further process is run."""
    interrupted(tmp_path, 1)
    watch = Heard()
    with Journal.open(tmp_path, run(), resume=True) as journal:
        work = SweepRounds(jobs()[:1], journal, watch)
        turns = 0
        for job in work.jobs():
            turns += 1
            work.take(
                timed(job, samples=None, evaluation=None, ends=Status.FAILED, reason="there is no wheel any more")
            )
        (row,) = samples.read(journal.finish())
    assert 1 == turns
    assert ("measured", 1) == (row["status"], row["latency"]["processes"])
    assert "there is no wheel any more" in row["notes"][-1]
    assert ["finished"] == [kind for kind, _ in watch.rows]


def test_processes_that_crash_after_a_resume_leave_what_was_timed(tmp_path: Path) -> None:
    """Too many crashes end the case; the number of the session before them stays, and a later session goes on."""
    interrupted(tmp_path, 1)
    (before,) = query.rows(tmp_path)
    watch = Heard()
    with Journal.open(tmp_path, run(), resume=True) as journal:
        work = SweepRounds(jobs()[:1], journal, watch)
        for job in work.jobs():
            work.take(timed(job, samples=None, reason="the worker was killed"))
        (row,) = work.rows.values()
        assert list(work.failures) == [before["case"]]
    assert ("measured", before["latency"]) == (row["status"], row["latency"])
    assert "the worker was killed" in row["notes"][-1]
    assert ["sharpened", "finished"] == [kind for kind, _ in watch.rows]
    with Journal.open(tmp_path, run(), resume=True) as journal:
        work = SweepRounds(jobs()[:1], journal, Heard())
        for job in work.jobs():
            work.take(timed(job))
        (row,) = samples.read(journal.finish())
    assert ("measured", 2, 1) == (row["status"], row["latency"]["processes"], len(row["crashes"]))
    assert not any("failed since" in note for note in row["notes"])


def test_an_evaluation_that_cannot_be_made_again_ends_its_case_alone(
    tmp_path: Path,
) -> None:
    """The cache was cleared, a process crashes, and so does the evaluation: the sweep goes on, the numbers stay."""
    interrupted(tmp_path, 1)

    def broken() -> Client:
        raise WorkerRefusal("run", "no such kernel")

    asked = dataclasses.replace(jobs()[0], cache=tmp_path / "cleared", client=broken)
    with Journal.open(tmp_path, run(), resume=True) as journal:
        work = SweepRounds([asked], journal, Heard())
        work.take(timed(next(work.jobs()), samples=None, evaluation=None, reason="the worker died"))
        (row,) = work.rows.values()
    assert ("measured", 1) == (row["status"], row["latency"]["processes"])
    assert "its outputs: no such kernel" in row["notes"][-1]


def test_a_second_sweep_that_fails_leaves_asv_and_shows_both_everywhere(tmp_path: Path) -> None:
    """Of one commit: asv's number, the tables and the dashboard keep the number; the failure is a note beside it."""
    again = outcomes.run(id="20260201T000000Z-aaaaaa", started_at="2026-02-01T00:00:00+00:00")
    found: list[list[bytes]] = []
    for one, outcome in ((outcomes.run(), measured(case(variant="a"))), (again, refused(case(variant="a")))):
        with Journal.open(tmp_path, one, resume=False) as journal:
            journal.append(outcome)
            journal.append(measured(case(variant="b")))
            asv.write(tmp_path, one, journal.whole_rows())
            journal.finish()
        found.append([path.read_bytes() for path in sorted(tmp_path.glob("*/*-harness-*.json"))])
    assert found[0] == [_without_times(*pair) for pair in zip(*found, strict=True)]
    shown = query.rows(tmp_path)[0], report_data.load(tmp_path).latest[0]
    for row in shown:
        assert ("measured", outcomes.run().id) == (row["status"], row["run"])
        assert "failed since" in row["notes"][-1]


def _without_times(first: bytes, second: bytes) -> bytes:
    """The second file with the times of the first, where asv notes when a benchmark began.

    A number that was not applicable is failed now: nothing is lost by that.
    """
    import json

    one, other = json.loads(first), json.loads(second)
    place, value = (one["result_columns"].index(name) for name in ("started_at", "result"))
    for name, row in one["results"].items():
        other["results"][name][place] = row[place]
        pairs = zip(row[value], other["results"][name][value], strict=True)
        other["results"][name][value] = [a if b is None and str(a) == "nan" else b for a, b in pairs]
    return first if json.dumps(other) == json.dumps(one) else second
