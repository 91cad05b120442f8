"""Graphs that a provider captures: a replay reads and writes the memory of the capture, and runs nothing else."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import helper

from harness.measure import coordinator
from harness.records import Target
from harness.records.values import ValueEntry
from tests import builders
from tests.test_measure_worker import worker

__all__ = ["worker"]

REAL = onnxruntime.InferenceSession
CPU, OPTION = "CPUExecutionProvider", "enable_cuda_graph"


class Capturing:
    """A session that captures as CUDA's does: what is not the captured binding gets nothing, and `run` gets nothing."""

    def __init__(self, *arguments: Any, providers: list[Any], **named: Any) -> None:
        ((name, options),) = providers
        self.captures = options.get(OPTION) == "1"
        self.real = REAL(*arguments, providers=[name], **named)
        self.binding: Any = None
        self.memory: list[int] = []
        self.skipped = self.replays = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def run(self, *arguments: Any, **named: Any) -> Any:
        """Nodes, where nothing was captured."""
        assert not self.captures, "a replay gives nothing back"
        return self.real.run(*arguments, **named)

    def run_with_iobinding(self, iobinding: Any, run_options: Any = None) -> None:
        """Capture, or replay what was captured; or neither where the options say so."""
        inspect.signature(REAL.run_with_iobinding).bind(self.real, iobinding, run_options)
        if run_options is not None:
            assert "-1" == run_options.get_run_config_entry("gpu_graph_id")
            self.skipped += 1
        elif self.captures:
            if self.binding is None:
                self.binding = iobinding
                self.memory = [value.data_ptr() for value in iobinding.get_outputs()]
            assert iobinding is self.binding
            self.replays += 1
        self.real.run_with_iobinding(iobinding, run_options)
        if self.memory:
            assert self.memory == [value.data_ptr() for value in iobinding.get_outputs()]


@pytest.fixture
def capturing(worker: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The worker, on a provider of the CPU that captures."""
    monkeypatch.setitem(worker.captured.OPTIONS, CPU, OPTION)
    monkeypatch.setattr(worker.ort, "InferenceSession", Capturing)
    return worker


def doubling(folder: Path, *, sizes: tuple[int, ...] = (3, 3, 3)) -> coordinator.Workload:
    """A file that adds its input to itself, and three examples."""
    path = builders.save(
        folder / "double.onnx",
        [helper.make_node("Add", ["x", "x"], ["y"])],
        [builders.value("x", ["batch", "wide"])],
        [builders.value("y", ["batch", "wide"])],
    )
    files = []
    for place, size in enumerate(sizes):
        files.append(str(folder / f"{place}-x.npy"))
        np.save(files[-1], np.full((1, size), place, np.float32))
    target = Target(name="cpu", provider=CPU, provider_options={OPTION: "1"})
    feeds: dict[str, Path | ValueEntry] = {"x": ValueEntry(name="x", files=tuple(files))}
    return coordinator.Workload(
        model=path, target=target, optimization="all", feeds=feeds, dims={}, batch_axes={"x": 0}, rotate=3
    )


def test_a_replay_is_timed_on_one_memory_and_answers_every_example(capturing: ModuleType, tmp_path: Path) -> None:
    """Outputs have memory before anything is captured; examples are put where the capture reads them."""
    work = doubling(tmp_path)
    one = capturing.Worker()
    opened = one.open(work.request())
    assert 1 == opened["examples"]
    assert capturing.captured.NOTE in opened["notes"]
    assert 4 == len(one.burst({"n": 4})["durations_ns"])
    assert (1, 4) == (one.session.skipped, one.session.replays)
    one.outputs(work.all_examples(3, tmp_path))
    assert [[0, 0, 0], [2, 2, 2], [4, 4, 4]] == np.load(tmp_path / "0.npy")[:, 0].tolist()
    fresh = capturing.Worker()
    fresh.open(work.request())
    assert (5, 5) == (len(fresh.load({"n": 5})["durations_ns"]), fresh.session.replays - 1)


def test_a_profile_is_of_nodes_and_not_of_replays(capturing: ModuleType, tmp_path: Path) -> None:
    """Nothing is captured where the kernels are looked at."""
    one = capturing.Worker()
    opened = one.open(doubling(tmp_path).request(profile=True))
    assert not one.session.captures
    assert capturing.captured.NOTE not in opened["notes"]
    one.burst({"n": 2})
    assert ["Add"] == [row[1] for row in one.profile({})["nodes"]]


def test_what_a_captured_graph_cannot_do_is_refused(capturing: ModuleType, tmp_path: Path) -> None:
    """Requests at a time, and examples of another shape than what was captured."""
    work = doubling(tmp_path, sizes=(3, 4, 3))
    several = dataclasses.replace(work, target=dataclasses.replace(work.target, scenario="multi2"))
    with pytest.raises(Exception, match="served one by one"):
        capturing.Worker().open(several.request())
    one = capturing.Worker()
    one.open(work.request())
    with pytest.raises(Exception, match=r"as it was captured, \[1, 3\], and an example is \[1, 4\]"):
        one.outputs(work.all_examples(3, tmp_path))


@pytest.mark.parametrize(
    ("provider", "options", "asked"),
    [
        ("CUDAExecutionProvider", {"enable_cuda_graph": "1"}, True),
        ("CUDAExecutionProvider", {"enable_cuda_graph": "True"}, True),
        ("CUDAExecutionProvider", {"enable_cuda_graph": "0"}, False),
        ("CUDAExecutionProvider", {}, False),
        ("TensorrtExecutionProvider", {"trt_cuda_graph_enable": "1"}, True),
        ("TensorrtExecutionProvider", {"enable_cuda_graph": "1"}, False),
        ("CPUExecutionProvider", {"enable_cuda_graph": "1"}, False),
    ],
)
def test_an_option_of_the_provider_asks_for_it(
    worker: ModuleType, provider: str, options: dict[str, str], *, asked: bool
) -> None:
    """Each in its own words; a profile goes without."""
    assert asked == worker.captured.asked(provider, options)
    assert not worker.captured.asked(provider, worker.captured.without(provider, options))


def test_values_lie_on_the_device_that_the_provider_uses(worker: ModuleType, tmp_path: Path) -> None:
    """Of several GPUs, on the one of `device_id`: else every inference copies from one to the other."""
    places: list[Any] = []

    class Value:
        @staticmethod
        def ortvalue_from_numpy(*arguments: Any) -> str:
            inspect.signature(onnxruntime.OrtValue.ortvalue_from_numpy).bind(*arguments)
            places.append(arguments[1:])
            return "value"

    class Binding:
        def bind_ortvalue_input(self, *_: Any) -> None:
            """Nothing of interest."""

        def bind_output(self, *arguments: Any) -> None:
            """Where."""
            inspect.signature(onnxruntime.IOBinding.bind_output).bind(self, *arguments)
            places.append(arguments[1:])

    work = doubling(tmp_path)
    one = worker.Worker()
    one.session = onnxruntime.InferenceSession(work.model, providers=[CPU])
    one.sessions = [one.session]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(one, "of_batch", lambda _: type("Session", (), {"io_binding": lambda _: Binding()})())
        patch.setattr(worker.ort.OrtValue, "ortvalue_from_numpy", Value.ortvalue_from_numpy)
        one.bind(work.request(), "cuda", 1)
    assert [("cuda", 1)] * 6 == places


@pytest.mark.parametrize(
    ("provider", "settings", "cpu", "found"),
    [
        ("CPUExecutionProvider", {}, True, [("CPUExecutionProvider", {})]),
        ("CUDAExecutionProvider", {"device_id": "1"}, True, [("CUDAExecutionProvider", {"device_id": "1"}), CPU]),
        ("CUDAExecutionProvider", {}, False, [("CUDAExecutionProvider", {})]),
        (
            "TensorrtExecutionProvider",
            {"device_id": "1", "trt_fp16_enable": "1"},
            True,
            [
                ("TensorrtExecutionProvider", {"device_id": "1", "trt_fp16_enable": "1"}),
                ("CUDAExecutionProvider", {"device_id": "1"}),
                CPU,
            ],
        ),
    ],
)
def test_what_a_provider_leaves_is_taken_on_its_device_before_the_cpu_does(
    worker: ModuleType, provider: str, settings: dict[str, str], *, cpu: bool, found: list[Any]
) -> None:
    """TensorRT before CUDA before the CPU, each with its own options; without CUDA, the CPU alone."""
    there = ["TensorrtExecutionProvider", "CUDAExecutionProvider", CPU]
    assert found == worker.chain.of(provider, settings, there, cpu=cpu)
    if provider.startswith("Tensorrt"):
        assert [found[0], CPU] == worker.chain.of(provider, settings, [there[0], CPU], cpu=cpu)


def test_an_inference_ends_when_its_outputs_are_there(worker: ModuleType) -> None:
    """DirectML hands its work over and returns; CUDA waits by itself, and the CPU has nothing to wait for."""
    seen: list[Any] = []

    class Binding:
        def synchronize_outputs(self) -> None:
            """Wait."""
            seen.append("waited")

    def run(*arguments: Any) -> None:
        seen.append(len(arguments))

    for provider in ("DmlExecutionProvider", "CUDAExecutionProvider", CPU):
        worker.devices.to_its_end(run, provider)(Binding(), "options")
    assert [2, "waited", 2, 2] == seen
    assert hasattr(onnxruntime.IOBinding, "synchronize_outputs")
    assert ("dml", 1) == worker.devices.place("DmlExecutionProvider", {"device_id": "1"})
    assert ("cpu", 0) == worker.devices.place(CPU, {"device_id": "1"})
