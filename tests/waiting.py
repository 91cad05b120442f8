"""Waiting for a state, never for a time: a slow machine waits longer, and a fast one does not wait."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable

PATIENCE_S = 120.0
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


def alive(process: subprocess.Popen[str]) -> Callable[[], None]:
    """Raises where a process has ended, with what it said."""

    def still() -> None:
        assert process.poll() is None, process.communicate()

    return still
