"""Zoo x selection -> the cases to measure, in the order to measure them. Pure.

Targets become one `Target` per combination of their threads, inter-op threads and batch. Which list counts, the first
that is given: the command line's, the target's own, the model's own (threads only), the zoo's defaults. A provider
that ignores thread counts (a GPU, say) keeps the first of its target's own counts, or 1, whatever the command line
says. What cannot differ is left out, and `Plan.pruned` says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from harness import bounds
from harness.errors import UsageError
from harness.providers import short_name, thread_option, uses_threads
from harness.records import BASELINES, Artifact, Case, Json, ModelSpec, Recipe, Target
from harness.records.scenario import OFFLINE
from harness.runtime_spec import runs_network
from harness.session_options import EXECUTION_MODE, PARALLEL
from harness.suggest import suggest
from harness.zoo.spec import TargetSpec, Zoo

T = TypeVar("T")

OFFLINE_BATCH = 32
"""The examples of an offline query where no batch above 1 is asked for: it chooses among the batches up to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What of the zoo is asked for; names or globs.

    Attributes:
        models: empty for all.
        variants, targets: empty for the zoo's defaults.
        threads, batch, scenarios: instead of what the zoo says; None leaves it.
    """

    models: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    threads: tuple[int, ...] | None = None
    batch: tuple[int, ...] | None = None
    scenarios: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The cases in the order to measure them: by model, then target, then variant with the baseline first.

    Attributes:
        pruned: what was asked for and left out because it could not differ, one line each.
    """

    cases: tuple[Case, ...]
    pruned: tuple[str, ...] = ()


def plan(zoo: Zoo, selection: Selection) -> Plan:
    """Return every case of a selection.

    Raises:
        UsageError: a name or glob matches nothing, or a count is out of range; all such mistakes at once.
    """
    problems: list[str] = []
    models = _pick("model", selection.models or ("*",), zoo.models, problems)
    variants = _pick("variant", selection.variants or zoo.defaults.variants, zoo.variants, problems)
    names = {spec.case_name: name for name, spec in zoo.targets.items()}  # a case's name has its limits
    asked = [names.get(name, name) for name in selection.targets or ()]
    targets = _pick("target", asked or zoo.defaults.targets, zoo.targets, problems)
    for word, values, bound in (
        ("threads", selection.threads, bounds.THREADS),
        ("batch", selection.batch, bounds.BATCH),
    ):
        if values is not None and (not values or any(value not in bound for value in values)):
            found = ", ".join(str(value) for value in values) or "none"
            problems.append(f"{word}: expected whole numbers from {bound.least} to {bound.most}, found {found:.80}")
    if problems:
        raise UsageError("\n".join(problems))

    pruned: dict[str, None] = {}
    cases = []
    for name in models:
        model = zoo.models[name]
        recipes = _distinct(model, variants, pruned)
        base = baseline(model, [recipe.name for recipe in recipes])
        recipes.sort(key=lambda recipe: recipe.name != base)  # stable: the others keep their order
        model = replace(model, baseline=base)
        expanded = [
            target
            for spec in (zoo.targets[key] for key in targets)
            for target in _expand(spec, model, zoo, selection, pruned)
        ]
        for target in _distinct_targets(expanded, pruned):
            fit = recipes if not runs_network(target.runtime) else _own_network(model, recipes, target, pruned)
            cases += [Case(model=model, recipe=recipe, target=target) for recipe in fit]
    return Plan(cases=tuple(cases), pruned=tuple(pruned))


def baseline(model: ModelSpec, variants: Sequence[str]) -> str:
    """The variant that a model's speed-ups refer to, of those that are measured; empty where none is fit for it."""
    return next((name for name in (model.baseline, *BASELINES) if name in variants), "")


def by_model(cases: Sequence[Case]) -> list[tuple[ModelSpec, list[Recipe]]]:
    """The recipes to build for each model, each once."""
    wanted: dict[str, tuple[ModelSpec, dict[str, Recipe]]] = {}
    for case in cases:
        wanted.setdefault(case.model.name, (case.model, {}))[1][case.recipe.name] = case.recipe
    return [(model, list(recipes.values())) for model, recipes in wanted.values()]


def plan_digest(zoo: Zoo, cases: Sequence[Case], extra: Json) -> str:
    """Return a digest of what is asked for, by which an interrupted sweep is found again.

    It covers the zoo file's path, every case with all its settings, in order, and `extra`; it does not change with
    comments in the zoo file, nor with models, variants or targets that are not among the cases.

    Args:
        zoo: the zoo that the cases are of; sweeps of different zoo files never resume each other.
        cases: as planned.
        extra: anything else that a number depends on, such as the commit and the sweep's settings.

    Returns:
        64 hexadecimal digits.
    """
    written: dict[int, str] = {}

    def digest(part: ModelSpec | Recipe | Target) -> str:
        # Cases share their parts: each is written once, however many cases there are.
        if id(part) not in written:
            whole = replace(part, recipes={}) if isinstance(part, ModelSpec) else part
            written[id(part)] = hashlib.sha256(_canonical(_json(whole))).hexdigest()
        return written[id(part)]

    lines = [[digest(case.model), digest(case.recipe), digest(case.target)] for case in cases]
    return hashlib.sha256(_canonical({"zoo": str(zoo.path), "cases": lines, "extra": extra})).hexdigest()


def _pick(word: str, patterns: Iterable[str], names: Mapping[str, object], problems: list[str]) -> list[str]:
    """Return the names that match, in the order of the patterns and then of the zoo, each once."""
    picked: dict[str, None] = {}
    for pattern in patterns:
        found = [pattern] if pattern in names else [name for name in names if fnmatchcase(name, pattern)]
        if not found:
            problems.append(f"no {word} matches {pattern!r}; {suggest(pattern, names)}")
        picked.update(dict.fromkeys(found))
    return list(picked)


def _distinct(model: ModelSpec, variants: Iterable[str], pruned: dict[str, None]) -> list[Recipe]:
    """Return a model's recipes without those that are another one under a second name."""
    kept: dict[bytes, Recipe] = {}
    for name in variants:
        recipe = model.recipes[name]
        same = kept.setdefault(_canonical(_json(replace(recipe, name=""))), recipe)
        if same is not recipe:
            pruned[f"{model.name}/{name}: the same recipe as {same.name}"] = None
    return list(kept.values())


def _own_network(
    model: ModelSpec, recipes: Sequence[Recipe], target: Target, pruned: dict[str, None]
) -> Sequence[Recipe]:
    """The one recipe that stands for the network itself: what is done to an artifact makes no difference to it."""
    plain = next((one for one in recipes if one.precision == "float32"), None)
    left = [one.name for one in recipes if one is not plain]
    if left:
        stands = f"only as {plain.name}" if plain else "and there is no float32 variant to compare it with"
        why = f"{target.runtime} runs the network as its framework has it, {stands}"
        pruned[f"{model.name}: {target.name} without {', '.join(left)}: {why}"] = None
    return [plain] if plain else []


def _distinct_targets(targets: Iterable[Target], pruned: dict[str, None]) -> list[Target]:
    """Return targets without those that are another one under a second name."""
    kept: dict[bytes, Target] = {}
    for target in targets:
        same = kept.setdefault(_canonical(_json(replace(target, name=""))), target)
        if same.name != target.name:
            pruned[f"{target.label}: the same settings as {same.label}"] = None
    return list(kept.values())


def _expand(
    spec: TargetSpec, model: ModelSpec, zoo: Zoo, selection: Selection, pruned: dict[str, None]
) -> list[Target]:
    """Return a target's combinations of threads, inter-op threads and batch for one model."""
    return [
        Target(
            name=spec.case_name,
            provider=spec.provider,
            runtime=spec.runtime,
            provider_options=_with_threads(spec, intra),
            intra_threads=intra,
            inter_threads=inter,
            batch=batch,
            session_config=spec.session_config,
            plugin=spec.plugin,
            device=spec.device,
            scenario=scenario,
            limits=spec.limits,
        )
        for intra in _threads(spec, zoo.threads.get(model.name), zoo, selection, pruned)
        for inter in _inter_threads(spec, pruned)
        for scenario in _first(selection.scenarios, spec.scenarios, zoo.defaults.scenarios)
        for batch in _sizes(scenario, _batches(spec, model, zoo, selection, pruned), model)
    ]


def _threads(
    spec: TargetSpec, own: tuple[int, ...] | None, zoo: Zoo, selection: Selection, pruned: dict[str, None]
) -> tuple[int, ...]:
    asked = _first(selection.threads, spec.threads, own, zoo.defaults.threads)
    if (cpus := spec.limits.get("cpus")) and 0 in asked:
        within = tuple(dict.fromkeys(count or cpus for count in asked))
        why = "0 would pin a thread to every core of the machine, outside of its limit of processors"
        _note(pruned, f"{spec.name}: threads", asked, within, why)
        asked = within
    if uses_threads(spec.provider, spec.provider_options):
        if (option := thread_option(spec.provider, spec.provider_options)) in spec.provider_options:
            kept = spec.provider_options[str(option)]
            _note(pruned, f"{spec.name}: threads", asked, (1,), f"the target's own {option}={kept} decides")
            return (1,)
        return asked
    kept_threads = (spec.threads or (1,))[:1]
    why = f"provider {short_name(spec.provider)} does not use them"
    _note(pruned, f"{spec.name}: threads", asked, kept_threads, why)
    return kept_threads


def _inter_threads(spec: TargetSpec, pruned: dict[str, None]) -> tuple[int, ...]:
    asked = _first(spec.inter_threads, (1,))
    if spec.session_config.get(EXECUTION_MODE) == PARALLEL:
        return asked
    _note(pruned, f"{spec.name}: inter_threads", asked, (1,), "sequential execution does not use them")
    return (1,)


def _batches(
    spec: TargetSpec, model: ModelSpec, zoo: Zoo, selection: Selection, pruned: dict[str, None]
) -> tuple[int, ...]:
    asked = _first(selection.batch, spec.batch, zoo.defaults.batch)
    if not model.inputs or any("batch" in value.shape for value in model.inputs):
        return asked
    _note(pruned, f"{model.name}: batch", asked, (1,), "no input has a `batch` axis")
    return (1,)


def _sizes(scenario: str, batches: tuple[int, ...], model: ModelSpec) -> tuple[int, ...]:
    """Return the batches of a scenario: offline chooses its own, up to the largest that is asked for."""
    if scenario != OFFLINE:
        return batches
    open_axis = not model.inputs or any("batch" in value.shape for value in model.inputs)
    return (max(batches) if max(batches) > 1 or not open_axis else OFFLINE_BATCH,)


def _with_threads(spec: TargetSpec, intra: int) -> Mapping[str, str]:
    """Return the provider options, with the thread count where the provider brings its own pool; 0 leaves it to it."""
    option = thread_option(spec.provider, spec.provider_options)
    if option is None or intra == 0 or option in spec.provider_options:
        return spec.provider_options
    return {**spec.provider_options, option: str(intra)}


def _first(*lists: tuple[T, ...] | None) -> tuple[T, ...]:
    """Return the first list that is given, each value once."""
    return next(tuple(dict.fromkeys(values)) for values in lists if values is not None)


def _note(pruned: dict[str, None], what: str, asked: tuple[int, ...], kept: tuple[int, ...], why: str) -> None:
    if asked != kept:
        pruned[f"{what} {', '.join(map(str, asked))} -> {kept[0]}: {why}"] = None


def _json(value: Any) -> Json:
    """Return dataclasses, mappings and tuples as what JSON knows."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: _json(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {key: _json(item) for key, item in value.items()}
    return [_json(item) for item in value] if isinstance(value, tuple | list) else value


def _canonical(value: Json) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def left_out(artifact: Artifact, batch: int) -> str:
    """Why a batch cannot be measured; empty where it can, or where that is not known."""
    reference = artifact.reference
    if not reference.why_no_batch or batch in (1, reference.rows):
        return ""
    return f"batch {batch} is left out: {reference.why_no_batch}; batch 1 is one example, as it is"
