"""The nouns of a fleet: a host as its worker describes it, what is sent to it and what comes back."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.flow.execute import Job
from harness.flow.progress import ProcessOutcome
from harness.providers import short_name
from harness.records import Built, HostInfo, Json
from harness.zoo import HostWish

SLOT = "harness"
"""Dask's resource that every measuring process takes one of."""

BUILD = "build"
"""Dask's resource that every build takes one of."""

Entry = tuple[str, str]
"""An entry of the cache: its kind and its digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetHost:
    """A worker and the host it runs on.

    Attributes:
        address: Dask's, which a worker that starts again does not keep.
        slots: how many measurements it takes at once: 1, or 0 where it lacks the resource.
        builds: how many builds it takes at once: 1 where it builds for the fleet, else 0.
        host: None where it was refused.
        version: of harness there.
        providers: execution providers that the onnxruntime beside harness has.
        runtimes: name -> version of what can execute artifacts there.
        labels: what its owner calls it.
        busy: whether somebody measures there now.
        floor_s: the median of a one-node model, in seconds; None where it was not asked for, or not found out.
        noise: see `harness.measure.host.noise`.
        clock_s: how far its clock is ahead of this one, in seconds.
        refused: why nothing is sent to it; empty where it is one of us.
    """

    address: str
    name: str = ""
    slots: int = 0
    builds: int = 0
    host: HostInfo | None = None
    version: str = ""
    providers: tuple[str, ...] = ()
    runtimes: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    busy: bool = False
    floor_s: float | None = None
    noise: Mapping[str, Json] = field(default_factory=dict)
    clock_s: float = 0.0
    refused: str = ""

    @property
    def host_class(self) -> str:
        """Hosts of one class are the same but for their names; the fingerprint says so. Empty where unknown."""
        return self.host.fingerprint if self.host else ""

    @property
    def fact(self) -> Mapping[str, Json]:
        """What is known of the host."""
        return self.host.facts if self.host else {}

    def suits(self, wish: HostWish) -> bool:
        """Whether a target that asks for such hosts may be measured here."""
        return (
            not self.refused
            and wish.arch in ("", self.fact.get("machine"))
            and wish.host_class in ("", self.host_class)
            and (not wish.provider or short_name(wish.provider) in map(short_name, self.providers))
            and (not wish.label or any(fnmatch.fnmatchcase(one, wish.label) for one in self.labels))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SentJob:
    """A job on its way to a host.

    Attributes:
        entries: what of the cache it needs.
        depot: where entries lie that all hosts reach, as a URL of fsspec; empty where there is none.
    """

    job: Job
    entries: tuple[Entry, ...]
    depot: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetAnswer:
    """What came of a job on a host.

    Attributes:
        address: the worker's.
        outcome: None where entries were missing.
        missing: entries that are neither there nor in the depot.
        unfit: why nothing can be measured there now, such as a disk that is full.
        lacks: why the job's target cannot be measured there, such as a runtime that cannot be had; others can be.
        evaluation: the entry of the cache that the outcome's evaluation was read from, by its key.
    """

    address: str
    outcome: ProcessOutcome | None = None
    missing: tuple[Entry, ...] = ()
    unfit: str = ""
    lacks: str = ""
    evaluation: tuple[str, Mapping[str, Json]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildAnswer:
    """What came of a build on a host.

    Attributes:
        built: of every variant that was asked for.
        source: what its weights are known by on every host with the same packages; None where that is not known.
        resolution: which weights its request got, without what is true of that host alone.
        trained: weights that were trained for it.
    """

    built: Mapping[tuple[str, str], Built]
    source: str | None = None
    resolution: Mapping[str, Json] | None = None
    trained: tuple[Entry, ...] = ()


def classes(hosts: Sequence[FleetHost]) -> dict[str, list[FleetHost]]:
    """Hosts that measure, by class."""
    found: dict[str, list[FleetHost]] = {}
    for one in hosts:
        if not one.refused and one.slots:
            found.setdefault(one.host_class, []).append(one)
    return found
