"""The energy that inferences take, from counters of the hardware: RAPL of the processors, NVML of a GPU.

A counter adds up what the whole package or device takes, whoever runs on it; nothing is subtracted. It is read between
bursts, like memory, so that nothing of it runs while a worker times, and whichever language the worker is written in.
What no counter tells is absent, with the reason: there is no figure from a model of the hardware.
"""

from __future__ import annotations

import ctypes
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness.measure import nvml
from harness.providers import HOST
from harness.records import Target
from harness.units import seconds

ROOT = Path("/")
"""Where `sys` lies; tests put a folder there."""

ON_PROCESSORS: Final = frozenset({"CPUExecutionProvider", "DnnlExecutionProvider", "XnnpackExecutionProvider", HOST})
OPENVINO: Final = "OpenVINOExecutionProvider"
ON_NVIDIA: Final = frozenset(
    {"CUDAExecutionProvider", "TensorrtExecutionProvider", "NvTensorRTRTXExecutionProvider", "cuda"}
)
"""Providers that compute on an NVIDIA GPU; `cuda` is that of a target whose runtime is torch."""

RAPL_TICK_S, NVML_TICK_S = 0.001, 0.1
"""How often a counter is brought up to date: RAPL about every millisecond, NVML within a tenth of a second."""

LEAST_TICKS = 20
"""Ticks that have to pass between the first and the last reading: one more or less is then 5%."""

LEAST_SHARE = 0.9
"""Of the time between two readings in which inferences have to run: the rest is messages, and waiting for a processor,
which take energy that is none of theirs."""

MICRO = 1e-6
ELSEWHERE: Final = "the worker runs on another machine, whose counters are not read"
SERVED: Final = "not measured where requests arrive at a rate: the waiting between them takes energy too"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """One counter of energy.

    Attributes:
        name: such as `package-0`.
        read: its value, in microjoules; raises OSError where it cannot be read.
        wraps: what it starts again from 0 at, in microjoules; 0 where it does not.
        tick_s: seconds between two of its steps.
    """

    name: str
    read: Callable[[], int]
    wraps: int = 0
    tick_s: float = RAPL_TICK_S


@dataclass(frozen=True, slots=True, kw_only=True)
class CountersFound:
    """What a host has for a target.

    Attributes:
        counters: whose sum counts; empty where there is none.
        source: what they are, such as `RAPL package-0, dram`; where there is none, why.
    """

    counters: tuple[Counter, ...] = ()
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """What one inference took.

    Attributes:
        joules: of one inference of the whole batch; None where no counter tells.
        source: of which counters; where there are no joules, why.
    """

    joules: float | None
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BurstReading:
    """One burst between two readings of all counters.

    Attributes:
        first, inferences: how many inferences ran before it, and in it.
        elapsed_s: seconds between the readings.
        busy_s: seconds of them in which inferences ran, by the worker's own clock.
        microjoules: by which the counters moved.
    """

    first: int
    inferences: int
    elapsed_s: float
    busy_s: float
    microjoules: int


class EnergyReadings:
    """What counters add up to while bursts run; what they move between bursts is nobody's."""

    def __init__(self, found: CountersFound, *, clock: Callable[[], float] = time.perf_counter) -> None:
        """Nothing is read yet.

        Args:
            found: the counters.
            clock: in seconds.
        """
        self._found, self._clock = found, clock
        self._seen: list[BurstReading] = []
        self._problem = ""
        self._done = 0
        self._before: list[int] = []
        self._started = 0.0

    def start(self) -> None:
        """Read before a burst."""
        self._before, self._started = self._read(), self._clock()

    def take(self, inferences: int, busy_s: float) -> None:
        """Read after it, a wrap-around included; at most one is seen.

        Args:
            inferences: in the burst.
            busy_s: for how long they ran, by the worker's own clock.
        """
        elapsed_s, after = self._clock() - self._started, self._read()
        if self._before and after:
            moved = sum(map(self._moved, self._found.counters, self._before, after))
            self._seen.append(
                BurstReading(
                    first=self._done, inferences=inferences, elapsed_s=elapsed_s, busy_s=busy_s, microjoules=moved
                )
            )
        self._done += inferences

    def each(self, warmup: int = 0) -> Energy:
        """What one inference took, of the bursts that began after `warmup` inferences."""
        if self._problem or not self._found.counters:
            return Energy(joules=None, source=self._problem or self._found.source)
        timed = [one for one in self._seen if one.first >= warmup]
        n, took_s = sum(one.inferences for one in timed), sum(one.elapsed_s for one in timed)
        least_s = LEAST_TICKS * max(one.tick_s for one in self._found.counters)
        if not n or took_s < least_s:
            why = f"{seconds(took_s)} of inferences are too short, it takes {seconds(least_s)}"
            return Energy(joules=None, source=f"{why}: give it more time (--time-per-case)")
        share = sum(one.busy_s for one in timed) / took_s
        if share < LEAST_SHARE:
            why = f"inferences ran in {share:.0%} of the time that the counters were read over, too little to say"
            return Energy(joules=None, source=f"{why} what they took: a larger batch, or an idle host, would")
        joules = sum(one.microjoules for one in timed) * MICRO / n
        if joules <= 0:
            return Energy(joules=None, source=f"{self._found.source} did not move in {seconds(took_s)}")
        return Energy(joules=joules, source=self._found.source)

    def _read(self) -> list[int]:
        if self._problem:
            return []
        try:
            return [one.read() for one in self._found.counters]
        except OSError as error:
            self._problem = f"a counter of energy could not be read any more: {error}"
            return []

    def _moved(self, counter: Counter, before: int, after: int) -> int:
        if after < before and not counter.wraps:
            self._problem = f"the counter {counter.name} went backwards"
        return after - before + (counter.wraps if after < before else 0)


def of_single_bursts(found: CountersFound) -> CountersFound:
    """The counters, where they tick often enough for bursts of which each is followed by another process's."""
    slow = any(one.tick_s > RAPL_TICK_S for one in found.counters)
    return CountersFound(source=f"{found.source} ticks too slowly for single bursts") if slow else found


def found_for(target: Target, *, elsewhere: bool = False, root: Path = ROOT) -> CountersFound:
    """The counters that tell what a target takes on this host, or why there is none.

    Args:
        target: whose provider says which hardware computes.
        elsewhere: whether the worker runs on another machine.
        root: below which the kernel shows its counters.
    """
    if elsewhere:
        return CountersFound(source=ELSEWHERE)
    if target.scenario.startswith("server"):
        return CountersFound(source=SERVED)
    if target.provider in ON_NVIDIA:
        return of_nvidia(target.provider_options)
    on_cpu = str(target.provider_options.get("device_type", "CPU")).startswith("CPU")
    if target.provider in ON_PROCESSORS or (target.provider == OPENVINO and on_cpu):
        return of_processors(root)
    return CountersFound(source=f"no counter is known for {target.provider}")


def of_processors(root: Path, read: Callable[[Path], int] | None = None) -> CountersFound:
    """RAPL of every package and its memory, as Linux shows it of Intel's and AMD's processors; `read` reads a file."""
    read = read or number_in
    folder = root / "sys/class/powercap"
    zones = sorted((path for path in folder.glob("intel-rapl:*") if _counts(path)), key=lambda path: path.name)
    if not any(_name(path).startswith("package") for path in zones):
        return CountersFound(source=f"this host shows no RAPL: {folder} has no package (virtual machines seldom do)")
    counters = []
    for zone in zones:
        counter = zone / "energy_uj"
        try:
            read(counter)
            wraps = read(zone / "max_energy_range_uj")
        except PermissionError:
            return CountersFound(source=f"{counter} can be read by root alone: run harness as root, or `chmod a+r` it")
        except OSError as error:
            return CountersFound(source=f"RAPL could not be read: {error}")
        counters.append(Counter(name=_name(zone), read=lambda path=counter: read(path), wraps=wraps))  # type: ignore[misc]
    return CountersFound(counters=tuple(counters), source=f"RAPL {', '.join(one.name for one in counters)}")


def _counts(zone: Path) -> bool:
    """Whether a zone is a package or memory: cores are part of a package, and `psys` has all of them again."""
    return re.fullmatch(r"package-\d+|dram", _name(zone)) is not None


def _name(zone: Path) -> str:
    try:
        return (zone / "name").read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def number_in(path: Path) -> int:
    """The number in a file.

    Raises:
        OSError: it cannot be read, or holds none.
    """
    text = path.read_text(encoding="ascii", errors="replace").strip()
    if not re.fullmatch(r"\d{1,20}", text):
        raise OSError(f"{path} has no number: {text[:40]!r}")
    return int(text)


def of_nvidia(options: Mapping[str, Any], *, load: Callable[[], Any] = nvml.library) -> CountersFound:
    """The counter of the one GPU that there is; which of several CUDA numbers how, NVML does not say."""
    found = nvml.device(options, load=load)
    if isinstance(found, str):
        return CountersFound(source=found)
    ask, place = found.library.nvmlDeviceGetTotalEnergyConsumption, found.place

    def read() -> int:
        millijoules = ctypes.c_ulonglong()
        if code := ask(found.handle, ctypes.byref(millijoules)):
            raise OSError(f"NVML does not tell the energy of GPU {place} (error {code}); Volta and newer do")
        return millijoules.value * 1000

    try:
        read()
    except OSError as error:
        return CountersFound(source=str(error))
    counter = Counter(name=f"GPU {place}", read=read, tick_s=NVML_TICK_S)
    return CountersFound(counters=(counter,), source=f"NVML {counter.name}")
