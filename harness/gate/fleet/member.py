"""What runs on a host of a fleet: it gets what a pair needs, starts both sides' workers and measures the pair alone."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from harness import runtime_spec
from harness.build.cache import Cache
from harness.errors import HarnessError, StoreError, UsageError, WorkerError
from harness.fleet import transfer
from harness.flow.execute import workload
from harness.gate.fleet.model import PairAnswer, SentPair, SentSide, SideEntry
from harness.gate.timing import rounds
from harness.measure import host_lock
from harness.measure.coordinator import ClientFactory
from harness.measure.pairs import PairSpec, measure_pair
from harness.paths import cache_root
from harness.runtimes import resolve
from harness.runtimes.clients import WorkerStarter, client_factory, own_package
from harness.runtimes.resolve import Runtime


def measure(sent: SentPair) -> PairAnswer:
    """Measure one pair here; what of the cache is missing is fetched first."""
    try:
        if missing := fetch(sent.entries, sent.depot):
            return PairAnswer(missing=missing)
        spec = pair_spec(sent)
    except (HarnessError, OSError) as error:
        return PairAnswer(refused=" ".join(str(error).split()))
    with host_lock.alone():
        try:
            return PairAnswer(pair=measure_pair(spec, phase=sent.phase))
        except WorkerError as error:
            return PairAnswer(broken=rounds.why(spec, error))


def pair_spec(sent: SentPair) -> PairSpec:
    """What is paired, with this host's own runtimes.

    Raises:
        UsageError: a runtime cannot be had here.
        StoreError: the cache cannot be written.
    """
    return PairSpec(
        workloads={one.role: workload(one.case, one.built, cache(one.folder)) for one in sent.sides},
        clients={one.role: starter(one) for one in sent.sides},
        bursts=sent.bursts,
        burst_s=sent.burst_s,
    )


def starter(side: SentSide, found_by: Callable[[str, Path], Runtime] = resolve.resolve) -> ClientFactory:
    """Starts the worker of a side; a runtime that is not here gets an environment in this host's cache.

    Args:
        side: it.
        found_by: finds the runtime of a spec, in a cache.

    Raises:
        UsageError: the runtime cannot be had here, or the one beside harness is another than the gate's.
        StoreError: the cache cannot be written.
    """
    root, within = cache_root(), side.case.target.limits
    if not side.spec:
        return client_factory(side.case.target, root)
    if not runtime_spec.is_own(side.spec):
        found = found_by(side.spec, root)
        return WorkerStarter(command=found.worker, package=found.package, digest=found.digest, within=within)
    here = resolve.of_interpreter(sys.executable, side.spec)
    if side.version and here.version != side.version:
        raise UsageError(
            f"it has onnxruntime {here.version} beside harness, and {side.role} is measured on {side.version}: install "
            f"that there, or name what both sides are measured on with --base-runtime and --head-runtime"
        )
    return WorkerStarter(command=here.worker, package=own_package(), within=within)


def cache(folder: str) -> Cache:
    """The cache of a side on this host."""
    root = cache_root()
    return Cache(root / folder, root) if folder else Cache(root)


def receive(entry: SideEntry, data: bytes) -> str:
    """Put an entry into this host's cache; why that cannot be, or nothing."""
    try:
        transfer.unpack(cache(entry[0]), entry[1], io.BytesIO(data))
    except (StoreError, OSError) as error:
        return str(error)
    return ""


def fetch(entries: Sequence[SideEntry], depot: str) -> tuple[SideEntry, ...]:
    """Get what is missing from the depot; what is not there either.

    Raises:
        StoreError: the cache cannot be written.
    """
    missing = [one for one in entries if not transfer.has(cache(one[0]), one[1])]
    if depot and missing:
        with contextlib.suppress(transfer.UnreachableDepot):  # from where the gate was started, then
            missing = [one for one in missing if not place(depot, one[0]).fetch(cache(one[0]), one[1])]
    return tuple(missing)


def place(depot: str, folder: str) -> transfer.Depot:
    """Where the entries of a side's cache lie: two sides may have entries of one name that differ."""
    return transfer.Depot(f"{depot.rstrip('/')}/{folder}" if folder else depot)
