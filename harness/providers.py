"""Execution providers: short names for people, full names for files, and which of them use the thread settings."""

from __future__ import annotations

from collections.abc import Mapping

SHORT: Mapping[str, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "nv-tensorrt-rtx": "NvTensorRTRTXExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "qnn": "QNNExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
    "dnnl": "DnnlExecutionProvider",
    "nnapi": "NnapiExecutionProvider",
    "acl": "ACLExecutionProvider",
    "cann": "CANNExecutionProvider",
    "vitisai": "VitisAIExecutionProvider",
    "vsinpu": "VSINPUExecutionProvider",
    "rknpu": "RknpuExecutionProvider",
    "webgpu": "WebGpuExecutionProvider",
    "azure": "AzureExecutionProvider",
}
"""Short name -> ONNX Runtime's own name. ROCm left ONNX Runtime with 1.23; older builds still have it."""

PLUGINS: Mapping[str, str] = {
    "onnxruntime-ep-openvino": "OpenVINOExecutionProvider",
    "onnxruntime-ep-webgpu": "WebGpuExecutionProvider",
    "onnxruntime-qnn": "QNNExecutionProvider",
    "onnxruntime-ggml": "GGMLExecutionProvider",
}
"""Distributions with a provider that any onnxruntime from 1.23 on loads -> the name that it is registered under."""

DEVICES = ("cpu", "gpu", "npu")
"""What a plugin's provider may run on."""

HOST = "cpu"
"""The provider of a target whose runtime has devices and no execution providers, where that is the CPU."""

_SESSION_POOL = frozenset({"CPUExecutionProvider", "DnnlExecutionProvider", "ACLExecutionProvider", HOST})
_OWN_POOL: Mapping[str, str] = {
    "OpenVINOExecutionProvider": "num_of_threads",
    "XnnpackExecutionProvider": "intra_op_num_threads",
}
_SHORT_OF = {full: short for short, full in SHORT.items()}
_FULL_OF = {name.lower(): full for short, full in SHORT.items() for name in (short, full)}


def full_name(name: str) -> str | None:
    """Return ONNX Runtime's name of a provider given its short or full name in any letter case, or None if unknown."""
    return _FULL_OF.get(name.lower())


def short_name(provider: str) -> str:
    """Return the short name of a provider given by its full name; an unknown one is returned as it is."""
    return _SHORT_OF.get(provider, provider)


def thread_option(provider: str, options: Mapping[str, str]) -> str | None:
    """Return the provider option that takes the thread count, where the provider brings its own thread pool.

    OpenVINO and XNNPACK do not run on the session's intra-op pool, so a thread count that is set on the session
    alone would be a label without effect.

    Args:
        provider: the full name.
        options: the provider's options; OpenVINO counts threads only on its CPU device.
    """
    if provider == "OpenVINOExecutionProvider" and not options.get("device_type", "CPU").startswith("CPU"):
        return None
    return _OWN_POOL.get(provider)


def uses_session_threads(provider: str) -> bool:
    """Whether the provider's kernels run on the session's own thread pools, by the provider's full name."""
    return provider in _SESSION_POOL


def uses_threads(provider: str, options: Mapping[str, str]) -> bool:
    """Whether a thread count changes how the provider (full name) computes; device providers ignore it."""
    return uses_session_threads(provider) or thread_option(provider, options) is not None
