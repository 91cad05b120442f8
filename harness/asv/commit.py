"""The commit that asv measures: where it is checked out, its zoo, and the axes that its cases lie on."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from harness import frameworks, git, zoo
from harness.asv.exchange import WEIGHTS, ZOO
from harness.errors import UsageError
from harness.flow import plan as planning
from harness.records import Case
from harness.store.asv.benchmarks import PARAMETERS, place

POLICIES: Final = ("seeded", "pretrained")

Place = tuple[str | int, ...]
"""A combination of parameters, in the order of `PARAMETERS`."""


def root() -> Path:
    """The folder that stands for asv.conf.json's in the checkout of the commit that is measured.

    asv checks commits out in `project` under an environment's folder. An existing environment has none: there the
    working tree is measured. `ASV_COMMIT` and `ASV_BUILD_DIR` are not asked: asv leaves them stale in environments
    that share a folder, and with --parallel.
    """
    configured = Path(os.environ.get("ASV_CONF_DIR") or Path.cwd())
    environment = os.environ.get("ASV_ENV_DIR")
    if environment is None:
        return configured
    return Path(environment) / "project" / git.prefix_of(configured)


def load() -> zoo.Zoo:
    """The commit's zoo, with the weights policy applied.

    Raises:
        UsageError: where there is none.
        ZooError: where it has mistakes.
    """
    path = zoo_path()
    if not path.is_file():
        raise UsageError(f"this commit has no {path.name} in {path.parent}: nothing to measure")
    loaded = zoo.load(path)
    return dataclasses.replace(
        loaded,
        models={
            name: dataclasses.replace(model, weights=dataclasses.replace(model.weights, kind="seeded"))
            if policy() == "seeded" and asks_hub(model.source, model.weights.kind, model.weights.path)
            else model
            for name, model in loaded.models.items()
        },
    )


def zoo_path() -> Path:
    """Where the commit's zoo lies, if it has one."""
    return root() / os.environ.get(ZOO, "model_zoo.yaml")


def asks_hub(source: str, kind: str, path: str | None) -> bool:
    """Whether a model's weights would depend on what a hub answers today."""
    return kind == "pretrained" and path is None and bool(frameworks.get(source).weights)


def policy() -> str:
    """Which weights models get that ask for a hub's: one policy per series, so that they never mix.

    Raises:
        UsageError: for a policy that does not exist.
    """
    found = os.environ.get(WEIGHTS) or POLICIES[0]
    if found not in POLICIES:
        raise UsageError(f"{WEIGHTS}={found}: expected one of {', '.join(POLICIES)}")
    return found


def cases(the_zoo: zoo.Zoo) -> dict[Place, Case]:
    """Every case of the zoo's defaults by its place on the axes."""
    return {place_of(case): case for case in planning.plan(the_zoo, planning.Selection()).cases}


def place_of(case: Case) -> Place:
    """A case's place on the axes."""
    target = case.target
    return place(
        {
            "model": case.model.name,
            "variant": case.recipe.name,
            "provider": target.provider,
            "target_name": target.name,
            "intra_threads": target.intra_threads,
            "inter_threads": target.inter_threads,
            "batch": target.batch,
            "scenario": target.scenario,
        }
    )


def axes_of(places: Mapping[Place, Case]) -> list[list[str | int]]:
    """The values of each parameter, in the order of the plan."""
    return [list(dict.fromkeys(at[axis] for at in places)) for axis in range(len(PARAMETERS))]
