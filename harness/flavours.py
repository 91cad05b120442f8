"""The distributions that install the module `onnxruntime`. Standard library only."""

from __future__ import annotations

from typing import Final

FLAVOURS: Final = (
    "onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml", "onnxruntime-qnn",
)  # fmt: skip
"""Distributions that install the module `onnxruntime`, by their normal names; an environment has one of them."""
