"""Boxes and scores of objects in images: mean average precision where there are labels, else fidelity alone.

`harness.tasks.boxes` says which outputs are read, and how; `harness.tasks.precision_recall` what the metrics are.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from harness.records import Json, MetricValue
from harness.stats import resampled
from harness.tasks import boxes
from harness.tasks.base import Evaluated, Paired, Scored, Task, everything
from harness.tasks.boxes import Found
from harness.tasks.precision_recall import Precision, precision

MAP50_95, MAP50 = "map50_95", "map50"


def detections(given: Evaluated, side: Mapping[str, Sequence[Any]]) -> list[Found]:
    """What one side finds in every picture.

    Raises:
        ValueError: outputs are not those of a detector.
    """
    roles = boxes.layout(_shapes(given), given.roles)
    count = given.examples
    return [boxes.found({role: side[name][place] for role, name in roles.items()}) for place in range(count)]


def measure(given: Evaluated) -> tuple[Scored, ...]:
    """Mean average precision at an overlap of one half, and over ten overlaps, against the labels."""
    if given.labels is None or not _is_truth(given.labels[0]):
        return ()
    found_by, theirs = detections(given, given.outputs), detections(given, given.reference)
    value, reference = precision(found_by, given.labels), precision(theirs, given.labels)
    differing = sum(one != other for one, other in zip(value.each, reference.each, strict=True))
    note, spent = _note(found_by), statistics.median(one.seconds for one in found_by)
    drawn_before: dict[bytes, tuple[tuple[float, float], tuple[float, float]]] = {}

    def both(drawn: Any, place: int) -> tuple[float, float]:
        """One metric of both sides; the same pictures are drawn for each metric, and averaged once."""
        key = drawn.tobytes()
        if key not in drawn_before:
            drawn_before[key] = value.of(drawn), reference.of(drawn)
        ours, theirs = drawn_before[key]
        return ours[place], theirs[place]

    found = []
    for name, place in ((MAP50_95, 1), (MAP50, 0)):
        interval = resampled.difference(
            functools.partial(both, place=place),
            given.examples,
            differing=differing,
            resamples=resampled.RESAMPLES // 2,
        )
        metric = MetricValue(
            name=name,
            unit="fraction",
            direction="higher",
            value=(value.map50_95 if place else value.map50),
            reference=(reference.map50_95 if place else reference.map50),
            drop=(reference.map50_95 - value.map50_95) if place else (reference.map50 - value.map50),
            low=interval.low,
            high=interval.high,
            drop_low=interval.difference_low,
            drop_high=interval.difference_high,
            n=given.examples,
            note=note,
        )
        found.append(Scored(value=metric, each=value.each, reference=reference.each, postprocess_s=spent))
    return tuple(found)


def pair(base: Evaluated, head: Evaluated) -> Paired | None:
    """What each picture contributes to the mean average precision of both sides; None without labels."""
    if base.labels is None or head.labels is None or not _is_truth(base.labels[0]) or base.examples < 2:  # noqa: PLR2004
        return None
    was = _influence(base)
    now = was if head is base else _influence(head)
    return Paired(metric=MAP50_95, unit="fraction", direction="higher", base=was, head=now)


def _influence(side: Evaluated) -> tuple[float, ...]:
    found = precision(detections(side, side.outputs), side.labels or ())
    return resampled.influence(lambda places: _wide(found, places), side.examples)


SHOWN_SCORE = 0.25
"""Boxes that are shown to people."""


def said(given: Evaluated, side: Mapping[str, Sequence[Any]], places: tuple[int, ...]) -> Json:
    """The boxes of a picture whose score is not small, the best first."""
    roles = boxes.layout(_shapes(given), given.roles)
    found = boxes.found({role: side[name][places[0]] for role, name in roles.items()})
    strong = found.scores >= SHOWN_SCORE
    return _shown(found.boxes[strong], found.classes[strong]) | {
        "scores": [round(float(one), 3) for one in found.scores[strong]]
    }


def true(labels: Sequence[Any]) -> Json:
    """The boxes of a label."""
    return _shown(labels[0]["boxes"], labels[0]["classes"]) if _is_truth(labels[0]) else None


def _shown(corners: Any, classes: Any) -> dict[str, Json]:
    return {
        "boxes": [[round(float(edge), 1) for edge in one] for one in corners],
        "classes": [int(one) for one in classes],
    }


def _wide(one: Precision, places: Any) -> float:
    return one.of(places)[1]


def _shapes(given: Evaluated) -> dict[str, tuple[int, ...] | None]:
    return {
        name: tuple(held[0].shape) if len(held) and hasattr(held[0], "shape") else None
        for name, held in given.reference.items()
    }


def _is_truth(label: Any) -> bool:
    return isinstance(label, Mapping) and {"boxes", "classes"} <= label.keys()


def _note(found: Sequence[Found]) -> str:
    """What is odd about what was found; empty where nothing is."""
    none = sum(not len(one.scores) for one in found)
    broken = sum(one.broken for one in found)
    parts = []
    if none == len(found):
        parts.append(f"nothing was found in any of {len(found)} pictures (scores below {boxes.LEAST_SCORE})")
    if broken:
        parts.append(f"{broken} detections are not finite numbers and were left out")
    return "; ".join(parts)


TASK = Task(
    summary="objects in an image: mean average precision where there are labels, else fidelity",
    needs=everything,
    roles=(boxes.PREDICTIONS, *boxes.SEPARATE),
    measure=measure,
    pair=pair,
    said=said,
    true=true,
)
