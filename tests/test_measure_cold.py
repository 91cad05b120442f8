"""harness.measure.cold and the growth of harness.measure.memory: pages that are dropped, and memory that grows."""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.measure import cold, memory
from harness.measure.coordinator import FLOOR_MODEL, Workload
from harness.records import Target
from harness.runtimes.client import Client
from tests import outcomes

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the page cache of Linux")


@pytest.fixture
def on_disk() -> Iterator[Path]:
    """A folder of the machine's own place for such, which is more often on a disk than that of the tests."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@linux
def test_a_file_is_dropped_and_its_pages_are_counted(on_disk: Path) -> None:
    """All of it is there when it was just read, and none when it was dropped; an empty one has no pages."""
    path = on_disk / "file"
    path.write_bytes(os.urandom(100_000))
    path.read_bytes()
    pages = -(-100_000 // os.sysconf("SC_PAGE_SIZE"))
    assert (pages, pages) == cold.resident(path)
    assert cold.drop([path, on_disk / "gone"])
    held = cold.resident(path)
    if held == (pages, pages):
        pytest.skip("this file system keeps its files in memory")
    assert (0, pages) == held
    (on_disk / "empty").touch()
    assert (0, 0) == cold.resident(on_disk / "empty")
    assert 0.0 == cold.resident_share([path, on_disk / "empty"])


@linux
def test_a_process_starts_from_the_disk(tmp_path: Path) -> None:
    """The libraries of a live worker are dropped with the artifact, and another process comes to its first result."""
    (tmp_path / "m.onnx").write_bytes(FLOOR_MODEL.read_bytes())
    np.save(tmp_path / "x.npy", np.full((1,), 0.5, np.float32))
    target = Target(name="cpu", provider="CPUExecutionProvider")
    feeds = {"x": tmp_path / "x.npy"}
    work = Workload(model=tmp_path / "m.onnx", target=target, optimization="all", feeds=feeds, dims={})
    assert any(path.is_file() for path in cold.mapped(os.getpid()))
    found = cold.start(work, [tmp_path / "x.npy"], Client)
    assert found is not None
    took, share = found
    assert took > 0
    assert share is None or 0.0 <= share <= 1.0


def test_what_stayed_in_memory_is_said() -> None:
    """Others that have the file mapped keep it there."""
    one = outcomes.measured().processes[0]
    assert [] == cold.remarks([one, dataclasses.replace(one, cold_resident=0.0)])
    (said,) = cold.remarks([one, dataclasses.replace(one, cold_resident=0.4)])
    assert said.startswith("up to 40% of the artifact was in the page cache")


def history(per_run: float, *, bursts: int = 20, warm: int = 10_000_000) -> list[tuple[int, int]]:
    """Readings after every hundred inferences; the first few fill an arena."""
    return [(100 * i, 50_000_000 + min(i, 5) * warm + round(100 * i * per_run)) for i in range(1, bursts + 1)]


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        (history(4096.0), 4_096_000),
        (history(0.0), 0),
        (history(-500.0), 0),
        (history(10.0), 0),
        (history(4096.0, bursts=7), None),
        ([(i, 50_000_000 + 4096 * i) for i in range(40)], 0),
        ([(5, 100)] * 20, None),
        ([], None),
    ],
)
def test_memory_that_grows_is_told_from_warming_up(readings: list[tuple[int, int]], expected: int | None) -> None:
    """A page for every inference; nothing; less; little; a page for each of few; and where it cannot be found out."""
    assert expected == memory.growth(readings)


@linux
def test_readings_stay_few() -> None:
    """However many bursts there are; a process that is gone has none."""
    found = memory.Readings(os.getpid())
    for i in range(1000):
        found.take(i)
    assert memory.LEAST_READINGS <= len(found.seen) < memory.MOST_READINGS
    assert found.seen[-1][1] > 0
    steps = {later[0] - one[0] for one, later in zip(found.seen, found.seen[1:], strict=False)}
    assert 1 == len(steps)
    found.path = Path("/nowhere")
    before = list(found.seen)
    for i in range(1000, 1100):
        found.take(i)
    assert before == found.seen


def test_growth_is_said_where_every_process_has_it() -> None:
    """One that grows among others that do not is chance."""
    assert [] == memory.remarks([0, 70_000])
    assert [] == memory.remarks([None])
    (said,) = memory.remarks([70_000, None, 90_000])
    assert said.startswith("memory grew by 80.0 kB per 1000 inferences in every process")
