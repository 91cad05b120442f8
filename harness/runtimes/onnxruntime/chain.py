"""The providers of a session in their order: the one that is asked for, and behind it those that take what it leaves.

A file that stands alone.
"""

from __future__ import annotations

from typing import Any

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"

BEHIND = {"TensorrtExecutionProvider": CUDA, "NvTensorRTRTXExecutionProvider": CUDA}
"""Provider -> the one on the same device that takes the nodes it leaves, before the CPU does."""


def of(provider: str, settings: dict[str, Any], available: list[str], *, cpu: bool) -> list[Any]:
    """What a session is given.

    Args:
        provider: the one that is asked for.
        settings: its options.
        available: what this onnxruntime has.
        cpu: whether the CPU may take what is left.
    """
    found: list[Any] = [(provider, settings)]
    behind = BEHIND.get(provider)
    if behind in available:
        device = {key: value for key, value in settings.items() if key == "device_id"}
        found.append((behind, device))
    if cpu and provider != CPU:
        found.append(CPU)
    return found
