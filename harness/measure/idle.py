"""When a process is idle: none of its threads runs, and none waits to run.

A process that used no processor for a moment need not be idle: on a busy host a thread that spins may get no processor
for longer than that moment, and goes on spinning as soon as it gets one, into the other side's burst. So the threads'
own states are looked at, several times in a row, beside the time that they used and the time that they spent in the
run queue.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.records import Target

LOOK_S = 0.004
"""Seconds between two looks at a process."""

IDLE_LOOKS = 4
"""Looks in a row, each without a thread that runs or wants to: the three intervals between them are longer than the
tick (at most 10 ms) in which the kernel accounts for a thread's time."""

MOST_DEMAND_NS = 600_000
"""Processor time and run-queue time that all threads together may have had over those looks: a thread that wakes up
every now and then disturbs nobody."""

SPIN_S = 0.065
"""How long ONNX Runtime's pool was seen to go on spinning after an inference: 50 to 70 ms."""

MOST_SPIN_S = 0.5
"""A thread that has used this much processor time instead of coming to rest is busy for good."""

MOST_WAIT_S = 5.0
"""A process that is not idle after this long is given up, however little of the processor it got."""

BLIND_S = 0.1
"""How long to wait where another process's threads cannot be seen."""

PROC = Path("/proc")
TICK_NS = 1_000_000_000 // (os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadState:
    """One thread at one moment.

    Attributes:
        runnable: whether it runs, or waits for a processor to run on.
        cpu_ns: processor time that it has used so far.
        queued_ns: time that it has spent waiting for a processor so far; 0 where the kernel does not say.
    """

    runnable: bool
    cpu_ns: int
    queued_ns: int


Threads = Mapping[int, ThreadState]
"""By thread id."""


def wait_until_idle(
    pid: int,
    *,
    most_spin_s: float = MOST_SPIN_S,
    most_wait_s: float = MOST_WAIT_S,
    proc: Path = PROC,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> bool:
    """Wait until a process is idle, so that its spinning threads take nothing from the other side.

    What is measured stays as it is: `session.force_spinning_stop` would do without the wait, but it changes the
    session that the user ships.

    Args:
        pid: the process.
        most_spin_s: processor time of one thread after which the process counts as busy for good. It is not the time
            that passes: a thread that has to share its processor spins for longer.
        most_wait_s: the longest wait.
        proc: where the processes are looked for.
        sleep: lets seconds pass.
        clock: in seconds.

    Returns:
        Whether it came to rest; where its threads cannot be seen, True after a fixed wait.
    """
    began = clock()
    first = threads(pid, proc)
    if first is None:
        sleep(BLIND_S)
        return True
    looks = [first]
    while True:
        if clock() - began > most_wait_s or spun_ns(first, looks[-1]) > most_spin_s * 1e9:
            return False
        sleep(LOOK_S)
        found = threads(pid, proc)
        if found is None:  # it has ended, which whoever asks it next will notice
            return True
        looks = [*looks[1 - IDLE_LOOKS :], found]
        if idle(looks):
            return True


def idle(looks: list[Threads]) -> bool:
    """Whether a process was idle over its last looks; it takes `IDLE_LOOKS` of them to say so."""
    if len(looks) < IDLE_LOOKS or any(one.runnable for look in looks for one in look.values()):
        return False
    return demand_ns(looks[0], looks[-1]) <= MOST_DEMAND_NS


def demand_ns(before: Threads, after: Threads) -> int:
    """Time that the threads ran or waited to run between two looks."""
    none = ThreadState(runnable=False, cpu_ns=0, queued_ns=0)
    return sum(
        one.cpu_ns - before.get(tid, none).cpu_ns + one.queued_ns - before.get(tid, none).queued_ns
        for tid, one in after.items()
    )


def spun_ns(before: Threads, after: Threads) -> int:
    """Processor time that the busiest thread used between two looks."""
    return max((one.cpu_ns - before[tid].cpu_ns for tid, one in after.items() if tid in before), default=0)


def threads(pid: int, proc: Path = PROC) -> Threads | None:
    """All threads of a process as they are now; None where the system does not tell, or there is no such process."""
    found = {}
    try:
        tids = [entry.name for entry in (proc / str(pid) / "task").iterdir()]
    except OSError:
        return None
    for tid in tids:
        state = thread(proc / str(pid) / "task" / tid)
        if state is not None:  # else it ended meanwhile
            found[int(tid)] = state
    return found or None


def thread(folder: Path) -> ThreadState | None:
    """One thread from its folder below /proc; None where there is none any more."""
    try:
        # The second field is a name in parentheses, which may hold anything.
        fields = (folder / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        runnable, ticks = fields[0] == "R", int(fields[11]) + int(fields[12])
    except (OSError, ValueError, IndexError):
        return None
    try:
        cpu, queued = (int(part) for part in (folder / "schedstat").read_text(encoding="ascii").split()[:2])
    except (OSError, ValueError):  # a kernel without schedstat: the states and whole ticks have to do
        cpu, queued = 0, 0
    return ThreadState(runnable=runnable, cpu_ns=max(cpu, ticks * TICK_NS), queued_ns=queued)


def spins(target: Target) -> bool:
    """Whether threads of a session on this target may go on spinning after an inference."""
    alone = target.provider == "CPUExecutionProvider" and target.intra_threads == 1 and target.inter_threads == 1
    return not (alone or target.session_config.get("session.intra_op.allow_spinning") == "0")
