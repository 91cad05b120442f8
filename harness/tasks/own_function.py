"""A metric of the user's own: `task: module:function`, called with one example's outputs and its label.

`function(outputs, label)` is given a mapping of output names to arrays, and gives one number; the metric is the mean
over the examples. It may have attributes `direction` (`higher`, which is better, or `lower`), `unit` (`fraction` where
it lies in 0..1, else any text) and `__name__`, which is what the metric is called. It runs in a process of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.records import MetricValue
from harness.stats import correctness, resampled
from harness.tasks import own_calls
from harness.tasks.base import Evaluated, Paired, Scored, Task, everything


def task(name: str, first: Sequence[str] = ()) -> Task:
    """The task of a `module:function`, which nothing is known of before it measures: that imports it.

    Args:
        name: of it.
        first: folders that the module is looked for in before all others.
    """

    def measure(given: Evaluated) -> tuple[Scored, ...]:
        return _measured(given, name, first)

    def pair(base: Evaluated, head: Evaluated) -> Paired | None:
        both = [(one, one.labels) for one in (base, head) if one.labels is not None]
        if len(both) < 2:  # noqa: PLR2004  (two sides)
            return None
        sides = [own_calls.Answered(outputs=one.outputs, labels=labels) for one, labels in both]
        says = own_calls.asked(name, sides, first)
        return Paired(
            metric=says.called, unit=says.unit, direction=says.direction, base=says.sides[0], head=says.sides[1]
        )

    return Task(summary=f"what {name} says of each example", needs=everything, measure=measure, pair=pair)


def _measured(given: Evaluated, name: str, first: Sequence[str]) -> tuple[Scored, ...]:
    if given.labels is None:
        return ()
    sides = [own_calls.Answered(outputs=one, labels=given.labels) for one in (given.outputs, given.reference)]
    says = own_calls.asked(name, sides, first)
    each, own = says.sides
    sign = 1.0 if says.direction == own_calls.DIRECTIONS[0] else -1.0
    span = 1.0 if says.unit == "fraction" else max(max(each + own) - min(each + own), 0.0)
    drop = correctness.bootstrap_drop([sign * one for one in own], [sign * one for one in each], span=span)
    values = _array(each)
    interval = resampled.difference(lambda drawn: (float(values[drawn].mean()), 0.0), len(each), differing=len(each))
    value = MetricValue(
        name=says.called,
        unit=says.unit,
        direction=says.direction,
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
