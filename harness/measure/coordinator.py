"""Measure a case: fresh worker processes one after the other, each warmed up, sampled and reaped.

The coordinator sleeps in a blocking read while a worker times; between bursts it decides whether to go on.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import scratch
from harness.errors import WorkerError, WorkerRefusal
from harness.measure import energy, gpu, host, memory, placement, profile, reference_workload
from harness.measure.bursts import OPEN_DEADLINE_S, burst, is_duration
from harness.measure.pacing import Pace, Paced, pace
from harness.measure.placement import NodeRow
from harness.measure.reference_workload import ReferenceLost, ReferenceTimes
from harness.measure.scenarios import Driver
from harness.measure.transfers import TransferTimes
from harness.records import HostInfo, ProcessSamples, RuntimeInfo, Target
from harness.records.scenario import Scenario
from harness.records.values import ValueEntry, ValueSet
from harness.runtimes.client import Client

FLOOR_MODEL = Path(__file__).with_name("floor.onnx")
"""A graph with one node (Relu on one float); through the same path it costs what the binding itself costs."""

BUSY_MODEL = Path(__file__).with_name("square.onnx")
"""A graph with one MatMul of 256 x 256 floats."""

FLOOR_BUDGET_S = 0.6
PROFILE_S, MOST_PROFILED, PROFILE_DEADLINE_S = 2.0, 21, 120.0
"""Seconds of inference that a profile takes, and the most runs, the first of which is warm-up."""

FLOOR_BUDGET = "HARNESS_FLOOR_BUDGET"
"""Seconds of inference that a floor is timed for, and a variable of the environment that sets others.

Tests set it: they run hundreds of workers, and need a floor but no precise one.
"""

MEMORY = "memory"
"""What a worker lacks whose model runs in processes that are not its own."""

NEAR_FLOOR = 20.0
"""A median within this factor of the floor says more about the binding than about the model."""

ClientFactory = Callable[[], AbstractContextManager[Client]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What a worker is to open: a model file, how to run it, and what to feed it.

    Attributes:
        feeds: input name -> its examples; a path is a .npy file whose axis 0 is the batch axis.
        dims: dynamic axis -> size, `batch` included.
        batch_axes: input name -> the axis that examples are put behind one another on; not needed for paths.
        rows: rows of data in one whole feed, and so the only batch where there is no batch axis.
        rotate: through how many batches of examples inferences rotate, where the worker can; 1 for the first alone.
        seed: tells the arrivals of a server's processes apart.
        before: the tokens that a decoder has read before each example, where its keys and values are of those.
        network: the model and its weights, for a runtime that loads the framework's own network instead of the file.
    """

    model: Path
    target: Target
    optimization: str
    feeds: Mapping[str, Path | ValueEntry]
    dims: Mapping[str, int]
    batch_axes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    rows: int = 1
    rotate: int = 1
    network: Mapping[str, Any] | None = None
    before: ValueEntry | None = None
    seed: int = 0

    def entries(self) -> dict[str, dict[str, Any]]:
        """The protocol's `feeds`."""
        return {
            name: (feed if isinstance(feed, ValueEntry) else ValueEntry(name=name, concatenated=str(feed))).to_json()
            for name, feed in self.feeds.items()
        }

    def tokens_before(self) -> dict[str, Any]:
        """The protocol's `before`."""
        return {"before": self.before.to_json()} if self.before else {}

    def request(self, *, profile: bool = False) -> dict[str, Any]:
        """The arguments of the protocol's `open`."""
        scenario = Scenario.parse(self.target.scenario)
        return {
            "artifact": {"path": str(self.model)},
            "feeds": self.entries(),
            **self.tokens_before(),
            "batch": self.examples,
            "batch_axes": dict(self.batch_axes),
            "threads": {"intra": self.target.intra_threads, "inter": self.target.inter_threads},
            "options": {
                "provider": self.target.provider,
                "provider_options": dict(self.target.provider_options),
                "optimization": self.optimization,
                "config": dict(self.target.session_config),
                "dims": dict(self.dims),
                **({"network": self.network} if self.network else {}),
                **({"plugin": self.target.plugin, "device": self.target.device} if self.target.plugin else {}),
            },
            "profile": profile,
            **({"rotate": self.rotate} if self.rotate > 1 else {}),
            **({"streams": scenario.streams} if scenario.streams > 1 else {}),
            **({"sessions": scenario.sessions} if scenario.sessions > 1 and not profile else {}),
            **({"shared": True} if scenario.shared and not profile else {}),
        }

    @property
    def examples(self) -> int:
        """How many examples make the batch: one where a feed is taken as it is, with all the rows of a fixed batch."""
        rows = any(isinstance(feed, Path) or feed.concatenated for feed in self.feeds.values())
        whole = not self.batch_axes and not rows
        return 1 if whole and self.target.batch == self.rows else self.target.batch

    def all_examples(self, examples: int, folder: Path) -> dict[str, Any]:
        """The arguments of the protocol's `outputs`."""
        return {
            "feeds": self.entries(),
            **self.tokens_before(),
            "examples": examples,
            "batch": self.target.batch,
            "folder": str(folder),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One process's samples, what its session was granted, and the runtime that ran it.

    Attributes:
        notes: what the worker has to say of how it runs the model.
        examples: how many batches of examples its inferences rotated through.
        host: the device that the worker ran on; None where that is this host.
    """

    samples: ProcessSamples
    placement: Mapping[str, float]
    runtime: RuntimeInfo
    notes: tuple[str, ...] = ()
    examples: int = 1
    host: HostInfo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What an artifact computes, and with which kernels, on which providers.

    Attributes:
        kernels: executed kernels of one run.
        outputs: where the outputs are, relative to the folder that was given.
        nodes: what each node took over all runs, as the worker profiled it.
        lacks: what of it the worker cannot say -> why.
        placed: provider -> nodes.
        behind: operator -> kernels of one run that other providers ran than the one that was asked for.
    """

    kernels: Mapping[str, int]
    time_share: Mapping[str, float]
    arithmetic: Mapping[str, float]
    runtime: RuntimeInfo
    placement: Mapping[str, float] = dataclasses.field(default_factory=dict)
    outputs: ValueSet = dataclasses.field(default_factory=ValueSet)
    nodes: Sequence[NodeRow] = ()
    lacks: Mapping[str, str] = dataclasses.field(default_factory=dict)
    placed: Mapping[str, int] = dataclasses.field(default_factory=dict)
    behind: Mapping[str, int] = dataclasses.field(default_factory=dict)


def utc_now() -> str:
    """This moment, UTC, ISO 8601 with milliseconds."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")


def time_process(
    workload: Workload,
    plan: Pace,
    *,
    client: ClientFactory = Client,
    on_burst: Callable[[], None] | None = None,
    reference: bool = True,
    afterwards: Callable[[Client], None] = lambda _: None,
) -> Timed:
    """Measure once, in a fresh process; in another one where the first does not survive the reference workload.

    Args:
        workload: what to run.
        plan: how to warm up and when to stop.
        client: starts the worker.
        on_burst: called between bursts, while the worker is idle; must return quickly.
        reference: whether to time the reference workload before and after, where the worker knows how to.
        afterwards: called with the worker once all is timed and read, while it lives, so that what else is asked of the
            model takes no second process; must not raise.

    Raises:
        WorkerRefusal: if the runtime cannot run it.
        WorkerError: if the worker dies, hangs or answers nonsense.
    """
    try:
        return timed_once(workload, plan, client, on_burst, reference, afterwards)
    except ReferenceLost as lost:
        found = timed_once(workload, plan, client, on_burst, reference=False, afterwards=afterwards)
        samples = dataclasses.replace(found.samples, reference_problem=str(lost))
        return dataclasses.replace(found, samples=samples)


def timed_once(
    workload: Workload,
    plan: Pace,
    client: ClientFactory,
    on_burst: Callable[[], None] | None,
    reference: bool,
    afterwards: Callable[[Client], None] = lambda _: None,
) -> Timed:
    """As `time_process`, in one process.

    Raises:
        ReferenceLost: if the worker died of the reference workload before there were samples.
        WorkerRefusal, WorkerError: as `time_process`.
    """
    started_at = utc_now()
    after, drive = ReferenceTimes(), Driver(workload)
    with client() as worker:
        looked = time.perf_counter_ns()
        empty = held_bytes(worker, workload)
        looked = time.perf_counter_ns() - looked
        opened = drive.open(worker)
        session_peak = None if MEMORY in worker.lacks else worker.peak_rss_bytes()
        first_ns = burst(worker, 1, OPEN_DEADLINE_S)[0][0]
        cold_ns = time.perf_counter_ns() - worker.started_ns - looked
        drive.settle(worker)
        before = reference_workload.take(worker) if reference else ReferenceTimes()
        preempted: list[int | None] = []
        bursts = pace(drive.plan(plan), first_ns)
        n, done = next(bursts), 0
        elsewhere = "device" in worker.hello
        held_after, on_gpu = memory.Readings(worker.pid), gpu.GpuWatch(workload.target, worker.pid, elsewhere=elsewhere)
        spent, copies = (
            energy.EnergyReadings(energy.found_for(workload.target, elsewhere=elsewhere)),
            TransferTimes(worker, plan.budget_s),
        )
        while True:
            spent.start()
            durations, switches = drive.burst(worker, n, deadline(plan, first_ns, n))
            spent.take(len(durations), sum(durations) / 1e9 / drive.scenario.streams)
            preempted.append(switches)
            done += len(durations)
            held_after.take(done)
            on_gpu.look()
            copies.take(done)
            if on_burst is not None:
                on_burst()
            try:
                n = bursts.send(durations)
            except StopIteration as stop:
                paced: Paced = stop.value
                took = spent.each(len(paced.warmup_ns))
                break
        driven = drive.finish(worker, paced, plan)
        paced = driven.paced
        peak = None if MEMORY in worker.lacks else worker.peak_rss_bytes()
        held = held_bytes(worker, workload)
        runtime = worker.runtime
        if reference:
            try:
                after = reference_workload.take(worker)
            except ReferenceLost as lost:
                after = ReferenceTimes(problem=str(lost))
        if not after.problem:
            afterwards(worker)
    known = [p for p in preempted if p is not None]
    samples = ProcessSamples(
        started_at=started_at,
        session_ns=opened["session_ns"],
        first_inference_ns=first_ns,
        warmup_ns=paced.warmup_ns,
        samples_ns=paced.samples_ns,
        steady=paced.steady,
        stop=paced.stop,
        peak_rss_bytes=peak,
        preempted=sum(known) if known else None,
        reference_before_ns=before.busy_ns,
        reference_after_ns=after.busy_ns,
        floor_before_ns=before.floor_ns,
        floor_after_ns=after.floor_ns,
        reference_problem=before.problem or after.problem,
        model_bytes=memory.added(empty, held),
        session_cpu_ns=busy if is_duration(busy := opened.get("session_cpu_ns")) else None,
        session_peak_bytes=session_peak,
        cold_ns=cold_ns,
        growth_bytes=None if MEMORY in worker.lacks else held_after.growth(),
        example_ns=driven.example_ns,
        rate=driven.rate,
        chosen_batch=driven.chosen_batch,
        energy_j=took.joules,
        energy_source=took.source,
        transfer_ns=copies.median_ns(len(paced.warmup_ns)),
    )
    return Timed(
        samples=samples,
        placement=placement.shares(placed(opened)),
        runtime=runtime,
        notes=(*map(str, opened.get("notes") or ()), *driven.notes, *on_gpu.notes(), *copies.notes()),
        examples=rotated(opened),
        host=host.elsewhere(worker.hello["device"]) if isinstance(worker.hello.get("device"), dict) else None,
    )


def held_bytes(worker: Client, workload: Workload) -> int | None:
    """What a worker holds of its own and of the model's files; None where the model runs in other processes."""
    return None if MEMORY in worker.lacks else memory.held_bytes(worker.pid, workload.model.parent)


def rotated(opened: Mapping[str, Any]) -> int:
    """Through how many batches a worker that has opened rotates: one where it does not know how to."""
    found = opened.get("examples")
    return found if type(found) is int and found > 0 else 1


def placed(opened: Mapping[str, Any]) -> Mapping[str, int]:
    """Provider -> nodes, of a worker's reply to `open`.

    Raises:
        WorkerError: the reply is not the protocol.
    """
    nodes = (opened.get("runtime") or {}).get("placement")
    if not isinstance(nodes, Mapping):
        raise WorkerError(f"the worker's reply to `open` has no placement: {str(opened)[:80]}")
    return nodes


def written(answer: Mapping[str, Any]) -> ValueSet:
    """The files of a worker's reply to `outputs`.

    Raises:
        WorkerError: the reply is not the protocol.
    """
    try:
        return ValueSet.from_json(answer["outputs"])
    except (KeyError, TypeError, ValueError) as error:
        raise WorkerError(f"the worker's reply to `outputs` names no files: {str(answer)[:80]}") from error


def deadline(plan: Pace, first_ns: int, n: int) -> float:
    """Seconds that a burst may take before the worker counts as hung: generous, since a host may stall."""
    return 60.0 + 20.0 * (plan.budget_s + n * first_ns / 1e9)


def observe(
    workload: Workload,
    *,
    examples: int,
    folder: Path,
    client: ClientFactory = Client,
    packed: placement.Packed | None = None,
) -> Observed:
    """Run every example once and profile some runs, in a process that is not timed, or not any more.

    Writes value files into `folder`, where paths were fed `<index>.npy` per output with the batch axis first.
    `packed` has the nodes whose bits the file states.

    Raises:
        WorkerRefusal, WorkerError: as `time_process`.
    """
    batch = workload.target.batch
    with client() as worker:
        opened = worker.ask("open", OPEN_DEADLINE_S, **workload.request())
        first_ns = burst(worker, 1, OPEN_DEADLINE_S)[0][0]
        limit = 120.0 + 20.0 * examples / batch * first_ns / 1e9
        answer = worker.ask("outputs", limit, **workload.all_examples(examples, folder))
        answer_nodes: Mapping[str, Any] = {"nodes": ()}
        if "profile" not in worker.lacks:
            worker.ask("open", OPEN_DEADLINE_S, **workload.request(profile=True))
            burst(worker, profiled_runs(first_ns), limit)
            answer_nodes = profile.take(worker, PROFILE_DEADLINE_S)
        rows = answer_nodes["nodes"]
        if placement.lacks_shapes(rows, packed):
            rows = placement.with_shapes(rows, unpacked(worker, workload, limit), packed)
        return Observed(
            kernels=placement.kernels(rows, answer_nodes.get("runs", 1)),
            time_share=placement.time_shares(rows),
            arithmetic=placement.arithmetic(rows),
            runtime=worker.runtime,
            placement=placement.shares(placed(opened)),
            outputs=written(answer),
            nodes=tuple(map(tuple, rows)),
            lacks=worker.lacks,
            placed=placed(opened),
            behind=placement.behind(rows, workload.target.provider, answer_nodes.get("runs", 1)),
        )


def computed(workload: Workload, *, examples: int, folder: Path, client: ClientFactory = Client) -> ValueSet:
    """The outputs of every example alone, as `observe` has them.

    Raises:
        WorkerRefusal, WorkerError: as `time_process`.
    """
    with client() as worker:
        worker.ask("open", OPEN_DEADLINE_S, **workload.request())
        first_ns = burst(worker, 1, OPEN_DEADLINE_S)[0][0]
        limit = 120.0 + 20.0 * examples / workload.target.batch * first_ns / 1e9
        return written(worker.ask("outputs", limit, **workload.all_examples(examples, folder)))


def profiled_runs(first_ns: int) -> int:
    """How many runs are profiled: as many as fit in `PROFILE_S`, from 3 to `MOST_PROFILED`."""
    return max(3, min(MOST_PROFILED, int(PROFILE_S * 1e9 / max(first_ns, 1))))


def unpacked(worker: Client, workload: Workload, limit: float) -> Sequence[NodeRow]:
    """A profile in which kernels do not pack their weights, so that the shapes of these are in it.

    Its times are those of no session that anybody would use. Empty where the runtime has no such setting.

    Raises:
        WorkerError: as `time_process`.
    """
    request = workload.request(profile=True)
    request["options"]["config"]["session.disable_prepacking"] = "1"
    try:
        worker.ask("open", OPEN_DEADLINE_S, **request)
        burst(worker, 1, limit)
        rows: Sequence[NodeRow] = profile.take(worker, PROFILE_DEADLINE_S)["nodes"]
    except WorkerRefusal:
        return ()
    return rows


def floor(target: Target, *, client: ClientFactory = Client) -> tuple[float, RuntimeInfo]:
    """The median of a one-node model on this provider, in seconds, and the runtime that ran it.

    Raises:
        WorkerRefusal: also if the provider is missing or does not take the node: then it cannot run here.
        WorkerError: as `time_process`.
    """
    budget_s = float(os.environ.get(FLOOR_BUDGET) or FLOOR_BUDGET_S)
    plan = Pace(budget_s=budget_s, ci_width=0.01, least_warmup_s=0.1, least_sampling_s=min(0.1, budget_s / 2))
    timed = shipped(FLOOR_MODEL, (1,), target, plan, client)
    if timed.placement and not timed.placement.get(target.provider):
        raise WorkerRefusal("provider", f"{target.provider} loads but takes no node of a one-node model")
    return statistics.median(timed.samples.samples_ns) / 1e9, timed.runtime


def busywork(target: Target, seconds: float, *, client: ClientFactory = Client) -> ProcessSamples:
    """Time a matrix product that fits the caches, in a fresh process: the host's own noise, and no model's.

    Raises:
        WorkerError: as `time_process`.
    """
    plan = Pace(budget_s=seconds, ci_width=0.0)
    return shipped(BUSY_MODEL, (256, 256), target, plan, client).samples


def computes(target: Target, precision: str, *, client: ClientFactory = Client) -> None:
    """Run a matrix product in float16 or bfloat16 once; returns where the provider has a kernel for it.

    Raises:
        WorkerRefusal: if it has none.
        WorkerError: as `time_process`.
    """
    plan = Pace(budget_s=0.01, ci_width=0.0)
    shipped(BUSY_MODEL.with_name(f"square_{precision}.onnx"), (256, 256), target, plan, client)


def shipped(model: Path, shape: tuple[int, ...], target: Target, plan: Pace, client: ClientFactory) -> Timed:
    """Time a model that comes with harness, whose one input `x` is floats of this shape."""
    import numpy as np

    with scratch.folder("floor") as folder:
        feed = folder / "x.npy"
        np.save(feed, np.full(shape, 0.5, dtype=np.float32))
        target = dataclasses.replace(target, batch=shape[0])
        workload = Workload(model=model, target=target, optimization="all", feeds={"x": feed}, dims={})
        return time_process(workload, plan, client=client, reference=False)
