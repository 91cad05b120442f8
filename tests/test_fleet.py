"""harness.fleet: a sweep on workers of Dask that are processes of their own, and what happens to them."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import importlib.util
import io
import json
import os
import pickle
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest

import harness
from harness.build.cache import Cache
from harness.cli import options
from harness.errors import StoreError, UsageError
from harness.fleet import clocks, engine, local, member, transfer
from harness.fleet.flights import PATIENCE
from harness.fleet.model import FleetHost, SentJob
from harness.flow.progress import ProcessOutcome
from harness.measure import host_lock
from harness.records import HostInfo
from harness.store import places, samples
from harness.store.journal import Journal
from harness.store.mirror import Mirror
from harness.zoo import FleetSpec, HostWish
from tests import outcomes
from tests.conftest import Project
from tests.faults import writers
from tests.waiting import alive, children, hold, wait_for, workers

pytest.importorskip("distributed", reason="the extra `fleet` is not installed")


EXAMPLE = Path(__file__).parent.parent / "docs" / "fleet.md"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A scheduler with two workers on this machine, by the docs' first command; the workers' cache is their own."""
    (up, _), port = commands_of(EXAMPLE), str(free_port())
    assert ["harness", "fleet", "up", "--local", "2"] == up
    started = Project(tmp_path_factory.mktemp("fleet")).start(*up[1:], "--port", port)
    try:
        assert started.stdout is not None
        assert f"2 workers at tcp://127.0.0.1:{port}" in started.stdout.readline()
        yield f"tcp://127.0.0.1:{port}"
    finally:
        started.send_signal(signal.SIGINT)
        _, err = started.communicate(timeout=300)
    assert 130 == started.returncode, err


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def rows_of(project: Project) -> list[dict[str, object]]:
    """What is stored, one row for each case."""
    found: list[dict[str, object]] = json.loads(project.run("results", "--json"))
    return found


def test_a_page_that_dask_does_not_show_is_not_named(address: str) -> None:
    """Its web server is there without bokeh as well, and answers 404."""
    with engine.Fleet(FleetSpec(scheduler=address)) as fleet:
        assert (importlib.util.find_spec("bokeh") is not None) == bool(fleet.dashboard)
    pages = type("Pages", (), {"__module__": "distributed.dashboard.core"})
    for applications, shows in (([], False), ([object()], False), ([object(), pages()], True)):
        scheduler = SimpleNamespace(http_application=SimpleNamespace(applications=applications))
        with mock.patch("distributed.Scheduler._instances", [scheduler]):
            assert shows == engine.asked(engine.SCHEDULER)()["shows"]


def test_a_worker_is_asked_in_words_that_every_python_reads() -> None:
    """One of another minor version would run the bytecode of this one; it is refused, and so is one without harness."""
    said = engine.asked(engine.INTRODUCTION)()
    assert (engine.code_digest(), harness.__version__) == (said["code"], said["version"])
    assert engine.asked.__module__ not in str(pickle.dumps(engine.asked(engine.INTRODUCTION)))
    fleet = engine.Fleet.__new__(engine.Fleet)
    fleet._own = (harness.__version__, engine.code_digest())
    assert "" == fleet._refusal(said)
    assert "runs Python 3.99, and this is 3." in fleet._refusal({**said, "python": "3.99"})
    assert "has no harness" in fleet._refusal({"python": "3.99"})
    with mock.patch.dict(vars(harness), {"_code_when_asked": "of before"}):
        assert "start it again" in fleet._refusal(engine.asked(engine.INTRODUCTION)())
    assert "does not answer" == fleet._refusal(None)


def test_a_scheduler_with_another_harness_is_refused() -> None:
    """It unpacks every task: a field that it does not know would be lost, and the ones behind it would be others."""
    fleet, said = engine.Fleet.__new__(engine.Fleet), engine.asked(engine.INTRODUCTION)()
    fleet.address, fleet._own = "tcp://lab:1", (harness.__version__, engine.code_digest())
    for changes, why in (
        ({"code": "0" * 12}, "tcp://lab:1 runs harness"),
        ({"stale": True}, "start it again"),
        ({"version": None}, "has no harness"),
        ({"python": "3.99"}, ""),
    ):
        answer = {key: value for key, value in {**said, **changes}.items() if value is not None}
        fleet.client = SimpleNamespace(run_on_scheduler=lambda _, found=answer: found)
        with pytest.raises(UsageError, match=why) if why else contextlib.nullcontext():
            fleet.check_scheduler()
    fleet.client = SimpleNamespace()  # of a Dask that cannot be asked
    fleet.check_scheduler()


def test_another_dask_of_the_scheduler_is_said() -> None:
    """In a sentence, where Dask prints a table of packages as a warning."""
    fleet = engine.Fleet.__new__(engine.Fleet)
    for version, said in (
        ("2020.1.0", "tcp://lab:1 has Dask 2020.1.0, and this host "),
        (engine.dask().__version__, ""),
    ):
        answer = {"dask": version, "shows": False}
        fleet.address, fleet.client = "tcp://lab:1", SimpleNamespace(run_on_scheduler=lambda _, found=answer: found)
        assert bool(said) == bool(fleet.odd_dask)
        assert fleet.odd_dask.startswith(said)


@pytest.mark.long
def test_hosts_are_listed(tmp_path: Path, project: Project, address: str) -> None:
    """With what a person chooses by, or why they are refused; a target that wants hosts which are not there says so."""
    (tmp_path / "other" / "harness").mkdir(parents=True)
    (tmp_path / "other" / "harness" / "__init__.py").write_text('__version__ = "99.9"\n', encoding="utf-8")
    path = os.pathsep.join([str(tmp_path / "other"), os.environ.get("PYTHONPATH", "")])
    command, variables = local.worker_command(FleetSpec(scheduler=address)), local.worker_environment()
    zoo = project.root / "model_zoo.yaml"
    wish = "cpu: {provider: cpu, hosts: {arch: s390x}}"
    zoo.write_text(zoo.read_text(encoding="utf-8").replace("cpu: {provider: cpu}", wish), encoding="utf-8")
    other = subprocess.Popen(command, env={**variables, "PYTHONPATH": path}, cwd=tmp_path)
    try:
        with engine.Fleet(FleetSpec(scheduler=address)) as fleet:
            fleet.client.wait_for_workers(3, timeout=300)
        listed = json.loads(project.run("fleet", "hosts", "--scheduler", address, "--json"))
        said = project.run("sweep", "--variants", "fp32", "--scheduler", address, code=4)
    finally:
        other.kill()
        other.wait()
    refused, *others = sorted(listed, key=lambda one: one["refused"] == "")
    assert 2 == len(others)
    for found in others:
        assert "CPUExecutionProvider" in found["providers"]
        assert found["class"] == found["host"]["fingerprint"]
        assert ("", 1) == (found["refused"], found["slots"])
        assert abs(found["clock_s"]) < 60
    assert refused["refused"].startswith("runs harness 99.9 (code ")
    assert f"(code {engine.code_digest()}): install the same there" in refused["refused"]
    assert f"{refused['address']} runs harness 99.9" in " ".join(said.split())
    (row,) = rows_of(project)
    assert "no host of the fleet suits the target cpu" in str(row["reason"])


def test_nobody_at_the_address_is_told(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """With how to start somebody; and an address that is none, before anything is tried."""
    monkeypatch.setenv(PATIENCE, "0.2s")
    said = project.error("sweep", "--scheduler", f"tcp://127.0.0.1:{free_port()}")
    assert "no scheduler of Dask answers there" in said
    assert "harness fleet up --local 2" in said
    assert "expected an address such as tcp://lab:8786" in project.error("sweep", "--scheduler", "lab:8786")
    assert "TLS needs --tls-ca" in project.error("sweep", "--scheduler", "tls://lab:8786")
    for odd in ("tcp://lab", "tcp://", "tcp://lab:99999", "tcp://lab:port", "http://lab:8786", "tcp://lab:8786/x"):
        assert f"--scheduler {odd}: expected an address such as tcp://lab" in project.error("sweep", "--scheduler", odd)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # no Dask: the client would wait for its first word
        said = project.error("fleet", "hosts", "--scheduler", f"tcp://127.0.0.1:{silent.getsockname()[1]}")
    assert "no scheduler of Dask answers there" in said
    assert "--hosts each goes with a fleet" in project.error("sweep", "--hosts", "each")
    assert "name the scheduler" in project.error("fleet", "hosts")


def certificates(folder: Path, authority: str) -> FleetSpec:
    """A certificate of an authority of its own, made by openssl."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    ca, ca_key, cert, own = (str(folder / f"{authority}-{name}") for name in ("ca.pem", "ca.key", "me.pem", "me.key"))
    for command in (
        [*new, "-x509", "-subj", f"/CN={authority}", "-keyout", ca_key, "-out", ca, "-days", "2"],
        [*new, "-subj", "/CN=me", "-keyout", own, "-out", f"{cert}.csr"],
        [
            "x509",
            "-req",
            "-in",
            f"{cert}.csr",
            "-CA",
            ca,
            "-CAkey",
            ca_key,
            "-set_serial",
            "1",
            "-days",
            "2",
            "-out",
            cert,
        ],
    ):
        subprocess.run([openssl, *command], check=True, capture_output=True)
    return FleetSpec(tls_ca=ca, tls_cert=cert, tls_key=own)


def listeners(pid: int) -> set[str]:
    """The addresses that a process and its children listen at, without their ports."""
    inodes = set()
    for one in (pid, *children(pid)):
        for entry in Path(f"/proc/{one}/fd").iterdir():
            with contextlib.suppress(OSError):
                inodes.add(str(entry.readlink()).removeprefix("socket:[").removesuffix("]"))
    found = set()
    for family in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{family}").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.add(fields[1].partition(":")[0])
    return found


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="who listens is read from /proc")
def test_certificates_are_asked_for(tmp_path: Path, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scheduler, worker and client encrypt; without a certificate of that authority nobody is let in, nor from afar."""
    monkeypatch.setenv(PATIENCE, "5s")
    ours, others = certificates(tmp_path, "ours"), certificates(tmp_path, "others")
    for wrong in ({"tls_key": others.tls_key}, {"tls_ca": ours.tls_key}):
        with pytest.raises(UsageError, match="are not a CA's certificate, a certificate and its key"):
            engine.security(dataclasses.replace(ours, **wrong))
    before = set(children(os.getpid()))
    with local.cluster(1, port=free_port(), cache=tmp_path / "cache", tls=ours) as address:
        assert address.startswith("tls://127.0.0.1:")
        plain = address.replace("tls://", "tcp://")
        for spec in (dataclasses.replace(others, scheduler=address), FleetSpec(scheduler=plain)):
            with pytest.raises(UsageError, match="certificate of one authority"):
                engine.Fleet(spec)
        flags = ("--tls-ca", others.tls_ca, "--tls-cert", others.tls_cert, "--tls-key", others.tls_key)
        assert "certificate of one authority" in project.error("fleet", "worker", address, *flags)
        monkeypatch.delenv(PATIENCE)
        with engine.Fleet(dataclasses.replace(ours, scheduler=address)) as fleet:
            fleet.client.wait_for_workers(1, timeout=120)
            (worker,) = fleet.hosts()
        assert ("", True) == (worker.refused, worker.address.startswith("tls://127.0.0.1:"))
        started = set(children(os.getpid())) - before
        assert 2 == len(started)
        assert {"0100007F"} == set().union(*map(listeners, started))


@pytest.mark.parametrize(("own", "count"), [(2, 2), (5, 2), (8, 3), (1, 2)])
def test_workers_of_one_machine_are_of_one_class(own: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may use as many cores as the others: a share of its own, or all of them where they are too few."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(own)), raising=False)
    shares = local.cores(count)
    assert 1 == len({len(share) for share in shares})
    assert min(own, max(own // count, 1)) == len(shares[0])
    assert own < count or len(set().union(*shares)) == sum(map(len, shares))


def test_who_listens_where(project: Project) -> None:
    """On loopback, unless somebody says otherwise; a certificate that is not there is named before anything starts."""
    for scheduler, listen, host in (
        ("tcp://127.0.0.1:8786", "", ["--host", "127.0.0.1"]),
        ("tcp://localhost:8786", "", ["--host", "127.0.0.1"]),
        ("tcp://[::1]:8786", "", ["--host", "127.0.0.1"]),
        ("tcp://lab:8786", "192.168.0.7", ["--host", "192.168.0.7"]),
    ):
        command = local.worker_command(FleetSpec(scheduler=scheduler), listen=listen)
        at = command.index("--host")
        assert host == command[at : at + 2]
    assert "--host" not in local.worker_command(FleetSpec(scheduler="tcp://lab:8786"))
    files = ("--tls-ca", "no.pem", "--tls-cert", "no.pem", "--tls-key", "no.key")
    assert "no.pem: there is no such file" in project.error("fleet", "up", *files)
    assert "no.pem: there is no such file" in project.error("fleet", "worker", "tls://127.0.0.1:1", *files)
    assert "belongs to `harness fleet worker`" in project.error("fleet", "up", "--builds")
    assert "harness=1 build=1" in local.worker_command(FleetSpec(scheduler="tcp://lab:8786"), builds=True)
    assert "go together" in project.error("fleet", "up", "--tls-ca", "no.pem")
    assert "is an address of this machine" in project.error("fleet", "up", "--listen", "tcp://lab:1")
    assert "goes with" in project.error("fleet", "hosts", "--scheduler", "tcp://lab:1", "--listen", "lab")


def test_the_zoo_names_a_fleet(project: Project) -> None:
    """Its certificates are taken from the zoo's folder, and what the command line names wins."""
    zoo = project.root / "model_zoo.yaml"
    text = zoo.read_text(encoding="utf-8")
    fleet = "fleet: {scheduler: 'tls://lab:1', tls_ca: ca.pem, tls_cert: c.pem, tls_key: k.pem}\n"
    zoo.write_text(text + fleet, encoding="utf-8")
    spec = options.fleet_spec(zoo, None, (None, None, None))
    assert ("tls://lab:1", str(project.root / "ca.pem")) == (spec.scheduler, spec.tls_ca)
    assert "tcp://here:2" == options.fleet_spec(zoo, "tcp://here:2", (None, None, None)).scheduler
    assert "" == options.fleet_spec(zoo, "tcp://here:2", (None, None, None)).tls_ca
    assert "ca.pem" == Path(options.fleet_spec(zoo, "tls://here:2", (None, None, None)).tls_ca).name
    with pytest.raises(UsageError, match="name it as tls://here:2"):
        options.fleet_spec(zoo, "tcp://here:2", (Path("ca.pem"), Path("c.pem"), Path("k.pem")))
    zoo.write_text(text + "fleet: {scheduler: 'tls://lab:1', tls_ca: ca.pem}\n", encoding="utf-8")
    assert "lacks tls_cert, tls_key" in project.error("list")


def test_what_travels_is_checked_on_arrival(built: Path, tmp_path: Path) -> None:
    """A whole entry arrives as it was; one that lost its end, or a bit of the weights, or that is another, does not."""
    source, target = Cache(built), Cache(tmp_path / "cache")
    digest, other = sorted(path.name for path in (built / "artifacts").iterdir())[:2]
    data = transfer.packed(source, ("artifacts", digest))
    transfer.unpack(target, ("artifacts", digest), io.BytesIO(data))
    assert source.artifact_path(digest).read_bytes() == target.artifact_path(digest).read_bytes()
    fresh = Cache(tmp_path / "fresh")
    weights = source.artifact_path(digest).read_bytes()
    at = data.index(weights) + len(weights) // 2
    for wrong, name in (
        (data[: len(data) // 2], digest),
        (data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], digest),
        (data, other),
    ):
        with pytest.raises(StoreError, match="arrived damaged"):
            transfer.unpack(fresh, ("artifacts", name), io.BytesIO(wrong))
    assert not list((tmp_path / "fresh").rglob("model.onnx"))


def test_a_depot_keeps_entries(built: Path, tmp_path: Path) -> None:
    """Each is written once, and fetched whole; what is not there is no mistake."""
    pytest.importorskip("fsspec")
    source, target, depot = Cache(built), Cache(tmp_path / "c"), transfer.Depot(f"file://{tmp_path}/depot")
    entry = ("artifacts", min(path.name for path in (built / "artifacts").iterdir()))
    assert [True, False] == [depot.put(source, entry) for _ in range(2)]
    assert depot.fetch(target, entry)
    assert transfer.has(target, entry)
    assert not depot.fetch(target, ("artifacts", "0" * 64))


def test_hosts_suit_what_a_target_wants() -> None:
    """All that is asked for, and nothing that was refused."""
    host = HostInfo(fingerprint="0123456789ab", facts={"machine": "aarch64"})
    one = FleetHost(address="a", host=host, providers=("CUDAExecutionProvider",), labels=("pi5", "rack-2"))
    assert all(
        one.suits(wish)
        for wish in (
            HostWish(),
            HostWish(arch="aarch64", provider="cuda", label="pi*", host_class="0123456789ab"),
            HostWish(provider="CUDAExecutionProvider"),
        )
    )
    assert not any(
        one.suits(wish)
        for wish in (
            HostWish(arch="x86_64"),
            HostWish(provider="cpu"),
            HostWish(label="pi"),
            HostWish(host_class="b" * 12),
        )
    )
    assert not FleetHost(address="a", host=host, refused="other").suits(HostWish())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Moment:
    """Something that began."""

    started_at: str


def test_a_clock_that_is_off_is_corrected() -> None:
    """What a worker noted goes by this host's clock, unless the difference is one that the question itself makes."""

    class SkewedClient:
        def run(self, *_: object, workers: list[str], **__: object) -> dict[str, object]:
            """Introduce itself; of three workers, one is an hour ahead and one does not say."""
            ahead_s = {"ahead": 3600.0, "right": 0.2}.get(workers[0])
            return {workers[0]: {} if ahead_s is None else {engine.TIME: time.time() + ahead_s}}

    fleet = engine.Fleet.__new__(engine.Fleet)
    fleet.client, fleet._clocks = SkewedClient(), {}
    fleet.ask(print, ["ahead", "right", "silent"])
    noted = "2026-11-28T01:10:02+00:00"
    corrected = fleet.our_time("ahead", Moment(started_at=noted)).started_at
    assert timedelta(hours=1) - (datetime.fromisoformat(noted) - datetime.fromisoformat(corrected)) < timedelta(
        minutes=5
    )
    assert corrected.startswith("2026-11-28T00:")
    assert len(noted) == len(corrected)
    assert [noted] * 3 == [
        fleet.our_time(address, Moment(started_at=noted)).started_at for address in ("right", "silent", "unknown")
    ]

    case = outcomes.case("m", "fp32")
    crash = ProcessOutcome(case=case, process=0, started_at="2026-11-28T01:10:02.123+00:00")
    found = dataclasses.replace(
        crash, samples=dataclasses.replace(outcomes.process(1000), started_at="2026-11-28T01:10:03+00:00")
    )
    moved = clocks.earlier(found, 3600.0)
    assert "2026-11-28T00:10:02.123+00:00" == moved.started_at
    assert moved.samples is not None
    assert "2026-11-28T00:10:03+00:00" == moved.samples.started_at
    assert found.samples is not None
    assert (found.case, found.samples.samples_ns) == (moved.case, moved.samples.samples_ns)


def test_a_host_whose_disk_is_full_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, built: Path) -> None:
    """Before it measures anything, and when it is sent what does not fit; what is damaged is another matter."""
    source = Cache(built)
    entry = ("artifacts", min(path.name for path in (built / "artifacts").iterdir()))
    data = transfer.packed(source, entry)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    assert "" == member.no_room()
    assert not member.receive(entry, data[: len(data) // 2])[1]

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("harness.fleet.transfer.shutil.copyfileobj", full)
        why, for_room = member.receive(entry, data)
    assert for_room
    assert "No space left" in why
    with monkeypatch.context() as patched:
        patched.setattr("harness.store.files.os.fsync", full)
        assert f"cannot write into {tmp_path / 'cache'}: No space left on device" == member.no_room()
        sent = SentJob(job=None, entries=())  # type: ignore[arg-type]  # it is not looked at
        assert "No space left" in member.measure(sent).unfit
    assert ("", False) == member.receive(entry, data)


def test_one_measures_on_a_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slots of one host share it with each other and with nobody else; the file may belong to somebody else."""
    monkeypatch.setenv(host_lock.PATH, str(tmp_path / "lock"))
    assert not host_lock.busy()
    with host_lock.alone():
        assert host_lock.busy()
        monkeypatch.setenv(host_lock.SLOT, "1")
        assert not host_lock.busy()
        monkeypatch.delenv(host_lock.SLOT)
    assert not host_lock.busy()
    monkeypatch.setenv(host_lock.SLOT, "1")
    with host_lock.alone():
        assert host_lock.busy()
        monkeypatch.setenv(host_lock.SLOT, "2")
        said: list[str] = []
        with host_lock.alone(said.append):
            assert [] == said
        monkeypatch.delenv(host_lock.SLOT)
        assert host_lock.busy()
    monkeypatch.setenv(host_lock.PATH, str(tmp_path / "no" / "such" / "folder" / "lock"))
    with host_lock.alone():
        assert not host_lock.busy()


def test_without_a_fleet_dask_is_not_imported() -> None:
    """Importing takes half a second, and who has one machine need not have it at all."""
    code = (
        "import sys, harness.cli, harness.flow.sweep, harness.fleet.executor; "
        "print({'dask', 'distributed'} & {*sys.modules})"
    )
    assert "set()\n" == subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def bucket() -> Iterator[str]:
    """The URL of a bucket on a server of this process."""
    pytest.importorskip("s3fs", reason="the extra `fleet` is not installed")
    pytest.importorskip("moto.server", reason="moto is not installed")
    with writers.moto_bucket() as (url, _):
        yield url


def test_runs_in_a_bucket(tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two writers, two objects, read by a third; a damaged one is left out; one that is removed there is gone here."""

    def mirror(whose: str) -> Mirror:
        monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / whose))
        return Mirror.of(bucket)

    said: list[str] = []
    stored = [stored_run(mirror(whose).folder, f"2026112{n}T101502Z-3f9c2{n}") for n, whose in enumerate("ab")]
    urls = [mirror(whose).publish(run) for whose, run in zip("ab", stored, strict=True)]
    assert all(url.startswith(f"{bucket}/runs/month=2026-11/class=") for url in urls)
    mirror("c").refresh(said.append)
    held = mirror("c").folder / "samples"
    assert {run.name: run.read_bytes() for run in stored} == {run.name: run.read_bytes() for run in held.iterdir()}

    place = places.at(bucket)
    damaged = urls[0][len(bucket) + 1 :]
    place.write(damaged, io.BytesIO(stored[0].read_bytes()[:-9]))
    mirror("d").refresh(said.append)
    assert [stored[1].name] == [run.name for run in (mirror("d").folder / "samples").iterdir()]
    assert "is not what its name says" in said[0]

    place.remove(damaged)
    mirror("c").refresh(said.append)
    assert [stored[1].name] == [run.name for run in held.iterdir()]

    third = stored_run(mirror("c").folder, "20261122T101502Z-3f9c23")  # its publication failed
    mirror("c").refresh(said.append)
    mirror("d").refresh(said.append)
    assert {stored[1].name, third.name} == {run.name for run in (mirror("d").folder / "samples").iterdir()}


def test_a_place_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """Until it answers; longer than all waits together is too long, and what is not there is an answer."""

    class Away:
        left = 2

        def invalidate_cache(self) -> None:
            """Nothing is remembered."""

        def cat_file(self, path: str) -> bytes:
            """Fail some times."""
            self.left -= 1
            if self.left >= 0:
                raise ConnectionError("SlowDown")
            return path.encode()

    assert b"root/a" == places.Place(Away(), "root", "x://root", waits_s=(0, 0)).read("a")
    with pytest.raises(StoreError, match=r"Cannot read x://root/a: ConnectionError: SlowDown"):
        places.Place(Away(), "root", "x://root", waits_s=(0,)).read("a")
    with pytest.raises(FileNotFoundError):
        places.at(f"file://{tmp_path}").read("a")
    with pytest.raises(UsageError, match="nosuch://a"):
        places.at("nosuch://a")


def stored_run(results: Path, name: str) -> Path:
    """A finished run of one case in a results folder."""
    with Journal.open(results, outcomes.run(id=name), resume=False) as journal:
        journal.append(outcomes.measured())
        return journal.finish()


def stored_parts(project: Project) -> dict[str, int]:
    """The files of the journals, and when they were written."""
    return {path.name: path.stat().st_mtime_ns for path in project.root.glob("results/samples/*.parts/*.parquet")}


def measured_processes(project: Project) -> dict[str, int]:
    """How many processes each case of the newest rows has."""
    return {str(row["case"]): row["latency"]["processes"] for row in rows_of(project)}  # type: ignore[index]


@pytest.mark.long
def test_bad_luck(built_project: Project, tmp_path: Path) -> None:
    """A worker, the sweep and the scheduler are killed in mid-case: nothing is lost, and nothing counts twice."""
    port, project = free_port(), built_project
    command = ("sweep", "--variants", "fp32,fp32-fused", "--processes", "3", "--time-per-case", "0.6")
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(contextlib.ExitStack())
        at = first.enter_context(local.scheduler(port))
        spec = FleetSpec(scheduler=at)
        stack.enter_context(local.worker(spec, cache=tmp_path / "its"))
        killed = project.start(*command, "--scheduler", at)
        stack.callback(killed.kill)
        wait_for(lambda: len(stored_parts(project)) > 0, alive(killed))
        with engine.Fleet(spec) as fleet:
            (pid,) = fleet.ask(os.getpid, [one.address for one in fleet.hosts()]).values()
        os.kill(pid, signal.SIGKILL)  # a worker, and another is started
        hold(killed, lambda: len(stored_parts(project)) > 1)
        killed.kill()
        killed.communicate()
        before = stored_parts(project)
        resumed = project.start(*command, "--scheduler", at)
        stack.callback(resumed.kill)
        wait_for(lambda: stored_parts(project) != before, alive(resumed))
        first.close()
        stack.enter_context(local.scheduler(port))  # another one at the same address
        out, err = resumed.communicate(timeout=600)
    assert 0 == resumed.returncode, (out, err)
    assert {"tiny/fp32/cpu-t1-b1": 3, "tiny/fp32-fused/cpu-t1-b1": 3} == measured_processes(project)
    assert 1 == len(list(project.root.glob("results/samples/*.parquet")))


@pytest.mark.long
@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="a process can be stopped on POSIX alone")
def test_a_worker_that_is_stopped_and_comes_back(
    built_project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dask misses it, its process is given to another, and what it has to say when it comes back counts no more."""
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL", "5s")
    project, processes = built_project, 4
    with contextlib.ExitStack() as stack:
        spec = FleetSpec(scheduler=stack.enter_context(local.scheduler(free_port())))
        for number in range(2):
            name = f"w{number}"
            stack.enter_context(local.worker(spec, name=name, cache=tmp_path / name, slot=name))
        fleet = stack.enter_context(engine.Fleet(spec))
        fleet.client.wait_for_workers(2, timeout=120)
        pids = fleet.ask(os.getpid, [one.address for one in fleet.hosts()])
        assert not any(fleet.running().values())
        command = ("sweep", "--variants", "fp32", "--processes", str(processes), "--time-per-case", "1")
        sweep = project.start(*command, "--scheduler", spec.scheduler)
        stack.callback(sweep.kill)
        measuring: list[str] = []
        given: list[str] = []

        def one_measures() -> bool:
            measuring[:] = [address for address, pid in pids.items() if workers(pid)]
            given[:] = [name for names in fleet.running().values() for name in names]
            return bool(measuring) and bool(given) and bool(stored_parts(project))

        wait_for(one_measures, alive(sweep))
        stopped = pids[measuring[0]]
        assert {"tiny/fp32/cpu-t1-b1, process "} == {name[:-1] for name in given}
        os.kill(stopped, signal.SIGSTOP)
        try:
            wait_for(lambda: measuring[0] not in fleet._resources())  # Dask has missed it, and gave its task away
        finally:
            os.kill(stopped, signal.SIGCONT)
        out, err = sweep.communicate(timeout=600)
    assert 0 == sweep.returncode, (out, err)
    assert {"tiny/fp32/cpu-t1-b1": processes} == measured_processes(project)
    (run,) = project.root.glob("results/samples/*.parquet")
    (row,) = samples.read(run)
    assert processes == len(row["processes"])


def commands_of(page: Path) -> list[list[str]]:
    """The commands of a page's first example."""
    block = page.read_text(encoding="utf-8").split("```")[1]
    return [shlex.split(line) for line in block.strip().splitlines()]


@pytest.mark.long
def test_the_example_runs_as_it_stands(built_project: Project, address: str) -> None:
    """Both commands of docs/fleet.md, at another port and for one variant; two such sweeps at once are two runs.

    The artifact and its reference travel, what is computed is the same, and the rows name the host that measured.
    """
    _, sweep = commands_of(EXAMPLE)
    project, command = built_project, [word.replace("tcp://127.0.0.1:8786", address) for word in sweep[1:]]
    assert address in command
    command += ["--variants", "fp32"]
    other = project.start(*command)
    try:
        project.run(*command)
        ended = other.communicate(timeout=600)
    finally:
        other.kill()
    assert 0 == other.returncode, ended
    runs = json.loads(project.run("results", "--json", "--all"))
    assert 2 == len(runs) == len({row["run"] for row in runs})
    assert {2} == {row["latency"]["processes"] for row in runs}
    assert 2 == len(list(project.root.glob("results/samples/*.parquet")))
    project.run("sweep", "--variants", "fp32", "--results", "local")
    (alone,) = json.loads(project.run("results", "--json", "--results", "local"))
    exact = ("case", "status", "reason", "artifact", "fidelity", "kernels", "measured_by")
    assert 1 == len({row["fingerprint"] for row in runs})  # of one class: each worker may use as many cores
    assert [{name: alone[name] for name in exact}] * 2 == [{name: row[name] for name in exact} for row in runs]
