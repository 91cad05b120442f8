"""The nouns that flow through a sweep, all frozen.

What to measure (`ModelSpec`, `Recipe`, `Target`, `Case`) and what came of it (`Artifact`, `Samples`,
`Outcome`, `Run`) are different types. Standard library only: everything else may import this module.
Times are integers in nanoseconds where they were read from a clock, and floats in seconds where they
are statistics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Json = Any
"""A value that `json.dumps` accepts: None, bool, int, float, str, list or dict of such."""


class Status(StrEnum):
    """What became of a case."""

    MEASURED = "measured"
    EMULATED = "emulated"  # ran, but not in the arithmetic that its variant claims
    UNSUPPORTED = "unsupported"  # nothing here can run it, or the provider took no node
    SKIPPED = "skipped"  # makes no sense for this model
    FAILED = "failed"

    @property
    def has_numbers(self) -> bool:
        """Whether a case of this status carries timings."""
        return self in (Status.MEASURED, Status.EMULATED)


# --- what to measure -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a recipe: `export`, `fuse`, `cast` or `quantize`, with its resolved options."""

    kind: str
    options: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The steps that make one artifact, under the variant's name.

    Attributes:
        precision: the arithmetic that the variant claims: float32, float16, bfloat16, int8 or int4.
        optimization: the session's graph optimization level when measured: disabled, basic, extended or all.
    """

    name: str
    steps: tuple[Step, ...]
    precision: str = "float32"
    optimization: str = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsSpec:
    """Which weights are asked for.

    Attributes:
        kind: `pretrained` (hub or `path`), `seeded` (random, from `seed`) or `trained` (by the model's own code).
        path: a local file or folder that holds pretrained weights, absolute; None asks the source's hub.
        require: fail instead of falling back to seeded weights.
    """

    kind: str = "pretrained"
    seed: int = 0
    path: str | None = None
    require: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """One input of a model: a name, a NumPy dtype and a shape whose string entries are dynamic axes."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSpec:
    """Where examples come from, and how many.

    Attributes:
        source: a module of `harness.data`, such as `digits` or `photos`.
        calibration: examples used to calibrate static quantization.
        evaluation: examples used for fidelity and accuracy, never among the calibration ones.
        options: the source's own settings.
    """

    name: str
    source: str
    calibration: int = 16
    evaluation: int = 16
    options: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a build may cost before it is not good enough; None sets no limit.

    Attributes:
        accuracy_drop: the largest loss of the task metric against the reference, in absolute points (0.01 = 1%).
        accuracy_share: the smallest share of the reference's task metric that must be left (0.99 = 99%), as MLPerf
            sets its accuracy targets; where both are given, both must hold.
        fidelity_db: the smallest centred SQNR in decibels, used where the data has no labels.
        latency_s, size_bytes: upper limits of the median latency and of the artifact.
        structure: what a gate makes of a lost fusion, nodes on another provider, quantized operators that are float
            again, or another signature or opset: `report` it, or `fail`.
    """

    accuracy_drop: float | None = None
    accuracy_share: float | None = None
    fidelity_db: float | None = None
    latency_s: float | None = None
    size_bytes: int | None = None
    structure: str = "report"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """One entry of model_zoo.yaml, with defaults and per-model options resolved.

    Attributes:
        source: a module of `harness.sources`.
        id: what the source calls it: a hub id, an importable `module:callable`, a file.
        task: `classification`, `detection`, `encoder` or None; it chooses the metrics that make sense.
        dims: the size of every dynamic axis but `batch`.
        options: the source's own settings.
        recipes: every variant of the zoo, with this model's step options merged in.
    """

    name: str
    source: str
    id: str
    task: str | None
    weights: WeightsSpec
    inputs: tuple[InputSpec, ...]
    dims: Mapping[str, int]
    data: DataSpec
    options: Mapping[str, Json] = field(default_factory=dict)
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    budget: Budget = Budget()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What executes an artifact: runtime, provider with its options, thread settings and batch.

    Attributes:
        name: the zoo's name of the target, such as `cpu`.
        runtime: `onnxruntime` means the one that is installed beside harness.
        provider: the full name, such as `CPUExecutionProvider`.
        intra_threads: 0 lets ONNX Runtime use (and pin) one thread per physical core; N is N unpinned threads.
        inter_threads: used only when `session_config` asks for parallel execution; else 1.
        session_config: session options beyond those, every key from the checked list.
    """

    name: str
    provider: str
    runtime: str = "onnxruntime"
    provider_options: Mapping[str, str] = field(default_factory=dict)
    intra_threads: int = 1
    inter_threads: int = 1
    batch: int = 1
    session_config: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """A readable id such as `cpu-t2-b1`; `-i4` is added where inter-op threads count."""
        inter = f"-i{self.inter_threads}" if self.inter_threads != 1 else ""
        return f"{self.name}-t{self.intra_threads}{inter}-b{self.batch}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One cell of the matrix: model x variant x target."""

    model: ModelSpec
    recipe: Recipe
    target: Target

    @property
    def id(self) -> str:
        """Such as `resnet50/int8-static/cpu-t2-b1`."""
        return f"{self.model.name}/{self.recipe.name}/{self.target.label}"


# --- what was built ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The weights that were really used.

    Attributes:
        kind: `pretrained`, `seeded`, `trained`, or `file` for a model that came as .onnx.
        digest: of the parameters' names, types, shapes and bytes.
        reason: why this kind, where it is not the one that was asked for; else empty.
    """

    kind: str
    digest: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Evaluation examples and the fp32 framework's outputs on them, kept in the cache under `digest`.

    Attributes:
        origin: what computed the outputs, such as `torch 2.13.0`.
        inputs, outputs: names in order; arrays are stored with the examples on axis 0.
        examples: how many.
        labelled: whether true labels are stored with them.
    """

    digest: str
    origin: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    examples: int
    labelled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """The .onnx file that a recipe produced (with its external data, if any), kept in the cache under `digest`.

    Attributes:
        digest: of everything that went in: weights, options, recipe, calibration data, tool versions, ISA.
        bytes: the size of all its files.
        nodes: the number of graph nodes, subgraphs included.
        operators: nodes by operator, domain-qualified outside the default one.
        fusion: what the fuse step did: `before`, `after` (nodes by operator) and `patterns` (name -> count).
        seconds: how long its own last step took to build.
        steps: the recipe's steps, resolved, so that the artifact says how to make it again.
    """

    digest: str
    model: str
    variant: str
    weights: Weights
    reference: Reference
    bytes: int
    nodes: int
    operators: Mapping[str, int]
    fusion: Mapping[str, Json] = field(default_factory=dict)
    seconds: float = 0.0
    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why there is no artifact: skipped, unsupported or failed, with the reason."""

    status: Status
    reason: str


Built = Artifact | Refusal


# --- what was measured ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSamples:
    """Everything that one fresh worker process timed, in order.

    Attributes:
        started_at: UTC, ISO 8601.
        first_inference_ns: the first run in the process, also not part of `samples_ns`.
        warmup_ns: the runs before steady state, `first_inference_ns` not included.
        samples_ns: one entry per inference of the whole batch, in the order they ran.
        steady: whether steady state was detected, rather than the warm-up limit reached.
        stop: `precise` (interval as narrow as asked), `time` (budget) or `count` (most samples kept).
        peak_rss_bytes: the worker's peak resident memory, read from outside; None where the OS does not tell.
        preempted: involuntary context switches while sampling; None where unknown.
    """

    started_at: str
    session_ns: int
    first_inference_ns: int
    warmup_ns: tuple[int, ...]
    samples_ns: tuple[int, ...]
    steady: bool
    stop: str
    peak_rss_bytes: int | None = None
    preempted: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """One side of one pair: what a fresh process gave.

    Attributes:
        bursts_ns: per burst, the mean time of one inference.
        session_ns, first_inference_ns, peak_rss_bytes: as in `ProcessSamples`.
    """

    session_ns: int
    first_inference_ns: int
    bursts_ns: tuple[float, ...]
    peak_rss_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two fresh processes, alive together, bursts in random order.

    Attributes:
        phase: `screen` or `confirm`.
        log_ratio: median over bursts of log(head / base).
        started_at: UTC, ISO 8601.
        order: the sides in the order in which they ran, `b` or `h` per burst.
        pinned: whether each process was held to processor cores of its own.
    """

    phase: str
    log_ratio: float
    base: Half
    head: Half
    started_at: str
    order: str = ""
    pinned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Steady-state latency of one inference of the whole batch, over all processes; seconds.

    `stop` is `precise` when the interval is as narrow as was asked, else `time`. Percentiles are None
    where n is too small for them (see `harness.stats.estimate`).
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """Closeness to the fp32 reference on the same inputs; None where it would mean nothing."""

    centred_sqnr_db: float | None
    sqnr_db: float | None
    cosine: float | None
    max_abs: float | None
    top1_agreement: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """A task metric on labelled data. `drop` is reference minus value: larger is worse."""

    metric: str
    value: float
    reference: float
    drop: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What one artifact computes on one runtime and provider: deterministic, so done once and cached.

    Attributes:
        kernels: executed kernels by operator, from ONNX Runtime's profile after all optimizations.
        time_share: provider -> share of kernel time.
        arithmetic: element type -> share of compute-kernel time (Conv, Gemm, MatMul, attention and kin).
    """

    fidelity: Fidelity | None
    accuracy: Accuracy | None
    kernels: Mapping[str, int] = field(default_factory=dict)
    time_share: Mapping[str, float] = field(default_factory=dict)
    arithmetic: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a case, always with its reason.

    Attributes:
        placement: provider -> share of the graph's nodes that it was assigned.
        notes: warnings that travel with the numbers, each with its remedy.
        noise: the host at that moment: load average, steal share, spread between processes.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One sweep: one host fingerprint, one time, one commit.

    Attributes:
        id: sortable by time and unique without coordination, such as `20260131T101502Z-3f9c2a`.
        plan: digest of what was asked for, so that an interrupted sweep can be found again.
        commit: the full hash of HEAD, or None outside git; `dirty` says whether the tree differed from it.
        commit_time: of that commit, in milliseconds since the epoch, as asv keeps it.
        fingerprint: digest of the host's stable fields; `host` holds them all.
        versions: of python and every package on the path of a number.
        settings: time_per_case, ci_width, processes.
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
