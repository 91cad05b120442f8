"""A gate between two commits whose verdict rests on a metric of the user's own."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from harness.measure import usual_bursts
from tests import repos
from tests.conftest import Project, lend

ZOO = """
version: 1
defaults: {variants: [fp32], targets: [cpu], threads: [1], batch: [1], processes: 1, time_per_case: 0.05}
variants: {fp32: {precision: float32, steps: [export]}}
targets: {cpu: {provider: cpu}}
data: {points: {source: npz, path: points.npz}}
models: {doubled: {source: onnx, id: doubled.onnx, task: "far_off:far", data: {use: points}}}
"""
METRIC = """
def far(outputs, label):
    print("::error::not an answer")
    return abs(float(outputs["y"][0, 0]) - float(label))


far.direction, far.unit = "lower", "m"
"""


def doubled(path: Path, factor: float) -> None:
    """A network that doubles a number, or multiplies it by something else."""
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 1]) for name in ("x", "y")]
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1], [factor])
    graph = helper.make_graph([helper.make_node("Mul", ["x", "w"], ["y"])], "g", sides[:1], sides[1:], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.mark.long
def test_a_metric_of_the_user_s_own_decides(tmp_path: Path, copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that answers worse by it is a regression that names it."""
    monkeypatch.setenv(usual_bursts.VARIABLE, "7x2ms")
    lend(copied, tmp_path / "cache")
    project = Project(root=tmp_path)
    values = np.linspace(1, 2, 48, dtype=np.float32)[:, None]
    np.savez(tmp_path / "points.npz", x=values, labels=2 * values[:, 0])
    doubled(tmp_path / "doubled.onnx", 2.0)
    files = {"model_zoo.yaml": ZOO, "far_off.py": METRIC, ".gitignore": "results/\ncache/\n__pycache__/\n"}
    repos.repository(tmp_path, files)
    doubled(tmp_path / "doubled.onnx", 1.5)
    repos.commit(tmp_path, {})
    out = project.run("gate", "--base", "HEAD~1", "--time-limit", "0.1s", "--json-file", "out.json", code=1)
    assert "Regression: 1 of 1 case got worse" in out
    assert "::error::" not in out
    (case,) = json.loads((tmp_path / "out.json").read_text())["cases"]
    (found,) = [one for one in case["findings"] if "far" == one["metric"]]
    assert ("regression", "m", 0.0) == (found["verdict"], found["unit"], found["base"])
    assert math.copysign(1, found["base"]) > 0
    assert found["head"] == pytest.approx(0.5 * values.mean(), rel=1 / 3)
    assert "far rose from 0 m to " in found["sentence"]
