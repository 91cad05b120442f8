"""The distributions that install the module `onnxruntime`: the one list that everything refers to."""

from __future__ import annotations

FLAVOURS = (
    "onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml", "onnxruntime-qnn",
    "onnxruntime-training", "onnxruntime-migraphx", "onnxruntime-rocm", "onnxruntime-cann", "onnxruntime-vitisai",
    "onnxruntime-windowsml", "ort-nightly", "ort-nightly-gpu", "ort-nightly-directml",
)  # fmt: skip
"""An environment has one of them."""
