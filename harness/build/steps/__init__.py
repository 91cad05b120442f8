"""The steps of a recipe: one module per kind, which states its options, its tools, and how it is run.

A module here that holds a `STEP` (see `base.StepKind`) is a kind of step, called like its file. Reading the
declarations is cheap; only the build child runs a step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from harness.registry import Registry

if TYPE_CHECKING:
    from harness.build.steps.base import StepKind

FIRST: Final = "export"
"""The step that begins every recipe, and stands nowhere else in it."""

_STEPS: Registry[StepKind] = Registry(__name__, "STEP", "step")
get = _STEPS.get


def names() -> tuple[str, ...]:
    """The kinds of step: the first one, then the others in alphabetical order."""
    return tuple(sorted(_STEPS.names(), key=lambda name: name != FIRST))
