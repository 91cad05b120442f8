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
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TextIO

from harness import foreign
from harness.processes import Limits, OutOfTime, Watch, end, expendable

STDERR_LINES = 12
"""How much of the end of a dead child's stderr is kept."""

LONGEST = 64 * 2**20
"""Characters of a message; what is longer was not sent by us, and comes in pieces that are not JSON."""

MOST_SAID = 2_000
"""Characters of a line of stderr; a longer one comes in pieces."""

LastWords = collections.deque[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningChild:
    """A child at work.

    Attributes:
        process: of it.
        stderr: the end of what it wrote there.
        watch: ends it where it passes a limit.
    """

    process: subprocess.Popen[str]
    stderr: LastWords
    watch: Watch

    def messages(self) -> Iterator[dict[str, Any]]:
        """Its objects as they come; a line that was cut off by its death is left out."""
        for line in _lines(self.process.stdout):
            self.watch.heard()
            with contextlib.suppress(ValueError):
                message = foreign.parsed(line)
                if isinstance(message, dict):
                    yield message

    def wait(self) -> int:
        """Its exit status, once it is gone.

        Raises:
            OutOfTime: it was ended because the time limit was over.
        """
        code = self.process.wait()
        self.watch.stop()
        if self.watch.late:
            raise OutOfTime
        return code


def _lines(stream: IO[str] | None, most: int = LONGEST) -> Iterator[str]:
    """Lines of a child's stream, none longer than `most`: one without an end is not to fill the parent's memory."""
    return iter(lambda: stream.readline(most) if stream is not None else "", "")


@contextlib.contextmanager
def child(
    command: Sequence[str],
    job: Mapping[str, Any],
    *,
    environment: Mapping[str, str],
    folder: Path | None = None,
    limits: Limits | None = None,
) -> Iterator[RunningChild]:
    """A running child that was sent its job; afterwards the child is gone, and so is all that it started.

    Args:
        command: starts it.
        job: what it is to do.
        environment: its variables.
        folder: where it runs.
        limits: what it may take; the usual where none are given.

    Raises:
        OSError: it could not be started.
        UsageError: the environment sets a limit that is not one.
    """
    limits = limits or Limits()
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
    expendable(process.pid)
    stderr: LastWords = collections.deque(maxlen=STDERR_LINES)
    drain = threading.Thread(target=lambda: stderr.extend(_lines(process.stderr, MOST_SAID)), daemon=True)
    drain.start()
    watch = Watch(process, limits)
    # From a thread: one that reads nothing would hold us up here for ever.
    threading.Thread(target=_write, args=(process, json.dumps(job) + "\n"), daemon=True).start()
    try:
        yield RunningChild(process=process, stderr=stderr, watch=watch)
    finally:
        watch.stop()
        end(process)
        drain.join(timeout=5)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError, ValueError):
                    pipe.close()


def _write(process: subprocess.Popen[str], text: str) -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError, ValueError):  # it died at once: the exit code and stderr say why
            process.stdin.write(text)
            process.stdin.flush()


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
