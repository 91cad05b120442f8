"""A metric of the user's own: `task: module:function`, called with one example's outputs and its label.

`function(outputs, label)` is given a mapping of output names to arrays, and gives one number; the metric is the mean
over the examples. It may have attributes `direction` (`higher`, which is better, or `lower`), `unit` (`fraction` where
it lies in 0..1, else any text) and `__name__`, which is what the metric is called. It runs beside harness, where
torch and other frameworks should stay out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness import importable
from harness.records import MetricValue
from harness.stats import correctness, resampled
from harness.tasks.base import Evaluated, Paired, Scored, Task, everything

DIRECTIONS = ("higher", "lower")


def task(name: str) -> Task:
    """The task of a `module:function`.

    Raises:
        BuildError: it cannot be imported.
        ValueError: its `direction` is neither of the two.
    """
    function = importable.target(name, "task")
    direction, unit = str(getattr(function, "direction", DIRECTIONS[0])), str(getattr(function, "unit", ""))
    if direction not in DIRECTIONS:
        raise ValueError(f"task: {name} has the direction {direction!r}; valid: {', '.join(DIRECTIONS)}")
    called = str(getattr(function, "__name__", name.rpartition(":")[2]))

    def measure(given: Evaluated) -> tuple[Scored, ...]:
        return _measured(function, given, name=name, called=called, unit=unit, direction=direction)

    def pair(base: Evaluated, head: Evaluated) -> Paired | None:
        if base.labels is None or head.labels is None:
            return None
        return Paired(
            metric=called,
            unit=unit,
            direction=direction,
            base=_each(function, base, base.outputs, name),
            head=_each(function, head, head.outputs, name),
        )

    return Task(summary=f"what {name} says of each example", needs=everything, measure=measure, pair=pair)


def _measured(
    function: Callable[..., Any], given: Evaluated, *, name: str, called: str, unit: str, direction: str
) -> tuple[Scored, ...]:
    if given.labels is None:
        return ()
    each, own = (_each(function, given, side, name) for side in (given.outputs, given.reference))
    sign = 1.0 if direction == DIRECTIONS[0] else -1.0
    span = 1.0 if unit == "fraction" else max(max(each + own) - min(each + own), 0.0)
    drop = correctness.bootstrap_drop([sign * one for one in own], [sign * one for one in each], span=span)
    values = _array(each)
    interval = resampled.difference(lambda drawn: (float(values[drawn].mean()), 0.0), len(each), differing=len(each))
    value = MetricValue(
        name=called,
        unit=unit,
        direction=direction,
        value=sum(each) / len(each),
        reference=sum(own) / len(own),
        drop=drop.value,
        low=interval.low,
        high=interval.high,
        drop_low=drop.low,
        drop_high=drop.high,
        n=len(each),
    )
    return (Scored(value=value, each=each, reference=own),)


def _array(values: Sequence[float]) -> Any:
    import numpy as np

    return np.asarray(values, dtype=np.float64)


def _each(
    function: Callable[..., Any], given: Evaluated, side: Mapping[str, Sequence[Any]], name: str
) -> tuple[float, ...]:
    """The function's number for every example.

    Raises:
        ValueError: it raises, or gives something else than a number, or NaN.
    """
    found = []
    for place in range(given.examples):
        outputs = {output: values[place] for output, values in side.items()}
        try:
            answer = function(outputs, (given.labels or ())[place])
            number = float(answer)
        except Exception as error:  # whatever a function of the user's does
            raise ValueError(f"{name} failed on example {place}: {type(error).__name__}: {error}") from error
        if not math.isfinite(number):
            raise ValueError(f"{name} gives {number} for example {place}: expected a finite number")
        found.append(number)
    return tuple(found)
