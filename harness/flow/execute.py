"""One case, from artifact to outcome: time it, evaluate it, judge what it ran on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import statistics
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.build.cache import Cache
from harness.errors import WorkerError, WorkerRefusal
from harness.flow.preview import SweepSettings
from harness.measure import coordinator, host, placement
from harness.measure.coordinator import ClientFactory, Timed, Workload
from harness.measure.pacing import Pace
from harness.records import (
    Accuracy,
    Artifact,
    Built,
    Case,
    Evaluation,
    Fidelity,
    Latency,
    Outcome,
    ProcessSamples,
    Refusal,
    RuntimeInfo,
    Status,
)
from harness.runtimes.client import Client
from harness.stats import estimate
from harness.units import seconds

UNSUPPORTED_KINDS = ("not_implemented", "provider", "batch")
"""Refusals that mean `nothing here can run it` rather than `it is broken`."""

WIDE_SPREAD = 0.10
"""Between-process spread of the median from which the case says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every case needs besides itself.

    Attributes:
        unusable: target name -> why this host cannot use it.
        floor_s: target name -> the measurement floor of its provider, in seconds.
        fingerprint: the host's.
        on_burst: called while workers are idle.
    """

    cache: Cache
    settings: SweepSettings
    fingerprint: str
    unusable: Mapping[str, str] = field(default_factory=dict)
    floor_s: Mapping[str, float] = field(default_factory=dict)
    client: ClientFactory = Client
    on_burst: Callable[[], None] | None = None

    @property
    def pace(self) -> Pace:
        """How one process is paced."""
        return Pace(budget_s=self.settings.time_per_case / self.settings.processes, ci_width=self.settings.ci_width)


def run_case(case: Case, built: Built, bench: Bench) -> Outcome:
    """Measure one case. Never raises for what is wrong with the case itself: that is its outcome."""
    started_at = coordinator.utc_now()
    if isinstance(built, Refusal):
        return Outcome(case=case, status=built.status, reason=built.reason, started_at=started_at)
    unusable = bench.unusable.get(case.target.name)
    if unusable:
        return Outcome(case=case, status=Status.UNSUPPORTED, reason=unusable, started_at=started_at, artifact=built)
    before = host.ticks()
    timed: list[Timed] = []
    try:
        work = workload(case, built, bench.cache)
        while len(timed) < bench.settings.processes:
            timed.append(coordinator.time_process(work, bench.pace, client=bench.client, on_burst=bench.on_burst))
        evaluation = evaluate(case, built, bench, timed[0].runtime)
    except (WorkerError, ValueError, OSError) as error:
        return refused(case, built, started_at, timed, error)
    samples = tuple(t.samples for t in timed)
    latency = estimate.latency(samples, bench.settings.ci_width)
    status, reason = placement.judge(
        case.recipe.precision, case.target.provider, timed[0].placement, evaluation.arithmetic
    )
    return Outcome(
        case=case,
        status=status,
        reason=reason,
        started_at=started_at,
        artifact=built,
        latency=latency if status.has_numbers else None,
        processes=samples,
        evaluation=evaluation,
        placement=timed[0].placement,
        notes=remarks(samples, latency, bench.floor_s.get(case.target.name)),
        noise=host.noise(before, host.ticks()) | {"spread": spread(samples)},
    )


def refused(case: Case, artifact: Artifact, started_at: str, timed: list[Timed], error: Exception) -> Outcome:
    """The outcome of a case that could not be finished; what was timed before is kept, but makes no number."""
    unsupported = isinstance(error, WorkerRefusal) and error.kind in UNSUPPORTED_KINDS
    where = f"process {len(timed) + 1}: " if timed else ""
    return Outcome(
        case=case,
        status=Status.UNSUPPORTED if unsupported else Status.FAILED,
        reason=f"{where}{error}",
        started_at=started_at,
        artifact=artifact,
        processes=tuple(t.samples for t in timed),
    )


def workload(case: Case, artifact: Artifact, cache: Cache) -> Workload:
    """What a worker is asked to open for this case."""
    folder = cache.reference_dir(artifact.reference.digest)
    feeds = {name: folder / "feeds" / f"{i}.npy" for i, name in enumerate(artifact.reference.inputs)}
    return Workload(
        model=cache.artifact_path(artifact.digest),
        target=case.target,
        optimization=case.recipe.optimization,
        feeds=feeds,
        dims={**case.model.dims, "batch": case.target.batch},
    )


def evaluate(case: Case, artifact: Artifact, bench: Bench, runtime: RuntimeInfo) -> Evaluation:
    """Fidelity, accuracy and kernels of an artifact on a runtime and provider; taken from the cache where known.

    They depend on neither the batch nor the thread count, so one evaluation serves every such case.

    Raises:
        WorkerError: as `coordinator.observe`.
        ValueError: if the outputs have other shapes than the reference, or are not finite.
    """
    target = dataclasses.replace(case.target, batch=1) if batch_is_free(case) else case.target
    asked = {
        "artifact": artifact.digest,
        "reference": artifact.reference.digest,
        "runtime": [runtime.name, runtime.version, runtime.build, *filter(None, [runtime.digest])],
        "provider": [target.provider, dict(target.provider_options), dict(target.session_config)],
        "optimization": case.recipe.optimization,
        "host": bench.fingerprint,
        "task": case.model.task,
    }
    key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    known = bench.cache.evaluation(key)
    if known is None:
        from harness.tasks.score import score

        work = workload(dataclasses.replace(case, target=target), artifact, bench.cache)
        with tempfile.TemporaryDirectory(prefix="harness-outputs-") as folder:
            seen = coordinator.observe(
                work, examples=artifact.reference.examples, folder=Path(folder), client=bench.client
            )
            close, accuracy = score(
                artifact.reference,
                bench.cache.reference_dir(artifact.reference.digest),
                Path(folder),
                case.model.task,
            )
        known = {
            "made_by": f"{case.model.name}/{case.recipe.name} on {target.provider}",
            "of": asked,
            "fidelity": dataclasses.asdict(close),
            "accuracy": dataclasses.asdict(accuracy) if accuracy else None,
            "kernels": dict(seen.kernels),
            "time_share": dict(seen.time_share),
            "arithmetic": dict(seen.arithmetic),
        }
        bench.cache.put_evaluation(key, known)
    return Evaluation(
        fidelity=Fidelity(**known["fidelity"]),
        accuracy=Accuracy(**known["accuracy"]) if known["accuracy"] else None,
        kernels=known["kernels"],
        time_share=known["time_share"],
        arithmetic=known["arithmetic"],
    )


def batch_is_free(case: Case) -> bool:
    """Whether every input is known to leave its first axis open; a file's own inputs are not known here."""
    return bool(case.model.inputs) and all(not i.shape or isinstance(i.shape[0], str) for i in case.model.inputs)


def remarks(processes: tuple[ProcessSamples, ...], latency: Latency, floor_s: float | None) -> tuple[str, ...]:
    """Warnings that travel with the numbers, each with its remedy."""
    notes = []
    unsteady = sum(not p.steady for p in processes)
    if unsteady:
        notes.append(
            f"{unsteady} of {len(processes)} processes reached no steady state while warming up: "
            "give more time (--time-per-case) or quieten the host"
        )
    wide = spread(processes)
    if wide is not None and wide > WIDE_SPREAD:
        notes.append(f"medians differ by {wide:.0%} between processes: quieten the host or raise --processes")
    if floor_s is not None and latency.median_s < coordinator.NEAR_FLOOR * floor_s:
        notes.append(
            f"median is {latency.median_s / floor_s:.1f} times the measurement floor ({seconds(floor_s)}): "
            "a good part of it is the call itself; a larger batch shows the model better"
        )
    return tuple(notes)


def spread(processes: tuple[ProcessSamples, ...]) -> float | None:
    """Relative range of the processes' medians; None for a single process."""
    if len(processes) < 2:  # noqa: PLR2004
        return None
    return estimate.spread([max(statistics.median(p.samples_ns), 1) for p in processes])
