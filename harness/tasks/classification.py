"""One class per example: an output of class scores [1, classes] (or [classes]) against a label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.records import MetricValue
from harness.stats import correctness
from harness.tasks.base import Evaluated, Paired, Scored, Task
from harness.tasks.fidelity import AGREEMENT

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

FEWEST_CLASSES = 4
"""Top-1 agreement is given only where the reference itself names at least this many classes: a network that answers
the same class for every input agrees with anything."""


def scores_output(outputs: Sequence[str]) -> tuple[str, ...]:
    """Class scores are the first output."""
    return tuple(outputs[:1])


def classes(scores: Sequence[Array]) -> list[int] | None:
    """The best class of each example; None where an output is not a row of scores."""
    rows = [one.reshape(-1) for one in scores if one.ndim == 1 or (one.ndim == 2 and len(one) == 1)]  # noqa: PLR2004  ([1, classes])
    return [int(one.argmax()) for one in rows] if len(rows) == len(scores) and all(map(len, rows)) else None


def right(scores: Sequence[Array], labels: Sequence[Any]) -> tuple[bool, ...]:
    """Whether each example's top class is its label.

    Args:
        scores: [classes] or [1, classes] per example.
        labels: a whole number per example.

    Raises:
        ValueError: if the number of examples differs, or the arrays have other shapes.
    """
    import numpy as np

    found = classes(scores)
    shape = scores[0].shape if len(scores) else ()
    if found is None or len(found) != len(labels):
        raise ValueError(
            f"{len(scores)} outputs of shape {shape} for {len(labels)} labels; expected [classes] for each example"
        )
    wanted = [np.asarray(label).reshape(-1) for label in labels]
    if any(len(label) != 1 for label in wanted):
        raise ValueError("a label is not a single class; expected one whole number for each example")
    return tuple(bool(best == label[0]) for best, label in zip(found, wanted, strict=True))


def measure(given: Evaluated) -> tuple[Scored, ...]:
    """Top-1 accuracy where there are labels, and agreement with the reference's classes."""
    (output,) = given.outputs
    scores, reference = given.outputs[output], given.reference[output]
    found = []
    if given.labels is not None:
        each = right(scores, given.labels)
        found.append(Scored(value=top1(each, right(reference, given.labels)), each=tuple(map(float, each))))
    agreed = top1_agreement(reference, scores)
    if agreed is not None:
        share = sum(agreed) / len(agreed)
        low, high = correctness.wilson(sum(agreed), len(agreed))
        value = MetricValue(
            name=AGREEMENT, unit="fraction", direction="higher", value=share, low=low, high=high, n=len(agreed)
        )
        found.append(Scored(value=value, each=tuple(map(float, agreed))))
    return tuple(found)


def top1(each: Sequence[bool], reference: Sequence[bool]) -> MetricValue:
    """Top-1 accuracy with Wilson's interval, beside the reference's own."""
    value, wanted = sum(each) / len(each), sum(reference) / len(reference)
    low, high = correctness.wilson(sum(each), len(each))
    return MetricValue(
        name="top1",
        unit="fraction",
        direction="higher",
        value=value,
        reference=wanted,
        drop=wanted - value,
        low=low,
        high=high,
        n=len(each),
    )


def top1_agreement(reference: Sequence[Array], scores: Sequence[Array]) -> tuple[bool, ...] | None:
    """Whether each example's best class is the reference's; None where the reference names too few classes."""
    wanted, found = classes(reference), classes(scores)
    if wanted is None or found is None or len(set(wanted)) < FEWEST_CLASSES:
        return None
    return tuple(one == other for one, other in zip(wanted, found, strict=True))


def pair(base: Evaluated, head: Evaluated) -> Paired | None:
    """Right or wrong, example by example; None without labels."""
    if base.labels is None or head.labels is None:
        return None
    (was,), (now,) = base.outputs.values(), head.outputs.values()
    return Paired(
        metric="top1",
        unit="fraction",
        direction="higher",
        base=right(was, base.labels),
        head=right(now, head.labels),
        right=True,
    )


TASK = Task(summary="one class per example: top-1 accuracy", needs=scores_output, measure=measure, pair=pair)
