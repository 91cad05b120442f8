"""What to measure: models, recipes, targets, and the case that is one of each. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.records.case_id import case_name, size, target_label, threads

Json = Any
"""A value that `json.dumps` accepts: None, bool, int, float, str, list or dict of such."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a recipe: `export`, `fuse`, `cast` or `quantize`, with its resolved options."""

    kind: str
    options: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The steps that make one artifact, under the variant's name.

    Attributes:
        precision: the arithmetic that the variant claims: float32, float16, bfloat16, int8 or int4. A
            variant that only exports or fuses has what the model has: see `Artifact.precision`.
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
class ValueNeed:
    """What the values of an input must be for the model to run, as its graph tells; used where values are drawn.

    Attributes:
        low, high: the range to draw from, `high` not included.
        values: the very values, in order; repeated where the input has more.
        words: what text is chosen from.
        why: the reason, for people.
    """

    low: float | None = None
    high: float | None = None
    values: tuple[float, ...] = ()
    words: tuple[str, ...] = ()
    why: str = ""

    def to_json(self) -> dict[str, Json]:
        """Without what is not there."""
        found = {
            "low": self.low, "high": self.high, "values": list(self.values), "words": list(self.words), "why": self.why
        }  # fmt: skip
        return {key: value for key, value in found.items() if value not in (None, [])}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ValueNeed:
        """The inverse of `to_json`."""
        return cls(**{**content, **{key: tuple(content.get(key) or ()) for key in ("values", "words")}})

    def __str__(self) -> str:
        """For people."""
        if self.words:
            what = "one of " + ", ".join(self.words[:3])
        elif self.values:
            listed = ", ".join(f"{one:g}" for one in self.values[:6])
            what = listed if len(self.values) <= 6 else f"{listed}, ..."  # noqa: PLR2004 # what fits a line
        elif self.low is not None and self.high is not None:
            what = f"{self.low:g} to below {self.high:g}"
        else:
            what = "any"
        return f"{what} ({self.why})" if self.why else what


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """One input of a model.

    Attributes:
        dtype: NumPy's or ml_dtypes' name of the element type, `str` for text; what onnxruntime calls the type where
            it is not a tensor, such as `seq(tensor(float))`.
        shape: sizes, and names of dynamic axes.
        need: what its values must be; None where any do.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    need: ValueNeed | None = None

    @property
    def is_tensor(self) -> bool:
        """Whether it is neither a sequence nor a map nor an optional."""
        return "(" not in self.dtype

    def to_json(self) -> list[Json]:
        """As `from_json` reads it."""
        return [self.name, self.dtype, list(self.shape), *([self.need.to_json()] if self.need else [])]

    @classmethod
    def from_json(cls, content: Sequence[Any]) -> InputSpec:
        """The inverse of `to_json`."""
        name, dtype, shape, *need = content
        return cls(name=name, dtype=dtype, shape=tuple(shape), need=ValueNeed.from_json(need[0]) if need else None)


BASELINES = ("fp32-default", "as-is", "fp32")
"""The variants that speed-ups refer to, the first that a model has: a file as it stands, else what is not optimized."""

BATCH = "batch"
"""The name of the axis that targets give a size to."""


def batch_axes(inputs: Sequence[InputSpec], dims: Mapping[str, int]) -> dict[str, int]:
    """Where batches may be made: input name -> the axis along which examples are joined; empty where there is none.

    Of a file this is where one may be looked for; whether rows can be joined there is proven by running it
    (`harness.build.batching`), and said by the reference.

    An input declares it by calling an axis `batch`, at any place. Where no input does, it is a first axis that is
    dynamic and that `dims` give no size: files name theirs as they like. An input without such an axis is fed as it
    is, whatever the batch.
    """
    tensors = [one for one in inputs if one.is_tensor]
    declared = {one.name: one.shape.index(BATCH) for one in tensors if BATCH in one.shape}
    return declared or {
        one.name: 0 for one in tensors if one.shape and isinstance(one.shape[0], str) and one.shape[0] not in dims
    }


def fixed_batch(inputs: Sequence[InputSpec], dims: Mapping[str, int]) -> int | None:
    """The size of the first axis where every input has the same fixed one, and no batch axis; else None.

    A feed of such a model takes so many rows of data.
    """
    sizes = {one.shape[0] if one.shape and one.is_tensor else None for one in inputs}
    size = next(iter(sizes)) if len(sizes) == 1 and not batch_axes(inputs, dims) else None
    return size if isinstance(size, int) else None


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
class MetricLimit:
    """By how much one metric of the task may be worse than the reference's own; None sets no limit.

    Attributes:
        drop: in the metric's unit, whichever direction is worse.
        share: the least share of the reference's that is left (0.95 = 95%); where less is better, of the artifact's
            that the reference's is.
    """

    drop: float | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a build may cost before it is not good enough; None sets no limit.

    Attributes:
        accuracy_drop: the largest loss of the task metric against the reference, in absolute points (0.01 = 1%).
        accuracy_share: the smallest share of the reference's task metric that must be left (0.99 = 99%), as MLPerf
            sets its accuracy targets; where both are given, both must hold.
        fidelity_db: the smallest centred SQNR in decibels, used where the data has no labels.
        fidelity_equal: the smallest share of equal values of outputs that are whole numbers, booleans or text (0.99 =
            99%), likewise.
        latency_s, size_bytes, memory_bytes, energy_j: upper limits of the median latency, of the artifact, of the
            memory that the model takes in a worker, and of the energy of one inference.
        structure: what a gate makes of a lost fusion, nodes on another provider, quantized operators that are float
            again, or another signature or opset: `report` it, or `fail`.
        metrics: limits of single metrics, by their names.
    """

    accuracy_drop: float | None = None
    accuracy_share: float | None = None
    fidelity_db: float | None = None
    fidelity_equal: float | None = None
    latency_s: float | None = None
    size_bytes: int | None = None
    memory_bytes: int | None = None
    energy_j: float | None = None
    structure: str = "report"
    metrics: Mapping[str, MetricLimit] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameworkEnv:
    """Where a model's framework runs.

    Attributes:
        place: `beside` harness, in an environment of its `own`, or an interpreter by its absolute path; empty leaves
            it to the framework.
        packages: requirements of its own environment, beside those of the framework.
    """

    place: str = ""
    packages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """One entry of model_zoo.yaml, with defaults and per-model options resolved.

    Attributes:
        source: a module of `harness.frameworks`.
        id: what the source calls it: a hub id, an importable `module:callable`, a file.
        task: a module of `harness.tasks`, or None; it chooses the metrics that make sense.
        dims: the size of every dynamic axis but `batch`.
        options: the source's own settings.
        outputs: what the task reads -> the output's name, such as `scores`; the task finds what is not said.
        recipes: every variant of the zoo, with this model's step options merged in.
        framework_env: where the framework loads, runs and exports it.
        timed_inputs: what timed inferences are fed, see `harness.measure.rotation`.
        baseline: the variant that speed-ups refer to; empty where nobody has said.
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
    outputs: Mapping[str, str] = field(default_factory=dict)
    timed_inputs: str = "rotate"
    baseline: str = ""
    framework_env: FrameworkEnv = FrameworkEnv()

    @property
    def tokens(self) -> int | None:
        """How many tokens one example reads: the second axis of `input_ids`; None where there is no such input."""
        shapes = [one.shape for one in self.inputs if one.name == "input_ids" and len(one.shape) == 2]  # noqa: PLR2004
        axis = shapes[0][1] if shapes else None
        return self.dims.get(axis) if isinstance(axis, str) else axis

    @property
    def batch_axes(self) -> Mapping[str, int]:
        """Input name -> its batch axis; empty where a feed can only be run as it is."""
        return batch_axes(self.inputs, self.dims)


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
        plugin: the distribution or the library that brings the provider; empty where the runtime has it.
        device: what a plugin's provider runs on, such as `gpu`; empty without a plugin.
        scenario: how requests arrive, as `harness.records.scenario` writes it; empty for single-stream.
        limits: what its worker may take: `cpus`, `memory_bytes`, `frequency_hz`; those that there are, which its name
            tells as well, so that numbers within different limits are never of one case.
    """

    name: str
    provider: str
    runtime: str = "onnxruntime"
    provider_options: Mapping[str, str] = field(default_factory=dict)
    intra_threads: int = 1
    inter_threads: int = 1
    batch: int = 1
    session_config: Mapping[str, str] = field(default_factory=dict)
    plugin: str = ""
    device: str = ""
    scenario: str = ""
    limits: Mapping[str, int] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """A readable id such as `cpu-t2-b1`; `-i4` is added where inter-op threads count."""
        return target_label(self.name, threads(self.intra_threads, self.inter_threads), size(self.batch, self.scenario))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One cell of the matrix: model x variant x target."""

    model: ModelSpec
    recipe: Recipe
    target: Target

    @property
    def id(self) -> str:
        """Such as `resnet50/int8-static/cpu-t2-b1`."""
        return case_name(self.model.name, self.recipe.name, self.target.label)
