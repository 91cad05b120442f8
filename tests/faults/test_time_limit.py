"""A gate's time limit is over at any moment: what was measured stands, the rest is inconclusive, and nothing passes."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.gate.bisect.bisection import MeasurablePoints
from harness.gate.gate import GRACE_S, gate, to_measure_s
from harness.gate.model import GateSettings, Report, Verdict, exit_code
from harness.gate.timing import lock
from harness.processes import OutOfTime, ending_at, left_s
from harness.store.files import Lock
from tests import pairs
from tests.conftest import Project
from tests.test_gate_gate import Watch, World, match


def run(world: World, **steps: Any) -> Report:
    """A gate of one case with a minute, some of whose steps are others."""
    world.matches = (match("a"),)
    request = dataclasses.replace(world.request, settings=GateSettings(time_limit_s=60.0))
    return gate(request, Watch(), steps=dataclasses.replace(world.steps(), **steps))


def late(*_: object, **__: object) -> Any:
    """A step that is ended because the time is over, and that had an end to be ended at."""
    assert 60 < left_s() <= 60 + GRACE_S
    raise OutOfTime


def one_of(role: str) -> Callable[..., Any]:
    """A build that is late on one side, and has a case on the other."""
    return lambda side, *_, **__: late() if side.role == role else ((pairs.contender(side.role),), ())


@pytest.mark.parametrize(("role", "cases"), [("base", 0), ("head", 1)])
def test_while_a_side_is_built(tmp_path: Path, role: str, cases: int) -> None:
    """The report names the side, and every case that is known by then."""
    report = run(World(tmp_path), build=one_of(role))
    assert [Verdict.INCONCLUSIVE] * cases == [case.verdict for case in report.cases]
    assert f"the time limit was over while {role} was built" == report.notes[0]
    assert ("time limit", 3) == (report.interrupted, exit_code(report))


@pytest.mark.parametrize("step", ["read_signatures", "compare_outputs", "measure_pair"])
def test_after_building(tmp_path: Path, step: str) -> None:
    """Nothing that was not compared to its end passes."""
    if step == "measure_pair":

        def ended(*_: object, **__: object) -> Any:
            assert 0 < left_s() <= 60 + 15  # a pair that has begun may end
            raise OutOfTime

        report = run(World(tmp_path), measure_pair=ended)
    else:
        report = run(World(tmp_path), **{step: late})
    assert [Verdict.INCONCLUSIVE] == [case.verdict for case in report.cases]
    assert ("time limit", 3) == (report.interrupted, exit_code(report))


@pytest.mark.parametrize(
    ("limit", "spent", "left"),
    [(None, 9.0, None), (60.0, 20.0, 40.0), (60.0, 58.0, 5.0), (60.0, 99.0, 5.0), (1.0, 9.0, 1.0)],
)
def test_what_is_left_for_pairs(limit: float | None, spent: float, left: float | None) -> None:
    """A little, so that a build from scratch does not make every gate inconclusive without one pair."""
    assert left == to_measure_s(limit, spent)


def test_before_the_sides_are_known(tmp_path: Path) -> None:
    """There is no report then, and the command line says so."""
    with pytest.raises(OutOfTime):
        run(World(tmp_path), resolve=late)


def test_without_a_limit_there_is_no_end(tmp_path: Path) -> None:
    """And one gate's limit is not the next one's."""
    world = World(tmp_path)
    world.on_pair = lambda: (_ for _ in ()).throw(AssertionError) if left_s() < float("inf") else None
    report, _ = world.run(match("a"))
    assert Verdict.PASS == report.cases[0].verdict
    assert left_s() > time.monotonic()


def test_the_wait_for_another_gate_counts(tmp_path: Path) -> None:
    """A gate that hangs keeps nobody else past the limit; without one it is waited for."""
    other = Lock.wait(tmp_path / lock.LOCK)
    said: list[str] = []
    with pytest.raises(OutOfTime), lock.alone(tmp_path, said.append, end=time.monotonic()):
        raise AssertionError("it is not alone")
    assert ["waiting for another gate"] == [one[:24] for one in said]
    with pytest.raises(OutOfTime), ending_at(time.monotonic()), lock.alone(tmp_path, said.append, who="bisection"):
        raise AssertionError("nor has it time that its caller has not")
    other.release()
    with lock.alone(tmp_path, said.append, end=time.monotonic()):
        assert Lock.attempt(tmp_path / lock.LOCK) is None
    assert 2 == len(said)


@pytest.mark.parametrize(
    ("written", "who"),
    [
        ("", "another gate"),
        (None, "another self-test (process PID)"),
        ("\x1b[31mgate in process 1\n", "another gate"),
        ("gate in process " + "1" * 99, "another gate"),
    ],
)
def test_who_is_waited_for(tmp_path: Path, written: str | None, who: str) -> None:
    """The lock's holder says who it is; what is written there otherwise is not repeated."""
    path, said = tmp_path / lock.LOCK, list[str]()
    with lock.alone(tmp_path, said.append, who="self-test"):
        if written is not None:
            path.write_text(written, encoding="utf-8")
        with pytest.raises(OutOfTime), lock.alone(tmp_path, said.append, end=time.monotonic()):
            raise AssertionError("it is not alone")
    who = who.replace("PID", str(os.getpid()))
    assert [f"waiting for {who} that measures on this host (it holds {path})"] == said


def test_a_self_test_has_a_limit(project: Project) -> None:
    """It waits for a gate no longer than it was given, and says that nothing is known."""
    other = Lock.wait(project.root / "cache" / lock.LOCK)
    said = project.run("selftest", "--time-limit", "1s", code=3)
    other.release()
    assert "nothing is known" in said


def test_a_bisection_has_a_limit(tmp_path: Path) -> None:
    """It waits for a gate no longer than it was given, and what is measured has what is left of the time."""

    def measured(*_: object, **__: object) -> Any:
        assert left_s() < 60 + 15
        raise OutOfTime

    points = MeasurablePoints(match("a"), GateSettings(), Watch(), tmp_path, measured)
    with Lock.wait(tmp_path / lock.LOCK), ending_at(time.monotonic()):
        for waits in (points.gate, lambda: points.pairs(1)):
            with pytest.raises(OutOfTime):
                waits()
    with pytest.raises(OutOfTime), ending_at(time.monotonic() + 60):
        points.gate()
