"""harness.measure.gpu: clocks, heat, memory and neighbours of an NVIDIA GPU, as NVML tells them."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from harness.measure import gpu
from harness.records import Target

CUDA = Target(name="cuda", provider="CUDAExecutionProvider")

POINTER: Any = type(ctypes.byref(ctypes.c_uint()))

TAKES: dict[str, tuple[Any, ...]] = {
    "nvmlInit_v2": (),
    "nvmlDeviceGetCount_v2": (POINTER,),
    "nvmlDeviceGetHandleByIndex_v2": (ctypes.c_uint, POINTER),
    "nvmlDeviceGetName": (ctypes.c_void_p, ctypes.Array, ctypes.c_uint),
    "nvmlSystemGetDriverVersion": (ctypes.Array, ctypes.c_uint),
    "nvmlDeviceGetClockInfo": (ctypes.c_void_p, ctypes.c_uint, POINTER),
    "nvmlDeviceGetTemperature": (ctypes.c_void_p, ctypes.c_uint, POINTER),
    "nvmlDeviceGetCurrentClocksEventReasons": (ctypes.c_void_p, POINTER),
    "nvmlDeviceGetCurrentClocksThrottleReasons": (ctypes.c_void_p, POINTER),
    "nvmlDeviceGetComputeRunningProcesses_v3": (ctypes.c_void_p, POINTER, ctypes.Array),
}
"""What each function of nvml.h takes; a Python number would be passed as an int, whatever is wanted."""


class FakeGpu:
    """NVML with one GPU, which holds every call to the types of its header.

    Attributes:
        clocks: in MHz, one for each look.
        reasons: bits, one for each look.
        processes: number -> bytes.
        lacks: functions that this driver does not have.
    """

    def __init__(self, *, lacks: tuple[str, ...] = (), processes: dict[int, int] | None = None) -> None:
        self.clocks, self.reasons = [1200, 1980], [0x01, 0x24]
        self.processes = {7: 3_000_000_000} if processes is None else processes
        self.lacks = lacks

    def __getattr__(self, name: str) -> Any:
        if name in self.lacks or name not in TAKES:
            raise AttributeError(name)

        def call(*arguments: Any) -> int:
            assert len(arguments) == len(TAKES[name])
            for one, kind in zip(arguments, TAKES[name], strict=True):
                assert isinstance(one, kind), f"{name}: {one!r} is no {kind}"
            return self.answer(name, arguments)

        return call

    def answer(self, name: str, arguments: tuple[Any, ...]) -> int:
        """The values of one call; 0 is success."""
        if name in ("nvmlDeviceGetName", "nvmlSystemGetDriverVersion"):
            arguments[-2].value = b"NVIDIA H200" if name == "nvmlDeviceGetName" else b"550.54"
        elif name == "nvmlDeviceGetComputeRunningProcesses_v3":
            assert arguments[1]._obj.value == len(arguments[2])
            for one, (pid, held) in zip(arguments[2], self.processes.items(), strict=False):
                one.pid, one.used = pid, held
            arguments[1]._obj.value = len(self.processes)
        elif arguments:
            pointed = arguments[-1]._obj
            if name.endswith("Reasons"):
                assert 8 == ctypes.sizeof(pointed)
                pointed.value = self.reasons.pop(0)
            elif name == "nvmlDeviceGetClockInfo":
                assert 1 == arguments[1].value
                pointed.value = self.clocks.pop(0)
            else:
                pointed.value = 61 if name == "nvmlDeviceGetTemperature" else 1
        return 0


def watched(one: FakeGpu, target: Target = CUDA, *, looks: int = 2, elsewhere: bool = False) -> tuple[str, ...]:
    """What is said after so many looks; the worker is process 7."""
    watch = gpu.GpuWatch(target, 7, elsewhere=elsewhere, load=lambda: one)
    for _ in range(looks):
        watch.look()
    return watch.notes()


def test_the_state_of_the_gpu_is_said() -> None:
    """Name, driver, clocks, heat, memory; what held the clocks back, and who else was there, by itself."""
    state, held_back = watched(FakeGpu())
    assert (
        "NVIDIA H200, driver 550.54, clocks from 1200 to 1980 MHz, up to 61 °C, at most 3.00 GB of its memory taken by "
        "this process" == state
    )
    assert "the GPU's clocks were held back by the power limit, heat (driver)" == held_back
    *_, others = watched(FakeGpu(processes={7: 5, 9: 6, 11: 7}))
    assert "2 other processes computed on the same GPU" == others


@pytest.mark.parametrize(
    ("processes", "says"),
    [({}, False), ({4711: 5, 4712: 6}, False), ({7: gpu.UNKNOWN_BYTES, 9: 1}, True)],
)
def test_who_the_worker_is_may_not_be_known(processes: dict[int, int], *, says: bool) -> None:
    """In a container NVML gives the host's numbers: nobody is called another one. Unknown memory is not said."""
    found = watched(FakeGpu(processes=processes))
    assert says == any("1 other process computed" in one for one in found)
    assert "memory" not in found[0]


def test_a_driver_that_does_not_know_a_question() -> None:
    """An old name of the reasons is asked; what is left out is not said."""
    old = FakeGpu(lacks=("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetComputeRunningProcesses_v3"))
    assert "heat (driver)" in watched(old)[1]
    assert ("NVIDIA H200, driver 550.54",) == watched(
        FakeGpu(
            lacks=(
                *old.lacks,
                "nvmlDeviceGetCurrentClocksThrottleReasons",
                "nvmlDeviceGetTemperature",
                "nvmlDeviceGetClockInfo",
            )
        )
    )


def test_nothing_is_asked_where_no_gpu_of_this_host_computes() -> None:
    """On the CPU, on another machine, without a look, and without NVML."""
    cpu = Target(name="cpu", provider="CPUExecutionProvider")
    assert () == watched(FakeGpu(), cpu) == watched(FakeGpu(), elsewhere=True) == watched(FakeGpu(), looks=0)
    assert () == gpu.GpuWatch(CUDA, 7, load=lambda: None).notes()
    assert watched(FakeGpu(), Target(name="t", provider="cuda", runtime="torch"))
