"""The zoo file's shape, as pydantic models: which keys there are, of which type, and what each is for.

Types are strict, unknown keys are refused, and no field is a union, so that an error's location is the path in the
file. Short forms (`data: photos`) are widened before validation. What spans several keys is checked in
`harness.zoo.resolve`. Which frameworks, data sources and steps there are, and the options of the latter two, is
made of their own declarations.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema, create_model

from harness import bounds, data, frameworks, importable, tasks, units
from harness.build import steps
from harness.options import Option
from harness.providers import DEVICES, SHORT
from harness.records import case_id, scenario
from harness.records.scenario import EXAMPLES
from harness.session_options import KEYS
from harness.suggest import nearest
from harness.zoo.fields import ABSENT, Strict, Text, model_of
from harness.zoo.problems import shown

_MAX_SEED = 2**32 - 1
NAME = rf"^{case_id.NAME}$"

Name = Annotated[str, StringConstraints(pattern=NAME, max_length=80)]


def _written(pattern: str, *kinds: str) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": "string", "pattern": pattern}, *({"type": kind} for kind in kinds)]})


Percent = Annotated[float, BeforeValidator(units.parse_zoo_share), _written(units.PERCENT_PATTERN, "number")]
Duration = Annotated[float, BeforeValidator(units.parse_zoo_duration), _written(units.DURATION_PATTERN)]
Frequency = Annotated[int, BeforeValidator(units.parse_zoo_frequency), _written(units.FREQUENCY_PATTERN)]
Joules = Annotated[float, BeforeValidator(units.parse_zoo_energy), _written(units.ENERGY_PATTERN)]
Size = Annotated[int, BeforeValidator(units.parse_zoo_size), _written(units.SIZE_PATTERN, "integer")]


def _text_of(flags: tuple[str, str]) -> Callable[[Any], str]:
    """Return a validator that writes a scalar as text; `flags` are the words for false and true."""

    def text(value: Any) -> str:
        if isinstance(value, bool):
            return flags[value]
        if isinstance(value, str | int | float):
            return str(value)
        raise ValueError(f"expected text, a number, true or false, found {value!r}")

    return text


def _axis(value: Any) -> Any:
    if (isinstance(value, int) and not isinstance(value, bool) and value >= 1) or (isinstance(value, str) and value):
        return value
    raise ValueError(f"expected a whole number of at least 1, or the name of a dynamic axis, found {value!r}")


_SCALAR = WithJsonSchema({"type": ["string", "number", "boolean"]})
Axis = Annotated[
    Any,
    BeforeValidator(_axis),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "minLength": 1}]}),
]
ScenarioText = Annotated[str, AfterValidator(scenario.same)]
ConfigText = Annotated[str, BeforeValidator(_text_of(("0", "1"))), _SCALAR]
OptionText = Annotated[str, BeforeValidator(_text_of(("False", "True"))), _SCALAR]


def _task(value: Any) -> str:
    names = tasks.names()
    if value in names or (isinstance(value, str) and re.fullmatch(importable.PATTERN, value, re.ASCII)):
        return str(value)
    near = nearest(str(value), names)
    raise ValueError(
        f"found {shown(value)}; "
        + (f"did you mean {near!r}? " if near else "")
        + f"valid: {', '.join(names)}, or a metric of your own as module:function"
    )


Task = Annotated[
    str,
    BeforeValidator(_task),
    WithJsonSchema(
        {"anyOf": [{"enum": list(tasks.names())}, {"pattern": f"^{importable.PATTERN}$"}], "type": "string"}
    ),
]


def _widen(key: str) -> BeforeValidator:
    """Let plain text stand for a mapping with that one key."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, str) else value)


def _or_text(schema: dict[str, Any]) -> None:
    """Say in the JSON schema that plain text may stand for the mapping."""
    shape = dict(schema)
    schema.clear()
    schema["anyOf"] = [{"type": "string"}, shape]


def _or_provider(schema: dict[str, Any]) -> None:
    """As `_or_text`, where the text is one of the names that there are."""
    _or_text(schema)
    schema["anyOf"][0]["enum"] = sorted({*SHORT, *SHORT.values(), *DEVICES})


def _unless_extended(schema: dict[str, Any]) -> None:
    """Say in the JSON schema that an entry which extends another may leave out what that one has."""
    if required := schema.pop("required", None):
        schema["anyOf"] = [{"required": required}, {"required": ["extends"]}]


def _one_step(value: Any) -> Any:
    if isinstance(value, str):
        return {value: {}}
    return {kind: {} if given is None else given for kind, given in value.items()} if isinstance(value, dict) else value


def _step_schema(schema: dict[str, Any]) -> None:
    """Say in the JSON schema that a step without required options may be its name alone."""
    shape = {**schema, "minProperties": 1, "maxProperties": 1}
    alone = [name for name in steps.names() if not any(option.required for option in steps.get(name).options)]
    schema.clear()
    schema["anyOf"] = [{"enum": alone}, shape]


class _StepItem(Strict):
    """One step: its name, or its name with options."""

    model_config = ConfigDict(json_schema_extra=_step_schema)


class _StepOptions(Strict):
    """Options by kind of step."""


def _by_step(name: str, base: type[Strict], shapes: dict[str, type[Strict]]) -> type[Strict]:
    """A mapping whose keys are kinds of step."""
    fields: dict[str, Any] = {kind: (shape, Field(default=ABSENT)) for kind, shape in shapes.items()}
    made: type[Strict] = create_model(name, __base__=base, __doc__=base.__doc__, **fields)
    return made


def _step_shapes() -> tuple[dict[str, type[Strict]], dict[str, type[Strict]]]:
    """By kind of step, what a recipe gives it, and what changes one: there, what is required has been given."""
    whole, changes = {}, {}
    for name in steps.names():
        kind, title = steps.get(name), "".join(part.capitalize() for part in name.split("_"))
        whole[name] = changes[name] = model_of(title, f"{kind.doc}.", kind.options, required=True)
        if any(option.required for option in kind.options):
            changes[name] = model_of(f"{title}Options", f"Changes of a {name} step.", kind.options, required=False)
    return whole, changes


def data_options() -> tuple[Option, ...]:
    """The keys of a data entry beside those that every source has; `only` names the sources that read one.

    Raises:
        TypeError: two sources declare one name differently, so that one key would mean two things.
    """
    found: dict[str, Option] = {}
    for source in data.names():
        for option in data.options(source):
            known = found.get(option.name)
            if known is not None and dataclasses.replace(known, only=()) != option:
                raise TypeError(f"data: {source} declares {option.name!r} unlike {', '.join(known.only)}")
            only = (*(known.only if known else ()), source)
            found[option.name] = dataclasses.replace(option, only=only)
    return tuple(found.values())


def _underscored(value: Any) -> Any:
    """Names of data sources may be written with dashes."""
    return value.replace("-", "_") if isinstance(value, str) else value


if TYPE_CHECKING:  # made of declarations, which a type checker does not see
    StepItem = _StepItem
    StepOptions = _StepOptions
    FrameworkName = str
    DataSource = str
else:
    _whole, _changes = _step_shapes()
    StepItem, StepOptions = _by_step("StepItem", _StepItem, _whole), _by_step("StepOptions", _StepOptions, _changes)
    FrameworkName = Literal[frameworks.names()]
    DataSource = Annotated[Literal[data.names()], BeforeValidator(_underscored)]

Step = Annotated[StepItem, BeforeValidator(_one_step)]


class VariantEntry(Strict):
    """A recipe: the steps that make one artifact."""

    model_config = ConfigDict(json_schema_extra=_unless_extended)
    extends: Name = Field(default=ABSENT, description="a variant whose keys hold where this one gives none")
    precision: Literal["float32", "float16", "bfloat16", "int8", "int4"] = Field(
        default=ABSENT, description="the arithmetic it claims; taken from the steps where absent"
    )
    optimization: Literal["disabled", "basic", "extended", "all"] = Field(
        default="all", description="ONNX Runtime's own graph optimization when the artifact is measured"
    )
    steps: list[Step] = Field(
        min_length=1,
        description="what is done, in order; beside `extends`, options by step",
    )


class ProviderEntry(Strict):
    """The execution provider, and the plugin that brings it where the runtime does not have it."""

    model_config = ConfigDict(json_schema_extra=_or_provider)
    name: Text = Field(
        default=ABSENT, description="its short or full name; with a `plugin`, only where harness does not know that one"
    )
    plugin: Text = Field(
        default=ABSENT,
        description="a distribution such as onnxruntime-ep-openvino, which is installed, or the path of a library",
    )
    device: Literal["cpu", "gpu", "npu"] = Field(
        default=ABSENT, description="which of the plugin's devices to run on; cpu where absent"
    )


class LimitsEntry(Strict):
    """What a target's worker may take."""

    cpus: Annotated[int, Field(ge=1, le=bounds.THREADS.most)] = Field(
        default=ABSENT, description="logical processors, by the worker's affinity"
    )
    memory: Size = Field(default=ABSENT, description="by a control group of its own, where one can be made")
    frequency: Frequency = Field(
        default=ABSENT, description="the highest that the processors may run at; harness looks, and does not change it"
    )


class HostsEntry(Strict):
    """Which hosts of a fleet a target is measured on: those that are all of this."""

    arch: Text = Field(default="", description="as the system calls it: x86_64, aarch64, arm64")
    provider: Text = Field(default="", description="an execution provider that the host's onnxruntime has")
    label: Text = Field(default="", description="of those that its worker was started with; a glob")
    host_class: Annotated[str, Field(pattern="^[0-9a-f]{12}$")] = Field(
        default="", alias="class", description="the fingerprint that hosts of one class have in common"
    )


class FleetEntry(Strict):
    """Where cases are measured if not on this host."""

    scheduler: Text = Field(description="the address of Dask's scheduler, such as tcp://lab:8786 or tls://lab:8786")
    tls_ca: Text = Field(default="", description="the file of the certificate authority, in PEM format")
    tls_cert: Text = Field(default="", description="the file of this client's certificate, in PEM format")
    tls_key: Text = Field(default="", description="the file of its key, in PEM format")


class TargetEntry(Strict):
    """What executes an artifact."""

    provider: Annotated[ProviderEntry, _widen("name")] = Field(
        description="the execution provider, by its short or its full name, or {plugin, device}; the device where the "
        "runtime is not an onnxruntime"
    )
    runtime: Text = Field(
        default="onnxruntime",
        description="`onnxruntime` is the one installed beside harness; else a build such as onnxruntime==1.23.0, a "
        "wheel, or the path of a Python interpreter; or torch, torch-compile, openvino, iree, litert, litert-torch, "
        "tvm, genai, which are not an onnxruntime; or another language: node, browser, cpp or java, or a device: ssh "
        "or android, see docs/languages.md",
    )
    host: Text | None = Field(
        default=None, description="with `runtime: ssh` the machine, with `runtime: android` the phone's serial number"
    )
    provider_options: dict[Text, OptionText] = Field(default={}, description="passed to the provider as text")
    session_config: dict[Text, ConfigText] = Field(
        default={},
        description="session config entries, every key from the checked list; true is 1 and false is 0",
        json_schema_extra={"propertyNames": {"enum": list(KEYS)}},
    )
    threads: list[Annotated[int, Field(ge=bounds.THREADS.least, le=bounds.THREADS.most)]] = Field(
        default=ABSENT, min_length=1, description="intra-op threads; 0: one pinned thread per physical core"
    )
    execution: Literal["sequential", "parallel"] = Field(
        default="sequential", description="whether independent branches of the graph run side by side"
    )
    inter_threads: list[Annotated[int, Field(ge=bounds.THREADS.least, le=bounds.THREADS.most)]] = Field(
        default=ABSENT, min_length=1, description="with `execution: parallel`, threads across branches"
    )
    batch: list[Annotated[int, Field(ge=bounds.BATCH.least, le=bounds.BATCH.most)]] = Field(
        default=ABSENT, min_length=1, description="examples per inference"
    )
    scenarios: list[ScenarioText] = Field(
        default=ABSENT, min_length=1, description="how requests arrive: single-stream, or such as " + EXAMPLES
    )
    limits: LimitsEntry = Field(default=ABSENT, description="what its worker may take; part of the names of its cases")
    hosts: HostsEntry = Field(default=ABSENT, description="of a fleet, those that it is measured on; all where absent")


class DataBasics(Strict):
    """Where examples come from, and how many."""

    source: DataSource = Field(description="what makes them")
    calibration: int = Field(default=16, ge=1, description="examples for static quantization")
    evaluation: int = Field(default=16, ge=1, description="examples for fidelity and accuracy, never the same ones")


if TYPE_CHECKING:
    DataEntry = DataBasics
else:
    DataEntry = model_of("DataEntry", DataBasics.__doc__, data_options(), required=False, base=DataBasics)


class DataUse(Strict):
    """Which data, and this model's own counts."""

    model_config = ConfigDict(json_schema_extra=_or_text)
    use: Text = Field(description="an entry of the zoo's `data`, or `random`")
    calibration: int = Field(default=ABSENT, ge=1, description="instead of the entry's")
    evaluation: int = Field(default=ABSENT, ge=1, description="instead of the entry's")


class WeightsEntry(Strict):
    """Which weights."""

    model_config = ConfigDict(json_schema_extra=_or_text)
    kind: Literal["pretrained", "seeded", "trained"] = Field(
        default="pretrained", description="from the hub or `path`; random from `seed`; by the model's own code"
    )
    seed: int = Field(default=0, ge=0, le=_MAX_SEED, description="for seeded weights, also where pretrained is missing")
    path: Text = Field(default=ABSENT, description="pretrained: a local file or folder instead of the hub")
    require: bool = Field(default=False, description="pretrained: fail rather than fall back to seeded weights")


class InputEntry(Strict):
    """One input of a model."""

    dtype: Literal[
        "float32", "float16", "float64", "bool",
        "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    ] = Field(description="NumPy's name of the element type")  # fmt: skip
    shape: list[Axis] = Field(description="sizes, or names of dynamic axes; `batch` is the one that targets set")


# Defaults that are whole entries are constructed, not validated: that would build a validator for them alone.


class MetricLimitEntry(Strict):
    """By how much one metric may be worse than the reference's own."""

    drop: Percent = Field(default=ABSENT, description="in the metric's unit, such as 1%")
    share: Annotated[Percent, Field(gt=0, le=1)] = Field(
        default=ABSENT, description="the least share of the reference's that is left"
    )


class BudgetEntry(Strict):
    """What a build may cost before it is not good enough."""

    accuracy_drop: Percent = Field(default=ABSENT, description="largest loss of the task metric, absolute")
    accuracy_share: Percent = Field(
        default=ABSENT, description="smallest share of the reference's task metric that must be left, such as 99%"
    )
    fidelity_db: float = Field(
        default=ABSENT, description="smallest centred SQNR in decibels, where there are no labels"
    )
    fidelity_equal: Percent = Field(
        default=ABSENT, description="smallest share of equal values of outputs of whole numbers, booleans or text"
    )
    metrics: dict[Text, MetricLimitEntry] = Field(
        default={}, description="limits of single metrics of the task, such as {map50: {share: 95%}}"
    )
    latency: Duration = Field(default=ABSENT, description="largest median latency")
    size: Size = Field(default=ABSENT, description="largest artifact")
    memory: Size = Field(default=ABSENT, description="most memory that the model takes in a worker")
    energy: Joules = Field(default=ABSENT, description="most energy of one inference, such as 20mJ")
    structure: Literal["report", "fail"] = Field(
        default="report",
        description="a gate's answer to a lost fusion or node, float arithmetic again, another signature or opset",
    )


class OutputsEntry(Strict):
    """Which outputs a task reads; it finds by itself what is plain."""

    scores: Text = Field(
        default=ABSENT,
        description="classification: a row of scores, one logit or probability of a binary one, or the class itself; "
        "detection: one score for each box",
    )
    predictions: Text = Field(
        default=ABSENT, description="detection: [1, 4 + classes, places], as ultralytics exports it"
    )
    boxes: Text = Field(default=ABSENT, description="detection: [n, 4], left, top, right, bottom")
    classes: Text = Field(default=ABSENT, description="detection: the class of each box")
    embedding: Text = Field(
        default=ABSENT, description="encoder: [1, tokens, width], whose mean is taken, or [1, width]"
    )
    text: Text = Field(default=ABSENT, description="transcription: text, character numbers, or scores of characters")


class FrameworkEnvEntry(Strict):
    """Where a framework loads, runs and exports a model."""

    model_config = ConfigDict(json_schema_extra=_or_text)
    place: Text = Field(
        default=ABSENT,
        description="beside (harness), own (an environment of its own in the cache), or the path of an interpreter",
    )
    packages: list[Text] = Field(
        default=[],
        description="what its own environment has beside what the framework needs, such as keras==3.12.0",
    )


class ModelEntry(Strict):
    """A model: where it comes from, what it is fed, what its builds may cost."""

    model_config = ConfigDict(json_schema_extra=_unless_extended)
    extends: Name = Field(default=ABSENT, description="a model whose keys hold where this one gives none")
    source: FrameworkName = Field(description="where it comes from")
    id: Text = Field(description="what the source calls it; torch: module:attribute; onnx: a file")
    task: Task = Field(default=ABSENT, description="which metrics make sense")
    weights: Annotated[WeightsEntry, _widen("kind")] = Field(default=ABSENT, description="which weights")
    inputs: dict[Text, InputEntry] = Field(default={}, description="by name; an .onnx file states its own")
    dims: dict[Text, Annotated[int, Field(ge=1)]] = Field(
        default={}, description="the size of every dynamic axis but `batch`"
    )
    outputs: OutputsEntry = Field(
        default=OutputsEntry.model_construct(), description="which outputs the task reads, where that is not plain"
    )
    data: Annotated[DataUse, _widen("use")] = Field(default=ABSENT, description="which data; onnx: random where absent")
    options: dict[str, Any] = Field(default={}, description="the source's own settings")
    framework_env: Annotated[FrameworkEnvEntry, _widen("place")] = Field(
        default=FrameworkEnvEntry.model_construct(), description="where the framework runs; its own choice where absent"
    )
    threads: list[Annotated[int, Field(ge=bounds.THREADS.least, le=bounds.THREADS.most)]] = Field(
        default=ABSENT, min_length=1, description="instead of the default threads"
    )
    steps: StepOptions = Field(default=ABSENT, description="options for every variant that has the step")
    variants: dict[str, StepOptions] = Field(default={}, description="options for the steps of one variant")
    budget: BudgetEntry = Field(default=BudgetEntry.model_construct(), description="what its builds may cost")
    timed_inputs: Literal["rotate", "fixed"] = Field(
        default="rotate", description="whether timed inferences go through the evaluation examples or repeat the first"
    )
    baseline: Name = Field(
        default=ABSENT, description="the variant that speed-ups refer to, instead of the default one"
    )


class DefaultsEntry(Strict):
    """What a sweep does where the command line says nothing."""

    variants: list[str] = Field(default=ABSENT, min_length=1, description="all of them where absent")
    targets: list[str] = Field(default=ABSENT, min_length=1, description="all of them where absent")
    threads: list[Annotated[int, Field(ge=bounds.THREADS.least, le=bounds.THREADS.most)]] = Field(
        default=[1], min_length=1, description="intra-op"
    )
    batch: list[Annotated[int, Field(ge=bounds.BATCH.least, le=bounds.BATCH.most)]] = Field(
        default=[1], min_length=1, description="examples per inference"
    )
    scenarios: list[ScenarioText] = Field(
        default=[""],
        min_length=1,
        description=f"how requests arrive, where a target has none of its own: single-stream, or such as {EXAMPLES}",
    )
    baseline: Name = Field(
        default=ABSENT, description="the variant that speed-ups refer to; fp32-default, as-is or fp32 where absent"
    )
    processes: int = Field(
        default=5, ge=bounds.PROCESSES.least, le=bounds.PROCESSES.most, description="fresh worker processes per case"
    )
    time_per_case: float = Field(
        default=15.0,
        gt=bounds.TIME_PER_CASE.least,
        le=bounds.TIME_PER_CASE.most,
        description="seconds of inference per case, warm-up included, over all processes",
    )
    ci_width: Percent = Field(default=0.02, description="stop earlier when the median's 95% interval is this narrow")
    early_stop: bool = Field(
        default=True,
        description="a sweep's cases stop after two rounds if they are certainly twice as slow as the fastest",
    )


class ZooFile(Strict):
    """Everything that `harness sweep` builds and measures."""

    version: Literal[1] = Field(description="of this format")
    defaults: DefaultsEntry = Field(
        default=DefaultsEntry.model_construct(), description="what holds where nothing else is said"
    )
    variants: dict[Name, VariantEntry] = Field(description="recipes by name")
    targets: dict[Name, TargetEntry] = Field(description="what executes artifacts, by name")
    data: dict[Name, DataEntry] = Field(default={}, description="examples, by name")
    models: dict[Name, ModelEntry] = Field(description="the models, by name")
    fleet: FleetEntry = Field(default=ABSENT, description="the hosts that measure, if not this one")
