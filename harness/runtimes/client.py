"""One worker process as the coordinator sees it: start, ask, wait within a deadline, reap."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness import processes
from harness.errors import WorkerError, WorkerRefusal
from harness.records import RuntimeInfo
from harness.runtimes import limits, protocol, protocol1

START_DEADLINE_S = 120.0
"""For importing the runtime. A cold disk and a GPU build of several hundred megabytes need a while."""

LAST_LINES = 6
"""How many lines of a dead worker's stderr travel with the outcome."""

LAST_BYTES = 8192
MOST_WRITTEN = 2**30
"""Bytes of stderr, a file in the temporary folder: a worker that writes more is ended before the disk is full."""

CLOSE_DEADLINE_S = 10.0

MOST_SAID = 300
"""Characters of a reason in a worker's hello."""

MOST_REPLY = 64 * 2**20
"""Bytes of a reply: the longest are the nodes of a large graph, and the durations of a burst."""

MOST_REASON = 20_000
"""Characters of the reason why a worker cannot do what it was asked."""

TIMED = ("burst", "load", "reference")
"""Requests during which the worker times."""

NOT_LOADED = re.compile(
    r"lib\w+\.so[\w.]*: cannot open shared object file"
    r"|CUDA driver version is insufficient for CUDA runtime version"
    r"|The NVIDIA driver on your system is too old[^.\n]*"
    r"|CUDA (?:failure|error) \d+: [^;\n]*|Please install [^.\n]*",
    re.IGNORECASE,
)
"""The part of onnxruntime's and torch's messages that names what is missing, without times and source lines."""

GONE = (
    "the program that it runs in is gone: a sweep that goes on makes those of the cache again; "
    "one of your own has to come back"
)

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def default_command() -> tuple[str, ...]:
    """The worker for the onnxruntime that is installed beside harness."""
    return (sys.executable, str(Path(__file__).parent / "onnxruntime" / "worker.py"))


class Client:
    """A live worker; use it as a context manager, so that no process outlives its case.

    Attributes:
        started_ns: when it was started, by `time.perf_counter_ns`.
        hello: the worker's first message: `pid` and `runtime` {name, version, build, language, providers}.
        runtime: the same, with the package and digest that its starter knows.
        lacks: command, or `placement`, that it has no answer to -> why.
    """

    def __init__(
        self,
        command: Sequence[str] | None = None,
        *,
        package: str = "",
        digest: str = "",
        within: Mapping[str, int] | None = None,
    ) -> None:
        """Start the worker and wait for its hello.

        Args:
            command: starts a worker; the one for the onnxruntime beside harness where it is not given.
            package: the distribution that the runtime came from, which no worker can tell.
            digest: tells builds of one version apart, see `RuntimeInfo`.
            within: the target's limits, see `harness.records.Target`.

        Raises:
            WorkerRefusal: it cannot be held to its limits here.
            WorkerError: if it does not start, or speaks another protocol.
        """
        self._adapter: protocol1.Adapter | None = None
        self._held = limits.Held(within) if within else None
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the worker)
        self._replies: queue.SimpleQueue[dict[str, Any] | Exception | None] = queue.SimpleQueue()
        self.started_ns = time.perf_counter_ns()
        try:
            self._process = subprocess.Popen(
                list(command or default_command()),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                start_new_session=os.name == "posix",  # Ctrl-C is for the coordinator, which then ends its workers
                preexec_fn=self._held.enter if self._held else None,  # noqa: PLW1509  (system calls alone, no locks)
            )
        except (OSError, subprocess.SubprocessError) as error:
            self._stderr.close()
            self._release()
            program = (command or default_command())[0]
            gone = "" if Path(program).exists() or shutil.which(program) else f"; {GONE}"
            raise WorkerError(f"the worker could not be started: {error}{gone}") from error
        processes.expendable(self._process.pid)
        self._ended = False
        # A blocked read with a deadline, on every platform: the thread sleeps in the kernel while a worker times.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.hello = self._receive("start", START_DEADLINE_S)
            version = self.hello.get("protocol")
            if version == 1:
                self._adapter = protocol1.Adapter()
            elif version != protocol.PROTOCOL:
                raise WorkerError(f"the worker speaks protocol {version}, harness speaks {protocol.PROTOCOL} and 1")
            self.runtime = introduced(self.hello, package, digest)
            self.lacks = lacking(self.hello)
        except BaseException:
            self.kill()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.kill()

    @property
    def pid(self) -> int:
        """Process id of the worker."""
        return self._process.pid

    def ask(self, command: str, deadline_s: float, **arguments: Any) -> dict[str, Any]:
        """Send one request and wait for its reply.

        Raises:
            WorkerRefusal: if the worker answers that it cannot.
            WorkerError: if it died, missed the deadline (it is then killed) or answered nonsense.
        """
        sent = arguments if self._adapter is None else self._adapter.request(command, arguments)
        self._send({"cmd": command, **sent}, deadline_s)
        reply = self._receive(command, deadline_s)
        if self._held is not None and command == "open":
            self._held.check(self.pid)
        return reply if self._adapter is None else self._adapter.reply(command, reply, arguments)

    def peak_rss_bytes(self) -> int | None:
        """The worker's peak resident memory so far, as the kernel accounts it; None where it does not."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii", errors="replace")
        except OSError:
            return None
        found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
        return int(found[1]) * 1024 if found else None

    def close(self) -> None:
        """Ask the worker to leave, and make sure that it does."""
        self._send({"cmd": "close"}, CLOSE_DEADLINE_S)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(CLOSE_DEADLINE_S)
        self.kill()

    def kill(self) -> None:
        """End the worker at once and free everything; safe to call again."""
        if not self._ended:
            self._ended = True
            processes.end(self._process)
        self._release()
        self._reader.join(CLOSE_DEADLINE_S)
        if self._adapter is not None:
            self._adapter.close()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _release(self) -> None:
        if self._held is not None:
            self._held.release()

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101
        try:
            while (message := protocol.receive(self._process.stdout, MOST_REPLY)) is not None:
                self._replies.put(message)
            self._replies.put(None)
        except (ValueError, OSError) as error:
            self._replies.put(error)

    def _receive(self, command: str, deadline_s: float) -> dict[str, Any]:
        reply = self._await(command, deadline_s)
        failed = not isinstance(reply, dict) or not reply.get("ok", command == "start")
        if failed and self._held is not None and (why := self._held.why_ended()):
            raise WorkerRefusal(limits.OUT_OF_MEMORY, f"{why} (during `{command}`)")
        if reply is None:
            raise WorkerError(f"the worker died during `{command}` ({self._exit_reason()}){self._last_stderr()}")
        if isinstance(reply, Exception):
            processes.end(self._process)  # until it is gone, its stderr may not be whole
            raise WorkerError(f"the worker's answer to `{command}` is not the protocol: {reply}{self._last_stderr()}")
        if not reply.get("ok"):
            kind, message = (
                str(reply.get("kind", "runtime")),
                str(reply.get("message", "no reason given"))[:MOST_REASON],
            )
            # Why a provider's library did not load is written to stderr alone.
            raise WorkerRefusal(kind, message + (self._why_not_loaded() if kind == "provider" else ""))
        return reply

    def _await(self, command: str, deadline_s: float) -> dict[str, Any] | Exception | None:
        """The next reply. Memory is looked at meanwhile, except while the worker times: then nobody polls."""
        over = time.monotonic() + deadline_s
        while True:
            left = min(over - time.monotonic(), processes.left_s())
            try:
                return self._replies.get(timeout=max(left if command in TIMED else min(left, processes.LOOK_S), 0.0))
            except queue.Empty:
                pass
            if processes.left_s() <= 0:
                processes.end(self._process)
                raise processes.OutOfTime
            if time.monotonic() >= over:
                processes.end(self._process)
                doing = ", which reads, optimizes and compiles the model," if command == "open" else ""
                raise WorkerError(f"no answer to `{command}`{doing} within {deadline_s:.0f} s; the worker was ended")
            if why := processes.too_large(self.pid, processes.memory_limit_bytes()):
                processes.end(self._process)
                raise WorkerError(f"the worker {why.replace('was ended', f'was ended during `{command}`', 1)}")
            if os.fstat(self._stderr.fileno()).st_size > MOST_WRITTEN:
                processes.end(self._process)
                raise WorkerError(f"the worker was ended during `{command}`: it wrote {MOST_WRITTEN:,} bytes to stderr")

    def _send(self, message: dict[str, Any], deadline_s: float) -> None:
        """Send a request; a long one from a thread, since a worker that is frozen does not read it."""
        assert self._process.stdin is not None  # noqa: S101  (a pipe was asked for)
        stream = self._process.stdin

        def send() -> None:
            with contextlib.suppress(OSError, ValueError):  # a dead worker is noticed with its reply: why it died
                protocol.send(stream, message)

        if message["cmd"] in TIMED:
            send()
            return
        sending = threading.Thread(target=send, daemon=True)
        sending.start()
        sending.join(deadline_s)
        if sending.is_alive():
            processes.end(self._process)

    def _exit_reason(self) -> str:
        """How the dead worker ended, in words."""
        try:
            code = self._process.wait(CLOSE_DEADLINE_S)
        except subprocess.TimeoutExpired:
            return "it closed its output but still runs"
        if code == -9:  # noqa: PLR2004  (SIGKILL, which Windows does not name)
            return "killed by SIGKILL, as the kernel does when memory runs out"
        return f"killed by signal {-code}" if code < 0 else f"exit code {code}"

    def _why_not_loaded(self) -> str:
        """What onnxruntime said of a provider's library, ready to follow a sentence."""
        found = NOT_LOADED.search(self._written())
        return f": {' '.join(found[0].split())}" if found else ""

    def _last_stderr(self) -> str:
        """The last lines of the worker's stderr, ready to follow a sentence."""
        lines = self._written().strip().splitlines()[-LAST_LINES:]
        return "; its last stderr lines: " + " | ".join(lines) if lines else ""

    def _written(self) -> str:
        """The end of what the worker wrote to stderr, colours removed."""
        end = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(end - LAST_BYTES, 0))  # the rest may be gigabytes
        return COLOUR.sub("", self._stderr.read(LAST_BYTES).decode(errors="replace"))


def lacking(hello: Mapping[str, Any]) -> Mapping[str, str]:
    """What a worker's hello says that it cannot; a worker that says nothing can all that the protocol has."""
    said = hello.get("lacks")
    return {str(name): str(why)[:MOST_SAID] for name, why in said.items()} if isinstance(said, Mapping) else {}


def introduced(hello: Mapping[str, Any], package: str = "", digest: str = "") -> RuntimeInfo:
    """The runtime that a worker's hello names.

    Raises:
        WorkerError: if it names none.
    """
    said = hello.get("runtime")
    if not isinstance(said, Mapping) or not said.get("name"):
        raise WorkerError(f"the worker's hello names no runtime: {str(dict(hello))[:80]}")
    return RuntimeInfo(
        name=str(said["name"]),
        version=str(said.get("version") or ""),
        build=str(said.get("build") or ""),
        language=str(said.get("language") or "python"),
        providers=tuple(map(str, said.get("providers") or ())),
        package=package,
        digest=digest,
    )
