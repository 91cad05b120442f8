"""Dask distributed, as this package uses it: a connection to a scheduler, and calls on its workers.

Nothing else imports Dask, and nothing imports this module before a fleet is asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import hashlib
import logging
import math
import ssl
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Self

import harness
from harness.errors import HarnessError, UsageError
from harness.fleet import member
from harness.fleet.clocks import Noun, earlier
from harness.fleet.flights import patience_s
from harness.fleet.model import BUILD, SLOT, FleetHost
from harness.zoo import FleetSpec

CONNECT_S = 20.0
"""How long a scheduler may take to answer, where the fleet's patience (`flights.patience_s`) is not less."""

ANSWER_S = 60.0
"""How long a worker may take to say what it is; one that is stopped never does."""

FRESH_S = 0.2
"""For how long the scheduler's answer to who is there is used again: it is asked for with every job."""

CLOCK_S = 5.0
"""How far a worker's clock may be off before what it notes is corrected; the question takes a while itself."""

TIME = "time"
"""Under which a worker that introduces itself says what its clock says."""

AT_ONCE = 50
"""Workers that are asked at the same time."""

SETTINGS = {
    # Dask looks at what a worker's threads do a hundred times a second: not beside a measurement.
    "distributed.worker.profile.enabled": False,
    "distributed.worker.heartbeat-interval": "1s",
    # Nor fifty times a second whether its own loop is late, and twice a second what the machine does.
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "5s",
    # The work of a worker is done by children; its own memory says nothing.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
}


def dask() -> Any:
    """The module `distributed`.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import distributed
    except ImportError as error:
        raise UsageError("a fleet needs Dask: pip install 'onnx-harness[fleet]'") from error
    for name in ("distributed", "distributed.core", "distributed.client", "distributed.comm"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what goes wrong is said in our words
    warnings.filterwarnings("ignore", category=distributed.versions.VersionMismatchWarning)  # as `Fleet.odd_dask` says
    return distributed


def security(spec: FleetSpec) -> Any:
    """Dask's TLS settings; None where the fleet has no certificates."""
    if not spec.tls_ca:
        return None
    for path in (spec.tls_ca, spec.tls_cert, spec.tls_key):
        if not Path(path).is_file():
            raise UsageError(f"{path}: there is no such file; TLS needs the CA's certificate, a certificate and a key")
    try:
        ssl.create_default_context(cafile=spec.tls_ca).load_cert_chain(spec.tls_cert, spec.tls_key)
    except (ssl.SSLError, OSError) as error:
        raise UsageError(
            f"{spec.tls_ca}, {spec.tls_cert} and {spec.tls_key} are not a CA's certificate, a certificate and its key "
            f"({error})"
        ) from error
    return dask().Security(
        tls_ca_file=spec.tls_ca,
        tls_client_cert=spec.tls_cert,
        tls_client_key=spec.tls_key,
        require_encryption=True,
    )


def greet(address: str, files: Any, wait_s: float) -> None:
    """Exchange the first words with a scheduler, and let go of it.

    Dask's client waits without end for an answer to them, where another program listens there or the scheduler is
    stopped.

    Args:
        address: the scheduler's.
        files: Dask's TLS settings; None without.
        wait_s: for how long.

    Raises:
        OSError: nobody is there, or not with these certificates.
        TimeoutError: whoever takes connections there says nothing.
    """
    from distributed.comm import connect

    async def exchange() -> None:
        more = {} if files is None else files.get_connection_args("client")
        try:
            # That nobody takes the connection is known after `wait_s`, and said by Dask.
            comm = await asyncio.wait_for(connect(address, timeout=wait_s, **more), wait_s + 1.0)
        except TimeoutError:
            raise TimeoutError(f"somebody takes connections there, and said nothing for {wait_s:g} s") from None
        await comm.close()

    with ThreadPoolExecutor(1) as apart:  # this thread may have a loop of its own, as in a notebook
        apart.submit(asyncio.run, exchange()).result()


def code_digest(folder: Path | None = None) -> str:
    """Twelve hex digits over the code of harness as it is installed: a version has many commits."""
    root = folder or Path(harness.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        digest.update(path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()[:12]


PYTHON: Final = f"{sys.version_info[0]}.{sys.version_info[1]}"

INTRODUCTION = """
import hashlib, pathlib, sys, time

def answer():
    said = {"time": time.time(), "python": "%d.%d" % sys.version_info[:2]}
    try:
        import harness
    except ImportError:
        return said
    root, digest = pathlib.Path(harness.__file__).parent, hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\\0".encode())
        digest.update(path.read_bytes().replace(b"\\r\\n", b"\\n") + b"\\0")
    code = digest.hexdigest()[:12]
    # What was imported when it was first asked is what runs there, whatever has been installed since.
    stale = vars(harness).setdefault("_code_when_asked", code) != code
    return {**said, "version": harness.__version__, "code": code, "stale": stale}
"""
"""What any worker can be asked, also one with another harness or none."""

SCHEDULER = """
import distributed

def answer():
    pages = [one for each in distributed.Scheduler._instances for one in each.http_application.applications]
    shows = any(type(one).__module__.startswith("distributed.dashboard") for one in pages)
    return {"dask": distributed.__version__, "shows": shows}
"""
"""What any scheduler can be asked: its version, and whether it has pages (its web server is there in any case)."""


def asked(source: str) -> Callable[[], Mapping[str, Any]]:
    """What calls `answer` of a source where it is sent to.

    It goes there as text: the bytecode of this Python would mean something else, or nothing, to another one.
    """
    return functools.partial(eval, f"(lambda names: (exec({source!r}, names), names['answer']())[1])({{}})")


class Fleet:
    """The hosts behind one scheduler.

    Attributes:
        address: the scheduler's.
    """

    def __init__(self, spec: FleetSpec) -> None:
        """Connect.

        Raises:
            UsageError: Dask is not installed, or nobody answers at the address.
        """
        self.address = spec.scheduler
        self._spec = spec
        self._known: dict[str, FleetHost] = {}
        self._listed: list[FleetHost] = []
        self._listed_at = -math.inf
        self._clocks: dict[str, float] = {}
        self._own = (harness.__version__, code_digest())
        self.client = self._connected()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the scheduler; what runs goes on to its end."""
        self.client.close(timeout=2)

    @property
    def dashboard(self) -> str:
        """Where Dask shows itself; empty where it does not, such as without bokeh or with `--no-dashboard`."""
        if "dashboard" not in self.client.scheduler_info(n_workers=0).get("services", {}):
            return ""
        return str(self.client.dashboard_link) if self._scheduler().get("shows") else ""

    @property
    def odd_dask(self) -> str:
        """What to say where the scheduler has another Dask than this host; else empty."""
        theirs, ours = self._scheduler().get("dask"), dask().__version__
        if theirs in (None, ours):
            return ""
        return f"{self.address} has Dask {theirs}, and this host {ours}: install the same if anything fails"

    def check_scheduler(self) -> None:
        """Refuse a scheduler with another harness: it unpacks what is sent to a worker, and packs it again.

        Where its code differs, values would arrive under other names, or not at all.

        Raises:
            UsageError: it has another harness, or none, or one that was replaced while it ran.
        """
        said: Mapping[str, Any] | None = None
        with contextlib.suppress(Exception):  # its Dask cannot be asked: what is wrong shows with the first task
            said = self.client.run_on_scheduler(asked(INTRODUCTION))
        if said is not None and (why := self._refusal({**said, "python": PYTHON})):  # another Python unpacks the same
            raise UsageError(f"the scheduler at {self.address} {why}")

    def _scheduler(self) -> Mapping[str, Any]:
        """What the scheduler says of itself; nothing where its Dask names things otherwise."""
        with contextlib.suppress(Exception):
            found: Mapping[str, Any] = self.client.run_on_scheduler(asked(SCHEDULER))
            return found
        return {}

    def revive(self, patience_s: float, say: Callable[[str], None] = lambda _: None) -> bool:
        """Connect again where the scheduler was lost; whether that was so.

        Raises:
            HarnessError: it does not come back.
        """
        if self.client.status == "running":
            return False
        say(f"the scheduler {self.address} is gone: waiting for it to come back")
        end = time.monotonic() + patience_s
        while True:
            try:
                self.client.close(timeout=1)
                self.client = self._connected()
            except (UsageError, OSError, TimeoutError) as error:
                if time.monotonic() > end:
                    raise HarnessError(
                        f"{error} What was finished is stored: run the command again to go on."
                    ) from error
                time.sleep(1)
            else:
                self._known.clear()
                self._listed_at = -math.inf
                return True

    def hosts(self) -> list[FleetHost]:
        """Every worker that is there now, sorted by address; each is asked once who it is."""
        if time.monotonic() - self._listed_at < FRESH_S:
            return self._listed
        there = self._resources()
        if new := [address for address in there if address not in self._known]:
            self._known.update(self._introduced(new, there))
        self._known = {address: one for address, one in self._known.items() if address in there}
        self._listed_at = time.monotonic()
        self._listed = [self._known[address] for address in sorted(self._known)]
        return self._listed

    def running(self) -> dict[str, tuple[str, ...]]:
        """What each worker was given and has not answered, whoever gave it: the names of the tasks, by address."""
        given = self.client.processing()
        return {address: tuple(str(key).rpartition("-")[0] for key in keys) for address, keys in given.items()}

    def leave_out(self, address: str, why: str) -> None:
        """Send nothing to a worker any more; one that starts again has another address, and is asked anew."""
        if address in self._known:
            self._known[address] = dataclasses.replace(self._known[address], refused=why)
            self._listed_at = -math.inf

    def our_time(self, address: str, noun: Noun) -> Noun:
        """What a worker found, its moments by this host's clock, where its own is off by more than `CLOCK_S`.

        Args:
            address: of the worker, also of one that has left.
            noun: with moments that the worker noted, at any depth (`harness.fleet.clocks`).
        """
        ahead_s = self._clocks.get(address, 0.0)
        return noun if abs(ahead_s) <= CLOCK_S else earlier(noun, ahead_s)

    def ask(self, call: Callable[..., Any], addresses: Sequence[str], **arguments: Any) -> dict[str, Any]:
        """Call something on workers, beside whatever they do; those that do not answer in time are left out."""
        found: dict[str, Any] = {}

        def ask_one(address: str) -> None:
            asked = time.time()
            with contextlib.suppress(Exception):  # it is gone, or has another code: there is no answer
                said = self.client.run(call, workers=[address], on_error="ignore", **arguments)
                if isinstance(said.get(address), dict) and TIME in said[address]:  # halfway between question and answer
                    self._clocks[address] = said[address][TIME] - (asked + time.time()) / 2
                found.update(said)

        # A worker that is stopped never answers, and a thread that waits for it must not keep this process alive.
        for start in range(0, len(addresses), AT_ONCE):
            threads = [
                threading.Thread(target=ask_one, args=(address,), daemon=True)
                for address in addresses[start : start + AT_ONCE]
            ]
            for thread in threads:
                thread.start()
            end = time.monotonic() + ANSWER_S
            for thread in threads:
                thread.join(max(0.0, end - time.monotonic()))
        return dict(found)

    def _connected(self) -> Any:
        distributed = dask()
        import dask as settings

        settings.config.set(SETTINGS)
        try:
            wait_s, files = min(CONNECT_S, patience_s()), security(self._spec)
            greet(self.address, files, wait_s)
            return distributed.Client(self.address, timeout=wait_s, security=files, set_as_default=False)
        except ImportError as error:
            raise UsageError(
                f"{self.address}: the scheduler has another Dask than this host: install the same there ({error})"
            ) from error
        except (OSError, TimeoutError, ValueError, TypeError) as error:
            start = (
                "Start one with `dask scheduler`, or try a cluster on this machine with `harness fleet up --local 2`."
            )
            if self._spec.tls_ca or "reset" in str(error):
                start = "Both sides need a certificate of one authority: --tls-ca, --tls-cert and --tls-key."
            raise UsageError(f"{self.address}: no scheduler of Dask answers there ({error}). {start}") from error

    def _resources(self) -> dict[str, Mapping[str, float]]:
        info = self.client.scheduler_info(n_workers=-1)
        return {address: one.get("resources") or {} for address, one in info.get("workers", {}).items()}

    def _introduced(self, addresses: Sequence[str], resources: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
        said = self.ask(asked(INTRODUCTION), addresses)
        ours, found = [], {}
        for address in addresses:
            why = self._refusal(said.get(address))
            if why:
                found[address] = FleetHost(
                    address=address, refused=why, version=said.get(address, {}).get("version", "")
                )
            else:
                ours.append(address)
        for address, one in self.ask(member.describe, ours).items():
            found[address] = FleetHost(
                address=address,
                slots=int(resources[address].get(SLOT, 0)),
                builds=int(resources[address].get(BUILD, 0)),
                clock_s=self._clocks.get(address, 0.0),
                **one,
            )
        return found

    def _refusal(self, said: Mapping[str, Any] | None) -> str:
        """Why a worker is not one of us."""
        if said is None:
            return "does not answer"
        if "version" not in said:
            return "has no harness: pip install 'onnx-harness[fleet]' there"
        if said["python"] != PYTHON:
            return f"runs Python {said['python']}, and this is {PYTHON}: what they send each other needs the same there"
        if said["stale"]:
            return "was started before its harness was replaced: start it again"
        if (said["version"], said["code"]) != self._own:
            version, code = self._own
            return (
                f"runs harness {said['version']} (code {said['code']}), and this is {version} (code {code}): "
                f"install the same there"
            )
        return ""
