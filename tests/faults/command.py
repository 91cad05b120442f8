"""The command line in this process: what it answers, and whether that is how `harness` may end."""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from harness.cli.ending import EXIT_CODES, EXIT_INTERNAL
from tests.conftest import here

LONGEST_S = 120
"""Nothing that reads small files takes as long, on the slowest machine."""


class Hang(BaseException):
    """A command that does not end; no `except Exception` of it hides this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command said."""

    arguments: tuple[str, ...]
    code: int
    out: str
    err: str

    def problem(self) -> str:  # noqa: PLR0911  (a promise each)
        """How this breaks a promise; empty where it breaks none."""
        if self.code == EXIT_INTERNAL:
            return f"internal error: {_told(self.err)}"
        if self.code not in EXIT_CODES:
            return f"exit code {self.code}"
        if self.code == 1 and self.arguments[0] != "gate":
            return "exit code 1, which is a gate's regression"
        if "Traceback (most recent call last)" in self.out + self.err:
            return "a traceback"
        if self.code == 2 and not self.err.strip():
            return "exit code 2 without a word"
        for name, text in (("standard output", self.out), ("standard error", self.err)):
            if found := re.search(
                r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]|^\s*::|##\[", text, re.MULTILINE
            ):
                return f"control in {name}: {text[max(0, found.start() - 40) : found.end() + 40]!r}"
        return ""


def _told(message: str) -> str:
    """The message and the end of the traceback that it names."""
    found = re.search(r"traceback is in (\S+): please", message)
    kept = Path(found[1]) if found else None
    trace = kept.read_text(encoding="utf-8").splitlines() if kept is not None and kept.is_file() else []
    return "\n  ".join([message.strip()[:300], *[line.strip()[:160] for line in trace[-9:]]])


def run(folder: Path, *arguments: str) -> Answer:
    """Run `harness` in a folder; a command that does not end raises `Hang`."""
    environment = {"HARNESS_CACHE": str(folder / "cache"), "COLUMNS": "120"}
    with deadline(LONGEST_S):
        code, said, complained = here(folder, environment, *arguments)
    return Answer(arguments=arguments, code=code, out=said, err=complained)


@contextlib.contextmanager
def deadline(seconds: int) -> Iterator[None]:
    """Raise `Hang` in what takes longer, where the system has alarms."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def expired(number: int, frame: FrameType | None) -> None:
        raise Hang(f"no end after {seconds} s")

    before = signal.signal(signal.SIGALRM, expired)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
