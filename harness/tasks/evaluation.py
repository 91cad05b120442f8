"""From stored outputs to fidelity and a task's metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import tasks, values
from harness.records import (
    Accuracy,
    ExampleAnswer,
    ExampleScores,
    Fidelity,
    MetricValue,
    PairedScores,
    PartFidelity,
    Reference,
    ValueEntry,
)
from harness.tasks import by_example, fidelity
from harness.tasks.base import Evaluated, Task, by_row
from harness.tasks.by_example import Feeds


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Everything that outputs say of an artifact."""

    fidelity: Fidelity
    parts: tuple[PartFidelity, ...]
    accuracy: Accuracy | None
    metrics: tuple[MetricValue, ...]
    each: tuple[ExampleScores, ...] = ()
    answers: tuple[ExampleAnswer, ...] = ()
    paired: PairedScores | None = None
    postprocess_s: float | None = None


def stored(
    reference: Reference,
    folder: Path,
    outputs: Iterable[ValueEntry],
    written: Path,
    roles: Mapping[str, str] | None = None,
) -> Evaluated:
    """An artifact's answers beside the reference's, none of them in memory.

    Args:
        reference: what the folder holds.
        folder: the reference's own.
        outputs: the artifact's, any order.
        written: the folder that holds them.
        roles: what the task reads -> the output that the zoo names for it.

    Raises:
        ValueError: the artifact lacks an output of the reference.
        OSError: if a file is missing.
    """
    rows, count = reference.rows, reference.examples
    theirs = {one.name: by_row(values.arrays(written, one, count), rows) for one in outputs}
    missing = [one.name for one in reference.answers if one.name not in theirs]
    if missing:
        raise ValueError(f"the artifact has no output `{missing[0]}`, which the reference has")
    return Evaluated(
        reference={one.name: by_row(values.arrays(folder, one, count), rows) for one in reference.answers},
        outputs={one.name: theirs[one.name] for one in reference.answers},
        labels=labels(reference, folder),
        roles=roles or {},
        random=reference.random,
    )


def feeds(reference: Reference, folder: Path) -> dict[str, Sequence[Any]]:
    """What every example was fed, by input, none of it in memory."""
    rows, count = reference.rows, reference.examples
    return {one.name: by_row(values.arrays(folder, one, count), rows) for one in reference.feeds}


def labels(reference: Reference, folder: Path) -> Sequence[Any] | None:
    """One label per example, as the data source gave it; None without labels."""
    if not reference.labelled:
        return None
    columns = {one.name: values.Stored(folder, one, reference.examples) for one in reference.labels}
    if set(columns) == {""}:
        return by_row(columns[""], reference.rows)
    return [{name: held[index] for name, held in columns.items()} for index in range(reference.examples)]


def score(given: Evaluated, task: str | None, feeds: Feeds | None = None) -> Scores:
    """Fidelity, and the metrics of a task.

    Args:
        given: the artifact's answers.
        task: its name; None for fidelity alone.
        feeds: what each example was fed, for pictures of those that changed the most.

    Raises:
        ValueError: if shapes differ, or outputs or labels are not what the task is about.
        OSError: if a file is missing.
    """
    parts = fidelity.parts(given.reference, given.outputs, given.random)
    found = tasks.find(task)
    if found is not None and given.labels is not None and ":" not in (task or ""):
        _refuse_undefined(given.labels)
    scored = found.measured(given) if found is not None else ()
    metrics = tuple(one.value for one in scored)
    agreement = next((one.value for one in metrics if one.name == fidelity.AGREEMENT), None)
    close = fidelity.worst(parts, top1_agreement=agreement)
    if close.max_abs == 0:  # the reference's own answers lose nothing, on whatever examples
        metrics = tuple(one if one.drop_low is None else replace(one, drop_low=0.0, drop_high=0.0) for one in metrics)
    each = by_example.scores(given, scored)
    return Scores(
        fidelity=close,
        parts=parts,
        accuracy=accuracy(metrics),
        metrics=metrics,
        each=each,
        answers=by_example.answers(given, found, each, feeds),
        paired=paired(given, found) if found is not None and ":" not in (task or "") else None,
        postprocess_s=next((one.postprocess_s for one in scored if one.postprocess_s is not None), None),
    )


def _refuse_undefined(labels: Sequence[Any]) -> None:
    """Nothing agrees with NaN, so that a label with one would count as a wrong answer of every artifact.

    Raises:
        ValueError: a label holds NaN or infinity; the message names its example.
    """
    import numpy as np

    for place, label in enumerate(labels):
        for part, value in label.items() if isinstance(label, Mapping) else [("", label)]:
            array = np.asarray(value)
            if array.dtype.kind in "fc" and not np.isfinite(array).all():
                where = f" (`{part}`)" if part else ""
                raise ValueError(
                    f"the label of example {place + 1} of {len(labels)}{where} holds NaN or infinity, which no answer "
                    "can be right about: correct the labels, or leave such examples out of the data"
                )


def paired(given: Evaluated, task: Task) -> PairedScores | None:
    """What a gate decides on, of one side; None where nothing but fidelity tells.

    Raises:
        ValueError: as `Task.paired`.
    """
    both = task.paired(given, given)
    if both is None:
        return None
    return PairedScores(
        metric=both.metric,
        unit=both.unit,
        direction=both.direction,
        values=tuple(map(float, both.head)),
        right=both.right,
        span=both.span,
    )


def accuracy(metrics: Iterable[MetricValue]) -> Accuracy | None:
    """The first metric on labels that is a share, such as top-1: what budgets and tables call accuracy."""
    for one in metrics:
        share = one.unit == "fraction" and one.direction == "higher"  # of an error, less would be called a loss
        if share and one.reference is not None and one.drop is not None:
            return Accuracy(
                metric=one.name,
                value=one.value,
                reference=one.reference,
                drop=one.drop,
                n=one.n,
                drop_low=one.drop_low,
                drop_high=one.drop_high,
            )
    return None
