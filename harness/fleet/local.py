"""Processes of a fleet on this machine: a worker for a scheduler elsewhere, or a scheduler with workers to try it."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from harness.errors import HarnessError
from harness.fleet import engine, member
from harness.fleet.model import BUILD, SLOT
from harness.measure import host_lock
from harness.zoo import FleetSpec

LOOPBACK = "127.0.0.1"


def worker_command(
    spec: FleetSpec, *, name: str = "", builds: bool = False, folder: Path | None = None, listen: str = ""
) -> list[str]:
    """What starts a worker: `dask worker` with what a measurement needs, and without a nanny (see `become_worker`).

    Args:
        spec: the scheduler, and the certificates for it.
        name: what Dask calls the worker.
        builds: whether it builds artifacts as well.
        folder: where Dask keeps what it writes.
        listen: the address of this machine at which the others reach it; where it is empty, 127.0.0.1 for a scheduler
            of this machine, and otherwise every one.

    Raises:
        UsageError: Dask is not installed, or a certificate is not there.
    """
    engine.dask()
    engine.security(spec)
    # Dask would listen at every address of the machine, and run whatever code anybody sends there.
    at = listen or (LOOPBACK if is_here(spec.scheduler) else "")
    options = {"--name": name, "--local-directory": str(folder or ""), "--host": at}
    options |= {"--dashboard-address": f"{at}:0" if at else ""}  # what is left of it with --no-dashboard: /metrics
    given = [*_tls(spec), *(word for option, value in options.items() if value for word in (option, value))]
    resources = f"{SLOT}=1" + (f" {BUILD}=1" if builds else "")
    return [
        *(sys.executable, "-m", "distributed.cli.dask_worker", spec.scheduler),
        *("--nthreads", "1", "--resources", resources, "--memory-limit", "0", "--no-dashboard", "--no-nanny", *given),
    ]


def worker_environment(
    *, labels: Sequence[str] = (), cache: Path | None = None, slot: str = "", encrypted: bool = False
) -> dict[str, str]:
    """The variables of the environment of a worker; an encrypted one does not talk to anybody without a certificate."""
    settings = {
        "DASK_" + name.upper().replace(".", "__").replace("-", "_"): str(value)
        for name, value in engine.SETTINGS.items()
    }
    settings["DASK_LOGGING__DISTRIBUTED"] = "warning"
    if encrypted:
        settings["DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION"] = "True"
    own = {member.LABELS: ",".join(labels), "HARNESS_CACHE": str(cache or ""), host_lock.SLOT: slot}
    return {**os.environ, **settings, **{name: value for name, value in own.items() if value}}


def become_worker(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    say: Callable[[str], None],
    again_s: float = 5.0,
    over: threading.Event | None = None,
    cores: set[int] | None = None,
) -> int:
    """Run a worker until somebody ends it, again where it was killed or the scheduler went away; the last exit code.

    Args:
        command: what starts it.
        environment: its variables.
        say: hears that it starts again.
        again_s: a worker that ends sooner than this, and not well, will not do better the next time.
        over: when to end; where it is not given, somebody interrupts.
        cores: that it is bound to, if it is.
    """
    over = over or threading.Event()
    while True:
        began = time.monotonic()
        with _started(command, environment, cores=cores) as child:
            while not over.is_set() and child.poll() is None:
                over.wait(1)
        code = child.returncode
        killed = code < 0
        if over.is_set() or (code > 0 and time.monotonic() - began < again_s):
            return code
        say("the worker was killed: starting another" if killed else "the scheduler is gone: waiting for it to be back")
        over.wait(1)


@contextlib.contextmanager
def scheduler(
    port: int, *, host: str = LOOPBACK, patience_s: float = 60.0, tls: FleetSpec | None = None
) -> Iterator[str]:
    """A scheduler on this machine; its address.

    Args:
        port: that it listens at.
        host: the address of this machine that it listens at.
        patience_s: how long it may take to start.
        tls: the certificates, if connections are to be encrypted.

    Raises:
        UsageError: Dask is not installed, or a certificate is not there.
        HarnessError: it did not start.
    """
    engine.dask()
    tls = tls or FleetSpec()
    protocol = "tls" if engine.security(tls) else "tcp"
    command = [
        *(sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", host, "--port", str(port)),
        *("--protocol", protocol, *_tls(tls)),
        # Dask's page is not encrypted: it stays on this machine.
        *("--dashboard-address", f"{LOOPBACK}:0"),
    ]
    with _started(command, worker_environment(encrypted=bool(tls.tls_ca))) as child:
        yield f"{protocol}://{_listening(child, host, port, patience_s)}"


@contextlib.contextmanager
def worker(
    spec: FleetSpec,
    *,
    name: str = "",
    cache: Path | None = None,
    slot: str = "",
    cores: set[int] | None = None,
    listen: str = "",
) -> Iterator[None]:
    """A worker on this machine, as long as the block."""
    over = threading.Event()
    command = worker_command(spec, name=name, listen=listen)
    environment = worker_environment(cache=cache, slot=slot, encrypted=bool(spec.tls_ca))
    keeping = threading.Thread(
        target=lambda: become_worker(command, environment, say=lambda _: None, again_s=0, over=over, cores=cores)
    )
    keeping.start()
    try:
        yield
    finally:
        over.set()
        keeping.join()


@contextlib.contextmanager
def cluster(
    count: int, *, port: int = 8786, host: str = LOOPBACK, cache: Path | None = None, tls: FleetSpec | None = None
) -> Iterator[str]:
    """A scheduler and workers on this machine, each on a share of its cores where there are enough; its address.

    Args:
        count: of the workers.
        port: that the scheduler listens at.
        host: the address of this machine that all of them listen at.
        cache: of the workers.
        tls: the certificates, if connections are to be encrypted.

    Raises:
        UsageError: Dask is not installed, or a certificate is not there.
        HarnessError: it did not start.
    """
    with contextlib.ExitStack() as started:
        address = started.enter_context(scheduler(port, host=host, tls=tls))
        spec = dataclasses.replace(tls or FleetSpec(), scheduler=address)
        for number, share in enumerate(cores(count)):
            slot = f"slot{number}" if count > 1 else ""
            name, listen = f"local-{number}", "" if is_here(address) else host
            started.enter_context(worker(spec, name=name, cache=cache, slot=slot, cores=share, listen=listen))
        yield address


def is_here(address: str) -> bool:
    """Whether an address such as tcp://127.0.0.1:8786 is reached by this machine alone."""
    host = urllib.parse.urlsplit(address).hostname or ""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def cores(count: int) -> list[set[int]]:
    """The cores of this process in as many shares; all of them for everybody where there are too few."""
    if not hasattr(os, "sched_getaffinity"):
        return [set() for _ in range(count)]
    own = sorted(os.sched_getaffinity(0))
    each = len(own) // count
    return [set(own[each * k : each * (k + 1)]) if each else set(own) for k in range(count)]


def _tls(spec: FleetSpec) -> list[str]:
    """The certificates, as Dask's commands take them."""
    files = {"--tls-ca-file": spec.tls_ca, "--tls-cert": spec.tls_cert, "--tls-key": spec.tls_key}
    return [word for option, value in files.items() if value for word in (option, value)]


@contextlib.contextmanager
def _started(
    command: Sequence[str], environment: Mapping[str, str], *, cores: set[int] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended with the block, and with it what it started."""
    child = subprocess.Popen(command, env=environment, start_new_session=True)
    if cores:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(child.pid, cores)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(10)
        with contextlib.suppress(OSError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _listening(scheduler: subprocess.Popen[bytes], host: str, port: int, patience_s: float) -> str:
    """Host and port of a scheduler, once it answers.

    Raises:
        HarnessError: it ended, or does not answer.
    """
    import socket

    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        if scheduler.poll() is not None:
            raise HarnessError(
                f"the scheduler ended at once with code {scheduler.returncode}: is port {port} taken? Try --port"
            )
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
            return f"{host}:{port}"
        time.sleep(0.1)
    raise HarnessError(f"the scheduler does not answer at {host}:{port}")
