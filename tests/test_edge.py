"""`harness inspect --edge`: what a small device needs to know of a file."""

from __future__ import annotations

import json

import pytest

from harness.build import mobile
from harness.export import edge
from tests.conftest import Project


def test_a_file_says_what_a_small_device_needs(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Axes, providers, ORT format, memory; what cannot be said has its reason, and two files at once are refused."""
    monkeypatch.setattr(mobile, "usable", lambda name, *_: f"asked for {name}")
    found = json.loads(project.run("inspect", "tiny.onnx", "--edge", "--json"))
    assert {"coreml", "nnapi", "xnnpack", "qnn"} == set(found["providers"])
    assert edge.UNKNOWN == found["providers"]["qnn"]
    assert "asked for NnapiExecutionProvider" == found["providers"]["nnapi"]
    assert found["ort_format"]["bytes"] > 0
    assert any("Conv" in line for line in found["ort_format"]["operators"])
    assert found["memory"]["weights_bytes"] > 0
    assert found["memory"]["tensors_at"]
    assert "one file or case" in project.error("inspect", "tiny.onnx", "tiny.onnx", "--edge")
