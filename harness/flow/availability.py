"""What a zoo offers, and which of it can run on this host: what `harness list` shows."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import frameworks, interpreters, runtime_spec
from harness.errors import UsageError, WorkerError
from harness.flow import executors_here
from harness.frameworks import surroundings
from harness.measure import coordinator
from harness.records import ModelSpec, Recipe, Target
from harness.runtimes.clients import client_factory
from harness.zoo import TargetSpec, Zoo

REDUCED = ("float16", "bfloat16")
"""Precisions that a provider may have no kernels for; integer ones are part of every build."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A model, variant, target, runtime, provider or framework; `why_not` is empty where it can run here."""

    name: str
    what: str
    why_not: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return dataclasses.asdict(self) | {"runs_here": not self.why_not}


def take(zoo: Zoo, cache: Path) -> dict[str, list[Item]]:
    """Models, variants and targets of a zoo, and every runtime, provider and framework, used by it or not.

    Targets, providers and precisions are tried by running a node; a runtime that is not in the cache is not installed
    for that.
    """
    targets = {name: as_target(spec) for name, spec in zoo.targets.items()}
    why_not = {name: try_target(target, cache) for name, target in targets.items()}
    usable = [targets[name] for name, why in why_not.items() if not why]
    return {
        "models": [
            Item(name=m.name, what=f"{m.source} {m.id}", why_not=model_problem(m, cache)) for m in zoo.models.values()
        ],
        "variants": [
            Item(name=r.name, what=recipe_text(r), why_not=precision_problem(r.precision, usable, cache))
            for r in zoo.variants.values()
        ],
        "targets": [Item(name=name, what=t.provider, why_not=why_not[name]) for name, t in targets.items()],
        "runtimes": [
            Item(name=name, what=executors_here.RUNTIMES[name], why_not=why)
            for name, why in executors_here.runtimes(targets, why_not, cache).items()
        ],
        "providers": [
            Item(name=name, what=full, why_not=why)
            for name, (full, why) in executors_here.providers(targets, why_not, cache).items()
        ],
        "frameworks": framework_items(zoo, cache),
    }


def as_target(spec: TargetSpec) -> Target:
    """One target of an entry, with one thread, to try it."""
    return Target(
        name=spec.name,
        provider=spec.provider,
        runtime=spec.runtime,
        provider_options=spec.provider_options,
        session_config=spec.session_config,
        plugin=spec.plugin,
        device=spec.device,
        limits=spec.limits,
    )


def framework_items(zoo: Zoo, cache: Path) -> list[Item]:
    """Every framework that a model may come from, and whether it can be loaded here."""
    used: dict[str, list[ModelSpec]] = {}
    for model in zoo.models.values():
        used.setdefault(model.source, []).append(model)
    return [
        Item(
            name=name,
            what=_in_words(name, [model.name for model in used.get(name, [])]),
            why_not=framework_problem(name, cache, used.get(name, [])),
        )
        for name in frameworks.names()
    ]


def _in_words(name: str, models: list[str]) -> str:
    """What a framework brings, where it runs, and which models of a zoo come from it."""
    framework = frameworks.get(name)
    where = "; runs in an environment of its own" if framework.apart else ""
    whose = f" ({', '.join(models)})" if models else ""
    return f"{framework.doc}{where}{whose}"


def framework_problem(name: str, cache: Path, models: Sequence[ModelSpec] = ()) -> str:
    """Why no model of a framework can be loaded here: where the zoo's models have it run, or by itself."""
    framework = frameworks.get(name)
    if any(surroundings.known(model, cache) for model in models):
        return ""
    if framework.apart:
        own = interpreters.known(surroundings.folder(name, (), cache))
        needs = " ".join(framework.requirements)
        return "" if own else f"no environment of it in the cache yet: the first build of a model installs {needs}"
    missing = [name for name in framework.packages.values() if importlib.util.find_spec(name) is None]
    return f"{', '.join(missing)} not installed: {framework.how_to_install()}" if missing else ""


def model_problem(model: ModelSpec, cache: Path) -> str:
    """Why a model cannot be built here; an environment that a build makes is not missing."""
    framework = frameworks.get(model.source)
    if not surroundings.is_apart(model):
        missing = [name for name in framework.packages.values() if importlib.util.find_spec(name) is None]
        if missing:
            return f"{', '.join(missing)} not installed: {framework.how_to_install()}"
    elif surroundings.place_of(model) != surroundings.OWN:
        try:
            surroundings.require(model, cache)
        except UsageError as error:
            return str(error)
    if framework.file and not Path(model.id).is_file():
        return f"{model.id}: no such file"
    return ""


def try_target(target: Target, cache: Path) -> str:
    """Why a target cannot run a node here, on one line."""
    try:
        start = client_factory(target, cache, install=False)
        if runtime_spec.decodes_alone(target.runtime):
            start().close()
        else:
            coordinator.floor(target, client=start)
    except (WorkerError, UsageError) as error:
        return " ".join(str(error).split())[:200]
    return ""


def precision_problem(precision: str, usable: list[Target], cache: Path) -> str:
    """Why no usable target computes in this precision."""
    if precision not in REDUCED:
        return ""
    for target in usable:
        try:
            coordinator.computes(target, precision, client=client_factory(target, cache, install=False))
        except WorkerError:
            continue
        return ""
    return f"no {precision} MatMul kernel on {', '.join(t.name for t in usable) or 'any usable target'}"


def recipe_text(recipe: Recipe) -> str:
    """A recipe on one line, such as `export > fuse level=basic > cast to=float16`."""
    steps = (" ".join([s.kind, *(f"{k}={v}" for k, v in s.options.items())]) for s in recipe.steps)
    return " > ".join(steps)
