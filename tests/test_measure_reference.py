"""harness.measure.reference_workload: the host's pace beside every process, and what is said when it moves or fails."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.measure import coordinator, reference_workload
from harness.measure.coordinator import FLOOR_MODEL, Workload
from harness.measure.pacing import Pace
from harness.records import ProcessSamples, Target
from harness.runtimes.client import Client
from tests import outcomes
from tests.workers import HELLO, worker

QUICK = Pace(budget_s=0.05, ci_width=0.5, least_warmup_s=0.01, least_sampling_s=0.01)
KNOWS = HELLO.replace("'runtime': runtime})", "'runtime': runtime, 'features': ['reference']})")
ANSWERS = (
    "if cmd == 'burst': send({'ok': True, 'durations_ns': [10**6] * request['n'], 'preempted': 0}); continue\n"
    "count = globals().get('count', 0) + 1\n"
)


@pytest.fixture
def work(tmp_path: Path) -> Workload:
    """The one-node model."""
    np.save(tmp_path / "x.npy", np.ones((1,), np.float32))
    target = Target(name="cpu", provider="CPUExecutionProvider")
    return Workload(model=FLOOR_MODEL, target=target, optimization="all", feeds={"x": tmp_path / "x.npy"}, dims={})


def fake(tmp_path: Path, body: str) -> Callable[[], Client]:
    """A worker that knows the command `reference` and does this with it."""
    return worker(tmp_path, ANSWERS + body, hello=KNOWS)


def test_a_real_process_has_the_pace_before_and_after(work: Workload) -> None:
    """The matrix product takes longer than the one node; what is open stays open meanwhile."""
    samples = coordinator.time_process(work, QUICK).samples
    for busy, floor in (
        (samples.reference_before_ns, samples.floor_before_ns),
        (samples.reference_after_ns, samples.floor_after_ns),
    ):
        assert busy is not None
        assert floor is not None
        assert busy > floor > 0
    assert "" == samples.reference_problem


def test_its_median_is_what_is_kept(work: Workload, tmp_path: Path) -> None:
    """Of each model, before and after."""
    start = fake(tmp_path, "send({'ok': True, 'durations_ns': [[1, 5, 900], [70 * count, 80 * count, 90 * count]]})")
    samples = coordinator.time_process(work, QUICK, client=start).samples
    assert (5, 80) == (samples.floor_before_ns, samples.reference_before_ns)
    assert (5, 160) == (samples.floor_after_ns, samples.reference_after_ns)


def test_a_worker_that_does_not_know_it_is_not_asked(work: Workload, tmp_path: Path) -> None:
    """Nothing is wrong with it."""
    start = worker(tmp_path, ANSWERS + "os._exit(3)")
    samples = coordinator.time_process(work, QUICK, client=start).samples
    assert (None, None, "") == (samples.reference_before_ns, samples.reference_after_ns, samples.reference_problem)
    assert () == reference_workload.remarks([samples])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("os._exit(3)", "the worker died during `reference`"),
        ("send({'ok': False, 'kind': 'memory', 'message': 'no room'})", "no room"),
        ("send({'ok': True, 'durations_ns': [[1]]})", "is not the protocol"),
        ("send({'ok': True})", "is not the protocol"),
        ("print('{', flush=True)", "is not the protocol"),
    ],
    ids=["dies", "refuses", "one of two", "nothing", "no JSON"],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_reference_workload_that_fails_costs_no_case(
    work: Workload, tmp_path: Path, when: str, body: str, said: str
) -> None:
    """The samples are there, the pace is not, and the reason is kept and said."""
    good = "send({'ok': True, 'durations_ns': [[1], [2]]})"
    script = body if when == "before" else f"if count == 1: {good}; continue\n{body}"
    samples = coordinator.time_process(work, QUICK, client=fake(tmp_path, script)).samples
    assert len(samples.samples_ns) >= 3
    assert samples.reference_after_ns is None
    assert (2 if when == "after" else None) == samples.reference_before_ns
    assert said in (samples.reference_problem or "")
    (note,) = reference_workload.remarks([samples])
    assert note.startswith("1 of 1 processes have no time of the reference workload")


def process(before: int | None, after: int | None) -> ProcessSamples:
    """A process in which the reference workload took this long."""
    return dataclasses.replace(outcomes.process(1_000_000), reference_before_ns=before, reference_after_ns=after)


def test_a_pace_that_moved_is_said() -> None:
    """From more than a tenth on, between processes or within one; what is unknown says nothing."""
    assert () == reference_workload.remarks([process(500_000, 510_000), process(None, 545_000)])
    for moved in ([process(500_000, 600_000)], [process(500_000, 500_000), process(600_000, 600_000)]):
        (note,) = reference_workload.remarks(moved)
        assert note.startswith("the host's pace moved by 20% while this case was measured")
    found = reference_workload.pace([process(500_000, 600_000), process(None, 550_000)])
    assert found is not None
    assert pytest.approx((0.00055, 0.0005, 0.0006)) == (found.median_s, found.low_s, found.high_s)
    assert reference_workload.pace([process(None, None)]) is None
