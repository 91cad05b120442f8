"""NVIDIA's management library, which comes with the driver: its one GPU that CUDA computes on, by NVML's own number."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from harness.units import count

NVML_NAMES: Final = ("libnvidia-ml.so.1", "nvml.dll")


@dataclass(frozen=True, slots=True, kw_only=True)
class NvmlDevice:
    """One GPU.

    Attributes:
        library: what is asked.
        handle: by which it knows the GPU.
        place: its number.
    """

    library: Any
    handle: ctypes.c_void_p
    place: int


def library() -> Any:
    """The library; None where there is none."""
    for name in NVML_NAMES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def device(options: Mapping[str, Any], *, load: Callable[[], Any] = library) -> NvmlDevice | str:
    """The GPU that a provider with these options computes on, or why it is not known."""
    nvml = load()
    if nvml is None:
        return "NVIDIA's management library (libnvidia-ml.so.1) is not here"
    number, handle = ctypes.c_uint(), ctypes.c_void_p()
    if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetCount_v2(ctypes.byref(number)):
        return "NVML answers with an error: is the driver loaded?"
    place = _place(number.value, options, os.environ)
    if isinstance(place, str):
        return place
    if nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(place), ctypes.byref(handle)):
        return f"NVML does not open GPU {place}"
    return NvmlDevice(library=nvml, handle=handle, place=place)


def _place(there: int, options: Mapping[str, Any], environment: Mapping[str, str]) -> int | str:
    """NVML's number of the GPU that CUDA would use, or why it is not known."""
    asked = str(options.get("device_id", 0))
    if there == 1:
        return 0
    ordered = environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID" and "CUDA_VISIBLE_DEVICES" not in environment
    if ordered and asked.isdecimal() and int(asked) < there:
        return int(asked)
    return (
        f"{count(there, 'GPU')}, and which of them CUDA uses is known only with CUDA_DEVICE_ORDER=PCI_BUS_ID and "
        f"without CUDA_VISIBLE_DEVICES"
    )
