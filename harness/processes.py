"""Child processes that end: within a deadline, within the machine's memory, and with all that they started.

A child leads a session of its own. It is ended with SIGKILL, which nothing can ignore, together with its descendants
and whatever is left in their sessions; only what leaves every one of these on purpose escapes. Memory is what the
family has written to (resident and not shared), looked at by the parent twice a second: a limit of the address space
(RLIMIT_AS) would count what torch, CUDA and onnxruntime reserve and never use. Should the machine run out all the same,
the kernel ends a child before its parent (`oom_score_adj`). Standard library only.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import UsageError

STEP_DEADLINE, MEMORY_LIMIT = "HARNESS_STEP_DEADLINE", "HARNESS_MEMORY_LIMIT"
"""Variables of the environment that set other limits, such as `4h` and `12GB`."""

STEP_DEADLINE_S = 3600.0
"""How long a child may say nothing: a step of a build, such as an export or a calibration, takes minutes at most."""

MEMORY_SHARE = 0.9
"""Of the machine's memory, or the container's, what a child with its family may take."""

LOOK_S = 0.5
TIMED_OUT, NOT_STARTED, KILLED = 124, 127, 137
"""Exit codes of a command that did not end, of one that could not be started, and of one that took too much memory."""

OOM_SCORE = 800
UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


class OutOfTime(Exception):
    """The time that `ending_at` set is over."""


_END: ContextVar[float | None] = ContextVar("_END", default=None)


@contextlib.contextmanager
def ending_at(end: float | None) -> Iterator[None]:
    """Whatever child starts or answers in here has to be done by then, or is ended, and `OutOfTime` raised.

    Args:
        end: as `time.monotonic` counts; None sets no end, whatever was set outside.
    """
    token = _END.set(end)
    try:
        yield
    finally:
        _END.reset(token)


def left_s() -> float:
    """Seconds until the end that `ending_at` set; infinity where it set none."""
    found = _END.get()
    return math.inf if found is None else found - time.monotonic()


def step_deadline_s() -> float:
    """How long a child may say nothing.

    Raises:
        UsageError: the environment says something else than a time.
    """
    text = os.environ.get(STEP_DEADLINE)
    if not text:
        return STEP_DEADLINE_S
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if not found or not float(found[1]):
        raise UsageError(f"{STEP_DEADLINE}={text}: expected a time, such as 90s, 30m or 4h")
    return float(found[1]) * SECONDS[found[2]]


def memory_limit_bytes() -> int:
    """What a child and its family may take of the memory.

    Raises:
        UsageError: the environment says something else than a size.
    """
    text = os.environ.get(MEMORY_LIMIT)
    if not text:
        return int(MEMORY_SHARE * machine_bytes())
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text.strip())
    if not found or found[2].upper() not in UNITS or not float(found[1]):
        raise UsageError(f"{MEMORY_LIMIT}={text}: expected a size, such as 900MB or 12GB")
    return int(float(found[1]) * UNITS[found[2].upper()])


def machine_bytes(root: Path = Path("/")) -> int:
    """The memory of the machine, or of the container where that is less; a very large number where nobody says."""
    sizes = [2**62]
    for name, pattern in (
        ("proc/meminfo", r"^MemTotal:\s+(\d+) kB"),
        ("sys/fs/cgroup/memory.max", r"^(\d+)()$"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", r"^(\d+)()$"),
    ):
        with contextlib.suppress(OSError):
            found = re.search(pattern, (root / name).read_text(encoding="ascii"), re.MULTILINE)
            if found:
                sizes.append(int(found[1]) * (1024 if name.endswith("meminfo") else 1))
    return min(size for size in sizes if size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a child may take.

    Attributes:
        silence_s: how long it may say nothing.
        memory_bytes: of itself and its family.
        end: when it has to be over, as `time.monotonic` counts; None for no such time.
    """

    silence_s: float = field(default_factory=step_deadline_s)
    memory_bytes: int = field(default_factory=memory_limit_bytes)
    end: float | None = field(default_factory=_END.get)


class Watch:
    """Looks after a running child from a thread of its own, and ends it where it passes a limit.

    Attributes:
        why: which limit it passed, in words that follow "the process"; empty where it passed none.
        late: whether it was ended because its time was over (`Limits.end`).
    """

    def __init__(self, process: subprocess.Popen[str], limits: Limits) -> None:
        self.why, self.late = "", False
        self._process, self._limits = process, limits
        self._heard = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def heard(self) -> None:
        """The child said something."""
        self._heard = time.monotonic()

    def stop(self) -> None:
        """Look no more; safe to call again."""
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        pause = min(LOOK_S, self._limits.silence_s / 4)
        while not self._over.wait(pause):
            if found := self._passed():
                self.why = found
                end(self._process)
                return

    def _passed(self) -> str:
        """The limit that is passed now; empty for none."""
        limits, now = self._limits, time.monotonic()
        if limits.end is not None and now >= limits.end:
            self.late = True
            return "was ended, because the time limit was over"
        if now - self._heard > limits.silence_s:
            return f"was ended after {limits.silence_s:g} s without a word ({STEP_DEADLINE} sets another limit)"
        return too_large(self._process.pid, limits.memory_bytes)


def too_large(pid: int, limit: int) -> str:
    """That a process and its family take more memory than they may, in words that follow its name; else empty."""
    used = memory_bytes(pid)
    if used <= limit:
        return ""
    return (
        f"was ended at {used / 1e9:.1f} GB of memory, above the limit of {limit / 1e9:.1f} GB "
        f"({MEMORY_LIMIT} sets another one)"
    )


def run(
    command: Sequence[str],
    *,
    deadline_s: float,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end, or end it and all that it started.

    Args:
        command: to run.
        deadline_s: after which it is ended; its exit code is then `TIMED_OUT`.
        stdin: what it reads.
        environment: its variables; this process's where none are given.
        folder: where it runs.

    Returns:
        Exit code, output and errors as bytes. What cannot be started has the exit code `NOT_STARTED`, what did not
        end `TIMED_OUT`, what took too much memory `KILLED`, and why in its errors.

    Raises:
        OutOfTime: the end that `ending_at` set came first.
    """
    try:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=None if environment is None else dict(environment),
            cwd=folder,
            start_new_session=os.name == "posix",
        )
    except (OSError, ValueError) as error:
        why = f"{command[0]}: {getattr(error, 'strerror', None) or error}"
        return _ended(command, NOT_STARTED, why)
    expendable(process.pid)
    over, given = time.monotonic() + deadline_s, stdin
    try:
        while True:
            left = min(over - time.monotonic(), left_s())
            try:
                out, err = process.communicate(given or None, timeout=max(min(left, LOOK_S), 0.0))
                break
            except subprocess.TimeoutExpired:
                given = b""  # what was begun goes on
            if left_s() <= 0:
                raise OutOfTime
            if time.monotonic() >= over:
                return _ended(command, TIMED_OUT, f"no end after {deadline_s:g} s")
            if why := too_large(process.pid, memory_limit_bytes()):
                return _ended(command, KILLED, f"{command[0]} {why}")
    finally:
        end(process)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
    return subprocess.CompletedProcess(list(command), process.returncode, out, err)


def _ended(command: Sequence[str], code: int, why: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.CompletedProcess(list(command), code, b"", why.encode())


def run_text(
    command: Sequence[str],
    *,
    deadline_s: float,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """`run` with text; bytes that are not UTF-8 are replaced."""
    done = run(command, deadline_s=deadline_s, stdin=stdin.encode(), environment=environment, folder=folder)
    out, err = (part.decode("utf-8", errors="replace") for part in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


def end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """End a child that leads its own session, and its family; safe to call again, and from another thread."""
    if process.returncode is None and process.poll() is None:
        for _ in range(3):  # what was started while we looked
            found = [pid for pid in family(process.pid) if pid != process.pid]
            for pid in (process.pid, *found):
                _kill(os.kill, pid)
            if not found:
                break
        process.kill()
        process.wait()
    if os.name == "posix" and not Path(f"/proc/{process.pid}").exists():
        _kill(os.killpg, process.pid)  # whatever it left in its session: no other group can have its number till then


def expendable(pid: int) -> None:
    """Let the kernel end a child before its parent where memory runs out."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(OOM_SCORE), encoding="ascii")


def family(pid: int) -> list[int]:
    """A process, its descendants, and what else is in their sessions; the process alone where there is no /proc."""
    facts = {found[0]: found[1:] for found in map(_stat, _pids()) if found is not None}
    members, sessions = {pid}, {pid}
    while True:
        more = {one for one, (parent, session) in facts.items() if parent in members or session in sessions} - members
        if not more:
            return sorted(members)
        members |= more
        sessions |= {facts[one][1] for one in more if facts[one][1] in members}


def memory_bytes(pid: int) -> int:
    """What a process and its family have written to: resident memory that is not shared; 0 where nobody says."""
    page = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
    total = 0
    for one in family(pid):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = Path(f"/proc/{one}/statm").read_text(encoding="ascii").split()
            total += (int(fields[1]) - int(fields[2])) * page
    return total


def _kill(how: Callable[[int, int], None], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        how(number, signal.SIGKILL if os.name == "posix" else signal.SIGTERM)


def _pids() -> list[int]:
    try:
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    except OSError:
        return []


def _stat(pid: int) -> tuple[int, int, int] | None:
    """A process with its parent and its session; None where it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        fields = text.rpartition(")")[2].split()  # the name before it may hold anything
        return pid, int(fields[1]), int(fields[3])
    except (OSError, ValueError, IndexError):
        return None
