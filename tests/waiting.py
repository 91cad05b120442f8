"""Waiting for a state, never for a time: a slow machine waits longer, and a fast one does not wait."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

PATIENCE_S = 300.0
"""After this the state is taken not to come: a test fails instead of hanging."""

LOOK_S = 0.02


def wait_for(state: Callable[[], object], still: Callable[[], None] = lambda: None) -> None:
    """Wait until `state` gives something true.

    Args:
        state: looks.
        still: raises where the state can no longer come.

    Raises:
        AssertionError: it did not come within `PATIENCE_S`.
    """
    pause = threading.Event()
    for _ in range(round(PATIENCE_S / LOOK_S)):
        if state():
            return
        still()
        pause.wait(LOOK_S)
    raise AssertionError("what was waited for did not come")


def hold(process: subprocess.Popen[str], state: Callable[[], object]) -> None:
    """Wait until `state` gives something true, and leave the process stopped: it does nothing between look and act.

    Without that, a starved test that has seen what it waits for comes too late to meet the process at work. A process
    that is stopped can be killed as it is, and goes on with SIGCONT.

    Args:
        process: runs while nobody looks.
        state: looks.

    Raises:
        AssertionError: it ended before, or the state did not come within `PATIENCE_S`.
    """

    def held() -> bool:
        process.send_signal(signal.SIGSTOP)
        if state():
            return True
        process.send_signal(signal.SIGCONT)
        return False

    wait_for(held, alive(process))


def alive(process: subprocess.Popen[str]) -> Callable[[], None]:
    """Raises where a process has ended, with what it said."""

    def still() -> None:
        assert process.poll() is None, process.communicate()

    return still


def children(pid: int) -> list[int]:
    """Processes whose parent is `pid`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text(encoding="ascii", errors="replace").rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(entry.parent.name))
    return found


def workers(pid: int) -> list[int]:
    """Those of the children that are workers of onnxruntime."""
    found = []
    for child in children(pid):
        with contextlib.suppress(OSError):
            if "worker.py" in Path(f"/proc/{child}/cmdline").read_text(encoding="utf-8"):
                found.append(child)
    return found


def zombie(pid: int) -> bool:
    """Whether a process has ended and waits to be reaped by someone else."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return True
