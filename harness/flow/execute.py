"""One case, from artifact to outcome: time a process, evaluate what it computes, judge what is known so far."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import reasons, runtime_spec, scratch, source_files
from harness.build import mobile
from harness.build.cache import Cache
from harness.errors import HarnessError, TaskError, WorkerError, WorkerRefusal
from harness.flow import remarks
from harness.flow.plan import left_out
from harness.flow.preview import SweepSettings
from harness.flow.progress import ProcessOutcome, Progress
from harness.measure import cold, coordinator, host, memory, placement, reference_workload, room, rotation
from harness.measure.coordinator import ClientFactory, Workload
from harness.measure.pacing import Pace
from harness.records import (
    Accuracy,
    Artifact,
    Built,
    Case,
    Evaluation,
    ExampleAnswer,
    ExampleScores,
    Fidelity,
    HostInfo,
    MetricValue,
    Outcome,
    PairedScores,
    PartFidelity,
    ProcessSamples,
    Refusal,
    RuntimeInfo,
    Status,
    Target,
    TimedInputs,
    wire,
)
from harness.runtimes.client import Client
from harness.session_options import SCHEDULING
from harness.stats import estimate

if TYPE_CHECKING:
    from harness.tasks.base import Evaluated

EVALUATION_FORMAT = 8
"""What is kept of an evaluation: 2 since it has the task's metrics, and the fidelity of every output; 3 since fidelity
is that of the worst part, decibels are of floating-point numbers alone, and a class is read from the right output; 4
since the profile is of many runs and tells the work of each kernel; 5 since the bits of weights that the runtime
itself packs are seen and not assumed; 6 since it has every metric example by example; 7 since it counts
the nodes of each provider, and names the operators that stayed behind; 8 since it has what a gate decides on."""

UNSUPPORTED_KINDS = ("not_implemented", "provider", "batch")
"""Refusals that mean `nothing here can run it` rather than `it is broken`."""


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
        process: which process of the case is to be measured, from 0.
        host_class: the fingerprint of the host that earlier processes of the case, or of others that it is compared
            with, ran on; empty where there are none.
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
    process: int = 0
    host_class: str = ""

    @property
    def pace(self) -> Pace:
        """How one process is paced."""
        return Pace(budget_s=self.settings.time_per_case / self.settings.processes, ci_width=self.settings.ci_width)


def run_case(job: Job, *, on_burst: Callable[[], None] | None = None) -> Outcome:
    """Measure one case from its first process to its last. Never raises for what is wrong with the case itself.

    Args:
        job: the case and what it takes.
        on_burst: called while workers are idle; must return quickly.
    """
    progress = Progress()
    while not progress.over(job.settings.processes):
        progress = progress.plus(time_once(dataclasses.replace(job, process=progress.done), on_burst=on_burst))
    return conclude(job, progress)


def time_once(job: Job, *, on_burst: Callable[[], None] | None = None) -> ProcessOutcome:
    """Measure one process of a case. Never raises for what is wrong with the case itself: that is its outcome.

    A worker that answers that it cannot ends the case; one that dies, hangs or runs out of memory ends itself alone.
    """
    case, built = job.case, job.built
    nothing = ProcessOutcome(case=case, process=job.process, started_at=coordinator.utc_now())
    if isinstance(built, Refusal):
        return dataclasses.replace(nothing, ends=built.status, reason=built.reason)
    nothing = dataclasses.replace(nothing, runtime=job.runtime)
    if why := job.absent or job.unusable:
        ended = dataclasses.replace(nothing, ends=Status.FAILED if job.absent else Status.UNSUPPORTED, reason=why)
        return foreseen(ended, job, built)
    if why := left_out(built, case.target.batch):
        return dataclasses.replace(nothing, ends=Status.UNSUPPORTED, reason=why)
    job = dataclasses.replace(job, host=job.host or host.here())
    nothing = dataclasses.replace(nothing, host=job.host)
    ticks = [host.ticks()]
    seen: list[Evaluation | TaskError] = []
    cache = Cache(job.cache)
    libraries: list[Path] = []

    def look(worker: Client) -> None:
        """Evaluate in the process that was timed; where that fails, one of its own decides."""
        ticks.append(host.ticks())
        libraries.extend(cold.mapped(worker.pid))
        again = dataclasses.replace(job, client=lambda: contextlib.nullcontext(worker))
        with contextlib.suppress(Exception):
            try:
                seen.append(evaluate(again, built, worker.runtime, cache))
            except TaskError as error:  # it would do the same again, and maybe for an hour
                seen.append(error)

    try:
        work = dataclasses.replace(workload(case, built, cache), seed=job.process)
        if why := room.too_large(work, built.reference, cache.reference_dir(built.reference.digest)):
            return dataclasses.replace(nothing, ends=Status.FAILED, reason=why)
        timed = coordinator.time_process(
            work, job.pace, client=job.client or Client, on_burst=on_burst, afterwards=look
        )
    except Exception as error:  # noqa: BLE001 # whatever one case does is its own outcome, and the others go on
        refused = isinstance(error, WorkerRefusal) and error.kind != "memory"
        ends = verdict(error) if refused or not isinstance(error, WorkerError) else None
        return dataclasses.replace(nothing, ends=ends, reason=why_not(error, case))
    if job.settings.cold_cache and not timed.host:
        timed = dataclasses.replace(timed, samples=from_disk(timed.samples, work, libraries, job))
    found = dataclasses.replace(
        nothing,
        samples=timed.samples,
        placement=timed.placement,
        runtime=timed.runtime,
        examples=timed.examples,
        notes=timed.notes,
        # What this host did meanwhile says nothing of another one.
        noise={} if timed.host else host.noise(ticks[0], ticks[1] if len(ticks) > 1 else host.ticks()),
        host=timed.host or job.host,
    )
    try:
        evaluation = _known(seen) or evaluate(job, built, timed.runtime, cache)
        found = dataclasses.replace(found, evaluation=evaluation)
    except Exception as error:  # noqa: BLE001 # as above
        found = dataclasses.replace(found, ends=verdict(error), reason=f"its outputs: {why_not(error, case)}")
    return dataclasses.replace(found, remade=cache.remade())


def from_disk(samples: ProcessSamples, work: Workload, libraries: list[Path], job: Job) -> ProcessSamples:
    """With the start of another process whose files were dropped; as they were where that one does not come to it."""
    with contextlib.suppress(HarnessError, OSError):
        if (took := cold.start(work, libraries, job.client or Client)) is not None:
            return dataclasses.replace(samples, cold_disk_ns=took[0], cold_resident=took[1])
    return samples


def _known(seen: Sequence[Evaluation | TaskError]) -> Evaluation | None:
    """What the timed process computed; None where it could not, and another one is to.

    Raises:
        TaskError: it could, and a metric of the user's own made nothing of it.
    """
    found = seen[0] if seen else None
    if isinstance(found, TaskError):
        raise found
    return found


def foreseen(ended: ProcessOutcome, job: Job, built: Artifact) -> ProcessOutcome:
    """As it ended, with what a provider that needs its device would take of the graph, where a checker can tell."""
    target = job.case.target
    if target.provider not in mobile.CHECKED:
        return ended
    dims = {**job.case.model.dims, **({"batch": target.batch} if built.reference.batch_axes else {})}
    found = mobile.usable(target.provider, Cache(job.cache).artifact_path(built.digest), dims)
    if isinstance(found, str):
        return dataclasses.replace(ended, notes=(found,))
    shares = {target.provider: found.share, placement.CPU: 1 - found.share}
    return dataclasses.replace(
        ended, notes=(str(found),), placement={name: share for name, share in shares.items() if share}
    )


def verdict(error: Exception) -> Status:
    """What becomes of a case that could not be finished."""
    unsupported = isinstance(error, WorkerRefusal) and error.kind in UNSUPPORTED_KINDS
    return Status.UNSUPPORTED if unsupported else Status.FAILED


def why_not(error: Exception, case: Case) -> str:
    """Why a case has no number, for a person; sizes that were guessed are named where they may be the cause."""
    reason = reasons.reason_of(error)
    return reason if verdict(error) is Status.UNSUPPORTED else reasons.with_sizes(reason, case.model.dims)


def conclude(job: Job, progress: Progress) -> Outcome:
    """The outcome of a case after the processes that there are, the last of them or not.

    A case has numbers while fewer than half of its planned processes have crashed; what was timed is kept in any
    case.
    """
    planned = job.settings.processes
    outcome = Outcome(
        case=job.case,
        status=progress.ends or Status.FAILED,
        reason=place(progress.reason, progress.done) if progress.ends else "",
        started_at=progress.started_at,
        artifact=job.built if isinstance(job.built, Artifact) else None,
        processes=progress.processes,
        crashes=progress.crashes,
        stopped=progress.stopped,
        timed_inputs=TimedInputs(mode=job.case.model.timed_inputs, examples=progress.examples),
        runtime=progress.runtime,
        host=progress.host,
    )
    if progress.ends or not isinstance(job.built, Artifact):
        return dataclasses.replace(outcome, placement=progress.placement, notes=tuple(progress.notes))
    if progress.lost(planned) or not progress.processes:
        return dataclasses.replace(outcome, reason=crashed(progress))
    evaluation = progress.evaluation
    if evaluation is None and progress.runtime is not None:  # it lies in the cache, since a process was timed
        evaluation = evaluate(dataclasses.replace(job, host=progress.host or job.host), job.built, progress.runtime)
    samples = progress.processes
    latency = estimate.latency(samples, job.settings.ci_width)
    status, reason = placement.judge(
        evaluation.precision if evaluation else job.case.recipe.precision,
        job.case.target.provider,
        progress.placement,
        evaluation.computation if evaluation else {},
        job.case.recipe.optimization,
    )
    if wrong := remarks.wrong_answers(job.case.target, evaluation):
        status, reason = Status.FAILED, wrong
    return dataclasses.replace(
        outcome,
        status=status,
        reason=reason,
        latency=latency if status.has_numbers else None,
        evaluation=evaluation,
        placement=progress.placement,
        pace=reference_workload.pace(samples),
        notes=(
            *progress.notes,
            *(evaluation.remarks if evaluation else ()),
            *remarks.of_samples(samples, latency, job.floor_s),
            *reference_workload.remarks(samples),
            *cold.remarks(samples),
            *memory.remarks([one.growth_bytes for one in samples]),
            *lost_remark(progress),
            *(remarks.of_evaluation(evaluation) if evaluation else ()),
        ),
        noise={**progress.noise, "spread": remarks.spread(samples)},
    )


def place(reason: str, process: int) -> str:
    """A reason with the process that gave it, counted from 1, where it is not the first."""
    return reason if process <= 1 else f"process {process}: {reason}"


def crashed(progress: Progress) -> str:
    """Why a case has no number although its processes could be started."""
    first = progress.crashes[0]
    reason = place(first.reason, first.process)
    if len(progress.crashes) == 1:
        return reason
    return f"{len(progress.crashes)} of {progress.done} processes crashed, the first with: {reason}"


def lost_remark(progress: Progress) -> tuple[str, ...]:
    """What is said of a case that has numbers although some of its processes crashed."""
    if not progress.crashes:
        return ()
    first = progress.crashes[0]
    share = f"{len(progress.crashes)} of {progress.done} processes crashed (process {first.process}: {first.reason})"
    return (f"{share}: the numbers are those of the others; find the cause before this build is shipped",)


def workload(case: Case, artifact: Artifact, cache: Cache) -> Workload:
    """What a worker is asked to open for this case."""
    reference = artifact.reference
    folder = cache.reference_dir(reference.digest)
    feeds = {one.name: one.at(folder) for one in reference.feeds}
    work = Workload(
        model=cache.artifact_path(artifact.digest),
        target=case.target,
        optimization=case.recipe.optimization,
        feeds=feeds,
        dims={**case.model.dims, **({"batch": case.target.batch} if reference.batch_axes else {})},
        batch_axes=reference.batch_axes,
        rows=reference.rows,
        before=next((one.at(folder) for one in reference.before), None),
    )
    if runtime_spec.runs_network(case.target.runtime):
        network = {"model": wire.model_to_json(case.model), "weights": dataclasses.asdict(artifact.weights)}
        work = dataclasses.replace(work, network=network)
    rotate = rotation.batches(feeds, batch=work.examples, examples=reference.examples, mode=case.model.timed_inputs)
    return dataclasses.replace(work, rotate=rotate)


def evaluate(job: Job, artifact: Artifact, runtime: RuntimeInfo, cache: Cache | None = None) -> Evaluation:
    """Fidelity, accuracy and kernels of an artifact on a runtime and provider; taken from the cache where known.

    They depend on neither the batch nor the thread count, so one evaluation serves every such case.

    Args:
        job: the case and what it takes.
        artifact: what is evaluated.
        runtime: what runs it.
        cache: the job's, for whoever wants to hear what in it was damaged.

    Raises:
        WorkerError: as `coordinator.observe`.
        ValueError: if the outputs have other shapes than the reference, or are not finite.
    """
    case, cache, packed = job.case, cache or Cache(job.cache), artifact.stated.get("packed", {})
    target = evaluation_target(case, artifact)
    key, asked = evaluation_of(case, artifact, runtime, job.host or host.here())
    known = cache.evaluation(key)
    found = None if known is None else _evaluation(known, artifact, case)
    if known is None or found is None:
        from harness.tasks import evaluation

        work = workload(dataclasses.replace(case, target=target), artifact, cache)
        with scratch.folder("outputs") as folder:
            seen = coordinator.observe(
                work,
                examples=artifact.reference.examples,
                folder=folder,
                client=job.client or Client,
                packed=packed,
            )
            given = evaluation.stored(
                artifact.reference,
                cache.reference_dir(artifact.reference.digest),
                seen.outputs,
                folder,
                case.model.outputs,
            )
            if runtime_spec.language(case.target.runtime) and (why := unlike_python(job, artifact, work, given)):
                raise ValueError(f"they are not those of Python: {why}")
            held = evaluation.feeds(artifact.reference, cache.reference_dir(artifact.reference.digest))
            scores = evaluation.score(given, case.model.task, held)
        known = {
            "made_by": f"{case.model.name}/{case.recipe.name} on {target.provider}",
            "of": asked,
            "fidelity": dataclasses.asdict(scores.fidelity),
            "accuracy": dataclasses.asdict(scores.accuracy) if scores.accuracy else None,
            "metrics": [dataclasses.asdict(one) for one in scores.metrics],
            "parts": [dataclasses.asdict(one) for one in scores.parts],
            "each": [dataclasses.asdict(one) for one in scores.each],
            "answers": [dataclasses.asdict(one) for one in scores.answers],
            "paired": dataclasses.asdict(scores.paired) if scores.paired else None,
            "placement": dict(seen.placement),
            "postprocess_s": scores.postprocess_s,
            "key": key,
            "kernels": dict(seen.kernels),
            "placed": dict(seen.placed),
            "behind": dict(seen.behind),
            "time_share": dict(seen.time_share),
            "arithmetic": placement.arithmetic(seen.nodes, packed),
            "computation": placement.computation(seen.nodes, packed),
            "inside": placement.inside(seen.nodes, packed),
            "lacks": list(seen.lacks.values()),
        }
        cache.put_evaluation(key, known)
        found = _read(known, artifact, case)
    return found


def evaluation_of(case: Case, artifact: Artifact, runtime: RuntimeInfo, at: HostInfo) -> tuple[str, dict[str, Any]]:
    """What an evaluation, and its results per example, are kept by: a digest of all that it depends on, and that."""
    target = evaluation_target(case, artifact)
    computing = {key: value for key, value in target.session_config.items() if key not in SCHEDULING}
    asked = {
        "format": EVALUATION_FORMAT,
        "artifact": artifact.digest,
        "reference": artifact.reference.digest,
        "runtime": [runtime.name, runtime.version, runtime.build, *filter(None, [runtime.digest])],
        "provider": [target.provider, dict(target.provider_options), computing],
        "optimization": case.recipe.optimization,
        "host": at.fingerprint,
        "task": case.model.task,
        **({"task_code": source_files.digest(task)} if ":" in (task := case.model.task or "") else {}),
        "outputs": dict(case.model.outputs),
        "random": list(artifact.reference.random),
        **({"plugin": [target.plugin, target.device]} if target.plugin else {}),
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest(), asked


def unlike_python(job: Job, artifact: Artifact, work: Workload, given: Evaluated) -> str:
    """How what another language computed differs from what Python does; empty where it does not, or Python cannot tell.

    Raises:
        ValueError, OSError: as `evaluation.stored`.
    """
    from harness.tasks import alike, evaluation

    target = dataclasses.replace(work.target, runtime=runtime_spec.OWN, provider=placement.CPU, provider_options={})
    reference = Cache(job.cache).reference_dir(artifact.reference.digest)
    with scratch.folder("python") as folder:
        try:
            examples = artifact.reference.examples
            found = coordinator.computed(dataclasses.replace(work, target=target), examples=examples, folder=folder)
        except WorkerError:
            return ""
        own = evaluation.stored(artifact.reference, reference, found, folder)
        return alike.difference(own.reference, own.outputs, given.outputs, given.random)


def _evaluation(known: Mapping[str, Any], artifact: Artifact, case: Case) -> Evaluation | None:
    """What the cache has, or None where another version wrote other keys."""
    try:
        return _read(known, artifact, case)
    except (KeyError, TypeError, AttributeError):
        return None


def _read(known: Mapping[str, Any], artifact: Artifact, case: Case) -> Evaluation:
    return Evaluation(
        fidelity=Fidelity(**{**known["fidelity"], "faults": tuple(known["fidelity"]["faults"])}),
        accuracy=Accuracy(**known["accuracy"]) if known["accuracy"] else None,
        kernels=known["kernels"],
        placed=known["placed"],
        behind=known["behind"],
        time_share=known["time_share"],
        arithmetic=known["arithmetic"],
        computation=known["computation"],
        precision=placement.claim(artifact.precision or case.recipe.precision, artifact.stated.get("weights", {})),
        remarks=tuple(filter(None, [known["inside"], *known.get("lacks", ())])),
        metrics=tuple(MetricValue(**one) for one in known["metrics"]),
        parts=tuple(PartFidelity(**one) for one in known["parts"]),
        key=known["key"] if known["each"] else "",
        each=tuple(
            ExampleScores(
                **{
                    **one,
                    "values": tuple(one["values"]),
                    "reference": tuple(one["reference"]),
                    "examples": tuple(map(tuple, one["examples"])),
                }
            )
            for one in known["each"]
        ),
        answers=tuple(
            ExampleAnswer(**{**one, "examples": tuple(one["examples"]), "pictures": tuple(one["pictures"])})
            for one in known["answers"]
        ),
        paired=PairedScores(**{**one, "values": tuple(one["values"])}) if (one := known["paired"]) else None,
        placement=known["placement"],
        postprocess_s=known["postprocess_s"],
    )


def evaluation_target(case: Case, artifact: Artifact) -> Target:
    """The target as outputs are computed on it: one example at a time where there is a batch axis."""
    batch = 1 if artifact.reference.batch_axes else case.target.batch
    return dataclasses.replace(case.target, batch=batch)
