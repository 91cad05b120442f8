"""harness.measure.coordinator and worker: real sessions on small models."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from harness.errors import WorkerError, WorkerRefusal
from harness.measure import coordinator
from harness.measure.coordinator import Workload
from harness.measure.pacing import Pace
from harness.records import Target
from harness.runtimes import client
from harness.runtimes.client import Client
from tests import builders
from tests.workers import HELLO, worker

CPU = Target(name="cpu", provider="CPUExecutionProvider")
QUICK = Pace(budget_s=0.3, ci_width=0.05, least_warmup_s=0.02, least_sampling_s=0.05)


def conv(tmp_path: Path, target: Target = CPU, examples: int = 5) -> Workload:
    """A small convolutional network and random images."""
    feed = tmp_path / "x.npy"
    np.save(feed, np.random.default_rng(0).standard_normal((examples, 1, 8, 8)).astype(np.float32))
    return Workload(
        model=builders.tiny_conv(tmp_path / "conv.onnx"),
        target=target,
        optimization="all",
        feeds={"x": feed},
        dims={"batch": target.batch},
    )


def test_a_process_is_timed(tmp_path: Path) -> None:
    """Session, first inference, warm-up and samples are apart, and every node is accounted for."""
    timed = coordinator.time_process(conv(tmp_path), QUICK)
    assert timed.samples.session_ns > 0
    assert timed.samples.first_inference_ns > 0
    assert len(timed.samples.samples_ns) >= 3
    assert {"CPUExecutionProvider": 1.0} == dict(timed.placement)
    assert onnxruntime.__version__ == timed.runtime.version
    assert timed.samples.transfer_ns is None


def test_outputs_are_those_of_onnxruntime(tmp_path: Path) -> None:
    """Every example once, in order, also where the batch does not divide their number."""
    work = conv(tmp_path, Target(name="cpu", provider="CPUExecutionProvider", batch=2))
    seen = coordinator.observe(work, examples=5, folder=tmp_path)
    session = onnxruntime.InferenceSession(work.model, providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"x": np.load(tmp_path / "x.npy")})
    np.testing.assert_allclose(np.load(tmp_path / "0.npy"), expected, rtol=1e-5, atol=1e-6)
    assert seen.kernels["Conv"] == 1
    assert {"float": 1.0} == dict(seen.arithmetic)
    assert {"CPUExecutionProvider": 1.0} == dict(seen.time_share)


def test_first_inference_is_not_a_sample(tmp_path: Path) -> None:
    """A worker whose first run takes a second: none of the samples does."""
    body = (
        "first = 'seen' not in globals(); seen = True\n"
        "send({'ok': True, 'durations_ns': [10**9 if first else 10**6] * request['n'], 'preempted': 0})"
    )
    timed = coordinator.time_process(conv(tmp_path), QUICK, client=worker(tmp_path, body))
    assert 10**9 == timed.samples.first_inference_ns
    assert {10**6} == set(timed.samples.samples_ns) | set(timed.samples.warmup_ns)


def test_copies_to_a_device_are_timed_apart(tmp_path: Path) -> None:
    """Where the worker knows how to: in no sample, and in a number of their own."""
    body = "send({'ok': True, 'durations_ns': [5000 if cmd == 'transfer' else 10**6] * request['n'], 'preempted': 0})"
    hello = HELLO.replace("'runtime': runtime}", "'runtime': runtime, 'features': ['transfer']}", 1)
    timed = coordinator.time_process(conv(tmp_path), QUICK, client=worker(tmp_path, body, hello=hello))
    assert 5000 == timed.samples.transfer_ns
    assert {10**6} == set(timed.samples.samples_ns) | set(timed.samples.warmup_ns)


@pytest.mark.parametrize(
    "answer", ["[-5] * request['n']", "[1.5] * request['n']", "[]", "None", "['1'] * request['n']"]
)
def test_durations_that_cannot_be_are_refused(tmp_path: Path, answer: str) -> None:
    """A clock that runs backwards, fractions, too few, none, text: a failed case, never a number."""
    start = worker(tmp_path, f"send({{'ok': True, 'durations_ns': {answer}}})")
    with pytest.raises(WorkerError, match="durations in whole nanoseconds"):
        coordinator.time_process(conv(tmp_path), QUICK, client=start)


def test_a_jump_of_the_wall_clock_changes_no_duration(tmp_path: Path) -> None:
    """The worker's wall clock leaps a day with every call; durations come from the monotonic one."""
    wrapper = tmp_path / "leaping.py"
    script = Path(client.default_command()[1])
    wrapper.write_text(
        "import runpy, sys, time, itertools\n"
        "days = itertools.count()\n"
        "time.time = lambda: 86400.0 * next(days)\n"
        f"sys.path.insert(0, {str(script.parent)!r})\n"
        f"runpy.run_path({str(script)!r}, run_name='__main__')\n",
        encoding="utf-8",
    )
    timed = coordinator.time_process(conv(tmp_path), QUICK, client=lambda: Client([sys.executable, str(wrapper)]))
    half_a_day_ns = 43_200 * 10**9
    assert 0 < min(timed.samples.samples_ns) <= max(timed.samples.samples_ns) < half_a_day_ns


def test_a_provider_that_is_missing_is_a_refusal(tmp_path: Path) -> None:
    """Never quietly a CPU number: neither for a provider that this build lacks, nor for one that cannot load."""
    for provider in ("QNNExecutionProvider", "NoSuchProvider"):
        with pytest.raises(WorkerRefusal, match=provider) as caught:
            coordinator.time_process(conv(tmp_path, Target(name="x", provider=provider)), QUICK)
        assert "provider" == caught.value.kind


def test_a_fixed_batch_is_a_refusal_of_its_own(tmp_path: Path) -> None:
    """A model exported for batch 1 asked for batch 8."""
    model = builders.save(
        tmp_path / "fixed.onnx",
        [helper.make_node("Relu", ["x"], ["y"])],
        [builders.value("x", [1, 4])],
        [builders.value("y", [1, 4])],
    )
    np.save(tmp_path / "x.npy", np.ones((1, 4), np.float32))
    target = Target(name="cpu", provider="CPUExecutionProvider", batch=8)
    work = Workload(model=model, target=target, optimization="all", feeds={"x": tmp_path / "x.npy"}, dims={})
    with pytest.raises(WorkerRefusal, match="fixed batch of 1, not 8") as caught:
        coordinator.time_process(work, QUICK)
    assert "batch" == caught.value.kind


def test_a_broken_file_is_a_refusal(tmp_path: Path) -> None:
    """A truncated model: the worker survives and says what onnxruntime said."""
    work = conv(tmp_path)
    builders.truncated(work.model)
    with pytest.raises(WorkerRefusal) as caught:
        coordinator.time_process(work, QUICK)
    assert "model" == caught.value.kind


def test_string_inputs_and_missing_feeds_are_refused(tmp_path: Path) -> None:
    """Neither can be fed."""
    work = conv(tmp_path)
    text = builders.string_input(tmp_path / "text.onnx")
    with pytest.raises(WorkerRefusal, match="tensor\\(string\\)"):
        coordinator.time_process(
            Workload(model=text, target=CPU, optimization="all", feeds={"text": work.feeds["x"]}, dims={}), QUICK
        )
    with pytest.raises(WorkerRefusal, match="no feed for input 'x'"):
        coordinator.time_process(Workload(model=work.model, target=CPU, optimization="all", feeds={}, dims={}), QUICK)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_threads_reach_the_session(tmp_path: Path) -> None:
    """The pool of N intra-op threads is the caller and N - 1 more; inter-op threads have a pool of their own."""

    def started(intra: int, inter: int = 1) -> int:
        target = Target(name="cpu", provider="CPUExecutionProvider", intra_threads=intra, inter_threads=inter)
        parallel = dataclasses.replace(target, session_config={"session.execution_mode": "1"})
        with Client() as worker:
            before = len(list(Path(f"/proc/{worker.pid}/task").iterdir()))
            work = conv(tmp_path, parallel if target.inter_threads > 1 else target)
            worker.ask("open", 60, **work.request())
            return len(list(Path(f"/proc/{worker.pid}/task").iterdir())) - before

    assert [0, 1, 2] == [started(intra) for intra in (1, 2, 3)]
    assert started(1, inter=3) > 0


def test_feeds_are_cast_to_the_types_of_the_model(tmp_path: Path) -> None:
    """A float16 input is fed from float32 examples."""
    model = builders.save(
        tmp_path / "half.onnx",
        [helper.make_node("Relu", ["x"], ["y"])],
        [builders.value("x", ["batch", 4], TensorProto.FLOAT16)],
        [builders.value("y", ["batch", 4], TensorProto.FLOAT16)],
    )
    np.save(tmp_path / "x.npy", np.full((1, 4), 0.1, np.float32))
    work = Workload(model=model, target=CPU, optimization="all", feeds={"x": tmp_path / "x.npy"}, dims={"batch": 1})
    coordinator.observe(work, examples=1, folder=tmp_path)
    assert np.float16 == np.load(tmp_path / "0.npy").dtype


def test_the_floor_is_the_cost_of_the_call() -> None:
    """A one-node model takes microseconds, and the runtime introduces itself."""
    floor_s, runtime = coordinator.floor(CPU)
    assert 0 < floor_s < 1e-3
    assert "CPUExecutionProvider" in runtime.providers


def test_placement_comes_from_a_worker(tmp_path: Path) -> None:
    """The nodes that each provider took, as its session says."""
    with Client() as worker:
        opened = worker.ask("open", 60.0, **conv(tmp_path).request())
    assert {"CPUExecutionProvider"} == set(coordinator.placed(opened))
    with pytest.raises(WorkerError, match="has no placement"):
        coordinator.placed({})


def test_outputs_without_files_are_no_answer() -> None:
    """A worker that names no files, or names them in another way."""
    for answer in ({}, {"outputs": 3}, {"outputs": [{"name": "y"}]}):
        with pytest.raises(WorkerError, match="names no files"):
            coordinator.written(answer)
