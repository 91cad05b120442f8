"""What an NVIDIA GPU was doing while a case was measured on it: clocks, heat, memory, and who else computed there.

NVML is asked between bursts, never while a worker times, and what it does not tell is left out. It sees the whole
device: which process is the worker is known only where NVML's number of it is the system's own, as outside containers.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from harness.measure import nvml
from harness.measure.energy import ON_NVIDIA
from harness.records import Target
from harness.units import count, size

SM_CLOCK, CORE_TEMPERATURE = 1, 0
"""NVML_CLOCK_SM and NVML_TEMPERATURE_GPU."""

HELD_BACK: Final = {
    0x04: "the power limit", 0x08: "the hardware (heat or power)", 0x10: "another GPU's clocks", 0x20: "heat (driver)",
    0x40: "heat (hardware)", 0x80: "the power supply",
}  # fmt: skip
"""Bits of nvmlClocksEventReasons that mean less than the clocks that were asked for."""

MOST_PROCESSES: Final = 128
TEXT: Final = 96
UNKNOWN_BYTES: Final = 2**64 - 1
"""NVML_VALUE_NOT_AVAILABLE, of the memory of a process."""


class ProcessInfo(ctypes.Structure):
    """nvmlProcessInfo_t, as `nvmlDeviceGetComputeRunningProcesses_v3` fills it."""

    _fields_ = (
        ("pid", ctypes.c_uint),
        ("used", ctypes.c_ulonglong),
        ("instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuLook:
    """One look; None is what NVML does not tell.

    Attributes:
        clock_mhz: of the multiprocessors.
        celsius: of the chip.
        held_back: bits of `HELD_BACK`, and others.
        processes: number of each that computes there -> bytes of the GPU's memory that it holds, 0 where not known.
    """

    clock_mhz: int | None
    celsius: int | None
    held_back: int
    processes: dict[int, int] | None


class GpuWatch:
    """Looks at the GPU of a target between bursts; at nothing where it has none, or the worker is elsewhere.

    Args:
        target: whose provider says whether a GPU computes, and which.
        pid: the worker's.
        elsewhere: whether it runs on another machine.
        load: gives NVML.
    """

    def __init__(
        self, target: Target, pid: int, *, elsewhere: bool = False, load: Callable[[], Any] = nvml.library
    ) -> None:
        self._pid = pid
        self._looks: list[GpuLook] = []
        on_gpu = target.provider in ON_NVIDIA and not elsewhere
        device = nvml.device(target.provider_options, load=load) if on_gpu else ""
        self._device = None if isinstance(device, str) else device

    def look(self) -> None:
        """Ask for everything that changes."""
        if self._device is None:
            return
        device = self._device
        self._looks.append(
            GpuLook(
                clock_mhz=_number(device, "nvmlDeviceGetClockInfo", SM_CLOCK),
                celsius=_number(device, "nvmlDeviceGetTemperature", CORE_TEMPERATURE),
                held_back=_reasons(device),
                processes=_processes(device),
            )
        )

    def notes(self) -> tuple[str, ...]:
        """What was seen, in words for a person."""
        if self._device is None or not self._looks:
            return ()
        return (self._state(self._device), *self._held_back(), *self._others())

    def _state(self, device: nvml.NvmlDevice) -> str:
        name, driver = ctypes.create_string_buffer(TEXT), ctypes.create_string_buffer(TEXT)
        device.library.nvmlDeviceGetName(device.handle, name, ctypes.c_uint(TEXT))
        device.library.nvmlSystemGetDriverVersion(driver, ctypes.c_uint(TEXT))
        said = [f"{name.value.decode(errors='replace')}, driver {driver.value.decode(errors='replace')}"]
        clocks = [one.clock_mhz for one in self._looks if one.clock_mhz is not None]
        heat = [one.celsius for one in self._looks if one.celsius is not None]
        held = max((one.processes or {}).get(self._pid, 0) for one in self._looks)
        if clocks:
            said.append(f"clocks from {min(clocks)} to {max(clocks)} MHz")
        if heat:
            said.append(f"up to {max(heat)} °C")
        if held:
            said.append(f"at most {size(held)} of its memory taken by this process")
        return ", ".join(said)

    def _held_back(self) -> tuple[str, ...]:
        seen = 0
        for one in self._looks:
            seen |= one.held_back
        found = [what for bit, what in HELD_BACK.items() if seen & bit]
        return (f"the GPU's clocks were held back by {', '.join(found)}",) if found else ()

    def _others(self) -> tuple[str, ...]:
        known = [one.processes for one in self._looks if one.processes is not None and self._pid in one.processes]
        others = max((len(one) - 1 for one in known), default=0)
        return (f"{count(others, 'other process', 'other processes')} computed on the same GPU",) if others else ()


def _asked(device: nvml.NvmlDevice, name: str, *arguments: Any) -> bool:
    """Whether NVML answered; a driver may be too old for a question, or too new."""
    ask = getattr(device.library, name, None)
    return ask is not None and ask(device.handle, *arguments) == 0


def _number(device: nvml.NvmlDevice, name: str, which: int) -> int | None:
    found = ctypes.c_uint()
    return found.value if _asked(device, name, ctypes.c_uint(which), ctypes.byref(found)) else None


def _reasons(device: nvml.NvmlDevice) -> int:
    """Why clocks are not higher, under the name that NVML gave it later, or first."""
    found = ctypes.c_ulonglong()
    names = (f"nvmlDeviceGetCurrentClocks{what}Reasons" for what in ("Event", "Throttle"))
    return found.value if any(_asked(device, name, ctypes.byref(found)) for name in names) else 0


def _processes(device: nvml.NvmlDevice) -> dict[int, int] | None:
    """Those that compute on the device; None where NVML does not tell."""
    number, found = ctypes.c_uint(MOST_PROCESSES), (ProcessInfo * MOST_PROCESSES)()
    if not _asked(device, "nvmlDeviceGetComputeRunningProcesses_v3", ctypes.byref(number), found):
        return None
    return {one.pid: 0 if one.used == UNKNOWN_BYTES else one.used for one in found[: number.value]}
