"""harness.flow.executors: the same sweep in this process and in others that share nothing but folders."""

from __future__ import annotations

import concurrent.futures as cf
import dataclasses
import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.build.pipeline import BuildEvent
from harness.errors import HarnessError
from harness.flow import plan as planning
from harness.flow.execute import Job
from harness.flow.executors import Executor, PoolExecutor
from harness.flow.preview import Preview, SweepRequest, SweepSettings
from harness.flow.sweep import Row, Swept, sweep
from harness.records import Case, Refusal, Status
from harness.runtimes.client import Client
from tests import outcomes
from tests.conftest import Project


class Noted:
    """A watcher that keeps the ids of started and finished cases, in order."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.ticks = 0

    def planned(self, preview: Preview) -> None:
        """Not of interest."""

    def building(self, event: BuildEvent) -> None:
        """Not of interest."""

    def preparing(self, text: str) -> None:
        """Not of interest."""

    def confirming(self, number: int, of: int, text: str) -> None:
        """Not of interest."""

    def measuring(
        self, todo: Sequence[Case], kept: Sequence[Row], begun: Sequence[Row], problems: Sequence[str]
    ) -> None:
        """Not of interest."""

    def round(self, number: int, of: int) -> None:
        """Not of interest."""

    def sharpened(self, row: Row) -> None:
        """Not of interest."""

    def stopped(self, row: Row) -> None:
        """Not of interest."""

    def reopened(self, row: Row) -> None:
        """Not of interest."""

    def started(self, case: Case) -> None:
        """Note it."""
        self.events.append(("started", case.id))

    def tick(self) -> None:
        """Count it."""
        self.ticks += 1

    def finished(self, row: Row) -> None:
        """Note it."""
        self.events.append(("finished", row["case"]))


def swept(project: Project, results: str, executor: Executor | None) -> tuple[Swept, Noted]:
    """A sweep of the small project."""
    watch = Noted()
    request = SweepRequest(
        zoo=project.root / "model_zoo.yaml",
        results=project.root / results,
        cache=project.root / "cache",
        selection=planning.Selection(variants=("fp32", "int8-static", "int4-weights"), targets=("cpu", "qnn")),
        processes=1,
        time_per_case=0.1,
        order="case",
        confirm=False,
    )
    return sweep(request, watch, executor=executor), watch


def shape(value: Any) -> Any:
    """What of a row is the same however often it is measured: everything but times, and how many there are."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items() if not key.endswith("growth_bytes")}
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    return type(value).__name__ if isinstance(value, (int, float)) else None if value is None else type(value).__name__


@pytest.fixture(scope="module")
def pool() -> Iterator[cf.ProcessPoolExecutor]:
    """Two processes that were started from nothing."""
    with cf.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as started:
        yield started


def test_a_sweep_in_other_processes_is_the_same(project: Project, pool: cf.ProcessPoolExecutor) -> None:
    """Status, reason and structure of every row, its artifact and what it computes; only what a clock gave differs."""
    here, local = swept(project, "here", None)
    there, remote = swept(project, "there", PoolExecutor(pool))
    exact = ("case", "status", "reason", "artifact", "fidelity", "kernels", "measured_by", "host", "fingerprint")
    for one, other in zip(here.rows, there.rows, strict=True):
        assert {name: one[name] for name in exact} == {name: other[name] for name in exact}
        left_out = ("started_at", "notes", "noise", "time_share", "arithmetic")
        assert shape({k: v for k, v in one.items() if k not in left_out}) == shape(
            {k: v for k, v in other.items() if k not in left_out}
        )
    assert {"measured", "emulated", "unsupported"} == {row["status"] for row in there.rows}
    assert local.events == remote.events
    assert local.ticks > 0
    assert 0 == remote.ticks
    assert there.samples.is_file()


def job(name: str) -> Job:
    """A job that is done at once."""
    return Job(
        case=outcomes.case(name),
        built=Refusal(status=Status.SKIPPED, reason=str(os.getpid())),
        settings=SweepSettings(processes=1, time_per_case=0.1, ci_width=0.1),
        cache=Path(),
    )


def test_a_job_and_its_outcome_can_be_sent() -> None:
    """Nothing in them belongs to one process."""
    measured = outcomes.measured()
    assert job("m") == pickle.loads(pickle.dumps(job("m")))  # noqa: S301  (our own bytes)
    assert measured == pickle.loads(pickle.dumps(measured))  # noqa: S301  (ditto)


class Slots(cf.Executor):
    """A pool that runs nothing until it is asked for a result, and notes how many jobs it was given at once."""

    def __init__(self) -> None:
        self.given: list[str] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> cf.Future[Any]:
        """Run it here and now."""
        done: cf.Future[Any] = cf.Future()
        self.given.append(args[0].case.model.name)
        done.set_result(fn(*args, **kwargs))
        return done


def test_no_more_jobs_are_under_way_than_allowed() -> None:
    """The next is submitted when one is taken."""
    pool = Slots()
    found = PoolExecutor(pool, width=2).run([job(name) for name in "abcd"], Noted())
    first = next(found)
    assert ["a", "b"] == pool.given
    rest = list(found)
    assert set("abcd") == {outcome.case.model.name for outcome in [first, *rest]}


def ends() -> Client:
    """A worker with which the process that measures is killed."""
    os._exit(1)


def test_a_process_that_ends_is_told() -> None:
    """With how to go on; no outcome is made up."""
    asked = job("a")
    asked = dataclasses.replace(asked, built=outcomes.artifact(asked.case), client=ends)
    with cf.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as own:
        running = PoolExecutor(own).run([asked], Noted())
        with pytest.raises(HarnessError, match="run the command again to go on"):
            next(running)
