"""Dask distributed, as this package uses it: a connection to a scheduler, and calls on its workers.

Nothing else imports Dask, and nothing imports this module before a fleet is asked for.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

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
    return distributed


def security(spec: FleetSpec) -> Any:
    """Dask's TLS settings; None where the fleet has no certificates."""
    if not spec.tls_ca:
        return None
    for path in (spec.tls_ca, spec.tls_cert, spec.tls_key):
        if not Path(path).is_file():
            raise UsageError(f"{path}: there is no such file; TLS needs the CA's certificate, a certificate and a key")
    return dask().Security(
        tls_ca_file=spec.tls_ca,
        tls_client_cert=spec.tls_cert,
        tls_client_key=spec.tls_key,
        require_encryption=True,
    )


def code_digest(folder: Path | None = None) -> str:
    """Twelve hex digits over the code of harness as it is installed: a version has many commits."""
    root = folder or Path(harness.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        digest.update(path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()[:12]


def introduction() -> Callable[[], Mapping[str, Any]]:
    """What any worker can be asked, also one with another harness or none: it is sent as code, not by name."""

    def introduce() -> dict[str, Any]:
        import hashlib
        import pathlib
        import sys
        import time

        said: dict[str, Any] = {"time": time.time(), "python": f"{sys.version_info[0]}.{sys.version_info[1]}"}
        try:
            import harness
        except ImportError:
            return said
        root, digest = pathlib.Path(harness.__file__).parent, hashlib.sha256()
        for path in sorted(root.rglob("*.py")):
            digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
            digest.update(path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
        return {**said, "version": harness.__version__, "code": digest.hexdigest()[:12]}

    return introduce


def showing() -> Callable[..., bool]:
    """What a scheduler is asked for its pages; sent as code, since it may have no harness.

    Its web server is there in any case, for /metrics.
    """

    def shows(dask_scheduler: Any) -> bool:
        applications = dask_scheduler.http_application.applications
        return any(type(one).__module__.startswith("distributed.dashboard") for one in applications)

    return shows


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
        shows = False
        with contextlib.suppress(Exception):  # another version of Dask names it otherwise, and then no page is named
            shows = bool(self.client.run_on_scheduler(showing()))
        return str(self.client.dashboard_link) if shows else ""

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
            wait_s = min(CONNECT_S, patience_s())
            return distributed.Client(self.address, timeout=wait_s, security=security(self._spec), set_as_default=False)
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
        said = self.ask(introduction(), addresses)
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
        if (said["version"], said["code"]) != self._own:
            version, code = self._own
            return (
                f"runs harness {said['version']} (code {said['code']}), and this is {version} (code {code}): "
                f"install the same there"
            )
        return ""
