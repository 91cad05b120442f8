"""Processes of a fleet on this machine: a worker for a scheduler elsewhere, or a scheduler with workers to try it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from harness.errors import HarnessError
from harness.fleet import engine, member
from harness.fleet.model import SLOT
from harness.measure import host_lock
from harness.zoo import FleetSpec

LOOPBACK = "127.0.0.1"


def worker_command(spec: FleetSpec, *, name: str = "", builds: bool = False, folder: Path | None = None) -> list[str]:
    """What starts a worker: `dask worker` with what a measurement needs, and without a nanny (see `become_worker`).

    Args:
        spec: the scheduler, and the certificates for it.
        name: what Dask calls the worker.
        builds: whether it builds artifacts as well.
        folder: where Dask keeps what it writes.
    """
    engine.dask()
    tls = {"--tls-ca-file": spec.tls_ca, "--tls-cert": spec.tls_cert, "--tls-key": spec.tls_key}
    options = {**tls, "--name": name, "--local-directory": str(folder or "")}
    given = [word for option, value in options.items() if value for word in (option, value)]
    resources = f"{SLOT}=1" + (" build=1" if builds else "")
    return [
        *(sys.executable, "-m", "distributed.cli.dask_worker", spec.scheduler),
        *("--nthreads", "1", "--resources", resources, "--memory-limit", "0", "--no-dashboard", "--no-nanny", *given),
    ]


def worker_environment(*, labels: Sequence[str] = (), cache: Path | None = None, slot: str = "") -> dict[str, str]:
    """The variables of the environment of a worker."""
    settings = {
        "DASK_" + name.upper().replace(".", "__").replace("-", "_"): str(value)
        for name, value in engine.SETTINGS.items()
    }
    settings["DASK_LOGGING__DISTRIBUTED"] = "warning"
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
def scheduler(port: int, *, host: str = LOOPBACK, patience_s: float = 60.0) -> Iterator[str]:
    """A scheduler on this machine; its address.

    Raises:
        HarnessError: it did not start.
    """
    engine.dask()
    command = [
        *(sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", host, "--port", str(port)),
        *("--dashboard-address", f"{host}:0"),
    ]
    with _started(command, worker_environment()) as child:
        yield _listening(child, host, port, patience_s)


@contextlib.contextmanager
def worker(
    spec: FleetSpec, *, name: str = "", cache: Path | None = None, slot: str = "", cores: set[int] | None = None
) -> Iterator[None]:
    """A worker on this machine, as long as the block."""
    over = threading.Event()
    command, environment = worker_command(spec, name=name), worker_environment(cache=cache, slot=slot)
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
def cluster(count: int, *, port: int = 8786, host: str = LOOPBACK, cache: Path | None = None) -> Iterator[str]:
    """A scheduler and workers on this machine, each on a share of its cores where there are enough; its address.

    Raises:
        HarnessError: it did not start.
    """
    with contextlib.ExitStack() as started:
        address = started.enter_context(scheduler(port, host=host))
        spec = FleetSpec(scheduler=address)
        for number, share in enumerate(cores(count)):
            slot = f"slot{number}" if count > 1 else ""
            started.enter_context(worker(spec, name=f"local-{number}", cache=cache, slot=slot, cores=share))
        yield address


def cores(count: int) -> list[set[int]]:
    """The cores of this process in as many shares; all of them for everybody where there are too few."""
    if not hasattr(os, "sched_getaffinity"):
        return [set() for _ in range(count)]
    own = sorted(os.sched_getaffinity(0))
    each = len(own) // count
    return [set(own[each * k : each * (k + 1)]) if each else set(own) for k in range(count)]


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
    """The address of a scheduler, once it answers.

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
            return f"tcp://{host}:{port}"
        time.sleep(0.1)
    raise HarnessError(f"the scheduler does not answer at {host}:{port}")
