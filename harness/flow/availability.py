"""What a zoo offers, and which of it can run on this host: what `harness list` shows."""

from __future__ import annotations

import dataclasses
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import frameworks
from harness.errors import UsageError, WorkerError
from harness.measure import coordinator
from harness.records import ModelSpec, Recipe, Target
from harness.runtimes.clients import client_factory
from harness.zoo import TargetSpec, Zoo

REDUCED = ("float16", "bfloat16")
"""Precisions that a provider may have no kernels for; integer ones are part of every build."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A model, variant or target; `why_not` is empty where it can run here."""

    name: str
    what: str
    why_not: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return dataclasses.asdict(self) | {"runs_here": not self.why_not}


def take(zoo: Zoo, cache: Path) -> dict[str, list[Item]]:
    """Models, variants and targets of a zoo.

    Targets and precisions are tried by running a node; a runtime that is not in the cache is not installed for that.
    """
    targets = {name: as_target(spec) for name, spec in zoo.targets.items()}
    why_not = {name: try_target(target, cache) for name, target in targets.items()}
    usable = [targets[name] for name, why in why_not.items() if not why]
    return {
        "models": [Item(name=m.name, what=f"{m.source} {m.id}", why_not=model_problem(m)) for m in zoo.models.values()],
        "variants": [
            Item(name=r.name, what=recipe_text(r), why_not=precision_problem(r.precision, usable, cache))
            for r in zoo.variants.values()
        ],
        "targets": [Item(name=name, what=t.provider, why_not=why_not[name]) for name, t in targets.items()],
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
    )


def model_problem(model: ModelSpec) -> str:
    """Why a model cannot be built here."""
    framework = frameworks.get(model.source)
    missing = [name for name in framework.packages.values() if importlib.util.find_spec(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed: {framework.how_to_install()}"
    if framework.file and not Path(model.id).is_file():
        return f"{model.id}: no such file"
    return ""


def try_target(target: Target, cache: Path) -> str:
    """Why a target cannot run a node here, on one line."""
    try:
        coordinator.floor(target, client=client_factory(target, cache, install=False))
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
