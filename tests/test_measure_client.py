"""harness.runtimes.client: workers that die, hang or lie, each told apart."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from harness.errors import WorkerError, WorkerRefusal
from harness.runtimes import client, protocol
from harness.runtimes.client import Client
from tests.workers import worker


def test_a_worker_that_is_killed_is_told_from_one_that_exits(tmp_path: Path) -> None:
    """SIGKILL is what the kernel's out-of-memory killer sends; the message says so."""
    start = worker(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(WorkerError, match=r"died during `burst`.*SIGKILL.*memory"), start() as client:
        client.ask("burst", 10, n=1)


def test_last_stderr_lines_travel_with_the_error(tmp_path: Path) -> None:
    """What a dying worker wrote to stderr is in the message, the end of it."""
    start = worker(tmp_path, "for i in range(100): print('line', i, file=sys.stderr)\nsys.exit(3)")
    with pytest.raises(WorkerError, match=r"exit code 3.*line 94 .*line 99$") as caught, start() as client:
        client.ask("burst", 10, n=1)
    assert "line 93" not in str(caught.value)


def test_a_worker_that_never_answers_is_ended_at_its_deadline(tmp_path: Path) -> None:
    """The deadline holds, and nobody is left behind."""
    start = worker(tmp_path, "time.sleep(600)")
    with pytest.raises(WorkerError, match="no answer to `burst` within 1 s"), start() as client:
        pid = client.pid
        client.ask("burst", 1, n=1)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_an_answer_that_is_not_the_protocol_is_refused(tmp_path: Path) -> None:
    """Text instead of JSON."""
    start = worker(tmp_path, "print('Segmentation something', flush=True)")
    with pytest.raises(WorkerError, match=r"not the protocol"), start() as client:
        client.ask("burst", 10, n=1)


def test_another_protocol_version_is_refused(tmp_path: Path) -> None:
    """A worker from another harness must not be misunderstood."""
    hello = "import json, sys\nprint(json.dumps({'ok': True, 'protocol': 999}), flush=True)\nfor line in sys.stdin:\n"
    with pytest.raises(WorkerError, match="speaks protocol 999"):
        worker(tmp_path, "pass", hello=hello)()


def test_a_command_that_does_not_exist() -> None:
    """An interpreter that is gone gives a sentence, not a traceback."""
    with pytest.raises(WorkerError, match="could not be started"):
        Client(["/nonexistent/python"])


def test_a_refusal_keeps_its_kind(tmp_path: Path) -> None:
    """The worker is well and says no."""
    start = worker(tmp_path, "send({'ok': False, 'kind': 'memory', 'message': 'too big'})")
    with pytest.raises(WorkerRefusal, match="too big") as caught, start() as client:
        client.ask("burst", 10, n=1)
    assert "memory" == caught.value.kind


def test_prints_of_a_library_do_not_break_the_protocol() -> None:
    """The real worker moves stdout away before anything else can print to it."""
    with Client() as client:
        assert "onnxruntime" == client.hello["runtime"]["name"]
        with pytest.raises(WorkerRefusal):
            client.ask("open", 60, artifact={"path": "/nonexistent.onnx"}, options={"provider": "NoSuchProvider"})


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_waiting_does_not_poll(tmp_path: Path) -> None:
    """While a worker times, the coordinator sleeps in the kernel: two seconds of waiting cost next to no CPU."""
    start = worker(tmp_path, "time.sleep(2); send({'ok': True})")
    with start() as client:
        before = time.process_time()
        client.ask("burst", 10, n=1)
        assert time.process_time() - before < 0.05


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_peak_memory_is_read_from_outside(tmp_path: Path) -> None:
    """A worker that touched 64 MB has a peak of at least that, also after it gave the memory back."""
    start = worker(tmp_path, "block = bytearray(b'x') * (64 << 20); del block; send({'ok': True})")
    with start() as client:
        small = client.peak_rss_bytes()
        client.ask("burst", 10, n=1)
        large = client.peak_rss_bytes()
    assert small is not None
    assert large is not None
    assert large - small > 60 << 20


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_reaches_the_coordinator_alone(tmp_path: Path) -> None:
    """A worker is not in the terminal's foreground group, and is gone when the coordinator leaves."""
    start = worker(tmp_path, "time.sleep(600)")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it
    pids = []
    with pytest.raises(KeyboardInterrupt), start() as client:
        pids.append(client.pid)
        assert os.getpgid(client.pid) != os.getpgid(0)
        threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        client.ask("burst", 60, n=1)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_a_reply_without_an_end_is_not_read() -> None:
    """Its first bytes are enough to say so; one that just fits is a reply."""
    with pytest.raises(ValueError, match="a line of more than 1,000 bytes: b'xxx"):
        protocol.receive(io.BytesIO(b"x" * 5_000), 1_000)
    assert {"a": 1} == protocol.receive(io.BytesIO(b'{"a": 1}\n' + b"x" * 5_000), 9)
    assert {"a": "x" * 5_000} == protocol.receive(io.BytesIO(b'{"a": "' + b"x" * 5_000 + b'"}\n'))


def test_what_a_worker_says_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reason of megabytes, and a flood of stderr, which would fill the disk (a gigabyte of it, outside of tests)."""
    long = "send({'ok': False, 'kind': 'runtime', 'message': 'x' * 40_000})"
    with worker(tmp_path, long)() as found, pytest.raises(WorkerError) as error:
        found.ask("burst", 20)
    assert client.MOST_REASON == len(str(error.value))
    monkeypatch.setattr(client, "MOST_WRITTEN", 1000)
    flood = "sys.stderr.write('y' * 9_000); sys.stderr.flush(); time.sleep(600)"
    with worker(tmp_path, flood)() as found, pytest.raises(WorkerError, match="1,000 bytes to stderr"):
        found.ask("profile", 20)
