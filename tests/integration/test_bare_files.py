"""Files without a zoo from the command line: swept, and set against each other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from harness.measure import usual_bursts
from tests import builders
from tests.conftest import Project

QUICK = ("--time-per-case", "0.1", "--processes", "1")


@pytest.fixture
def folder(tmp_path: Path) -> Project:
    """A folder with one model, and nothing else: no zoo, no git."""
    builders.tiny_conv(tmp_path / "tiny.onnx")
    return Project(tmp_path)


def test_a_file_is_swept_beside_one_that_is_none(folder: Project) -> None:
    """The model has its numbers, the strange file its reason; what was assumed is said; results lie where it ran."""
    (folder.root / "page.onnx").write_text("<!DOCTYPE html><html>404</html>", encoding="utf-8")
    out = folder.run("sweep", "tiny.onnx", "page.onnx", "--variants", "as-is,int8-static", *QUICK, code=4)
    assert "assumed, without a zoo: variants as-is, fp32-fused, int8-dynamic, int8-static" in out
    assert "asv files not written: files without a zoo belong to no commit" in out
    rows = json.loads(folder.run("results", "--format", "json"))
    status = {row["case"]: row["status"] for row in rows}
    assert {
        "tiny/as-is/cpu-t1-b1": "measured",
        "tiny/int8-static/cpu-t1-b1": "measured",
        "page/as-is/cpu-t1-b1": "failed",
        "page/int8-static/cpu-t1-b1": "failed",
    } == status
    assert {None} == {row["commit"] for row in rows}
    assert {"cache", "page.onnx", "results", "tiny.onnx"} == {path.name for path in folder.root.iterdir()}


def test_two_files_are_gated(folder: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same content under another name passes unmeasured; other weights are named, and their outputs compared."""
    monkeypatch.setenv(usual_bursts.VARIABLE, "7x2ms")
    shutil.copy(folder.root / "tiny.onnx", folder.root / "same.onnx")
    out = folder.run("gate", "--base", "tiny.onnx", "--head", "same.onnx")
    assert "tiny/as-is/cpu-t1-b1 vs same/as-is/cpu-t1-b1" in out
    assert "both sides are the same file" in out
    model = onnx.load(folder.root / "tiny.onnx")
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.ndim > 1:
            tensor.CopyFrom(numpy_helper.from_array(-values, tensor.name))
    onnx.save(model, folder.root / "worse.onnx")
    out = folder.run("gate", "--base", "tiny.onnx", "--head", "worse.onnx", "--time-limit", "0.1s", "--json", code=1)
    (case,) = json.loads(out)["cases"]
    assert any("the .onnx file changed (weights: base file " in note for note in case["notes"])
    found = {one["metric"]: one["verdict"] for one in case["findings"]}
    assert "regression" == found["fidelity"]
    assert {"latency", "peak_memory", "size", "nodes"} <= set(found)
