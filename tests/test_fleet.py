"""harness.fleet: a sweep on workers of Dask that are processes of their own, and what happens to them."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.build.cache import Cache
from harness.cli import options
from harness.errors import StoreError
from harness.fleet import engine, local, transfer
from harness.fleet.model import FleetHost
from harness.measure import host_lock
from harness.records import HostInfo
from harness.zoo import FleetSpec, HostWish
from tests.conftest import Project

pytest.importorskip("distributed", reason="the extra `fleet` is not installed")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A scheduler with one worker on this machine; the worker's cache is its own."""
    with local.cluster(1, port=free_port(), cache=tmp_path_factory.mktemp("fleet") / "cache") as found:
        yield found


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def rows_of(project: Project) -> list[dict[str, object]]:
    """What is stored."""
    found: list[dict[str, object]] = json.loads(project.run("results", "--json"))
    return found


@pytest.mark.long
def test_a_sweep_on_a_fleet_is_the_same(built_project: Project, address: str) -> None:
    """The artifact and its reference travel, what is computed is the same, and the row names the host that measured."""
    built_project.run("sweep", "--variants", "fp32", "--processes", "2", "--scheduler", address)
    (row,) = rows_of(built_project)
    built_project.run("sweep", "--variants", "fp32", "--processes", "2", "--results", "local")
    (other,) = json.loads(built_project.run("results", "--json", "--results", "local"))
    exact = ("case", "status", "reason", "artifact", "fidelity", "kernels", "measured_by", "fingerprint")
    assert {name: other[name] for name in exact} == {name: row[name] for name in exact}
    assert 2 == row["latency"]["processes"]  # type: ignore[index]


@pytest.mark.long
def test_hosts_are_listed(project: Project, address: str) -> None:
    """With what a person chooses by; and a sweep that asks for hosts which are not there says so."""
    (found,) = json.loads(project.run("fleet", "hosts", "--scheduler", address, "--json"))
    assert "CPUExecutionProvider" in found["providers"]
    assert found["class"] == found["host"]["fingerprint"]
    assert ("", 1) == (found["refused"], found["slots"])
    assert abs(found["clock_s"]) < 60
    zoo = project.root / "model_zoo.yaml"
    wish = "cpu: {provider: cpu, hosts: {arch: s390x}}"
    zoo.write_text(zoo.read_text(encoding="utf-8").replace("cpu: {provider: cpu}", wish), encoding="utf-8")
    project.run("sweep", "--variants", "fp32", "--scheduler", address, code=4)
    (row,) = rows_of(project)
    assert "no host of the fleet suits the target cpu" in str(row["reason"])


@pytest.mark.long
def test_a_worker_of_another_harness_is_refused(tmp_path: Path, project: Project) -> None:
    """With a sentence that names both versions; nothing is measured."""
    (tmp_path / "other" / "harness").mkdir(parents=True)
    (tmp_path / "other" / "harness" / "__init__.py").write_text('__version__ = "99.9"\n', encoding="utf-8")
    with local.scheduler(free_port()) as at:
        command = [*local.worker_command(FleetSpec(scheduler=at)), "--no-nanny"]
        path = os.pathsep.join([str(tmp_path / "other"), os.environ.get("PYTHONPATH", "")])
        worker = subprocess.Popen(command, env={**local.worker_environment(), "PYTHONPATH": path}, cwd=tmp_path)
        try:
            with engine.Fleet(FleetSpec(scheduler=at)) as fleet:
                fleet.client.wait_for_workers(1, timeout=60)
            said = project.error("sweep", "--variants", "fp32", "--scheduler", at)
        finally:
            worker.kill()
            worker.wait()
    assert "runs harness 99.9 (code " in said
    assert f"(code {engine.code_digest()}): install the same there" in said


def test_nobody_at_the_address_is_told(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """With how to start somebody; and an address that is none, before anything is tried."""
    monkeypatch.setattr(engine, "CONNECT_S", 0.2)
    said = project.error("sweep", "--scheduler", f"tcp://127.0.0.1:{free_port()}")
    assert "no scheduler of Dask answers there" in said
    assert "harness fleet up --local 2" in said
    assert "expected an address such as tcp://lab:8786" in project.error("sweep", "--scheduler", "lab:8786")
    assert "TLS needs --tls-ca" in project.error("sweep", "--scheduler", "tls://lab:8786")
    assert "--hosts each goes with a fleet" in project.error("sweep", "--hosts", "each")
    assert "name the scheduler" in project.error("fleet", "hosts")


def test_the_zoo_names_a_fleet(project: Project) -> None:
    """Its certificates are taken from the zoo's folder, and what the command line names wins."""
    zoo = project.root / "model_zoo.yaml"
    text = zoo.read_text(encoding="utf-8")
    fleet = "fleet: {scheduler: 'tls://lab:1', tls_ca: ca.pem, tls_cert: c.pem, tls_key: k.pem}\n"
    zoo.write_text(text + fleet, encoding="utf-8")
    spec = options.fleet_spec(zoo, None, (None, None, None))
    assert ("tls://lab:1", str(project.root / "ca.pem")) == (spec.scheduler, spec.tls_ca)
    assert "tcp://here:2" == options.fleet_spec(zoo, "tcp://here:2", (None, None, None)).scheduler
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
