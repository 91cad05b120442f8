"""One class per example against a label. `harness.tasks.scores` says which output names it, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.records import Json, MetricValue
from harness.stats import correctness, resampled
from harness.tasks import ranking
from harness.tasks.base import Evaluated, Paired, Scored, Task, everything, resampled_metric
from harness.tasks.fidelity import AGREEMENT
from harness.tasks.scores import ROLE, ROW, ScoresOutput, find

RANKING = "rank_agreement"
"""The share of the best classes (as many as ten) that are still among the best ones."""

FIRST = 5
"""Of a row of more scores than this, it is asked whether the label is among so many of the best."""

FEWEST_CLASSES = 4
"""Top-1 agreement is given only where the reference itself names at least this many classes: a network that answers
the same class for every input agrees with anything."""


def right(scores: Sequence[Any], labels: Sequence[Any], by: ScoresOutput) -> tuple[bool, ...]:
    """Whether each example's class is its label.

    Args:
        scores: the output's values, one per example.
        labels: a class for each example.
        by: how a class is read from the output.

    Raises:
        ValueError: if the number of examples differs, or a value is nothing that a class can be read from.
    """
    import numpy as np

    found = by.classes(scores)
    if len(found) != len(labels):
        raise ValueError(f"output `{by.name}` has {len(found)} examples for {len(labels)} labels")
    wanted = [np.asarray(label).reshape(-1)[0] for label in labels]
    return tuple(bool(best == label) for best, label in zip(found, wanted, strict=True))


def measure(given: Evaluated) -> tuple[Scored, ...]:
    """Top-1 accuracy where there are labels, and agreement with the reference's classes."""
    by = find(given)
    if by is None or by.name in given.random:
        return ()
    scores, reference = given.outputs[by.name], given.reference[by.name]
    found = []
    if given.labels is not None:
        each, own = right(scores, given.labels, by), right(reference, given.labels, by)
        found.append(
            Scored(
                value=replace(top1(each, own), note=by.note),
                each=tuple(map(float, each)),
                reference=tuple(map(float, own)),
            )
        )
        if by.kind == ROW and _width(reference) > FIRST:
            first, before = among_first(scores, given.labels), among_first(reference, given.labels)
            found.append(
                Scored(
                    value=top1(first, before, name="top5"),
                    each=tuple(map(float, first)),
                    reference=tuple(map(float, before)),
                )
            )
        found.append(Scored(value=f1(by.classes(scores), by.classes(reference), given.labels)))
    agreed = top1_agreement(by.classes(reference), by.classes(scores))
    if agreed is not None:
        share = sum(agreed) / len(agreed)
        low, high = correctness.wilson(sum(agreed), len(agreed))
        value = MetricValue(
            name=AGREEMENT, unit="fraction", direction="higher", value=share, low=low, high=high, n=len(agreed)
        )
        found.append(Scored(value=value, each=tuple(map(float, agreed))))
    ranks = rank_agreement(reference, scores) if by.kind == ROW else None
    if ranks is not None:
        value = MetricValue(
            name=RANKING, unit="fraction", direction="higher", value=sum(ranks) / len(ranks), n=len(ranks)
        )
        found.append(Scored(value=value, each=ranks))
    return tuple(found)


def rank_agreement(reference: Sequence[Any], scores: Sequence[Any]) -> tuple[float, ...] | None:
    """The share of each example's best classes that are still among the best; None for fewer than four classes.

    None also where scores are not numbers, which have no order.
    """
    import numpy as np

    if any(np.isnan(np.asarray(one, dtype=np.float64)).any() for one in (*reference, *scores)):
        return None
    found = [
        ranking.overlap(np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64))
        for one, other in zip(reference, scores, strict=True)
    ]
    held = tuple(one for one in found if one is not None)
    return held if held and len(held) == len(found) else None


def among_first(scores: Sequence[Any], labels: Sequence[Any]) -> tuple[bool, ...]:
    """Whether each example's label is among its five best classes; of equal scores the first classes come first."""
    import numpy as np

    found = []
    for value, label in zip(scores, labels, strict=True):
        row = np.asarray(value, dtype=np.float64).reshape(-1)
        best = np.argsort(-row, kind="stable")[:FIRST]
        found.append(bool((best == np.asarray(label).reshape(-1)[0]).any()) and not np.isnan(row).any())
    return tuple(found)


def f1(found: Sequence[Any], reference: Sequence[Any], labels: Sequence[Any]) -> MetricValue:
    """The harmonic mean of precision and recall, the mean over the classes that labels name (macro F1)."""
    import numpy as np

    wanted = [np.asarray(label).reshape(-1)[0].item() for label in labels]
    kinds = {kind: place for place, kind in enumerate(dict.fromkeys([*wanted, *found, *reference]))}
    truth, ours, theirs = (np.array([kinds[one] for one in side]) for side in (wanted, found, reference))
    count = len(kinds)

    def mean(side: Any, drawn: Any) -> float:
        held, said = truth[drawn], side[drawn]
        there = np.bincount(held, minlength=count)
        named = np.bincount(said, minlength=count)
        both = np.bincount(held[held == said], minlength=count)
        return float((2 * both / np.maximum(there + named, 1))[there > 0].mean())

    interval = resampled.difference(
        lambda drawn: (mean(ours, drawn), mean(theirs, drawn)), len(truth), differing=int((ours != theirs).sum())
    )
    return resampled_metric("f1", interval, len(truth))


def _width(scores: Sequence[Any]) -> int:
    return int(getattr(scores[0], "size", 0)) if len(scores) else 0


def top1(each: Sequence[bool], reference: Sequence[bool], name: str = "top1") -> MetricValue:
    """A share of right answers with Wilson's interval, beside the reference's own; the drop with Tango's for pairs."""
    value, wanted = sum(each) / len(each), sum(reference) / len(reference)
    drop = correctness.right_drop(reference, each)
    low, high = correctness.wilson(sum(each), len(each))
    return MetricValue(
        name=name,
        unit="fraction",
        direction="higher",
        value=value,
        reference=wanted,
        drop=wanted - value,
        low=low,
        high=high,
        n=len(each),
        drop_low=drop.low,
        drop_high=drop.high,
    )


def top1_agreement(wanted: Sequence[Any], found: Sequence[Any]) -> tuple[bool, ...] | None:
    """Whether each example's class is the reference's; None where the reference names too few classes."""
    if len(set(wanted)) < FEWEST_CLASSES:
        return None
    return tuple(one == other for one, other in zip(wanted, found, strict=True))


def pair(base: Evaluated, head: Evaluated) -> Paired | None:
    """Right or wrong, example by example; None without labels."""
    if base.labels is None or head.labels is None:
        return None
    ours, theirs = find(base), find(head)
    if ours is None or theirs is None or {ours.name, theirs.name} & {*base.random, *head.random}:
        return None
    return Paired(
        metric="top1",
        unit="fraction",
        direction="higher",
        base=right(base.outputs[ours.name], base.labels, ours),
        head=right(head.outputs[theirs.name], head.labels, theirs),
        right=True,
    )


def said(given: Evaluated, side: Mapping[str, Sequence[Any]], places: tuple[int, ...]) -> Json:
    """The class of an example."""
    by = find(given)
    if by is None:
        return None
    found = by.classes([side[by.name][place] for place in places])
    return ["none: its scores are not numbers" if one is None else str(one) for one in found]


def true(labels: Sequence[Any]) -> Json:
    """The class that a label names."""
    import numpy as np

    return [str(np.asarray(label).reshape(-1)[0]) for label in labels]


TASK = Task(
    summary="one class per example: top-1 accuracy, top-5, F1",
    needs=everything,
    measure=measure,
    pair=pair,
    roles=(ROLE,),
    said=said,
    true=true,
)
