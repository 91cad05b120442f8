"""What `harness inspect` tells of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.build.inspect import inspect
from harness.errors import BuildError
from tests import builders

if TYPE_CHECKING:
    from pathlib import Path


def test_a_whole_file_is_described(tmp_path: Path) -> None:
    """Versions, producer, inputs with dynamic axes, weights by type and bytes, operators and nodes."""
    found = inspect(builders.tiny_conv(tmp_path / "tiny.onnx"))

    assert (builders.IR_VERSION, {"ai.onnx": builders.OPSET}) == (found["ir_version"], found["opsets"])
    assert ("tests", "tiny", 7) == (found["producer"], found["graph"], found["nodes"])
    assert [{"name": "x", "type": "float", "shape": ["batch", 1, 8, 8]}] == found["inputs"]
    elements = 8 * 9 + 4 * 8 + 128 * 4 + 4
    assert {"float": {"count": 7, "elements": elements, "bytes": 4 * elements}} == found["initializers"]
    assert 1 == found["operators"]["MatMul"]
    assert {} == found["external_data"]


def test_external_data_is_told_without_being_read(tmp_path: Path) -> None:
    """The file that holds the weights is named with its size, or with None when it is missing."""
    path = builders.external_data(tmp_path)
    assert {"weights.bin": {"tensors": 1, "bytes": 64 * 64 * 4}} == inspect(path)["external_data"]

    (tmp_path / "weights.bin").unlink()
    assert {"weights.bin": {"tensors": 1, "bytes": None}} == inspect(path)["external_data"]


@pytest.mark.parametrize("content", [b"", b"not a model", None])
def test_damaged_files_give_a_clear_error(tmp_path: Path, content: bytes | None) -> None:
    """Nothing, noise and half a model are found apart from a model, and a missing file from both."""
    path = builders.truncated(tmp_path / "m.onnx")
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BuildError, match=r"truncated or corrupt|is empty"):
        inspect(path)
    with pytest.raises(BuildError, match="there is no file"):
        inspect(tmp_path / "none.onnx")
