"""A validated zoo file -> the records, with defaults filled in, names looked up and paths made absolute."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness import data as sources
from harness import frameworks, packaged, provider_options, runtime_spec, tasks
from harness.data import beside
from harness.flavours import normal
from harness.frameworks import surroundings
from harness.options import by_name
from harness.paths import typed
from harness.providers import DEVICES, PLUGINS, SHORT, full_name, uses_session_threads
from harness.records import Budget, DataSpec, FrameworkEnv, InputSpec, MetricLimit, ModelSpec, Recipe, WeightsSpec
from harness.session_options import AFFINITIES, DISABLE_CPU_FALLBACK, EXECUTION_MODE, PARALLEL, PYTHON_ONLY, problem
from harness.suggest import suggest
from harness.zoo.links import RANDOM
from harness.zoo.problems import Keys, Problems
from harness.zoo.spec import Defaults, FleetSpec, HostWish, TargetSpec
from harness.zoo.steps import check_effect, check_order, recipe
from harness.zoo.text import plain

if TYPE_CHECKING:
    from harness.frameworks.base import Framework
    from harness.zoo.schema import BudgetEntry, DataEntry, DataUse, ModelEntry, TargetEntry, WeightsEntry, ZooFile

_COUNTS = ("calibration", "evaluation")
TEST_SETS = "test_sets"
"""The data of a file that has test inputs beside it, where the zoo names none."""


def check_names(entries: ZooFile, problems: Problems) -> None:
    """Record names that differ in letter case alone: they become file names, and some file systems see one file."""
    for section in ("variants", "targets", "models"):
        seen: dict[str, str] = {}
        for name in getattr(entries, section):
            other = seen.setdefault(name.lower(), name)
            if other != name:
                problems.add((section, name), f"differs from {other!r} in letter case alone; choose another name")


def check_case_names(targets: Mapping[str, TargetSpec], problems: Problems) -> None:
    """Record names of targets that are those of another one with its limits."""
    given = {spec.case_name.lower() for spec in targets.values() if spec.limits}
    for name, spec in targets.items():
        if not spec.limits and name.lower() in given:
            problems.add(("targets", name), f"another target's cases are called {name!r} by its limits; choose another")


def defaults(entries: ZooFile) -> Defaults:
    """Return the defaults; variants and targets are all of them where the file names none."""
    own = entries.defaults
    return Defaults(
        variants=tuple(own.variants or entries.variants),
        targets=tuple(own.targets or entries.targets),
        threads=tuple(own.threads),
        batch=tuple(own.batch),
        scenarios=tuple(own.scenarios),
        processes=own.processes,
        time_per_case_s=own.time_per_case,
        ci_width=own.ci_width,
        early_stop=own.early_stop,
    )


def fleet(entries: ZooFile, folder: Path, problems: Problems) -> FleetSpec:
    """Return where cases are measured; files are taken from the zoo's folder."""
    own = entries.fleet
    if own is None:
        return FleetSpec()
    files = {name: getattr(own, name) for name in ("tls_ca", "tls_cert", "tls_key")}
    if any(files.values()) and not all(files.values()):
        missing = ", ".join(name for name, value in files.items() if not value)
        problems.add(("fleet",), f"TLS needs three files, and lacks {missing}")
    return FleetSpec(
        scheduler=own.scheduler, **{name: str(folder / typed(value)) if value else "" for name, value in files.items()}
    )


def wish(entry: TargetEntry) -> HostWish:
    """Return the hosts that a target wants."""
    own = entry.hosts
    if own is None:
        return HostWish()
    return HostWish(arch=own.arch, provider=own.provider, label=own.label, host_class=own.host_class)


def variants(entries: ZooFile, problems: Problems) -> dict[str, Recipe]:
    """Return the zoo's recipes by name, without any model's own options."""
    made = {}
    for name, variant in entries.variants.items():
        check_order(name, variant, problems)
        made[name] = recipe(name, variant, ("", None, None), problems)
        if variant.precision not in (None, made[name].precision):
            found = f"says {variant.precision}, but its steps make {made[name].precision}"
            problems.add(("variants", name, "precision"), found)
    return made


def target(name: str, entry: TargetEntry, folder: Path, problems: Problems) -> TargetSpec:
    """Return a target with its provider's full name, and record what its runtime and session options get wrong.

    Args:
        name: the target's.
        entry: the target, validated.
        folder: what relative paths are taken from.
        problems: collects the mistakes.
    """
    where: Keys = ("targets", name)
    provider, plugin, device = executor(name, entry, folder, problems)
    if wrong := runtime_spec.problem_of_target(entry.runtime):
        problems.add((*where, "runtime"), wrong)
    runtime = entry.runtime
    if entry.host is not None:
        if wrong := runtime_spec.problem_of_host(entry.runtime, entry.host):
            problems.add((*where, "host"), wrong)
        runtime = f"{entry.runtime.strip()}:{entry.host.strip()}"
    check_options(where, entry, provider, plugin, problems)
    check_config((*where, "session_config"), entry, provider, problems)
    config = dict(entry.session_config)
    if entry.execution == "parallel":
        config[EXECUTION_MODE] = PARALLEL
        check_parallel((*where, "execution"), entry, provider, problems)
    limits = limits_of(where, entry, problems)
    return TargetSpec(
        name=name,
        provider=provider,
        runtime=runtime_spec.anchored(runtime, folder),
        provider_options=dict(entry.provider_options),
        session_config=config,
        threads=_tuple(entry.threads),
        inter_threads=_tuple(entry.inter_threads),
        batch=_tuple(entry.batch),
        scenarios=None if entry.scenarios is None else tuple(entry.scenarios),
        plugin=plugin,
        device=device,
        hosts=wish(entry),
        limits=limits,
    )


def limits_of(where: Keys, entry: TargetEntry, problems: Problems) -> dict[str, int]:
    """Return what a target's worker may take, and record what would not hold it."""
    own = entry.limits
    if own is None:
        return {}
    asked = {"cpus": own.cpus, "memory_bytes": own.memory, "frequency_hz": own.frequency}
    found = {name: value for name, value in asked.items() if value}
    if entry.runtime in runtime_spec.DEVICES and found:
        problems.add((*where, "limits"), f"hold on this machine alone, and {entry.runtime} measures on another one")
    if own.cpus and AFFINITIES in entry.session_config:
        problems.add((*where, "session_config", AFFINITIES), "conflicts with `limits: {cpus: ...}`; leave one out")
    return found


def check_options(where: Keys, entry: TargetEntry, provider: str, plugin: str, problems: Problems) -> None:
    """Record settings that the runtime or the provider does not have."""
    other = runtime_spec.other(entry.runtime)
    if other and entry.session_config:
        problems.add((*where, "session_config"), f"{other} has none: these are settings of onnxruntime")
    if runtime_spec.takes_no_options(entry.runtime) and entry.provider_options:
        problems.add((*where, "provider_options"), f"{other} takes none")
    if not other and not plugin:
        for option in entry.provider_options:
            if wrong := provider_options.problem(provider, option):
                problems.add((*where, "provider_options", option), wrong)


def check_parallel(where: Keys, entry: TargetEntry, provider: str, problems: Problems) -> None:
    """Record what parallel execution lacks."""
    if runtime_spec.other(entry.runtime) or not uses_session_threads(provider):
        problems.add(
            where, f"parallel execution needs a provider that runs on the session's threads, found {provider!r}"
        )
    elif entry.inter_threads is None:
        problems.add(where, "parallel execution needs `inter_threads`, such as inter_threads: [2]")


def check_config(where: Keys, entry: TargetEntry, provider: str, problems: Problems) -> None:
    """Record what a target's session config gets wrong."""
    for key, value in entry.session_config.items():
        keys = (*where, key)
        if mistake := problem(key, value):
            problems.add(keys, mistake)
        elif key in PYTHON_ONLY and runtime_spec.language(entry.runtime):
            problems.add(
                keys, f"has an effect with onnxruntime's Python package alone, and the runtime is {entry.runtime}"
            )
        elif key == DISABLE_CPU_FALLBACK and value == "1" and provider == full_name("cpu"):
            problems.add(keys, "conflicts with provider cpu, which is what it forbids; use it with another provider")


def executor(name: str, entry: TargetEntry, folder: Path, problems: Problems) -> tuple[str, str, str]:
    """A target's provider by its full name, its plugin and its device, the last two empty without a plugin.

    A runtime that is not an onnxruntime has devices, and they are what `provider` names.
    """
    where: Keys = ("targets", name, "provider")
    asked, other = entry.provider, runtime_spec.other(entry.runtime)
    word = asked.name or ""
    if asked.plugin:
        if other:
            problems.add(where, f"{other} is not an onnxruntime and loads no plugin of one")
        path = runtime_spec.is_path(asked.plugin)
        plugin = str(folder / typed(asked.plugin)) if path else normal(asked.plugin)
        full = full_name(word) or word or PLUGINS.get(plugin, "")
        if not full:
            found = f"the provider's own name is not known here: add `name`; {suggest(plugin, PLUGINS)}"
            problems.add((*where, "plugin"), found)
        return full or plugin, plugin, asked.device or DEVICES[0]
    if asked.device:
        problems.add((*where, "device"), "belongs to a `plugin`, and there is none")
    if not word:
        problems.add(where, f"names neither a provider nor a plugin; providers: {', '.join(SHORT)}")
        return word, "", ""
    if other:
        if word.lower() not in (devices := runtime_spec.OTHERS[other]):
            problems.add(where, f"{other} runs on {' or '.join(devices)}, found {word!r}")
        return word.lower(), "", ""
    full_word = full_name(word)
    if full_word is None:
        problems.add(where, f"unknown provider {word!r}; {suggest(word, SHORT, also=SHORT.values())}")
    return full_word or word, "", ""


def model(name: str, entries: ZooFile, base: Mapping[str, Recipe], folder: Path, problems: Problems) -> ModelSpec:
    """Return a model with its data and recipes resolved, and record what does not fit together.

    Args:
        name: the model's.
        entries: the whole zoo, validated.
        base: the zoo's own recipes by name.
        folder: what relative paths are taken from.
        problems: collects the mistakes.
    """
    where: Keys = ("models", name)
    entry = entries.models[name]
    framework = frameworks.get(entry.source)
    if framework.id_pattern and not re.fullmatch(framework.id_pattern, entry.id, re.ASCII):
        problems.add((*where, "id"), f"expected {framework.id_expected}, found {entry.id!r}")
    _check_inputs(where, entry, problems)
    data = _data(where, entry, entries, folder, problems)
    recipes = {}
    for variant, shared in base.items():
        own = entry.variants.get(variant)
        made = recipe(variant, entries.variants[variant], (name, entry.steps, own), problems)
        if made.precision != shared.precision:
            found = f"its options make {made.precision} of variant {variant!r}, which is {shared.precision}"
            problems.add((*where, "variants" if own else "steps", variant), f"{found}; give it a variant of its own")
        _check_samples(where, made, data, problems)
        recipes[variant] = made
    for variant, own in entry.variants.items():
        if variant in entries.variants:  # any other is reported where references are checked
            only = {variant: entries.variants[variant]}
            check_effect((*where, "variants", variant), own, only, problems)
    return ModelSpec(
        name=name,
        source=entry.source,
        id=_absolute(folder, entry.id) if framework.file else entry.id,
        task=entry.task,
        weights=_weights(where, entry, folder, problems),
        inputs=tuple(
            InputSpec(name=key, dtype=value.dtype, shape=tuple(value.shape)) for key, value in entry.inputs.items()
        ),
        dims=dict(entry.dims),
        data=data,
        options=plain(entry.options),
        recipes=recipes,
        budget=budget_of(entry.budget),
        outputs=_outputs(where, entry, problems),
        timed_inputs=entry.timed_inputs,
        baseline=entry.baseline or entries.defaults.baseline or "",
        framework_env=_framework_env(where, entry, folder, problems),
    )


def budget_of(entry: BudgetEntry) -> Budget:
    """What a zoo says that builds may cost."""
    return Budget(
        accuracy_drop=entry.accuracy_drop,
        accuracy_share=entry.accuracy_share,
        fidelity_db=entry.fidelity_db,
        fidelity_equal=entry.fidelity_equal,
        latency_s=entry.latency,
        size_bytes=entry.size,
        memory_bytes=entry.memory,
        energy_j=entry.energy,
        structure=entry.structure,
        metrics={key: MetricLimit(drop=limit.drop, share=limit.share) for key, limit in entry.metrics.items()},
    )


def _tuple(values: list[int] | None) -> tuple[int, ...] | None:
    return None if values is None else tuple(values)


def _absolute(folder: Path, path: str) -> str:
    """A path of the zoo's; one of a package that is not installed stays as it is, and its build says so."""
    if packaged.is_packaged(path):
        return packaged.located(path)
    return str((folder / typed(path)).absolute())


def _check_inputs(where: Keys, entry: ModelEntry, problems: Problems) -> None:
    if "batch" in entry.dims:
        problems.add((*where, "dims", "batch"), "comes from the target; set `batch` in defaults or in the target")
    if not entry.inputs:
        if not frameworks.get(entry.source).states_inputs:
            stating = [one for one in map(frameworks.get, frameworks.names()) if one.states_inputs]
            found = f"missing key 'inputs'; only {' or '.join(_in_words(one) for one in stating)} states its own"
            problems.add((*where, "inputs"), found)
        return
    axes = {axis for value in entry.inputs.values() for axis in value.shape if isinstance(axis, str)} - {"batch"}
    for name, value in entry.inputs.items():
        for index, axis in enumerate(value.shape):
            if axis in axes - set(entry.dims):
                keys = (*where, "inputs", name, "shape", index)
                problems.add(keys, f"axis {axis!r} has no size; give one, such as dims: {{{axis}: 128}}")
    for axis in entry.dims:
        if axis not in axes | {"batch"}:
            problems.add((*where, "dims", axis), f"no input has an axis {axis!r}; {suggest(axis, sorted(axes))}")


def _outputs(where: Keys, entry: ModelEntry, problems: Problems) -> dict[str, str]:
    """What the task reads -> the output's name, of what is said."""
    given: dict[str, str] = entry.outputs.given()
    roles = tasks.roles(entry.task) if given else ()
    for role in given:
        if role not in roles:
            able = [name for name in tasks.names() if role in tasks.roles(name)]
            found = f"has an effect with task {' or '.join(able)} alone; set `task: {able[0]}`"
            problems.add((*where, "outputs", role), found)
    return given


def _framework_env(where: Keys, entry: ModelEntry, folder: Path, problems: Problems) -> FrameworkEnv:
    """Where the framework runs, with an interpreter's path made absolute."""
    own, where = entry.framework_env, (*where, "framework_env")
    place, packages = own.place or "", tuple(own.packages)
    if frameworks.get(entry.source).file and (place or packages):
        problems.add(where, f"{_in_words(frameworks.get(entry.source))} needs no framework; leave this key out")
    elif place and place not in (surroundings.BESIDE, surroundings.OWN):
        if not runtime_spec.is_path(place):
            valid = (surroundings.BESIDE, surroundings.OWN)
            problems.add((*where, "place"), f"found {place!r}; {suggest(place, valid)}, or an interpreter's path")
        place = _absolute(folder, place)
    if packages and place not in ("", surroundings.OWN):
        problems.add((*where, "packages"), "has an effect in an environment of its own alone; set `place: own`")
    for index, package in enumerate(packages):
        from packaging.requirements import InvalidRequirement, Requirement  # not for every start

        try:
            Requirement(package)
        except InvalidRequirement as error:
            problems.add(
                (*where, "packages", index), f"is not a requirement as pip takes them: {str(error).splitlines()[0]}"
            )
    return FrameworkEnv(place=place, packages=packages)


def _in_words(framework: Framework) -> str:
    """What a person calls the models of a framework whose models state things themselves."""
    return f"an {framework.file} file" if framework.file else f"source {framework.name}"


def _weights(where: Keys, entry: ModelEntry, folder: Path, problems: Problems) -> WeightsSpec:
    own: WeightsEntry | None = entry.weights
    framework = frameworks.get(entry.source)
    if own is None:
        return WeightsSpec(kind=framework.weights[0]) if framework.weights else WeightsSpec()
    where = (*where, "weights")
    if not framework.weights:
        problems.add(where, f"{_in_words(framework)} brings its own weights; leave this key out")
    elif own.kind not in framework.weights:
        able = [name for name in frameworks.names() if own.kind in frameworks.get(name).weights]
        found = f"{own.kind!r} needs source {' or '.join(able)}, found {entry.source}"
        problems.add((*where, "kind"), f"{found}; valid: {', '.join(framework.weights)}")
    for key in sorted(own.model_fields_set & {"path", "require"}):
        if own.kind != "pretrained":
            problems.add((*where, key), f"has no effect with kind {own.kind!r}; it belongs to: pretrained")
    path = None if own.path is None else _absolute(folder, own.path)
    return WeightsSpec(kind=own.kind, seed=own.seed, path=path, require=own.require)


def _data(where: Keys, entry: ModelEntry, entries: ZooFile, folder: Path, problems: Problems) -> DataSpec:
    use: DataUse | None = entry.data
    if use is None and not frameworks.get(entry.source).states_inputs:
        found = f"missing key 'data'; available: {', '.join([*entries.data, RANDOM])}"
        problems.add((*where, "data"), found)
    name = RANDOM if use is None else use.use
    shared: DataEntry | None = entries.data.get(name)
    file = Path(_absolute(folder, entry.id))
    if use is None and frameworks.get(entry.source).file and beside.of_file(file):
        own_sets = {"sets": str(file.parent), "outputs_of": str(file)}
        return DataSpec(name=TEST_SETS, source=TEST_SETS, options=own_sets, **beside.counts(file))
    if shared is None:  # `random` without an entry; any other missing name is reported where references are checked
        counts, source, options = {}, RANDOM, {}
    else:
        counts = {"calibration": shared.calibration, "evaluation": shared.evaluation}
        source = shared.source
        options = plain({key: value for key, value in shared.given().items() if key not in ("source", *_COUNTS)})
        for option in sources.options(source):
            if option.path and option.name in options:
                options[option.name] = _absolute(folder, options[option.name])
    own = {} if use is None else {key: value for key, value in use.given().items() if key != "use"}
    return DataSpec(name=name, source=source, options=options, **{**counts, **own})


def check_data(name: str, entry: DataEntry, problems: Problems) -> None:
    """Record settings that a data source needs and does not have, or has no use for."""
    where: Keys = ("data", name)
    own = by_name(sources.options(entry.source))
    for option in own.values():
        if option.required and option.name not in entry.model_fields_set:
            problems.add(where, f"missing key {option.name!r}, which source {entry.source!r} needs")
    for key in entry.given():
        if key not in ("source", *_COUNTS, *own):
            able = [name for name in sources.names() if key in by_name(sources.options(name))]
            found = f"has no effect with source {entry.source!r}; it belongs to: {', '.join(able)}"
            problems.add((*where, key), found)


def check_unused_steps(entries: ZooFile, problems: Problems) -> None:
    """Record options for steps that no variant of the zoo has."""
    for name, entry in entries.models.items():
        check_effect(("models", name, "steps"), entry.steps, entries.variants, problems)


def _check_samples(where: Keys, made: Recipe, data: DataSpec, problems: Problems) -> None:
    for step in made.steps:
        if step.options.get("samples", 0) > data.calibration:
            found = f"variant {made.name!r} calibrates on {step.options['samples']} samples, but the data gives"
            problems.add((*where, "data"), f"{found} {data.calibration}; raise its `calibration`")
