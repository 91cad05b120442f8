"""harness.measure.rotation, and what the worker makes of it: other inputs every time, bound before the clock runs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from harness.measure import coordinator, rotation
from harness.measure.bursts import burst
from harness.measure.coordinator import Workload
from harness.measure.pacing import Pace
from harness.records import Target
from harness.records.values import ValueEntry
from harness.runtimes.client import Client
from tests.workers import worker

CPU = Target(name="cpu", provider="CPUExecutionProvider")
QUICK = Pace(budget_s=0.1, ci_width=0.5, least_warmup_s=0.01, least_sampling_s=0.02)


def loop_model(path: Path) -> Path:
    """A model that does as many rounds of work as its input says: its time shows what it was fed."""
    weight = numpy_helper.from_array(np.full((64, 64), 0.01, np.float32), "w")
    start = numpy_helper.from_array(np.ones((64, 64), np.float32), "start")
    true = numpy_helper.from_array(np.array(True), "true")
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "w"], ["next"]),
            helper.make_node("Identity", ["go"], ["still"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [64, 64]),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [64, 64]),
        ],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Squeeze", ["x"], ["n"]),
            helper.make_node("Loop", ["n", "true", "start"], ["y"], body=body),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.INT64, ["batch"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [64, 64])],
        [weight, start, true],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


@pytest.fixture
def work(tmp_path: Path) -> Workload:
    """Four examples: the third asks for two thousand rounds, the others for one."""
    np.save(tmp_path / "x.npy", np.array([[1], [1], [2000], [1]], np.int64))
    feeds = {"x": ValueEntry(name="x", stacked=str(tmp_path / "x.npy"))}
    model = loop_model(tmp_path / "loop.onnx")
    return Workload(model=model, target=CPU, optimization="all", feeds=feeds, dims={}, batch_axes={"x": 0})


def slow_places(work: Workload, **changes: Any) -> list[int]:
    """Which of twelve inferences took long."""
    with Client() as client:
        opened = client.ask("open", 60, **dataclasses.replace(work, **changes).request())
        burst(client, 8, 60)  # every example once or more: what is left are their own times
        # A run that lost its core to another process is long as well, but not three times at the same place.
        bursts = [burst(client, 12, 60, at=0)[0] for _ in range(3)]
    durations = [min(each) for each in zip(*bursts, strict=True)]
    typical = sorted(durations)[2]
    return [opened["examples"], *[place for place, ns in enumerate(durations) if ns > 100 * typical]]


def test_inferences_go_through_the_examples_in_turn(work: Workload) -> None:
    """Every fourth is the long one, where four rotate; none of them where the first is repeated."""
    assert [4, 2, 6, 10] == slow_places(work, rotate=64)
    assert [2] == slow_places(work, rotate=2)
    assert [1] == slow_places(work, rotate=1)


def test_a_process_says_through_how_many_it_rotated(work: Workload, tmp_path: Path) -> None:
    """As the worker said; one where it does not know how to."""
    rotating = dataclasses.replace(work, rotate=8)
    assert 4 == coordinator.time_process(rotating, QUICK).examples
    answers = "send({'ok': True, 'durations_ns': [1000] * request['n'], 'preempted': 0})"
    assert 1 == coordinator.time_process(rotating, QUICK, client=worker(tmp_path, answers)).examples


def test_batches_differ_from_one_another(tmp_path: Path) -> None:
    """As many different batches as there are examples, also where the batch divides their number."""
    np.save(tmp_path / "x.npy", np.arange(6, dtype=np.float32).reshape(6, 1))
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch"])],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "same.onnx"
    )
    feeds = {"x": ValueEntry(name="x", stacked=str(tmp_path / "x.npy"))}
    for batch in (1, 2, 4, 5, 6, 9):
        target = dataclasses.replace(CPU, batch=batch)
        given = Workload(
            model=tmp_path / "same.onnx",
            target=target,
            optimization="all",
            feeds=feeds,
            dims={},
            batch_axes={"x": 0},
            rotate=64,
        )
        with Client() as client:
            assert 6 == client.ask("open", 60, **given.request())["examples"]
            burst(client, 13, 60)


def test_memory_and_counts_are_limited(tmp_path: Path) -> None:
    """Small examples: 64 of them; large ones: as many as fit, but eight at least; never more than there are."""

    def feed(name: str, examples: int, size: int) -> dict[str, Path | ValueEntry]:
        path = tmp_path / f"{name}.npy"
        with path.open("wb") as file:
            file.truncate(examples * size)
        return {"x": ValueEntry(name="x", stacked=str(path))}

    small, large = feed("small", 450, 256), feed("large", 100, 1_000_000)
    assert 64 == rotation.batches(small, batch=1, examples=450)
    assert 64 == rotation.batches(small, batch=32, examples=450)
    assert 16 == rotation.batches(large, batch=1, examples=100)
    assert 8 == rotation.batches(large, batch=4, examples=100)
    assert 3 == rotation.batches(feed("few", 3, 1_000_000), batch=8, examples=3)
    assert 1 == rotation.batches(small, batch=1, examples=450, mode="fixed")
    assert 1 == rotation.batches(small, batch=1, examples=1)
