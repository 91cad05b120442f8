"""What a model's outputs mean: one module per task, found by its name, which is the zoo's `task`.

A task's module holds `TASK`, a `harness.tasks.base.Task`. Importing this package imports none of them, nor NumPy.
`harness.tasks.fidelity` is what all models have, whatever their task: closeness to the fp32 reference.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from harness.suggest import suggest

if TYPE_CHECKING:
    from harness.tasks.base import Task

HELPERS = frozenset({"base", "evaluation", "fidelity", "parts", "ranking", "scores", "structures", "sums", "unordered"})
"""Modules of this package that are not tasks."""


def names() -> list[str]:
    """The names of all tasks, in alphabetical order."""
    return sorted(one.name for one in pkgutil.iter_modules(__path__) if one.name not in HELPERS)


def find(name: str | None) -> Task | None:
    """The task called `name`; None for a model without one.

    Raises:
        ValueError: there is none of that name.
    """
    if name is None:
        return None
    if name not in names():
        raise ValueError(f"There is no task `{name}`; {suggest(name, names())}.")
    task: Task = importlib.import_module(f"{__name__}.{name}").TASK
    return task
