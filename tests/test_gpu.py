"""What needs a CUDA device: skipped, with the reason, where the provider cannot run a node."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from harness.flow.doctor import try_provider
from harness.measure import coordinator
from harness.measure.pacing import Pace
from harness.records import Target
from tests.conftest import Project
from tests.test_measure_coordinator import conv

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
