"""One case, from artifact to outcome: time it, evaluate it, judge what it ran on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import reasons
from harness.build.cache import Cache
from harness.errors import WorkerRefusal
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
    HostInfo,
    Latency,
    MetricValue,
    Outcome,
    PartFidelity,
    ProcessSamples,
    Refusal,
    RuntimeInfo,
    Status,
    Target,
)
from harness.runtimes.client import Client
from harness.stats import estimate
from harness.units import seconds

EVALUATION_FORMAT = 2
"""What is kept of an evaluation: 2 since it has the task's metrics, and the fidelity of every output."""

UNSUPPORTED_KINDS = ("not_implemented", "provider", "batch")
"""Refusals that mean `nothing here can run it` rather than `it is broken`."""

WIDE_SPREAD = 0.10
"""Between-process spread of the median from which the case says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Everything that measuring one case takes; it can be pickled, and whoever measures needs no more than folders.

    Attributes:
        cache: root of the cache.
        client: starts a worker of the case's target; None where its runtime cannot be had.
        unusable: why the target cannot be used; empty where it can.
        absent: why its runtime cannot be had, though it could be; else empty.
        floor_s: the measurement floor of the target, in seconds; None where it is not known.
        runtime: what the target's worker said when it was tried, for a case that fails before one speaks.
        host: the one that measures, where somebody has looked already.
    """

    case: Case
    built: Built
    settings: SweepSettings
    cache: Path
    client: ClientFactory | None = None
    unusable: str = ""
    absent: str = ""
    floor_s: float | None = None
    runtime: RuntimeInfo | None = None
    host: HostInfo | None = None

    @property
    def pace(self) -> Pace:
        """How one process is paced."""
        return Pace(budget_s=self.settings.time_per_case / self.settings.processes, ci_width=self.settings.ci_width)


def run_case(job: Job, *, on_burst: Callable[[], None] | None = None) -> Outcome:
    """Measure one case. Never raises for what is wrong with the case itself: that is its outcome.

    Args:
        job: the case and what it takes.
        on_burst: called while workers are idle; must return quickly.
    """
    case, built, started_at = job.case, job.built, coordinator.utc_now()
    if isinstance(built, Refusal):
        return Outcome(case=case, status=built.status, reason=built.reason, started_at=started_at)
    if why := job.absent or job.unusable:
        status = Status.FAILED if job.absent else Status.UNSUPPORTED
        return Outcome(case=case, status=status, reason=why, started_at=started_at, artifact=built)
    job = dataclasses.replace(job, host=job.host or host.here())
    before = host.ticks()
    timed: list[Timed] = []
    try:
        work = workload(case, built, Cache(job.cache))
        while len(timed) < job.settings.processes:
            timed.append(coordinator.time_process(work, job.pace, client=job.client or Client, on_burst=on_burst))
        evaluation = evaluate(job, built, timed[0].runtime)
    except Exception as error:  # noqa: BLE001 # whatever one case does is its own outcome, and the others go on
        return refused(job, built, started_at, timed, error)
    samples = tuple(t.samples for t in timed)
    latency = estimate.latency(samples, job.settings.ci_width)
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
        notes=remarks(samples, latency, job.floor_s),
        noise=host.noise(before, host.ticks()) | {"spread": spread(samples)},
        runtime=timed[0].runtime,
        host=job.host,
    )


def refused(job: Job, artifact: Artifact, started_at: str, timed: list[Timed], error: Exception) -> Outcome:
    """The outcome of a case that could not be finished; what was timed before is kept, but makes no number."""
    unsupported = isinstance(error, WorkerRefusal) and error.kind in UNSUPPORTED_KINDS
    done = len(timed) == job.settings.processes
    where = "its outputs: " if done else f"process {len(timed) + 1}: " if timed else ""
    reason = f"{where}{reasons.told(error)}"
    return Outcome(
        case=job.case,
        status=Status.UNSUPPORTED if unsupported else Status.FAILED,
        reason=reason if unsupported else reasons.with_sizes(reason, job.case.model.dims),
        started_at=started_at,
        artifact=artifact,
        processes=tuple(t.samples for t in timed),
        runtime=timed[0].runtime if timed else job.runtime,
        host=job.host,
    )


def workload(case: Case, artifact: Artifact, cache: Cache) -> Workload:
    """What a worker is asked to open for this case."""
    reference = artifact.reference
    folder = cache.reference_dir(reference.digest)
    return Workload(
        model=cache.artifact_path(artifact.digest),
        target=case.target,
        optimization=case.recipe.optimization,
        feeds={one.name: one.at(folder) for one in reference.feeds},
        dims={**case.model.dims, "batch": case.target.batch},
        batch_axes=reference.batch_axes,
        rows=reference.rows,
    )


def evaluate(job: Job, artifact: Artifact, runtime: RuntimeInfo) -> Evaluation:
    """Fidelity, accuracy and kernels of an artifact on a runtime and provider; taken from the cache where known.

    They depend on neither the batch nor the thread count, so one evaluation serves every such case.

    Raises:
        WorkerError: as `coordinator.observe`.
        ValueError: if the outputs have other shapes than the reference, or are not finite.
    """
    case, cache = job.case, Cache(job.cache)
    target = evaluation_target(case, artifact)
    asked = {
        "format": EVALUATION_FORMAT,
        "artifact": artifact.digest,
        "reference": artifact.reference.digest,
        "runtime": [runtime.name, runtime.version, runtime.build, *filter(None, [runtime.digest])],
        "provider": [target.provider, dict(target.provider_options), dict(target.session_config)],
        "optimization": case.recipe.optimization,
        "host": (job.host or host.here()).fingerprint,
        "task": case.model.task,
    }
    key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    known = cache.evaluation(key)
    if known is None:
        from harness.tasks import evaluation

        work = workload(dataclasses.replace(case, target=target), artifact, cache)
        with tempfile.TemporaryDirectory(prefix="harness-outputs-") as folder:
            seen = coordinator.observe(
                work, examples=artifact.reference.examples, folder=Path(folder), client=job.client or Client
            )
            given = evaluation.stored(
                artifact.reference,
                cache.reference_dir(artifact.reference.digest),
                seen.outputs,
                Path(folder),
            )
            scores = evaluation.score(given, case.model.task)
        known = {
            "made_by": f"{case.model.name}/{case.recipe.name} on {target.provider}",
            "of": asked,
            "fidelity": dataclasses.asdict(scores.fidelity),
            "accuracy": dataclasses.asdict(scores.accuracy) if scores.accuracy else None,
            "metrics": [dataclasses.asdict(one) for one in scores.metrics],
            "parts": [dataclasses.asdict(one) for one in scores.parts],
            "kernels": dict(seen.kernels),
            "time_share": dict(seen.time_share),
            "arithmetic": dict(seen.arithmetic),
        }
        cache.put_evaluation(key, known)
    return Evaluation(
        fidelity=Fidelity(**known["fidelity"]),
        accuracy=Accuracy(**known["accuracy"]) if known["accuracy"] else None,
        kernels=known["kernels"],
        time_share=known["time_share"],
        arithmetic=known["arithmetic"],
        metrics=tuple(MetricValue(**one) for one in known["metrics"]),
        parts=tuple(PartFidelity(**one) for one in known["parts"]),
    )


def evaluation_target(case: Case, artifact: Artifact) -> Target:
    """The target as outputs are computed on it: one example at a time where there is a batch axis."""
    batch = 1 if artifact.reference.batch_axes else case.target.batch
    return dataclasses.replace(case.target, batch=batch)


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
