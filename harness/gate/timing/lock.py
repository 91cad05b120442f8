"""One gate at a time measures on a host: two at once would be each other's noise."""

from __future__ import annotations

import contextlib
import math
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import StoreError
from harness.processes import OutOfTime, left_s
from harness.store import files

LOCK = "measuring.lock"
"""In the cache folder, which the gates of a host have in common; the system frees it when its process ends."""

ASK_AGAIN_S = 0.5

HOLDER = re.compile(rb"(gate|bisection|self-test) in process (\d{1,10})\n")
"""What stands in the file: who holds it, or held it last."""


@contextmanager
def alone(cache: Path, say: Callable[[str], None], *, who: str = "gate", end: float | None = None) -> Iterator[None]:
    """Wait until no other gate with this cache measures, and let none begin meanwhile.

    Where the cache cannot hold a lock (it is read-only, or its file system has none), this says so and goes on.

    Args:
        cache: root of the cache.
        say: hears that it waits, for whom, and when the wait is over.
        who: measures: a gate, bisection or self-test.
        end: when the wait is over at the latest, as `time.monotonic` counts; None leaves it to `ending_at`.

    Raises:
        OutOfTime: if the other gate is not done by then.
        KeyboardInterrupt: if somebody ends the wait.
    """
    if end is None and left_s() < math.inf:
        end = time.monotonic() + left_s()
    held = taken(cache / LOCK, say, end)
    if held is not None:
        with contextlib.suppress(OSError):  # it is for people alone
            (cache / LOCK).write_bytes(f"{who} in process {os.getpid()}\n".encode())
    try:
        yield
    finally:
        if held is not None:
            held.release()


def taken(path: Path, say: Callable[[str], None], end: float | None = None) -> files.Lock | None:
    """The lock, after a wait where another process holds it; None where there can be none."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = files.Lock.attempt(path)
        if held is None:
            other = holder(path)
            say(f"waiting for {other} that measures on this host (it holds {path})")
            held = files.Lock.wait(path) if end is None else _by(end, path)
            say(f"{other.replace('another', 'the other')} is done")
    except (StoreError, OSError):
        say(f"{path} cannot be locked: make sure that no other gate measures here at the same time")
        return None
    return held


def holder(path: Path) -> str:
    """Who holds the lock, as it stands in the file."""
    try:
        with path.open("rb") as file:
            found = HOLDER.fullmatch(file.read(100))
    except OSError:
        found = None
    return "another gate" if found is None else f"another {found[1].decode()} (process {found[2].decode()})"


def _by(end: float, path: Path) -> files.Lock:
    """The lock; a system's own wait for one has no end, so that it is asked for again and again."""
    while (held := files.Lock.attempt(path)) is None:
        left = end - time.monotonic()
        if left <= 0:
            raise OutOfTime
        time.sleep(min(left, ASK_AGAIN_S))
    return held
