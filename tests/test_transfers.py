"""What copies to a device and back take: the worker's part on a device that is made up, and who asks for it when."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest

from harness.errors import WorkerError, WorkerRefusal
from harness.measure.transfers import ENOUGH, LEAST, TransferTimes
from tests.test_captured import doubling
from tests.test_measure_worker import worker

__all__ = ["worker"]

CPU = "CPUExecutionProvider"
FEATURES = {"features": ["transfer"]}


@pytest.fixture
def device(worker: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The CPU's provider taken for one of a GPU, and the arrays that are copied from it."""
    made, bind = onnxruntime.OrtValue.ortvalue_from_numpy, onnxruntime.IOBinding.bind_output
    taken: list[Any] = []
    numpy = onnxruntime.OrtValue.numpy

    def from_numpy(array: Any, device: str, which: int) -> Any:
        assert ("cuda", 1) == (device, which)
        return made(array.copy(), "cpu", 0)  # memory of its own, as a GPU's is

    def to_numpy(value: Any) -> Any:
        taken.append(numpy(value))
        return taken[-1]

    monkeypatch.setitem(worker.devices.DEVICES, CPU, "cuda")
    monkeypatch.setattr(worker.ort.OrtValue, "ortvalue_from_numpy", from_numpy)
    monkeypatch.setattr(worker.ort.OrtValue, "numpy", to_numpy)
    monkeypatch.setattr(worker.ort.IOBinding, "bind_output", lambda self, name, *_: bind(self, name, "cpu", 0))
    monkeypatch.setattr(worker.devices, "place", lambda *_: ("cuda", 1))
    return taken


def test_copies_are_of_the_batches_that_rotate_and_of_their_outputs(
    worker: ModuleType, device: list[Any], tmp_path: Path
) -> None:
    """Each batch's own arrays into the memory that the session reads, and its own outputs back."""
    one = worker.Worker()
    opened = one.open({**doubling(tmp_path).request(), "options": asked({})})
    assert 3 == opened["examples"]
    with pytest.raises(Exception, match="nothing has run yet"):
        one.transfer({"n": 1})
    one.burst({"n": 3})
    for value in one.bound:
        value.update_inplace(np.full((1, 3), -1, np.float32))
    device.clear()
    durations = one.transfer({"n": 4})["durations_ns"]
    assert 4 == len(durations)
    assert min(durations) > 0
    assert [0, 2, 4, 0] == [array[0, 0] for array in device]
    assert 2 == len(one.transfer({"n": 2})["durations_ns"])
    assert [2, 4] == [array[0, 0] for array in device[4:]]
    device.clear()
    one.burst({"n": 3})
    assert [] == device  # no inference copies
    assert [0, 2, 4] == [float(binding.get_outputs()[0].numpy()[0, 0]) for binding in one.bindings]


def test_nothing_is_copied_in_the_hosts_memory(worker: ModuleType, tmp_path: Path) -> None:
    """So there is no number, whatever was asked for."""
    one = worker.Worker()
    one.open({**doubling(tmp_path).request(), "options": asked({})})
    assert {"durations_ns": []} == one.transfer({"n": 3})
    assert {} == one.transfers.inputs


def asked(settings: dict[str, str]) -> dict[str, Any]:
    """The options of `open`, on the CPU's provider."""
    return {"provider": CPU, "provider_options": settings, "optimization": "all", "config": {}, "dims": {}}


class Copying:
    """A worker that answers with what it was given, and counts how often it was asked."""

    def __init__(self, *replies: Any, hello: dict[str, Any] = FEATURES) -> None:
        self.hello, self.replies, self.times = hello, list(replies), 0

    def ask(self, command: str, deadline_s: float, **arguments: Any) -> Any:
        """The next reply; the last one for ever."""
        assert ("transfer", {"n": 3}) == (command, arguments)
        assert deadline_s > 0
        self.times += 1
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        return {"durations_ns": reply}


def times(worker: Copying, *, bursts: int = 1, budget_s: float = 1.0) -> TransferTimes:
    """What is known after so many bursts of ten inferences each."""
    found = TransferTimes(worker, budget_s)  # type: ignore[arg-type]  # (what it needs of a client)
    for number in range(1, bursts + 1):
        found.take(10 * number)
    return found


def test_the_median_is_of_copies_after_warm_up() -> None:
    """As samples are; of all where every burst was warm-up."""
    copying = Copying([900, 800, 700], [30, 10, 20], [20, 40, 20])
    found = times(copying, bursts=3)
    assert 20 == found.median_ns(10)
    assert 30 == found.median_ns(30)
    assert () == found.notes()


def test_who_copies_nothing_is_asked_once_and_who_does_not_know_how_never() -> None:
    """No number in both cases."""
    for copying, count in ((Copying([]), 1), (Copying([1], hello={}), 0)):
        found = times(copying, bursts=5)
        assert (None, count) == (found.median_ns(0), copying.times)
        assert () == found.notes()


def test_copies_take_a_small_part_of_a_cases_time() -> None:
    """A few, however long they take, and never more than say all."""
    slow, quick = Copying([10**9] * 3), Copying([1] * 3)
    times(slow, bursts=500)
    times(quick, bursts=500)
    assert LEAST == 3 * slow.times
    assert ENOUGH <= 3 * quick.times < ENOUGH + 3


def test_copies_that_cannot_be_made_are_told_and_nonsense_is_an_error() -> None:
    """The case keeps its latency and says why this number is missing."""
    found = times(Copying(WorkerRefusal("runtime", "no such copy")), bursts=3)
    assert None is found.median_ns(0)
    assert "no such copy" in found.notes()[0]
    for nonsense in (None, [1.5], [1] * 4, [-1]):
        with pytest.raises(WorkerError, match="nanoseconds"):
            times(Copying(nonsense))
