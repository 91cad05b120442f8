"""One measurement for all metrics of a case: what asv's process does instead of starting another."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from harness.asv import answers, exchange
from harness.store.asv.benchmarks import BENCHMARKS

FIRST, SECOND = BENCHMARKS[0].name, BENCHMARKS[1].name
ONE_ROUND = json.dumps({"number": 1})


@pytest.fixture
def state() -> Iterator[answers.State]:
    """What an asv process knows."""
    state = answers.State()
    yield state
    shutil.rmtree(state.folder)


class Processes:
    """Stands for asv's way to start a benchmark's process."""

    def __init__(self, state: answers.State, leaves: dict[str, Any] | None = None, code: int = 0) -> None:
        self.state, self.leaves, self.code = state, leaves or {}, code
        self.started: list[str] = []

    def __call__(self, name: str, *_: Any) -> tuple[str, int]:
        """Start one."""
        self.started.append(name)
        for file, content in self.leaves.items():
            (self.state.folder / file).write_text(json.dumps(content), encoding="utf-8")
        return f"output of {name}", self.code


def ask(state: answers.State, processes: Processes, name: str, params: str = ONE_ROUND) -> tuple[str, int, Any]:
    """Run a benchmark as asv does; what it printed, its exit code and its result."""
    file = state.folder / "result"
    file.write_text("null", encoding="utf-8")
    out, code = answers.answered(state, "env", processes, name, params, "None", str(file), 60, ".")
    result = json.loads(file.read_text(encoding="utf-8"))
    file.unlink()
    return out, code, result


def test_an_answer_is_handed_out_once(state: answers.State) -> None:
    """The second metric needs no process; asked again, as in a second round, it is measured anew."""
    processes = Processes(state, {"3.json": {SECOND: {"value": 7.5, "out": "a note"}}})
    assert (f"output of {FIRST}-3", 0, None) == ask(state, processes, f"{FIRST}-3")
    assert ("a note", 0, 7.5) == ask(state, processes, f"{SECOND}-3")
    assert [f"{FIRST}-3"] == processes.started
    ask(state, processes, f"{SECOND}-3")
    assert [f"{FIRST}-3", f"{SECOND}-3"] == processes.started


def test_a_failed_case_fails_in_every_metric(state: answers.State) -> None:
    """With the reason, and without a process for each."""
    processes = Processes(state, {"0.json": {SECOND: {"value": None, "out": "it broke"}}}, code=1)
    ask(state, processes, f"{FIRST}-0")
    assert ("it broke", 1, None) == ask(state, processes, f"{SECOND}-0")


def test_a_process_that_dies_or_hangs_is_not_started_seven_times(state: answers.State) -> None:
    """It leaves nothing, so its outcome is that of the other metrics; another case starts its own."""
    processes = Processes(state, code=-256)
    ask(state, processes, f"{FIRST}-0")
    assert (f"output of {FIRST}-0", 1, None) == ask(state, processes, f"{SECOND}-0")
    ask(state, processes, f"{SECOND}-1")
    assert [f"{FIRST}-0", f"{SECOND}-1"] == processes.started


def test_what_is_no_case_needs_no_process(state: answers.State) -> None:
    """One process says it for all of the commit's places."""
    processes = Processes(state, {exchange.NONE_FILE: {"5": "no such model"}, "0.json": {}})
    ask(state, processes, f"{FIRST}-0")
    for _ in range(2):
        out, code, result = ask(state, processes, f"{SECOND}-5")
        assert ("n/a: no such model", 0) == (out, code)
        assert math.isnan(result)
    assert [f"{FIRST}-0"] == processes.started


def test_nothing_of_another_commit_is_handed_out(state: answers.State) -> None:
    """Only the axes outlive a commit."""
    processes = Processes(state, {"0.json": {SECOND: {"value": 1, "out": ""}}, exchange.NONE_FILE: {"1": "x"}})
    ask(state, processes, f"{FIRST}-0")
    (state.folder / exchange.AXES_FILE).write_text("[]", encoding="utf-8")
    state.begin()
    assert [exchange.AXES_FILE] == [path.name for path in state.folder.iterdir()]
    processes.leaves = {}
    ask(state, processes, f"{SECOND}-0")
    ask(state, processes, f"{SECOND}-1")
    assert 3 == len(processes.started)


def test_other_suites_are_left_alone(state: answers.State) -> None:
    """Their processes start as ever."""
    processes = Processes(state, {"0.json": {"time_x": {"value": 1, "out": ""}}})
    for _ in range(2):
        ask(state, processes, "other.time_x-0")
    assert 2 == len(processes.started)


def test_quick_is_told_to_the_processes(state: answers.State) -> None:
    """It hides in the parameters of every benchmark."""
    ask(state, Processes(state), f"{FIRST}-0")
    assert not state.quick
    ask(state, Processes(state), f"{FIRST}-1", json.dumps(answers.QUICK))
    assert state.quick
    assert state.read(exchange.QUICK_FILE) is True
