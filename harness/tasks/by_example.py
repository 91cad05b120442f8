"""What changed, example by example: every metric's values, and what was said in the worst examples."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from harness.records import ExampleAnswer, ExampleScores, Json
from harness.tasks import fidelity
from harness.tasks.base import Evaluated, Scored, Task
from harness.tasks.png import picture, shrunk

Feeds = Mapping[str, Sequence[Any]]
"""Input name -> its arrays, example by example."""

CLOSENESS = "fidelity"
"""The metric of examples without labels: centred SQNR in decibels, the worst output or part."""

WORST = 40
"""Examples whose answers are kept."""


def scores(given: Evaluated, scored: Sequence[Scored]) -> tuple[ExampleScores, ...]:
    """The metrics that have values per example; fidelity where none has.

    Args:
        given: the artifact's answers.
        scored: what the task made of them.
    """
    found = tuple(
        ExampleScores(
            metric=one.value.name,
            unit=one.value.unit,
            direction=one.value.direction,
            values=one.each,
            reference=one.reference,
            examples=one.examples or tuple((place,) for place in range(len(one.each))),
        )
        for one in scored
        if one.each is not None and one.reference is not None
    )
    if found:
        return found
    close = fidelity.closeness_db(given.reference, given.outputs, given.random)
    if not close:
        return ()
    return (
        ExampleScores(
            metric=CLOSENESS,
            unit="dB",
            direction="higher",
            values=close,
            reference=(fidelity.EXACT_DB,) * len(close),
            examples=tuple((place,) for place in range(len(close))),
        ),
    )


def changed(one: ExampleScores) -> list[int]:
    """Places in `values` that are not the reference's own, the worst first."""
    sign = 1.0 if one.direction == "higher" else -1.0
    drops = [sign * (was - now) for was, now in zip(one.reference, one.values, strict=True)]
    return sorted((place for place, drop in enumerate(drops) if drop), key=lambda place: (-drops[place], place))


def _said(given: Evaluated, task: Task | None, examples: tuple[int, ...]) -> tuple[Json, Json, Json]:
    """What is true and what both say; nothing where outputs cannot be read as the task's, which its metrics judge."""
    try:
        return task.answers(given, examples) if task is not None else (None, None, None)
    except ValueError:
        return None, None, None


def answers(
    given: Evaluated, task: Task | None, each: Sequence[ExampleScores], feeds: Feeds | None
) -> tuple[ExampleAnswer, ...]:
    """What was asked and said in the examples that the first metric says changed the most."""
    found = []
    for place in changed(each[0])[:WORST] if each else ():
        examples = each[0].examples[place]
        truth, reference, answer = _said(given, task, examples)
        inputs = [values[one] for one in examples for values in (feeds or {}).values()]
        pictures = [picture(one) for one in inputs]
        found.append(
            ExampleAnswer(
                examples=examples,
                truth=truth,
                reference=reference,
                answer=answer,
                pictures=tuple(base64.b64encode(one).decode("ascii") for one in pictures if one is not None),
                shrunk=shrunk(getattr(inputs[0], "shape", ())) if inputs else 1,
            )
        )
    return tuple(found)
