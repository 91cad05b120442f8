"""harness.frameworks.onnx_recognize: what a file is that is called .onnx and is none."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnxruntime
import pytest

from harness.errors import BuildError
from harness.frameworks import onnx as framework
from harness.frameworks import onnx_recognize
from tests import builders


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:01\nsize 1\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html></html>", "a web page"),
        (b"<HTML><body>404", "a web page"),
        (b'{"error": "not found"}', "JSON text"),
        (b"PK\x03\x04rest", "zip archive"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x1c\x00\x00\x00TFL3", "TensorFlow Lite"),
        (b"ir_version: 8\ngraph {\n", "written as text"),
    ],
)
def test_strange_files_are_told_apart(tmp_path: Path, content: bytes, expected: str) -> None:
    """By name, with the way on; and never as a corrupt model."""
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(BuildError, match=expected):
        framework.parse(path)


def test_onnxruntimes_own_format_and_text_are_recognized(tmp_path: Path) -> None:
    """As onnxruntime and onnx write them; the model itself is none of these."""
    builders.tiny_conv(tmp_path / "net.onnx")
    assert "" == onnx_recognize.otherwise(tmp_path / "net.onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "net.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), options, providers=["CPUExecutionProvider"])
    assert "an .ort file" in onnx_recognize.otherwise(tmp_path / "net.ort")
    for form in ("textproto", "onnxtxt", "json"):
        onnx.save(onnx.load(tmp_path / "net.onnx"), tmp_path / "net.txt", format=form)
        assert "ONNX written as text" in onnx_recognize.otherwise(tmp_path / "net.txt")
