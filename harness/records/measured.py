"""What was measured. Times are integers in nanoseconds where a clock gave them, and seconds where they are statistics.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.records.asked import Case, Json
from harness.records.built import Artifact
from harness.records.origin import HostInfo, RuntimeInfo
from harness.records.status import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSamples:
    """Everything that one fresh worker process timed, in order.

    Attributes:
        started_at: UTC, ISO 8601.
        first_inference_ns: the first run in the process, also not part of `samples_ns`.
        warmup_ns: the runs before steady state, `first_inference_ns` not included.
        samples_ns: one entry per inference of the whole batch, in the order they ran. Like `warmup_ns` an array of
            64-bit integers where it was measured or read: there may be tens of thousands.
        steady: whether steady state was detected, rather than the warm-up limit reached.
        stop: `precise` (interval as narrow as asked), `time` (budget) or `count` (most samples kept).
        peak_rss_bytes: the worker's peak resident memory, read from outside; None where the OS does not tell.
        model_bytes: what opening and running the model added to the memory that the worker holds of its own, read while
            it is idle: before the session is created and after sampling; None where the OS does not tell.
        preempted: involuntary context switches while sampling; None where unknown.
        reference_before_ns, reference_after_ns: what a small compute-bound model took in the same process just before
            warm-up and just after sampling: the host's pace; None where the worker does not know it or failed at it.
        floor_before_ns, floor_after_ns: the same of a model with one node.
        reference_problem: why it failed; empty where it did not.
        session_cpu_ns: processor time of all threads while the session was created; None where the worker does not say.
        session_peak_bytes: peak resident memory once it was created; None where the OS does not tell.
        cold_ns: from the start of the process to its first result; None where that is not known.
        cold_disk_ns: the same of another process, whose files had been dropped from the page cache; None where nobody
            asked for it, or it could not be done.
        cold_resident: the share of the artifact's files that was in the page cache all the same.
        growth_bytes: by how much memory grew in 1000 inferences; None where there were too few to say.
        example_ns: the time per example at the throughput of its scenario; None in single-stream.
        rate: requests per second that arrived, where the scenario is a server's; the highest that kept its bound.
        chosen_batch: examples per inference that were chosen, where the scenario is offline.
        energy_j: of one inference of the whole batch, over the samples; None where no counter tells.
        energy_source: the counters, such as `RAPL package-0`; where there is no `energy_j`, why.
        transfer_ns: copying the inputs of a batch to the device and its outputs back, which is in no sample: the median
            of copies between bursts; None where they lie in the host's memory, or the worker does not say.
    """

    started_at: str
    session_ns: int
    first_inference_ns: int
    warmup_ns: Sequence[int]
    samples_ns: Sequence[int]
    steady: bool
    stop: str
    peak_rss_bytes: int | None = None
    preempted: int | None = None
    model_bytes: int | None = None
    reference_before_ns: int | None = None
    reference_after_ns: int | None = None
    floor_before_ns: int | None = None
    floor_after_ns: int | None = None
    reference_problem: str | None = ""
    session_cpu_ns: int | None = None
    session_peak_bytes: int | None = None
    cold_ns: int | None = None
    cold_disk_ns: int | None = None
    cold_resident: float | None = None
    growth_bytes: int | None = None
    example_ns: float | None = None
    rate: float | None = None
    chosen_batch: int | None = None
    energy_j: float | None = None
    energy_source: str | None = ""
    transfer_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """A process of a case that gave no samples: it died, hung, or ran out of memory.

    Attributes:
        process: which one, from 1.
        started_at: UTC, ISO 8601.
    """

    process: int
    started_at: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedInputs:
    """What timed inferences were fed.

    Attributes:
        mode: `rotate` through the evaluation examples, or `fixed`: the first batch of them, every time.
        examples: through how many batches they rotated; 1 where the worker could not.
    """

    mode: str
    examples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPace:
    """What the reference workload took over the processes of a case, in seconds: how fast the host was meanwhile.

    Attributes:
        median_s: over the processes, before and after their samples.
        low_s, high_s: the fastest and the slowest.
    """

    median_s: float
    low_s: float
    high_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SideSamples:
    """One side of one pair: what a fresh process gave.

    Attributes:
        bursts_ns: per burst, the mean time of one inference.
        session_ns, first_inference_ns, peak_rss_bytes, model_bytes: as in `ProcessSamples`.
        energy_j: of one inference, over the bursts; None where no counter tells.
    """

    session_ns: int
    first_inference_ns: int
    bursts_ns: tuple[float, ...]
    peak_rss_bytes: int | None = None
    model_bytes: int | None = None
    energy_j: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two fresh processes, alive together, bursts in random order.

    Attributes:
        phase: `screen` or `confirm`.
        log_ratio: median over bursts of log(head / base).
        started_at: UTC, ISO 8601.
        order: the sides in the order in which they ran, `b` or `h` per burst.
        pinned: whether both processes were held to the same processor cores, which they used in turn.
        host: which host of a fleet measured it; empty where there is no fleet.
    """

    phase: str
    log_ratio: float
    base: SideSamples
    head: SideSamples
    started_at: str
    order: str = ""
    pinned: bool = False
    host: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Fresh processes of several cases, alive together, bursts in random order: a pair with any number of sides.

    Attributes:
        members: name -> what its process gave; burst k of all of them are neighbours in time.
        started_at: UTC, ISO 8601.
        order: the members in the order in which they ran, one per burst.
        pinned: as of a pair.
    """

    members: Mapping[str, SideSamples]
    started_at: str
    order: tuple[str, ...] = ()
    pinned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Steady-state latency of one inference of the whole batch, over all processes; seconds.

    `stop` is `precise` when the interval is as narrow as was asked, else `time`. Percentiles are upper bounds as
    `percentile_rule` says, and None where n is too small for them (see `harness.stats.estimate`); without a rule they
    are the plain ranks of all samples together, as earlier versions took them.

    `ci95_*_s` is the interval of the long-run median. Where the host drifted while the sweep went on, it is wider than
    `run95_*_s`, the interval under the conditions of this run, which cases of one run are compared by; None where both
    are the same.
    """

    median_s: float
    ci95_low_s: float
    ci95_high_s: float
    mean_s: float
    min_s: float
    p90_s: float | None
    p95_s: float | None
    p99_s: float | None
    n: int
    processes: int
    stop: str
    warmup_n: int
    percentile_rule: str | None = None
    run95_low_s: float | None = None
    run95_high_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """Closeness to the fp32 reference on the same inputs, the worst part of all; None where it would mean nothing.

    Attributes:
        centred_sqnr_db: of the worst output or part of one, of those that are floating-point numbers.
        max_abs: 0 where every output is the reference's own, of whatever type.
        equal: the least share of equal values of an output of whole numbers, booleans or text.
        rank: the least share of the best scores that are the best ones still.
        unmatched: values and rows that one side alone has.
        worst: the part whose `centred_sqnr_db` it is, or that is dead; empty where there is only one.
        faults: what puts it outside every budget, such as `output0 channel 4 is dead: ...`.
        reason: why there is no number, or not of every output.
    """

    centred_sqnr_db: float | None
    sqnr_db: float | None
    cosine: float | None
    max_abs: float | None
    top1_agreement: float | None
    equal: float | None = None
    rank: float | None = None
    unmatched: int = 0
    worst: str = ""
    faults: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """A task metric on labelled data. `drop` is reference minus value: larger is worse.

    `drop_low` and `drop_high` are the 95% interval of the drop, example by example (Tango's score interval for paired
    shares); None where the metric is not a share of right answers.
    """

    metric: str
    value: float
    reference: float
    drop: float
    n: int
    drop_low: float | None = None
    drop_high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartFidelity:
    """Closeness of one output, or of one part of it, to the reference; None where a number would mean nothing.

    Attributes:
        output: its name.
        part: which part, such as `channel 4`; empty for the whole output.
        n: examples.
        equal: share of values that are the reference's, where values are integers, booleans or text.
        rank: share of the reference's best scores that are among the artifact's best ones; for values in 0..1.
        unmatched: values that are NaN or infinite on one side alone, and rows or elements that one side alone has.
        status: `` where the numbers say all; `constant` where the reference does not vary over the examples; `dead`
            where it does and the artifact's values do not; `not finite` and `missing` where values are unmatched
            because they are not numbers or not there; `random` where two runs of the reference differ.
    """

    output: str
    part: str = ""
    n: int = 0
    centred_sqnr_db: float | None = None
    sqnr_db: float | None = None
    cosine: float | None = None
    max_abs: float | None = None
    equal: float | None = None
    rank: float | None = None
    unmatched: int = 0
    status: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricValue:
    """One metric of a task on one artifact.

    Attributes:
        name: such as `top1`.
        unit: `fraction`, or the unit of the labels; empty for a plain number.
        direction: `higher` or `lower` is better.
        value, reference: the artifact's, and the fp32 reference's own on the same examples.
        drop: how much worse than the reference, in the metric's unit: positive is worse, whatever the direction.
        low, high: 95% interval of the value over the examples.
        drop_low, drop_high: 95% interval of the drop, paired by example.
        n: examples.
        note: how it was read from the outputs, where that was not said in the zoo.
    """

    name: str
    unit: str
    direction: str
    value: float
    reference: float | None = None
    drop: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    drop_low: float | None = None
    drop_high: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleScores:
    """One metric, example by example.

    Attributes:
        metric, unit, direction: as in `MetricValue`.
        values, reference: the artifact's and the fp32 reference's own, one for each entry of `examples`.
        examples: which examples a value is of: one, or the two of a pair.
    """

    metric: str
    unit: str
    direction: str
    values: tuple[float, ...]
    reference: tuple[float, ...]
    examples: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedScores:
    """What an artifact adds to the metric that a gate decides on, example by example.

    Attributes:
        metric, unit, direction: as in `MetricValue`.
        values: one number per example, as `harness.tasks.base.Paired` has them of one side.
        right: whether an answer is either right or wrong.
        span: the largest difference that one example can make, in the metric's unit.
    """

    metric: str
    unit: str
    direction: str
    values: tuple[float, ...]
    right: bool = False
    span: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleAnswer:
    """What was asked and answered in one of the examples that changed the most.

    Attributes:
        examples: which, as in `ExampleScores`.
        truth, reference, answer: what is true, what the fp32 reference says, and what the artifact says, in JSON.
        pictures: what it was shown, a PNG in base64 for each example that is a picture.
        shrunk: every how many pixels of an input one is in its picture.
    """

    examples: tuple[int, ...]
    truth: Json = None
    reference: Json = None
    answer: Json = None
    pictures: tuple[str, ...] = ()
    shrunk: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What one artifact computes on one runtime and provider: deterministic, so done once and cached.

    Attributes:
        fidelity: over all outputs, the worst counts; `parts` has each of them.
        accuracy: the task's first metric on labels, where that is a share.
        metrics: of the task, any number; the notes of them belong to the row.
        kernels: executed kernels by operator, from ONNX Runtime's profile after all optimizations.
        placed: provider -> nodes of the graph that it was assigned.
        behind: operator -> executed kernels that another provider ran than the target's.
        time_share: provider -> share of kernel time.
        arithmetic: element type -> share of compute-kernel time (Conv, Gemm, MatMul, attention and kin).
        computation: element type -> share of the multiplications, which the status follows; no clock is in it.
        precision: what it was judged by: the recipe's claim, or the file's own type where no step changes it.
        remarks: what else there is to know of its arithmetic.
        key: what its results per example are known by; empty where there are none.
        each: every metric example by example; `answers` has what was said in those that changed the most.
        paired: what a gate decides on, so that it need not run the artifact again; None without labels, or where the
            task is a function of the user's.
        placement: provider -> share of the graph's nodes that it was assigned.
        postprocess_s: what a task did with the outputs of one example before they could be judged, such as decoding
            and suppressing boxes: the median, in seconds of processor time; None where that is nothing.
    """

    fidelity: Fidelity | None
    accuracy: Accuracy | None
    kernels: Mapping[str, int] = field(default_factory=dict)
    placed: Mapping[str, int] = field(default_factory=dict)
    behind: Mapping[str, int] = field(default_factory=dict)
    time_share: Mapping[str, float] = field(default_factory=dict)
    arithmetic: Mapping[str, float] = field(default_factory=dict)
    computation: Mapping[str, float] = field(default_factory=dict)
    precision: str = ""
    remarks: tuple[str, ...] = ()
    metrics: tuple[MetricValue, ...] = ()
    parts: tuple[PartFidelity, ...] = ()
    key: str = ""
    each: tuple[ExampleScores, ...] = ()
    answers: tuple[ExampleAnswer, ...] = ()
    paired: PairedScores | None = None
    placement: Mapping[str, float] = field(default_factory=dict)
    postprocess_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a case, always with its reason.

    Attributes:
        placement: provider -> share of the graph's nodes that it was assigned.
        notes: warnings that travel with the numbers, each with its remedy.
        noise: the host at that moment: load average, steal share, spread between processes.
        runtime: what executed it, as the worker said; None where no worker came to speak.
        host: where it was measured; None where nothing ran.
        crashes: its processes that gave no samples.
        stopped: why it was given fewer processes than asked for although nothing is wrong with it; else empty.
    """

    case: Case
    status: Status
    reason: str
    started_at: str
    artifact: Artifact | None = None
    latency: Latency | None = None
    processes: tuple[ProcessSamples, ...] = ()
    evaluation: Evaluation | None = None
    placement: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    noise: Mapping[str, Json] = field(default_factory=dict)
    runtime: RuntimeInfo | None = None
    host: HostInfo | None = None
    crashes: tuple[Crash, ...] = ()
    stopped: str = ""
    timed_inputs: TimedInputs | None = None
    pace: HostPace | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One sweep: one time, one commit. Its outcomes may come from several runtimes and hosts, and say so themselves.

    Attributes:
        id: sortable by time and unique without coordination, such as `20260131T101502Z-3f9c2a`.
        plan: digest of what was asked for, so that an interrupted sweep can be found again.
        commit: the full hash of HEAD, or None outside git; `dirty` says whether the tree differed from it.
        commit_time: of that commit, in milliseconds since the epoch, as asv keeps it.
        fingerprint: digest of the stable fields of the host that coordinates; `host` holds them all.
        versions: of python and every package on the path of a number, beside the coordinator.
        settings: time_per_case, ci_width, processes, order; the run's id is the seed of every round's order.
        floor_s: provider -> the median of a one-node model through the same path, in seconds.
    """

    id: str
    plan: str
    started_at: str
    commit: str | None
    dirty: bool
    commit_time: int | None
    fingerprint: str
    host: Mapping[str, Json]
    versions: Mapping[str, str]
    settings: Mapping[str, Json]
    floor_s: Mapping[str, float] = field(default_factory=dict)
