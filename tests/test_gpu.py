"""What needs a CUDA device: skipped, with the reason, where the provider cannot run a node."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from harness.flow.doctor import try_provider
from harness.measure import coordinator
from harness.measure.pacing import Pace
from harness.records import Target, wire
from harness.runtimes.client import Client
from harness.runtimes.clients import torch_command
from tests.conftest import Project
from tests.specs import torch_model
from tests.test_captured import doubling
from tests.test_measure_coordinator import conv
from tests.test_other_runtimes import opening

pytestmark = pytest.mark.gpu
CUDA = Target(name="cuda", provider="CUDAExecutionProvider")


@pytest.fixture(autouse=True)
def _needs_cuda() -> None:
    """Skip where no node runs on CUDA."""
    reason = try_provider("CUDAExecutionProvider")
    if reason is not None:
        pytest.skip(reason)


def test_a_process_is_timed_on_the_device(tmp_path: Path) -> None:
    """Inputs lie on the device, and the compute nodes are assigned to it."""
    timed = coordinator.time_process(conv(tmp_path, CUDA), Pace(budget_s=1.0, ci_width=0.02))
    assert timed.placement["CUDAExecutionProvider"] > 0.5
    assert timed.samples.samples_ns
    assert (timed.samples.transfer_ns or 0) > 0


def test_outputs_of_the_device_are_those_of_the_cpu(tmp_path: Path) -> None:
    """The same examples through both providers."""
    import numpy as np

    work = conv(tmp_path)
    folders = []
    for target in (work.target, dataclasses.replace(CUDA, batch=work.target.batch)):
        folder = tmp_path / target.name
        folder.mkdir()
        coordinator.observe(dataclasses.replace(work, target=target), examples=5, folder=folder)
        folders.append(folder)
    np.testing.assert_allclose(np.load(folders[0] / "0.npy"), np.load(folders[1] / "0.npy"), rtol=1e-2, atol=1e-3)


def test_a_sweep_measures_cuda_beside_the_cpu(project: Project) -> None:
    """One zoo, two providers; the CUDA row states what it ran on."""
    zoo = project.root / "model_zoo.yaml"
    text = zoo.read_text(encoding="utf-8")
    zoo.write_text(
        text.replace("targets:\n", "targets:\n  cuda: {provider: cuda, threads: [1]}\n", 1), encoding="utf-8"
    )
    project.run("sweep", "--variants", "fp32", "--targets", "cpu,cuda")
    rows = {row["provider"]: row for row in json.loads(project.run("results", "--format", "json"))}
    assert "measured" == rows["CUDAExecutionProvider"]["status"]
    assert rows["CUDAExecutionProvider"]["placement"]["CUDAExecutionProvider"] > 0.5


@pytest.mark.parametrize("options", [{}, {"enable_cuda_graph": "1"}], ids=["nodes", "graph"])
def test_outputs_are_right_with_and_without_a_captured_graph(tmp_path: Path, options: dict[str, str]) -> None:
    """Every example gives its own outputs, and the profile shows nodes of CUDA in both."""
    import numpy as np

    work = doubling(tmp_path)
    work = dataclasses.replace(work, target=dataclasses.replace(CUDA, provider_options=options))
    timed = coordinator.time_process(work, Pace(budget_s=0.5, ci_width=0.02))
    assert timed.samples.samples_ns
    assert (timed.samples.transfer_ns or 0) > 0
    assert any("driver" in note for note in timed.notes)
    seen = coordinator.observe(work, examples=3, folder=tmp_path)
    assert [[0, 0, 0], [2, 2, 2], [4, 4, 4]] == np.load(tmp_path / "0.npy")[:, 0].tolist()
    assert seen.kernels


@pytest.mark.parametrize("runtime", ["torch", "torch-compile"])
def test_torch_runs_on_the_device(tmp_path: Path, runtime: str) -> None:
    """Where its build has CUDA: the same outputs as on the CPU, but for TF32."""
    import numpy as np

    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this torch finds no CUDA device")
    from harness.frameworks import get

    model = torch_model("tests.nets:small")
    loaded = get("torch").load(model)
    images = np.random.default_rng(0).random((3, 1, 3, 8, 8), dtype=np.float32)
    network = {"model": wire.model_to_json(model), "weights": dataclasses.asdict(loaded.weights)}
    asked = opening(tmp_path, network, images)
    asked["options"]["provider"] = "cuda"
    with Client(torch_command(tmp_path, runtime)) as client:
        client.ask("open", 300.0, **asked)
        assert 5 == len(client.ask("burst", 60.0, n=5)["durations_ns"])
        client.ask("outputs", 300.0, feeds=asked["feeds"], examples=3, folder=str(tmp_path))
    expected = np.stack([loaded.run({"image": image})[0] for image in images])
    np.testing.assert_allclose(np.load(tmp_path / "0.npy"), expected, rtol=1e-2, atol=1e-3)


def test_what_tensorrt_leaves_is_taken_by_cuda(tmp_path: Path) -> None:
    """Where TensorRT runs: no node of a convolution is left to the CPU."""
    if reason := try_provider("TensorrtExecutionProvider"):
        pytest.skip(reason)
    target = Target(name="tensorrt", provider="TensorrtExecutionProvider")
    timed = coordinator.time_process(conv(tmp_path, target), Pace(budget_s=1.0, ci_width=0.02))
    assert timed.placement.get("CPUExecutionProvider", 0.0) < 0.5
