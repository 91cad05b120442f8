"""Workers on other machines: over an ssh and an adb that run everything here, and over a real sshd on loopback."""

from __future__ import annotations

import dataclasses
import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
import pytest

from harness import runtime_spec
from harness.errors import UsageError, WorkerError, WorkerRefusal
from harness.measure import bursts, coordinator
from harness.measure.coordinator import Workload
from harness.measure.host import here
from harness.measure.pacing import Pace
from harness.records import Target
from harness.runtimes import android, ssh
from harness.runtimes.clients import WorkerStarter, client_factory
from harness.runtimes.device import transport
from tests.test_languages import program
from tests.test_languages_real import mixed, work

__all__ = ["mixed", "work"]

FAKE_SSH: Final = """
echo "$@" >> "$0.calls"
while [ "$1" != "--" ]; do shift; done
shift 2
[ -e "$0.gone" ] && { echo "Connection closed by remote host" >&2; exit 255; }
TMPDIR="$DEVICE" exec sh -c "$1"
"""
FAKE_ADB: Final = """
echo "$@" >> "$0.calls"
[ "$1" = devices ] && { printf 'List of devices attached\\n'; cat "$0.devices"; exit 0; }
shift 4
[ "$1" = "getprop ro.product.cpu.abi" ] && { echo x86_64; exit 0; }
exec sh -c "$(printf %s "$1" | sed "s|/data/local/tmp|$DEVICE|g")"
"""


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a device keeps temporary files in."""
    folder = tmp_path / "device"
    folder.mkdir()
    monkeypatch.setenv("DEVICE", str(folder))
    return folder


@pytest.fixture
def board(device: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ssh that runs everything here; the program, beside which its calls are written."""
    assert device.is_dir()
    script = program(tmp_path, "fake-ssh", FAKE_SSH)
    monkeypatch.setenv(transport.SSH, str(script))
    return script


def start_on(host: str, cache: Path) -> WorkerStarter:
    """What starts the worker on a host, in the Python of the tests."""
    return client_factory(Target(name="board", provider="CPUExecutionProvider", runtime=f"ssh:{host}"), cache)


def of(work: Workload, runtime: str) -> Workload:
    """The workload on another runtime, an example at a time."""
    return dataclasses.replace(
        work, target=dataclasses.replace(work.target, runtime=runtime, batch=1), dims={"batch": 1}
    )


def computes(start: WorkerStarter, work: Workload, folder: Path) -> None:
    """Its outputs are those of Python here, bit by bit, and arrive in this host's folder."""
    found = {}
    for name, client in (("own", WorkerStarter(command=client_factory(work.target, folder).command)), ("far", start)):
        (folder / name).mkdir()
        seen = coordinator.observe(of(work, "onnxruntime"), examples=2, folder=folder / name, client=client)
        found[name] = [
            (folder / name / file).read_bytes() for one in seen.outputs for file in one.files or [one.stacked]
        ]
    assert found["own"] == found["far"]


@pytest.mark.long
def test_a_board_computes_and_is_timed(board: Path, device: Path, work: Workload, tmp_path: Path) -> None:
    """Over ssh: the same outputs, times, the device's facts, absent memory; and nothing stays on it."""
    start = start_on(f"me@board:{sys.executable}", tmp_path / "cache")
    computes(start, work, tmp_path)
    timed = coordinator.time_process(
        of(work, "ssh:board"), Pace(budget_s=0.02, ci_width=0.0), client=start, reference=False
    )
    assert timed.samples.peak_rss_bytes is None
    assert min(timed.samples.samples_ns) > 0
    assert onnxruntime.__version__ == timed.runtime.version
    assert timed.host is not None
    assert here().facts["cpu"] == timed.host.facts["cpu"]
    assert os.cpu_count() == timed.host.facts["cores_logical"]
    assert [] == list(device.iterdir())
    calls = board.with_name(f"{board.name}.calls").read_text(encoding="utf-8")
    assert "-oBatchMode=yes" in calls
    assert all("-- me@board " in line for line in calls.splitlines() if line.startswith("-T"))


@pytest.mark.long
def test_a_device_that_disconnects_is_an_outcome(board: Path, work: Workload, tmp_path: Path) -> None:
    """In the middle: the next request says so, and names it; so does a host that is not there from the start."""
    start = start_on(f"board:{sys.executable}", tmp_path / "cache")
    with start() as worker:
        worker.ask("open", 60.0, **of(work, "ssh:board").request())
        board.with_name(f"{board.name}.gone").touch()
        with pytest.raises(WorkerRefusal, match=r"board is gone, or cannot be reached: Connection closed"):
            worker.ask("outputs", 60.0, **of(work, "ssh:board").all_examples(1, tmp_path))
    with pytest.raises(WorkerRefusal, match="board is gone, or cannot be reached"):
        start()


@pytest.mark.long
def test_a_full_device_is_said_to_be_full(board: Path, device: Path, tmp_path: Path) -> None:
    """What does not fit is named, and what was sent goes away."""
    program(
        board.parent,
        "fake-ssh",
        FAKE_SSH.replace(
            "TMPDIR=",
            'case "$1" in *"tar -x"*) echo "tar: write error: No space left on device" >&2; exit 1;; esac\nTMPDIR=',
        ),
    )
    with pytest.raises(WorkerRefusal, match="board is full: free some space"):
        start_on(f"board:{sys.executable}", tmp_path)()
    assert [] == list(device.iterdir())


@pytest.mark.parametrize(
    "host", ["-oProxyCommand=id", "me@-oProxyCommand=id", "a b", "$(id)", "a;id", "", ":/usr/bin/python3"]
)
def test_a_host_is_a_name(host: str, board: Path, tmp_path: Path) -> None:
    """Whatever would be an option, or more than one word, reaches no ssh."""
    with pytest.raises(UsageError, match=r"is not a name|say which machine"):
        ssh.find("", host, tmp_path, install=True, say=lambda _: None)
    assert not board.with_name(f"{board.name}.calls").exists()
    assert runtime_spec.problem_of_host("ssh", host)


def test_a_host_goes_with_a_device(tmp_path: Path) -> None:
    """`host:` beside another runtime is a mistake of the zoo; the name of one is not taken for a folder."""
    assert "goes with `runtime: ssh`" in runtime_spec.problem_of_host("node", "board")
    assert "" == runtime_spec.problem_of_host("ssh", "me@board.local")
    assert "ssh:me@board" == runtime_spec.anchored("ssh:me@board", tmp_path)


def test_a_device_needs_its_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No ssh, no adb: what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in (transport.SSH, transport.ADB, android.SERIAL):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="no `ssh`: install it"):
        ssh.find("", "board", tmp_path, install=True, say=lambda _: None)
    with pytest.raises(UsageError, match="no `adb`: install Android's platform tools"):
        android.find("", "", tmp_path, install=True, say=lambda _: None)


@pytest.fixture
def phone(device: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An adb that runs everything here, and one device."""
    assert device.is_dir()
    script = program(tmp_path, "fake-adb", FAKE_ADB)
    script.with_name("fake-adb.devices").write_text("emulator-5554\tdevice\n", encoding="utf-8")
    monkeypatch.setenv(transport.ADB, str(script))
    monkeypatch.delenv(android.SERIAL, raising=False)
    return script


@pytest.mark.parametrize(
    ("devices", "words"),
    [
        ("one\tdevice\ntwo\tdevice\n", r"sees 2 devices \(one, two\): say which one, `host: one`"),
        ("one\tunauthorized\n", r"no device that it may use \(one is unauthorized\)"),
        ("", "sees no device: attach one"),
    ],
)
def test_which_phone_is_a_question(devices: str, words: str, phone: Path, tmp_path: Path) -> None:
    """Several, none, or one that has not let adb in."""
    phone.with_name("fake-adb.devices").write_text(devices, encoding="utf-8")
    with pytest.raises(UsageError, match=words):
        android.find("", "", tmp_path, install=True, say=lambda _: None)


def test_what_a_phone_needs_is_named(phone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A serial number that is an option, the library, an NDK."""
    assert phone.is_file()
    for name in (android.VARIABLE, *android.NDK):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="serial number '-e' is not a name"):
        android.find("", "-e", tmp_path, install=True, say=lambda _: None)
    with pytest.raises(UsageError, match=r"name in HARNESS_ANDROID the \.aar"):
        android.find("", "", tmp_path, install=True, say=lambda _: None)
    (tmp_path / "release").mkdir()
    monkeypatch.setenv(android.VARIABLE, str(tmp_path / "release"))
    with pytest.raises(UsageError, match=r"has no libonnxruntime\.so for x86_64"):
        android.find("", "", tmp_path, install=True, say=lambda _: None)
    (tmp_path / "release" / "libonnxruntime.so").touch()
    with pytest.raises(
        UsageError, match="no compiler for x86_64: install Android's NDK and name its folder in ANDROID_NDK_HOME"
    ):
        android.find("", "", tmp_path, install=True, say=lambda _: None)


@pytest.mark.long
def test_a_phone_computes(
    phone: Path, device: Path, work: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker and the library are carried there, run, and taken away again."""
    folder = tmp_path / "release"
    folder.mkdir()
    worker = Path(ssh.FOLDER) / "worker.py"
    program(folder, "worker", f"exec '{sys.executable}' '{worker}'")
    (folder / "libonnxruntime.so").write_bytes(b"any")
    monkeypatch.setenv(android.VARIABLE, str(folder))
    start = client_factory(dataclasses.replace(work.target, runtime="android"), tmp_path / "cache")
    assert "onnxruntime-android" == start.package
    computes(start, work, tmp_path)
    assert [] == list(device.iterdir())
    assert "-s emulator-5554 shell -T" in phone.with_name("fake-adb.calls").read_text(encoding="utf-8")


@pytest.fixture
def sshd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A real sshd on loopback, with keys of its own; the name that reaches it."""
    server = shutil.which("sshd", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
    keygen = shutil.which("ssh-keygen")
    if server is None or keygen is None or shutil.which("ssh") is None:
        pytest.skip("there is no sshd, ssh or ssh-keygen here: apt install openssh-server")
    for name in ("host", "user"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    (tmp_path / "allowed").write_bytes((tmp_path / "user.pub").read_bytes())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lines = (
        f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {tmp_path / 'host'}", "UsePAM no", "StrictModes no",
        f"AuthorizedKeysFile {tmp_path / 'allowed'}", "PasswordAuthentication no", f"PidFile {tmp_path / 'pid'}",
        f"SetEnv HOME={tmp_path}",  # what a person's shell does as it starts would be done for every command
    )  # fmt: skip
    (tmp_path / "config").write_text("\n".join(lines) + "\n", encoding="utf-8")
    said = (tmp_path / "sshd.log").open("wb")
    child = subprocess.Popen([server, "-D", "-e", "-f", str(tmp_path / "config")], stderr=said)
    known = "-oStrictHostKeyChecking=no -oUserKnownHostsFile=/dev/null"
    # Its keys are agreed on some thirty times: in the way that takes the least time.
    command = f"ssh -F none -p {port} -i {tmp_path / 'user'} {known} -oKexAlgorithms=curve25519-sha256"
    monkeypatch.setenv(transport.SSH, command)
    try:
        name = f"{getpass.getuser()}@127.0.0.1"
        for _ in range(100):
            done = subprocess.run([*command.split(), "-oBatchMode=yes", name, "true"], capture_output=True, check=False)
            if done.returncode == 0 or child.poll() is not None:
                break
            time.sleep(0.1)
        if done.returncode:
            log = (tmp_path / "sshd.log").read_text(encoding="utf-8", errors="replace")
            pytest.skip(f"sshd does not let this user in: {log[-300:]}")
        yield name
    finally:
        child.terminate()
        child.wait(30)
        said.close()


@pytest.mark.long
def test_a_real_sshd_serves(sshd: str, work: Workload, tmp_path: Path) -> None:
    """Over loopback: outputs are Python's own, bit by bit."""
    start = start_on(f"{sshd}:{sys.executable}", tmp_path / "cache")
    computes(start, work, tmp_path)
    with start() as worker:
        opened = worker.ask("open", 60.0, **work.request())
        assert 3 == opened["examples"]
        durations, _ = bursts.burst(worker, 5, 60.0)
        assert 5 == len(durations)
    assert np.all(np.asarray(durations) > 0)


def test_a_worker_that_is_not_there_is_an_outcome(board: Path, tmp_path: Path) -> None:
    """A device without this Python: the worker's end is said, with what its shell wrote."""
    assert board.is_file()
    with pytest.raises((WorkerRefusal, WorkerError), match="the worker on board ended during `start`"):
        start_on("board:/usr/bin/no-python", tmp_path)()
