"""How a parent and its child process speak: one JSON job on stdin, JSON lines back. Standard library only."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from harness import foreign

STDERR_LINES = 12
"""How much of the end of a dead child's stderr is kept."""

LastWords = collections.deque[str]


@contextlib.contextmanager
def child(
    command: Sequence[str], job: Mapping[str, Any], *, environment: Mapping[str, str], folder: Path | None = None
) -> Iterator[tuple[subprocess.Popen[str], LastWords]]:
    """A running child that was sent its job, and the end of its stderr; afterwards the child is gone.

    Raises:
        OSError: it could not be started.
    """
    process = subprocess.Popen(
        list(command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        cwd=folder,
        env=dict(environment),
        start_new_session=True,  # Ctrl-C reaches the parent alone, which then decides
    )
    stderr: LastWords = collections.deque(maxlen=STDERR_LINES)
    drain = threading.Thread(target=lambda: stderr.extend(process.stderr or ()), daemon=True)
    drain.start()
    try:
        if process.stdin is not None:
            with contextlib.suppress(OSError):  # it died at once: the exit code and stderr say why
                process.stdin.write(json.dumps(job) + "\n")
                process.stdin.flush()
        yield process, stderr
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        drain.join(timeout=5)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def messages(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """The child's objects as they come; a line that was cut off by its death is left out."""
    for line in process.stdout or ():
        with contextlib.suppress(ValueError):
            message = foreign.parsed(line)
            if isinstance(message, dict):
                yield message


def private_channel() -> TextIO:
    """In the child: keep the parent's pipe for messages; every print, of Python or of a library, goes to stderr."""
    private = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(private, "w", encoding="utf-8")


def send(channel: TextIO, **content: Any) -> None:
    """In the child: one message."""
    channel.write(json.dumps(content) + "\n")
    channel.flush()


def leave_with_parent() -> None:
    """In the child: wait for the end of stdin; the parent holds it open for as long as it wants the child."""
    sys.stdin.read()
    os._exit(1)
