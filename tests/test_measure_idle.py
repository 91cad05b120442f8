"""harness.measure.idle: a process is idle when none of its threads runs or waits to run, however little it got."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.measure import idle
from harness.records import Target
from tests.load import busy_loops

PID = 77
linux = pytest.mark.skipif(sys.platform != "linux", reason="threads of other processes are seen on Linux only")


class FakeProc:
    """A /proc of one process, whose threads are written anew every time that somebody sleeps.

    Each thread is a function from the time in seconds to its state, processor time and run-queue time in
    milliseconds; None where it has ended.
    """

    def __init__(
        self, root: Path, *threads: Callable[[float], tuple[str, float, float] | None], schedstat: bool = True
    ) -> None:
        self.root, self.threads, self.schedstat = root, threads, schedstat
        self.now = 0.0
        self.write()

    def clock(self) -> float:
        """Seconds that were slept so far."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.write()

    def write(self) -> None:
        """The files as they are now."""
        for tid, state_at in enumerate(self.threads, PID):
            folder = self.root / str(PID) / "task" / str(tid)
            state = state_at(self.now)
            if state is None:
                for file in folder.glob("*"):
                    file.unlink()
                if folder.exists():
                    folder.rmdir()
                continue
            folder.mkdir(parents=True, exist_ok=True)
            letter, cpu_ms, queued_ms = state
            ticks = int(cpu_ms * 1e6) // idle.TICK_NS
            fields = [letter, *["0"] * 10, str(ticks), "0", *["0"] * 30]
            (folder / "stat").write_text(f"{tid} (a (strange) R name) {' '.join(fields)}\n", encoding="ascii")
            if self.schedstat:
                (folder / "schedstat").write_text(f"{int(cpu_ms * 1e6)} {int(queued_ms * 1e6)} 5\n", encoding="ascii")

    def wait(self, **limits: float) -> bool:
        """Wait for the process, in this /proc's own time."""
        return idle.wait_until_idle(PID, proc=self.root, sleep=self.sleep, clock=self.clock, **limits)


def asleep(_: float) -> tuple[str, float, float]:
    """A thread that waits for something."""
    return "S", 3.0, 1.0


def spinning(until_s: float, share: float = 1.0) -> Callable[[float], tuple[str, float, float]]:
    """A thread that spins until a time, and gets this share of a processor while it does."""

    def at(now: float) -> tuple[str, float, float]:
        ran_ms = 1e3 * min(now, until_s) * share
        return ("R" if now < until_s else "S"), ran_ms, 1e3 * min(now, until_s) - ran_ms

    return at


@pytest.mark.parametrize("schedstat", [True, False])
def test_sleeping_process(tmp_path: Path, schedstat: bool) -> None:
    """Threads that all sleep are idle after as many looks as it takes, longer than the kernel's tick."""
    fake = FakeProc(tmp_path, asleep, asleep, schedstat=schedstat)
    assert fake.wait()
    assert pytest.approx((idle.IDLE_LOOKS - 1) * idle.LOOK_S) == fake.now
    assert fake.now > 0.010


@pytest.mark.parametrize("schedstat", [True, False])
@pytest.mark.parametrize("share", [1.0, 0.3, 0.0])
def test_spinning_thread(tmp_path: Path, share: float, schedstat: bool) -> None:
    """A thread that spins is waited for, also while it gets little of the processor, or nothing at all."""
    fake = FakeProc(tmp_path, asleep, spinning(0.2, share), schedstat=schedstat)
    assert fake.wait()
    assert fake.now > 0.2


def test_thread_that_ran_between_the_looks(tmp_path: Path) -> None:
    """A thread that is asleep at every look, but ran or queued in between, is not idle yet."""
    for name, busy in {
        "ran": lambda now: ("S", 1e3 * min(now, 0.1) / 2, 0.0),
        "queued": lambda now: ("S", 0.0, 1e3 * min(now, 0.1) / 2),
    }.items():
        fake = FakeProc(tmp_path / name, asleep, busy)
        assert fake.wait()
        assert fake.now > 0.1


def test_thread_that_wakes_up_now_and_then(tmp_path: Path) -> None:
    """A hundredth of a processor disturbs nobody."""
    fake = FakeProc(tmp_path, asleep, lambda now: ("S", 1e3 * now / 100, 0.0))
    assert fake.wait()
    assert fake.now < 0.05


def test_thread_that_comes_late(tmp_path: Path) -> None:
    """A thread that starts to spin after two quiet looks is seen, and one that ends is forgotten."""
    fake = FakeProc(
        tmp_path,
        asleep,
        lambda now: None if now < 0.006 else ("R" if now < 0.1 else "S", 1e3 * min(now, 0.1), 0.0),
        lambda now: ("R", 1e3 * now, 0.0) if now < 0.002 else None,
    )
    assert fake.wait()
    assert 0.1 < fake.now < 0.15


def test_busy_for_good(tmp_path: Path) -> None:
    """A thread that used too much processor time, or waited for too long, is given up."""
    forever = FakeProc(tmp_path / "spins", asleep, spinning(1e9))
    assert not forever.wait(most_spin_s=0.05)
    assert 0.05 < forever.now < 0.06
    shared = FakeProc(tmp_path / "shares", asleep, spinning(1e9, 0.25))
    assert not shared.wait(most_spin_s=0.05)
    assert 0.2 < shared.now < 0.21
    starved = FakeProc(tmp_path / "starved", asleep, spinning(1e9, 0.0))
    assert not starved.wait(most_wait_s=0.3)
    assert 0.3 < starved.now < 0.31


def test_no_proc(tmp_path: Path) -> None:
    """Where threads cannot be seen there is a fixed wait."""
    slept: list[float] = []
    assert idle.wait_until_idle(PID, proc=tmp_path / "none", sleep=slept.append)
    assert [idle.BLIND_S] == slept


def test_process_that_ends(tmp_path: Path) -> None:
    """A process that is gone uses nothing."""
    fake = FakeProc(tmp_path, lambda now: ("R", 1e3 * now, 0.0) if now < 0.01 else None)
    assert fake.wait()


SPIN = """
import sys, threading, time
def spin():
    while time.thread_time() < 0.07:
        pass
for line in sys.stdin:
    thread = threading.Thread(target=spin)
    thread.start()
    print(flush=True)
    thread.join()
"""
"""A process whose second thread uses 70 ms of a processor after every answer, as ONNX Runtime's pool does."""


@linux
def test_starved_process_is_not_idle() -> None:
    """Beside busy loops on its core, a thread that spins gets nothing for many looks in a row, and is waited for."""
    core = min(os.sched_getaffinity(0))
    process = subprocess.Popen([sys.executable, "-c", SPIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        os.sched_setaffinity(process.pid, {core})
        assert process.stdin is not None
        assert process.stdout is not None
        with busy_loops({core}, each=2):
            for _ in range(3):
                process.stdin.write("\n")
                process.stdin.flush()
                process.stdout.readline()
                assert idle.wait_until_idle(process.pid)
                before = idle.threads(process.pid)
                time.sleep(0.1)
                after = idle.threads(process.pid)
                assert before is not None
                assert after is not None
                assert idle.demand_ns(before, after) <= idle.MOST_DEMAND_NS
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (Target(name="t", provider="CPUExecutionProvider"), False),
        (Target(name="t", provider="CPUExecutionProvider", intra_threads=2), True),
        (Target(name="t", provider="CPUExecutionProvider", intra_threads=0), True),
        (Target(name="t", provider="CUDAExecutionProvider"), True),
        (
            Target(
                name="t",
                provider="CPUExecutionProvider",
                intra_threads=2,
                session_config={"session.intra_op.allow_spinning": "0"},
            ),
            False,
        ),
    ],
)
def test_who_spins(target: Target, expected: bool) -> None:
    """Only a pool of threads spins, and only where it may."""
    assert expected == idle.spins(target)
