"""The steps of a recipe: one module per kind, which states its options, its tools, and how it is run.

A module here that holds a `STEP` (see `base.StepKind`) is a kind of step, called like its file. Reading the
declarations is cheap; only the build child runs a step.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import Final

from harness.build.steps.base import StepKind
from harness.errors import BuildError
from harness.suggest import similar

FIRST: Final = "export"
"""The step that begins every recipe, and stands nowhere else in it."""


def names() -> tuple[str, ...]:
    """The kinds of step: the first one, then the others in alphabetical order."""
    return tuple(_all())


def get(name: str) -> StepKind:
    """The kind of step called `name`.

    Raises:
        BuildError: there is none of that name.
    """
    if name not in _all():
        raise BuildError(f"There is no step `{name}`{similar(name, names())}. Valid: {', '.join(names())}.")
    return _all()[name]


@functools.cache
def _all() -> dict[str, StepKind]:
    found: dict[str, StepKind] = {}
    modules = {one.name for one in pkgutil.iter_modules(__path__)}
    for name in sorted(modules, key=lambda name: (name != FIRST, name)):
        kind = getattr(importlib.import_module(f"{__name__}.{name}"), "STEP", None)
        if kind is not None:
            found[name] = kind
    return found
