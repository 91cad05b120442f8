"""What this host can do, found out by doing it."""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import processes, provenance, providers, tested
from harness.build import packages
from harness.errors import StoreError, WorkerError
from harness.measure import coordinator, host
from harness.records import Json, Target, within_run
from harness.runtimes.client import Client
from harness.stats import between, estimate

NOISE_PROCESSES = 6
NOISE_SECONDS = 0.6

BUSY_HOST = 0.10
STOLEN = 0.01
NOISY = 0.03
"""From these shares on, doctor advises: other work on the cores, time stolen by the hypervisor, spread of medians."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameworkFound:
    """What importing a framework gave: `version` (None where it names none), or in `problem` why it does not import."""

    version: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """What was found.

    Attributes:
        host: see `harness.measure.host.facts`.
        runtime: name, version, build and listed providers of the onnxruntime beside harness.
        providers: full name -> None where it ran a node, else why not.
        frameworks: module -> its version, or why it does not import.
        untested: what is installed in another version than the one that harness was tested with.
        floor_s: the measurement floor of the CPU provider in seconds.
        noise: `spread` (relative range of medians over fresh processes), `detectable` (smallest relative difference
            between two cases to believe, drift between runs included), `drift` (how many half-widths of what their
            processes say runs of unchanged work lie apart here, 95 times in 100), `drift_pairs` (pairs of this host's
            runs that it was seen in; 0 where it is another host's, see `estimate.DRIFT`), `load1`, `steal`, `busy`.
        advice: what to do about it, a sentence each.
    """

    host: Mapping[str, Json]
    fingerprint: str
    versions: Mapping[str, str]
    runtime: Mapping[str, Any]
    providers: Mapping[str, str | None]
    frameworks: Mapping[str, FrameworkFound]
    untested: tuple[tested.OtherVersion, ...]
    floor_s: float
    noise: Mapping[str, float | None]
    advice: tuple[str, ...]


def examine(
    *,
    modules: Sequence[str] = (),
    processes: int = NOISE_PROCESSES,
    seconds: float = NOISE_SECONDS,
    results: Path | None = None,
) -> Checkup:
    """Examine this host; takes some ten seconds.

    Args:
        modules: frameworks to import; empty takes all that anything here is built with.
        processes: fresh ones that do the same work, to find out how much it varies.
        seconds: how long each of them works.
        results: where runs of this host may be stored, which tell how far it drifts.

    Raises:
        WorkerError: if not even the CPU provider runs.
    """
    facts = host.facts()
    cpu = Target(name="cpu", provider="CPUExecutionProvider")
    floor_s, runtime = coordinator.floor(cpu)
    apart = drifted(results, host.fingerprint(facts)) if results is not None else []
    noise = noisiness(cpu, processes, seconds, apart)
    return Checkup(
        host=facts,
        fingerprint=host.fingerprint(facts),
        versions=provenance.versions(packages.distributions()),
        runtime={
            "name": runtime.name,
            "version": runtime.version,
            "build": runtime.build,
            "providers": list(runtime.providers),
        },
        providers={name: try_provider(name) for name in runtime.providers},
        frameworks=imports(modules or packages.modules()),
        untested=tested.others(tested.read()),
        floor_s=floor_s,
        noise=noise,
        advice=advice(facts, noise),
    )


def try_provider(provider: str) -> str | None:
    """Run one node on a provider; None where that worked, else the reason, on one line."""
    try:
        coordinator.floor(Target(name=providers.short_name(provider), provider=provider))
    except WorkerError as error:
        return " ".join(str(error).split())
    return None


def drifted(results: Path, fingerprint: str) -> list[float]:
    """How far this host's stored runs of the same artifact and runtime lie apart, in half-widths, sorted.

    A folder that cannot be read says nothing.
    """
    from harness.store import query
    from harness.store.rows import runtime_of

    try:
        rows = query.query(results, all_runs=True).rows
    except StoreError:
        return []
    cases: dict[tuple[str, str, str], list[between.RunMiddle]] = {}
    for row in rows:
        latency, artifact = row["latency"] or {}, row["artifact"] or {}
        n = latency.get("processes") or 0
        if row["fingerprint"] == fingerprint and n >= between.LEAST_PROCESSES and artifact.get("digest"):
            low, high = map(math.log, within_run(latency))
            error = (high - low) / 2 / estimate.t_quantile((1 + estimate.CONFIDENCE) / 2, n - 1)
            one = between.RunMiddle(middle=(low + high) / 2, error=error, n=n)
            if error > 0:
                cases.setdefault((row["case"], artifact["digest"], runtime_of(row).label), []).append(one)
    return between.distances(cases.values())


def noisiness(target: Target, processes: int, seconds: float, apart: Sequence[float] = ()) -> dict[str, float | None]:
    """How much one and the same work varies over fresh processes right now.

    Args:
        target: where it runs.
        processes: how many.
        seconds: how long each works.
        apart: distances between runs of this host, see `drifted`; too few of them count as none.
    """
    enough = len(apart) >= between.LEAST_PAIRS
    drift = max(between.at(apart, estimate.CONFIDENCE), 1.0) if enough else estimate.DRIFT
    with Client():  # one start beforehand, so that a cold disk is not taken for noise
        before = host.ticks()
    medians = [statistics.median(coordinator.busywork(target, seconds).samples_ns) for _ in range(processes)]
    return host.noise(before, host.ticks()) | {
        "spread": estimate.spread(medians),
        "detectable": estimate.trusted(medians, drift),
        "drift": drift,
        "drift_pairs": float(len(apart)) if enough else 0.0,
    }


def imports(names: Sequence[str]) -> dict[str, FrameworkFound]:
    """Import each module in a child process, prepared as its framework does where it is one's."""
    code = (
        "import importlib, json, sys\n"
        "from harness import frameworks\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n"
        "        if name in frameworks.names() and (prepare := frameworks.get(name).prepare):\n"
        "            prepare()\n"
        "        version = getattr(importlib.import_module(name), '__version__', None)\n"
        "        found = {'version': None if version is None else str(version)}\n"
        "    except ModuleNotFoundError as error:\n"
        "        found = {'problem': 'not installed' if error.name == name else str(error)}\n"
        "    except Exception as error:\n"
        "        found = {'problem': f'{type(error).__name__}: {error}'}\n"
        "    print(json.dumps([name, found]), file=sys.stderr, flush=True)\n"
    )
    done = processes.run_text([sys.executable, "-c", code, *names], deadline_s=processes.step_deadline_s())
    ended = FrameworkFound(problem=f"the interpreter ended with exit code {done.returncode} while importing it")
    found = dict.fromkeys(names, ended)
    for line in done.stderr.splitlines():
        if line.startswith('["'):
            name, of = json.loads(line)
            found[name] = FrameworkFound(**of)
    return found


def advice(facts: Mapping[str, Json], noise: Mapping[str, float | None]) -> tuple[str, ...]:
    """What a person can do about this host's noise; empty where nothing needs doing."""
    said = []
    if (noise.get("busy") or 0.0) > 1 / (facts.get("cores_logical") or 1) + BUSY_HOST:
        said.append("Other programs use the processor: stop them, or measure when the host is idle.")
    if (noise.get("steal") or 0.0) > STOLEN:
        said.append(
            f"The hypervisor gave {noise['steal']:.1%} of the time to other machines: compare sides in pairs of one "
            "run, never with numbers of another day, or use a dedicated host."
        )
    if (noise.get("spread") or 0.0) > NOISY:
        said.append(
            f"The same work differs by {noise['spread']:.1%} between processes: raise --processes and "
            f"--time-per-case, and do not trust differences between two cases below {noise['detectable']:.1%}."
        )
    if facts.get("governor") not in (None, "performance"):
        said.append(f"The frequency governor is {facts['governor']}: set it to `performance` while measuring.")
    usable, logical = facts.get("cores_usable"), facts.get("cores_logical")
    if usable and logical and usable < logical:
        said.append(f"Only {usable} of {logical} cores may be used: keep thread counts at or below {usable}.")
    if facts.get("cpu_limit"):
        said.append(
            f"The container is limited to {facts['cpu_limit']:g} cores by quota, which stalls threads in "
            "mid-inference: use pinned cores (cpuset) instead of a quota."
        )
    return tuple(said)
