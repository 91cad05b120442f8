"""Numbers predicted from an example, against the true ones: the share of the variance explained, and the error.

R2 is one minus the squared error over the labels' variance, over all examples; where an example has several targets,
their errors and variances are added. The interval of its drop is of the squared errors' mean, the labels as they are.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.records import MetricValue
from harness.stats import correctness
from harness.tasks.base import Evaluated, Paired, Scored, Task, everything

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SquaredErrors:
    """How far predictions are from the labels.

    Attributes:
        each: the squared error of every example, added over its targets.
        spread: the squared distance of every example's label from the mean label, likewise.
    """

    each: tuple[float, ...]
    spread: tuple[float, ...]

    @property
    def variance(self) -> float:
        """Of the labels."""
        return statistics.fmean(self.spread)

    @property
    def r2(self) -> float:
        """The share of the variance that is explained; below zero for what is worse than the mean label."""
        return 1 - statistics.fmean(self.each) / self.variance


def find(given: Evaluated) -> str | None:
    """The output that holds the predictions: the first of real numbers with as many values as a label has."""
    import numpy as np

    size = None if given.labels is None else np.asarray(given.labels[0]).size
    for name, values in given.reference.items():
        if name in given.random or not len(values):
            continue
        first = np.asarray(values[0])
        if first.dtype.kind == "f" and size in (None, first.size):
            return name
    return None


def errors(predicted: Sequence[Array], labels: Sequence[Any]) -> SquaredErrors:
    """Predictions against labels, one of each per example.

    Raises:
        ValueError: their numbers or sizes differ, a label is not a number, or all labels are equal.
    """
    import numpy as np

    if len(predicted) != len(labels):
        raise ValueError(f"{len(predicted)} predictions for {len(labels)} labels")
    try:
        true = np.stack([np.asarray(one, dtype=np.float64).reshape(-1) for one in labels])
    except (TypeError, ValueError) as error:
        raise ValueError("a regression needs labels that are numbers, as many for each example") from error
    found = np.stack([np.asarray(one, dtype=np.float64).reshape(-1) for one in predicted])
    if found.shape != true.shape:
        raise ValueError(f"a prediction has {found.shape[1]} values and a label {true.shape[1]}")
    spread = ((true - true.mean(axis=0)) ** 2).sum(axis=1)
    if not spread.sum() > 0:
        raise ValueError("all labels are equal: there is nothing to explain")
    return SquaredErrors(each=tuple(((found - true) ** 2).sum(axis=1).tolist()), spread=tuple(spread.tolist()))


def measure(given: Evaluated) -> tuple[Scored, ...]:
    """R2 and the root of the mean squared error; nothing without labels."""
    name = find(given)
    if name is None or given.labels is None:
        return ()
    ours, own = errors(given.outputs[name], given.labels), errors(given.reference[name], given.labels)
    if not all(map(math.isfinite, (*ours.each, *own.each))):
        raise ValueError(f"output `{name}` has values that are not finite")
    scale = own.variance
    drop = correctness.bootstrap_drop(
        [-one / scale for one in own.each], [-one / scale for one in ours.each], span=max(own.spread) / scale
    )
    count = len(ours.each)
    r2 = MetricValue(
        name="r2",
        unit="fraction",
        direction="higher",
        value=ours.r2,
        reference=own.r2,
        drop=own.r2 - ours.r2,
        n=count,
        drop_low=drop.low,
        drop_high=drop.high,
    )
    value, reference = (math.sqrt(statistics.fmean(one.each)) for one in (ours, own))
    rmse = MetricValue(
        name="rmse", unit="", direction="lower", value=value, reference=reference, drop=value - reference, n=count
    )
    return (Scored(value=r2, each=ours.each), Scored(value=rmse, each=ours.each))


def pair(base: Evaluated, head: Evaluated) -> Paired | None:
    """The squared error of every example, in units of the labels' variance; None without labels."""
    if base.labels is None or head.labels is None:
        return None
    ours, theirs = find(base), find(head)
    if ours is None or theirs is None:
        return None
    first, second = errors(base.outputs[ours], base.labels), errors(head.outputs[theirs], head.labels)
    scale = first.variance
    return Paired(
        metric="r2",
        unit="fraction",
        direction="higher",
        base=tuple(1 - one / scale for one in first.each),
        head=tuple(1 - one / scale for one in second.each),
        span=max(first.spread) / scale,
    )


TASK = Task(summary="numbers predicted from an example: R2 and RMSE", needs=everything, measure=measure, pair=pair)
