"""Load beside a test: busy loops that compete for its cores."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Collection, Iterator

LOOP = "import os, sys\nos.sched_setaffinity(0, {int(sys.argv[1])})\nprint(flush=True)\nwhile True: pass"


@contextlib.contextmanager
def busy_loops(cores: Collection[int], each: int) -> Iterator[None]:
    """So many processes on each of these cores that do nothing but compute; ended, by their ids, afterwards."""
    started: list[subprocess.Popen[bytes]] = []
    with contextlib.ExitStack() as stack:
        for core in sorted(cores) * each:
            process = subprocess.Popen([sys.executable, "-c", LOOP, str(core)], stdout=subprocess.PIPE)
            stack.callback(ended, process)
            started.append(process)
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()
        yield


def ended(process: subprocess.Popen[bytes]) -> None:
    """End a process and free its pipe."""
    process.kill()
    process.communicate()
