"""What runs on a worker of a fleet: it says what its host is, gets what a job needs, and measures it alone."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import installed, runtime_spec
from harness.build import lookup, pipeline
from harness.build.cache import Cache
from harness.confirmation import ConfirmedChoice
from harness.errors import StoreError
from harness.fleet import depot_builds, transfer
from harness.fleet.model import BuildAnswer, Entry, FleetAnswer, SentJob
from harness.flow.confirm import ConfirmJob, confirm_choice
from harness.flow.execute import Job, time_once
from harness.flow.session import BuildAll, TriedTargets, try_targets
from harness.measure import host, host_lock
from harness.paths import cache_root
from harness.records import Case, ModelSpec, Recipe
from harness.runtimes import framework_environments
from harness.runtimes.clients import own_package
from harness.store import files

LABELS = "HARNESS_FLEET_LABELS"
"""What the owner of a host calls it, separated by commas."""

RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "openvino", "torch")

_LOOK_S = 0.1


def describe() -> dict[str, Any]:
    """What this host is, without measuring anything: fields of `FleetHost`."""
    before = host.ticks()
    time.sleep(_LOOK_S)
    here = host.here()
    return {
        "name": str(here.facts.get("name") or ""),
        "host": here,
        "version": _version(),
        "providers": tuple(_providers()) if own_package() else (),
        "runtimes": installed.versions(RUNTIMES),
        "labels": tuple(filter(None, os.environ.get(LABELS, "").split(","))),
        "busy": host_lock.busy(),
        "noise": host.noise(before, host.ticks()),
        "refused": no_room(),
    }


def no_room() -> str:
    """Why this host can keep nothing of a measurement: its cache or its temporary folder is full, or closed to us."""
    for folder in (cache_root(), Path(tempfile.gettempdir())):
        try:
            files.probe(folder)
        except StoreError as error:
            cause = error.__cause__
            return f"cannot write into {folder}: {getattr(cause, 'strerror', '') or error}"
    return ""


def attempt(cases: Sequence[Case]) -> TriedTargets:
    """What the targets of these cases can do on this host; each is tried once in a worker's life."""
    merged = TriedTargets()
    for one in [_tried(case.target.name, case) for case in cases]:
        merged = TriedTargets(
            clients={**merged.clients, **one.clients},
            unusable={**merged.unusable, **one.unusable},
            absent={**merged.absent, **one.absent},
            floors={**merged.floors, **one.floors},
            runtimes={**merged.runtimes, **one.runtimes},
        )
    return merged


def measure(sent: SentJob) -> FleetAnswer:
    """Measure one process of a case here, as `time_once` does; what of the cache is missing is fetched first."""
    address, cache = _address(), Cache(cache_root())
    if why := no_room():
        return FleetAnswer(address=address, unfit=why)
    try:
        if missing := _fetch(cache, sent.entries, sent.depot):
            return FleetAnswer(address=address, missing=missing)
        job = _here(sent.job, cache)
    except StoreError as error:
        if isinstance(error.__cause__, OSError):  # what this host cannot keep or reach, another may
            return FleetAnswer(address=address, unfit=str(error))
        raise
    if job.absent:  # another host may have it
        return FleetAnswer(address=address, lacks=job.absent)
    with host_lock.alone():
        outcome = time_once(job)
    if outcome.reason and (why := no_room()):  # it says nothing of the case, and another host may have room
        return FleetAnswer(address=address, unfit=why)
    evaluation = None
    if outcome.evaluation is not None and (known := cache.evaluation(outcome.evaluation.key)) is not None:
        evaluation = (outcome.evaluation.key, known)
    return FleetAnswer(address=address, outcome=outcome, evaluation=evaluation)


def confirm(job: ConfirmJob, entries: tuple[Entry, ...], depot: str) -> ConfirmedChoice | tuple[Entry, ...]:
    """Confirm a choice here; or what of the cache is missing."""
    cache = Cache(cache_root())
    if missing := _fetch(cache, entries, depot):
        return missing
    here = dataclasses.replace(job, jobs={name: _here(one, cache) for name, one in job.jobs.items()})
    with host_lock.alone():
        return confirm_choice(here)


def build(model: ModelSpec, recipes: Sequence[Recipe], depot: str) -> BuildAnswer:
    """Build variants of a model here, or find them; what came of each. A depot has its say, and gets what was built."""
    cache = Cache(cache_root())
    builds: BuildAll = depot_builds.DepotBuilds(depot) if depot else pipeline.build
    with host_lock.alone():  # nobody measures beside it
        built = builds(cache, [(model, recipes)], on_event=lambda _: None, surround=framework_environments.ensure)
    found = lookup.resolution(cache, model, probe=False)
    return BuildAnswer(
        built=dict(built),
        source=depot_builds.source_name(cache, model),
        resolution=None if found is None else depot_builds.anywhere(found, model),
        trained=() if found is None else tuple(depot_builds.trained_by(found)),
    )


def lacking(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Which of these this host's cache does not have."""
    return _fetch(Cache(cache_root()), entries, "")


def send(entry: Entry) -> bytes:
    """An entry of this host's cache, as it travels through the fleet itself.

    Raises:
        UsageError: it is too large for that.
        StoreError: the cache does not have it.
    """
    return transfer.packed(Cache(cache_root()), entry)


def receive(entry: Entry, data: bytes) -> tuple[str, bool]:
    """Put an entry into this host's cache; why that cannot be, or nothing, and whether it is for want of room."""
    try:
        transfer.unpack(Cache(cache_root()), entry, io.BytesIO(data))
    except StoreError as error:
        return str(error), isinstance(error.__cause__, OSError)
    return "", False


def _here(job: Job, cache: Cache) -> Job:
    """A job as this host does it: with its own cache, its own runtime and its own name."""
    tried, name = _tried(job.case.target.name, job.case), job.case.target.name
    return dataclasses.replace(
        job,
        cache=cache.root,
        client=tried.clients.get(name),
        unusable=tried.unusable.get(name, ""),
        absent=tried.absent.get(name, ""),
        floor_s=tried.floors.get(name),
        runtime=tried.runtimes.get(name),
        host=host.here(),
    )


def _fetch(cache: Cache, entries: Sequence[Entry], depot: str) -> tuple[Entry, ...]:
    """Get what is missing from the depot; what is not there either."""
    missing = [entry for entry in entries if not transfer.has(cache, entry)]
    if depot and missing:
        place = transfer.Depot(depot)
        with contextlib.suppress(transfer.UnreachableDepot):  # from where the sweep was started, then
            missing = [entry for entry in missing if not place.fetch(cache, entry)]
    return tuple(missing)


_TRIED: dict[tuple[Any, ...], TriedTargets] = {}


def _tried(name: str, case: Case) -> TriedTargets:
    """What a target can do here, found out once; a zoo may have changed what stands under its name."""
    if runtime_spec.is_own(case.target.runtime) and not own_package():
        return TriedTargets(absent={name: "no onnxruntime is installed beside harness: pip install onnxruntime"})
    key = (name, repr(dataclasses.replace(case.target, intra_threads=1, batch=1)))
    if key not in _TRIED:
        with host_lock.alone():  # its floor is measured
            _TRIED[key] = try_targets([case], cache_root())
    return _TRIED[key]


@functools.cache
def _providers() -> Sequence[str]:
    import onnxruntime

    found: Sequence[str] = onnxruntime.get_available_providers()
    return found


def _version() -> str:
    import harness

    return harness.__version__


def _address() -> str:
    """The worker's, where there is one: a test calls these functions without."""
    try:
        from distributed import get_worker

        return str(get_worker().address)
    except (ImportError, ValueError):
        return ""


def measured_floor() -> float | None:
    """The median of a one-node model on the CPU, in seconds; None where it cannot be run or somebody measures."""
    from harness.errors import WorkerError
    from harness.measure import coordinator
    from harness.records import Target

    if host_lock.busy():
        return None
    try:
        with host_lock.alone():
            return coordinator.floor(Target(name="cpu", provider="CPUExecutionProvider"))[0]
    except WorkerError:
        return None
