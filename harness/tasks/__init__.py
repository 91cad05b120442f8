"""What a model's outputs mean: one module per task, found by its name, which is the zoo's `task`.

A task's module holds `TASK`, a `harness.tasks.base.Task`. Importing this package imports none of them, nor NumPy.
`harness.tasks.fidelity` is what all models have, whatever their task: closeness to the fp32 reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.registry import Registry

if TYPE_CHECKING:
    from harness.tasks.base import Task

_TASKS: Registry[Task] = Registry(__name__, "TASK", "task")
names = _TASKS.names


def find(name: str | None, first: Sequence[str] = ()) -> Task | None:
    """The task called `name`, or that of a function, `module:function`; None for a model without one.

    Args:
        name: as the zoo has it.
        first: folders that a function's module is looked for in before all others.

    Raises:
        BuildError: there is none of that name.
    """
    if name is not None and ":" in name:
        from harness.tasks import own_function

        return own_function.task(name, first)
    return None if name is None else _TASKS.get(name)


def roles(name: str | None) -> tuple[str, ...]:
    """What the zoo may name an output for, with this task."""
    found = None if name is None or ":" in name else find(name)
    return () if found is None else found.roles
