"""Jobs on their way: what was given to which hosts, what waits, and how long it is waited."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from harness import runtime_spec, units
from harness.build import lookup
from harness.build.cache import Cache
from harness.errors import HarnessError, UsageError
from harness.fleet import transfer
from harness.fleet.depot_builds import trained_by
from harness.fleet.model import Entry, FleetHost
from harness.flow.execute import Job
from harness.flow.plan import left_out
from harness.flow.progress import ProcessOutcome
from harness.measure.coordinator import utc_now
from harness.records import Artifact, Case

PATIENCE = "HARNESS_FLEET_PATIENCE"
PATIENCE_S = 120.0
"""How long a class may have no host, or the scheduler be gone, before what waits for it is given up."""

FETCH_S = 30.0
"""For fetching what is done from its host: Dask waits without end for what a host had that left just then."""


class AnswerQueue(Protocol):
    """Where answers of hosts come in."""

    def put(self, item: tuple[Flight, Any]) -> None:
        """One has come."""

    def get(self, *, timeout: float) -> tuple[Flight, Any]:
        """The next.

        Raises:
            queue.Empty: none came in time.
        """


Group = tuple[str, str]
"""Cases that are compared with each other: a model and a target's label."""


def patience_s() -> float:
    """How long it is waited for hosts.

    Raises:
        UsageError: the environment says something else than a time.
    """
    text = os.environ.get(PATIENCE)
    try:
        return units.parse_duration(text) if text else PATIENCE_S
    except ValueError as error:
        raise UsageError(f"{PATIENCE}={text}: expected a time, such as 30s or 5m") from error


@dataclass(slots=True, kw_only=True, eq=False)
class Flight:
    """A job that was given away.

    Attributes:
        number: of the attempt, from 0.
        addresses: the workers that it was given to.
        future: Dask's; None where it is to be given away again.
        since: when, as the executor's clock counts.
    """

    job: Job
    host_class: str
    number: int = 0
    addresses: frozenset[str] = frozenset()
    future: Any = None
    since: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressed:
    """Hosts of a class, and their addresses."""

    hosts: Sequence[FleetHost]
    addresses: frozenset[str]


NOBODY: Final = Addressed(hosts=(), addresses=frozenset())


class Waiting:
    """Jobs that were not taken yet.

    Attributes:
        settled: taken ones that nobody has to measure: there is a reason why they have no number.
        over: whether there are no more.
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs = iter(jobs)
        self.settled: list[Job] = []
        self.over = False

    def following(self) -> Job | None:
        """The next that is to be measured; None where there is none, or where settled ones shall be seen to first."""
        job = next(self._jobs, None)
        self.over = job is None
        if job is not None and (
            not isinstance(job.built, Artifact)
            or job.absent
            or job.unusable
            or left_out(job.built, job.case.target.batch)
        ):
            self.settled.append(job)
            return None
        return job


def underway(running: int, hosts: int, repeated: int) -> str:
    """What is under way on a fleet, such as `3 on 4 hosts, 1 lost and measured again`."""
    again = f", {repeated} lost and measured again" if repeated else ""
    return f"{min(running, hosts)} on {units.count(hosts, 'host')}{again}"


def title(job: Job) -> str:
    """What a job is called while it runs."""
    return f"{job.case.id}, process {job.process + 1}"


def group_of(case: Case) -> Group:
    """What a case is compared with."""
    return case.model.name, case.target.label


def entries_of(job: Job) -> tuple[Entry, ...]:
    """What of the cache a job needs."""
    if not isinstance(job.built, Artifact):
        return ()
    model, own = job.case.model, list[Entry]()
    if model.weights.kind == "trained" and runtime_spec.runs_network(job.case.target.runtime):
        cache = Cache(job.cache)  # the network itself runs there, and would be trained again
        found = lookup.resolution(cache, model, probe=False) or {}
        own = [one for one in trained_by(found) if transfer.has(cache, one)]
    return ("artifacts", job.built.digest), ("references", job.built.reference.digest), *own


def light(job: Job) -> Job:
    """A job without what is true of this host alone."""
    return dataclasses.replace(job, client=None, unusable="", absent="", floor_s=None, runtime=None, host=None)


def crashed(job: Job, reason: str) -> ProcessOutcome:
    """A process that came to no end on the fleet."""
    return ProcessOutcome(case=job.case, process=job.process, started_at=utc_now(), reason=reason)


def awaited(future: Any, addresses: Collection[str], there: Callable[[], Sequence[FleetHost]], *, look_s: float) -> Any:
    """What a task gives; Dask alone would wait without end for hosts that have left.

    Args:
        future: Dask's.
        addresses: the workers that it was given to.
        there: who is there now.
        look_s: how often that is asked.

    Raises:
        HarnessError: the fleet lost it, or none of its hosts is there any more.
    """
    try:
        while True:
            try:
                return future.result(timeout=look_s)
            except TimeoutError:
                if future.status == "error":
                    raise
                if not any(one.address in addresses for one in there()):
                    raise HarnessError(f"{', '.join(sorted(addresses))} left the fleet") from None
    except HarnessError:
        raise
    except Exception as error:
        raise HarnessError(f"{type(error).__name__}: {error}") from error
