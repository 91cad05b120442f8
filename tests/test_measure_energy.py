"""harness.measure.energy: counters of processors and GPUs, made up here, and what is said where there is none."""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from pathlib import Path
from typing import Any

import pytest

from harness.measure import coordinator, energy
from harness.measure.energy import Counter, CountersFound, EnergyReadings
from harness.measure.pacing import Pace
from harness.records import Target
from harness.runtimes.client import Client

CPU = Target(name="cpu", provider="CPUExecutionProvider")
CUDA = Target(name="cuda", provider="CUDAExecutionProvider")


def zone(root: Path, place: str, name: str, energy_uj: object, most: int = 1_000_000_000) -> Path:
    """One zone of RAPL as Linux shows it; its counter."""
    folder = root / "sys/class/powercap" / place
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "max_energy_range_uj").write_text(f"{most}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    return folder / "energy_uj"


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """What it is now."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The time, as readings take it."""
    return Clock()


def burst(readings: EnergyReadings, clock: Clock, n: int, seconds: float, busy: float = 1.0) -> None:
    """A burst that takes so long, a share of it in inferences."""
    readings.start()
    clock.now += seconds
    readings.take(n, seconds * busy)


def test_packages_and_memory_are_added_up_and_what_is_part_of_them_is_not(tmp_path: Path, clock: Clock) -> None:
    """Cores are part of a package, the platform is all of it again; neither warm-up nor what lies between counts."""
    package = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    memory = zone(tmp_path, "intel-rapl:0:1", "dram", 0)
    zone(tmp_path, "intel-rapl:0:0", "core", 1)
    zone(tmp_path, "intel-rapl:1", "psys", 1)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 1)
    readings = EnergyReadings(energy.found_for(CPU, root=tmp_path), clock=clock)
    moves = iter([5_000_000, 6_000_000, 7_000_000, 9_000_000])
    for n in (10, 20):
        package.write_text(f"{next(moves)}\n")
        readings.start()
        package.write_text(f"{next(moves)}\n")
        memory.write_text(f"{1_000_000 * (n // 20)}\n")
        clock.now += 1.0
        readings.take(n, 0.95)
    found = readings.each(warmup=10)
    assert "RAPL package-0, dram" == found.source
    assert math.isclose(3.0 / 20, found.joules or 0.0)
    assert math.isclose(4.0 / 30, readings.each().joules or 0.0)


def test_a_counter_that_starts_again_from_nothing_is_seen(tmp_path: Path, clock: Clock) -> None:
    """It wraps at its own range: 900 of 1000 to 100 are 200 microjoules."""
    counter = zone(tmp_path, "intel-rapl:0", "package-0", 900, most=1000)
    readings = EnergyReadings(energy.of_processors(tmp_path), clock=clock)
    readings.start()
    counter.write_text("100\n")
    clock.now += 1.0
    readings.take(2, 1.0)
    assert math.isclose(100e-6, readings.each().joules or 0.0)


def test_time_that_is_not_spent_on_inferences_gives_no_number(clock: Clock) -> None:
    """A tiny model's messages take as long as the model: what they took is not its energy."""
    readings = EnergyReadings(
        CountersFound(counters=(Counter(name="box", read=iter([0, 9]).__next__),), source="box"), clock=clock
    )
    burst(readings, clock, 10, 1.0, busy=0.5)
    assert readings.each().joules is None
    assert "inferences ran in 50% of the time" in readings.each().source


@pytest.mark.parametrize(
    ("text", "target", "said"),
    [
        (None, CPU, "this host shows no RAPL"),
        ("lots", CPU, "RAPL could not be read"),
        (None, dataclasses.replace(CPU, scenario="server20ms"), "requests arrive at a rate"),
        (
            None,
            dataclasses.replace(CPU, provider="DmlExecutionProvider"),
            "no counter is known for DmlExecutionProvider",
        ),
        (None, dataclasses.replace(CPU, provider="OpenVINOExecutionProvider"), "this host shows no RAPL"),
    ],
)
def test_where_no_counter_tells_there_is_a_reason_and_no_number(
    tmp_path: Path, text: str | None, target: Target, said: str
) -> None:
    """On a machine without one, with a broken one, under a server's load, on hardware that has none."""
    if text is not None:
        zone(tmp_path, "intel-rapl:0", "package-0", text)
    found = EnergyReadings(energy.found_for(target, root=tmp_path)).each()
    assert found.joules is None
    assert said in found.source


def test_a_counter_of_root_alone_names_the_remedy(tmp_path: Path) -> None:
    """As every kernel since 5.10 has it; the file itself cannot be closed to root, who may run this."""
    zone(tmp_path, "intel-rapl:0", "package-0", 1)

    def closed(path: Path) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    found = energy.of_processors(tmp_path, read=closed)
    assert "can be read by root alone: run harness as root, or `chmod a+r` it" in found.source


def test_other_hosts_counters_are_not_taken_for_the_devices_own() -> None:
    """A worker on a phone takes nothing of this host's."""
    assert "on another machine" in energy.found_for(CPU, elsewhere=True).source


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([5, 5], "did not move in 1.00 s"),
        ([5, 3], "the counter box went backwards"),
        ([5, OSError("gone")], "could not be read any more: gone"),
    ],
)
def test_a_counter_that_fails_while_it_is_read_gives_no_number(clock: Clock, steps: list[Any], said: str) -> None:
    """Nor one that stands still, as in virtual machines that show a counter and move none."""
    values = iter(steps)

    def read() -> int:
        if isinstance(value := next(values), OSError):
            raise value
        return int(value)

    readings = EnergyReadings(CountersFound(counters=(Counter(name="box", read=read),), source="RAPL box"), clock=clock)
    burst(readings, clock, 10, 1.0)
    assert readings.each().joules is None
    assert said in readings.each().source


def test_too_few_ticks_give_no_number(clock: Clock) -> None:
    """A GPU's counter moves ten times a second: half a second of it measures nothing."""
    counter = Counter(name="GPU 0", read=iter([0, 50_000]).__next__, tick_s=0.1)
    readings = EnergyReadings(CountersFound(counters=(counter,), source="NVML GPU 0"), clock=clock)
    burst(readings, clock, 100, 0.5)
    assert "500 ms of inferences are too short, it takes 2.00 s" in readings.each().source
    assert (
        "ticks too slowly for single bursts"
        in energy.of_single_bursts(CountersFound(counters=(counter,), source="NVML")).source
    )


class FakeNvml:
    """NVIDIA's library with so many GPUs, whose energy is `energy` millijoules, or an error below 0."""

    def __init__(self, gpus: int, energy: int) -> None:
        self.gpus, self.energy = gpus, energy

    def nvmlInit_v2(self) -> int:  # noqa: N802
        """Starts."""
        return 0

    def nvmlDeviceGetCount_v2(self, number: Any) -> int:  # noqa: N802
        """How many GPUs."""
        number._obj.value = self.gpus
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, place: Any, handle: Any) -> int:  # noqa: N802
        """One of them."""
        handle._obj.value = place.value + 1
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Any, found: Any) -> int:  # noqa: N802
        """Its energy in millijoules."""
        found._obj.value = max(self.energy, 0)
        return 0 if self.energy >= 0 and handle.value else 3


def test_the_energy_of_a_gpu_is_that_of_the_one_that_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    """In microjoules; of several GPUs only where CUDA numbers them as NVML does."""
    torch = Target(name="torch", provider="cuda", runtime="torch")
    assert "counter is known" not in energy.found_for(torch).source
    one = energy.of_nvidia({}, load=lambda: FakeNvml(1, 1234))
    assert ("NVML GPU 0", 1_234_000) == (one.source, one.counters[0].read())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    assert "2 GPUs, and which of them CUDA uses" in energy.of_nvidia({}, load=lambda: FakeNvml(2, 1)).source
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert "NVML GPU 1" == energy.of_nvidia({"device_id": "1"}, load=lambda: FakeNvml(2, 1)).source
    assert "error 3" in energy.of_nvidia({}, load=lambda: FakeNvml(1, -1)).source
    assert "libnvidia-ml.so.1" in energy.of_nvidia({}, load=lambda: None).source


def test_a_process_has_the_energy_of_its_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a host that takes one watt: as many joules for each inference as it takes seconds, and what messages take."""
    monkeypatch.setattr(energy, "LEAST_SHARE", 0.0)  # a starved machine waits for a processor
    watt = Counter(name="watt", read=lambda: time.perf_counter_ns() // 1000)
    monkeypatch.setattr(
        energy, "found_for", lambda target, *, elsewhere: CountersFound(counters=(watt,), source="RAPL watt")
    )
    plan = Pace(budget_s=0.2, ci_width=0.0)
    samples = coordinator.shipped(coordinator.BUSY_MODEL, (256, 256), CPU, plan, Client).samples
    assert "RAPL watt" == samples.energy_source
    assert statistics.fmean(samples.samples_ns) / 1e9 * 0.999 < (samples.energy_j or 0.0)
