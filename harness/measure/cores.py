"""Processor cores for two processes that take turns: the same ones for both, and idle while one waits."""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

from harness.records import Target

STILL_S = 0.012
"""An idle process's clock must stand still this long: longer than the tick (at most 10 ms) in which the kernel books
the time of a thread that spins."""

SPIN_S = 0.065
"""How long ONNX Runtime's pool was seen to go on spinning after an inference: 50 to 70 ms."""

SPINNING_S = 0.5
"""Past this a process that was to rest is busy for good."""

BLIND_S = 0.1
"""How long to wait where another process's clock cannot be read."""


def settle(pid: int) -> bool:
    """Wait until a process uses no processor any more, so that its spinning threads take nothing from the other side.

    What is measured stays as it is: `session.force_spinning_stop` would do without the wait, but it changes the
    session that the user ships.

    Returns:
        Whether it came to rest; where its clock cannot be read, True after a fixed wait.
    """
    until = time.monotonic() + SPINNING_S
    before = cpu_ns(pid)
    if before is None:
        time.sleep(BLIND_S)
        return True
    while time.monotonic() < until:
        time.sleep(STILL_S)
        after = cpu_ns(pid)
        if after is None or after - before < STILL_S * 1e9 / 20:
            return True
        before = after
    return False


def cpu_ns(pid: int) -> int | None:
    """Processor time of another process so far; None where the system does not tell.

    The clock's number is what `clock_getcpuclockid` computes on Linux.
    """
    if sys.platform != "linux":
        return None
    try:
        return time.clock_gettime_ns((~pid << 3) | 2)
    except OSError:
        return None


def spins(target: Target) -> bool:
    """Whether threads of a session on this target may go on spinning after an inference."""
    alone = target.provider == "CPUExecutionProvider" and target.intra_threads == 1 and target.inter_threads == 1
    return not (alone or target.session_config.get("session.intra_op.allow_spinning") == "0")


def choose_cores(threads: int, *, rng: random.Random, root: Path = Path("/")) -> frozenset[int] | None:
    """Logical cores for both sides of a pair: a physical core per thread, drawn anew for every pair.

    Cores are not alike at any one moment: another tenant on the sibling of one of them takes tens of percent from
    whoever runs there. Sides on cores of their own would carry that into their ratio for as long as the pair lasts; on
    the same cores, one after the other, it falls on both. Which cores is drawn, so that no pair depends on another's.

    Args:
        threads: threads that each side computes with; 0 stands for ONNX Runtime's own choice, which pins by itself.
        rng: draws the cores.
        root: where `sys` is looked for.

    Returns:
        None where not even one physical core would be left for the coordinator, or the system cannot pin.
    """
    if threads < 1 or not hasattr(os, "sched_setaffinity"):
        return None
    physical = sorted({siblings(cpu, root) for cpu in os.sched_getaffinity(0)}, key=min)
    if len(physical) <= threads:
        return None
    return frozenset().union(*rng.sample(physical, threads))


def siblings(cpu: int, root: Path) -> frozenset[int]:
    """The logical cores of the physical core that holds this one, as far as this process may use them."""
    path = root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
    found = {cpu}
    try:
        for part in path.read_text(encoding="ascii").strip().split(","):
            low, _, high = part.partition("-")
            found |= set(range(int(low), int(high or low) + 1))
    except (OSError, ValueError):
        return frozenset({cpu})
    return frozenset(found & os.sched_getaffinity(0))


def pin(pid: int, cores: frozenset[int]) -> bool:
    """Hold a process to these cores, before it makes its threads; False where the system refuses."""
    try:
        os.sched_setaffinity(pid, cores)
    except OSError:
        return False
    return True
