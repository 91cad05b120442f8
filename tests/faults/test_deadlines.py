"""Every child ends: at its deadline, at its memory limit, frozen or deaf, and with all that it started."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import jobs, processes
from harness.errors import UsageError, WorkerError
from harness.processes import Limits, OutOfTime, ending_at
from harness.runtimes.client import Client
from tests.waiting import wait_for

HELLO = '{"ok": true, "protocol": 2, "pid": 1, "runtime": {"name": "fake"}}'
STUBBORN = f"""\
trap '' TERM HUP INT
(trap '' TERM HUP INT; echo $$ > "$1/leader"; sh -c 'echo $$ > "$0/child"; exec sleep 600' "$1") &
echo '{HELLO}'
"""
"""A shell that no polite signal ends, with a child that holds its output open."""


def stubborn(folder: Path, then: str) -> tuple[str, ...]:
    """The command for it, and what it does afterwards."""
    return ("sh", "-c", STUBBORN + then, "sh", str(folder))


@contextlib.contextmanager
def leaves_nothing(folder: Path) -> Iterator[None]:
    """What was started there is gone afterwards; on a starved machine its end may come before its child's start."""
    yield
    with contextlib.suppress(FileNotFoundError):
        if text := (folder / "child").read_text(encoding="ascii"):
            wait_for(lambda: not alive(int(text)))


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has asked about since its death does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return False


@pytest.mark.parametrize("then", ["sleep 600", "exit 0"])
def test_a_command_ends_with_its_family(tmp_path: Path, then: str) -> None:
    """Whether it is late itself, or has left something behind that keeps its output open."""
    with leaves_nothing(tmp_path):
        done = processes.run(stubborn(tmp_path, then), deadline_s=0.5)
    assert (processes.TIMED_OUT, b"no end after 0.5 s") == (done.returncode, done.stderr)


def test_a_command_that_cannot_be_started(tmp_path: Path) -> None:
    """Says why, also where its name is impossible."""
    assert processes.NOT_STARTED == processes.run_text([str(tmp_path / "none")], deadline_s=5).returncode
    assert "null byte" in processes.run_text(["sh", "a\0b"], deadline_s=5).stderr


def test_input_that_nobody_reads(tmp_path: Path) -> None:
    """More than a pipe holds does not hold up whoever writes it."""
    job = {"text": "x" * 500_000}
    with leaves_nothing(tmp_path):
        limits = Limits(silence_s=3.0)  # long enough for a starved shell to say its first word
        with jobs.child(stubborn(tmp_path, "sleep 600"), job, environment=os.environ, limits=limits) as child:
            assert ["fake"] == [message["runtime"]["name"] for message in child.messages()]
            assert child.wait() < 0
    assert "was ended after 3 s without a word (HARNESS_STEP_DEADLINE sets another limit)" == child.watch.why


def test_a_child_that_takes_too_much_memory() -> None:
    """The family counts as one, and what it only reserves does not count."""
    code = (
        "import mmap, time; reserved = mmap.mmap(-1, 2**30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS); "
        "print('{}', flush=True); time.sleep(.3); print('{}', flush=True); taken = b'x' * 2**28; time.sleep(600)"
    )
    limits = Limits(silence_s=60.0, memory_bytes=2**27)
    with jobs.child(
        ("sh", "-c", f'{sys.executable} -c "$0" & wait', code), {}, environment=os.environ, limits=limits
    ) as child:
        assert 2 == len(list(child.messages()))
        child.wait()
    assert "GB of memory, above the limit of 0.1 GB (HARNESS_MEMORY_LIMIT sets another one)" in child.watch.why


def test_a_command_that_takes_too_much_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An installation, a compiler or git: ended with all that it started, and the errors say why."""
    monkeypatch.setenv(processes.MEMORY_LIMIT, "100MB")
    code = "import time; taken = b'x' * 2**28; time.sleep(600)"
    with leaves_nothing(tmp_path):
        done = processes.run_text(stubborn(tmp_path, f'{sys.executable} -c "{code}"'), deadline_s=600)
    assert processes.KILLED == done.returncode
    assert "GB of memory, above the limit of 0.1 GB (HARNESS_MEMORY_LIMIT sets another one)" in done.stderr


def test_a_slow_command_has_its_input_and_output_whole() -> None:
    """It is looked at meanwhile, which takes nothing from it."""
    code = "import sys, time; data = sys.stdin.read(); time.sleep(0.7); print(len(data)); print('x' * 300_000)"
    done = processes.run_text((sys.executable, "-c", code), stdin="y" * 300_000, deadline_s=60)
    assert (0, "300000\n" + "x" * 300_000 + "\n") == (done.returncode, done.stdout)


def test_a_line_without_an_end_comes_in_pieces() -> None:
    """What a child writes to stderr does not fill its parent's memory; what it says is read all the same."""
    code = "import sys; print('x' * 50_000, file=sys.stderr); print('x' * 50_000); print('{\"a\": 1}')"
    with jobs.child((sys.executable, "-c", code), {}, environment=os.environ) as child:
        assert [{"a": 1}] == list(child.messages())
        child.wait()
    assert all(len(line) <= jobs.MOST_SAID for line in child.stderr)


def test_the_time_limit_ends_whatever_runs(tmp_path: Path) -> None:
    """Commands, children and workers alike, whatever time they have of their own."""
    with ending_at(time.monotonic() + 0.3), leaves_nothing(tmp_path), pytest.raises(OutOfTime):
        processes.run(stubborn(tmp_path, "sleep 600"), deadline_s=600)
    with (
        ending_at(time.monotonic() + 0.3),
        pytest.raises(OutOfTime),
        jobs.child(("sleep", "600"), {}, environment=os.environ) as child,
    ):
        list(child.messages())
        child.wait()
    with leaves_nothing(tmp_path), Client(stubborn(tmp_path, "sleep 600")) as worker:
        wait_for((tmp_path / "child").exists)
        with ending_at(time.monotonic() + 0.3), pytest.raises(OutOfTime):
            worker.ask("open", 600)


def test_a_worker_whose_time_is_over_before_it_starts(tmp_path: Path) -> None:
    """Is ended all the same, with its files closed: whether its hello is there by then is a matter of luck."""
    with leaves_nothing(tmp_path), contextlib.ExitStack() as stack:
        stack.enter_context(ending_at(time.monotonic()))
        with pytest.raises(OutOfTime):
            stack.enter_context(Client(stubborn(tmp_path, "sleep 600"))).ask("open", 600)


@pytest.mark.parametrize("command", ["open", "burst", "outputs", "profile"])
def test_a_frozen_worker(tmp_path: Path, command: str) -> None:
    """It answers nothing, reads nothing and ignores signals; whatever it started goes with it."""
    with leaves_nothing(tmp_path), Client(stubborn(tmp_path, "kill -STOP $$")) as worker:
        words = rf"no answer to `{command}` within 0 s|the worker died during `{command}`"
        long = {} if command == "burst" else {"feeds": "x" * 500_000}
        with pytest.raises(WorkerError, match=words):
            worker.ask(command, 0.3, **long)


def test_a_worker_that_ends_leaves_nothing_behind(tmp_path: Path) -> None:
    """Also where it closes as it should."""
    with leaves_nothing(tmp_path), Client(stubborn(tmp_path, "read close")):
        wait_for(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text(encoding="ascii") != "")


def test_a_worker_that_takes_too_much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is ended while it opens; while it times nobody looks."""
    monkeypatch.setenv(processes.MEMORY_LIMIT, "100MB")
    code = f"print('{HELLO}', flush=True); input(); taken = b'x' * 2**28; input()"
    words = r"during `open` at 0\.\d GB of memory, above the limit of 0\.1 GB"
    with Client((sys.executable, "-c", code)) as worker, pytest.raises(WorkerError, match=words):
        worker.ask("open", 60)


def test_the_kernel_takes_a_child_first() -> None:
    """Where memory runs out between two looks, the coordinator survives and says so."""
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        processes.expendable(process.pid)
        assert (
            str(processes.OOM_SCORE) == Path(f"/proc/{process.pid}/oom_score_adj").read_text(encoding="ascii").strip()
        )
    finally:
        processes.end(process)
    processes.end(process)
    assert process.returncode is not None


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("1.5h", 5400), ("20", 20), ("2 m", 120)])
def test_deadlines_are_configurable(monkeypatch: pytest.MonkeyPatch, text: str, seconds: float) -> None:
    """By a variable of the environment, which a side's own process has as well."""
    monkeypatch.setenv(processes.STEP_DEADLINE, text)
    assert seconds == Limits().silence_s


@pytest.mark.parametrize(("text", "size"), [("900MB", 900e6), ("1.5GiB", 1.5 * 2**30), ("123", 123)])
def test_memory_limits_are_configurable(monkeypatch: pytest.MonkeyPatch, text: str, size: float) -> None:
    """Decimal and binary units, in any case."""
    monkeypatch.setenv(processes.MEMORY_LIMIT, text.lower())
    assert size == Limits().memory_bytes


@pytest.mark.parametrize("name", [processes.STEP_DEADLINE, processes.MEMORY_LIMIT])
@pytest.mark.parametrize("text", ["soon", "-1", "0", "1e9", "10 parsecs"])
def test_wrong_limits_are_usage_errors(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    """They name the variable and show what is expected."""
    monkeypatch.setenv(name, text)
    with pytest.raises(UsageError, match=f"{name}={text}: expected a (time|size), such as"):
        Limits()


def test_a_container_has_less_memory_than_its_machine(tmp_path: Path) -> None:
    """The smaller of the two counts; `max` sets none."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal:       16000 kB\n", encoding="ascii")
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("max\n", encoding="ascii")
    assert 16000 * 1024 == processes.machine_bytes(tmp_path)
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("1000\n", encoding="ascii")
    assert 1000 == processes.machine_bytes(tmp_path)
