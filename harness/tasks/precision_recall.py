"""Average precision of detections: matched and averaged by pycocotools, and again for examples that are drawn.

pycocotools says which detections are right at ten overlaps. Intervals need the average for thousands of choices of
examples; it is then taken from those matches, each with the number of times that its picture was drawn.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import MissingExtra
from harness.tasks.boxes import Found

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

MOST = 100
"""Detections of a picture that count, the best first: COCO's rule."""

OVERLAPS = 10
"""0.50, 0.55 ... 0.95."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Matched:
    """One class over all pictures, its detections from the best to the worst.

    Attributes:
        pictures: of each detection, its picture's place.
        counts: [overlaps, detections] whether it counts at all.
        hits: [overlaps, most hits] places of those that are right, filled up with how many there are.
        wanted: how many things of the class each picture holds.
    """

    pictures: Array
    counts: Array | None
    hits: Array
    wanted: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """The average precision of a set of pictures.

    Attributes:
        map50, map50_95: pycocotools' own numbers.
        classes: what it was averaged over.
        each: of every picture, the mean over the classes that it holds, at an overlap of 0.5.
    """

    map50: float
    map50_95: float
    classes: tuple[_Matched, ...]
    each: tuple[float, ...]

    def of(self, places: Array) -> tuple[float, float]:
        """`map50` and `map50_95` of some pictures, each as often as it is named; NaN where they hold nothing."""
        import numpy as np

        weights = np.bincount(places, minlength=len(self.each)).astype(np.float64)
        found = [one for one in (_average(matched, weights) for matched in self.classes) if one is not None]
        if not found:
            return float("nan"), float("nan")
        mean = np.mean(found, axis=0)
        return float(mean[0]), float(mean.mean())


def precision(found: Sequence[Found], labels: Sequence[Mapping[str, Any]]) -> Precision:
    """Average precision of detections against the truth.

    Args:
        found: one for each picture.
        labels: `boxes` [n, 4] as corners in pixels, `classes` [n], and `crowd` [n] where some are crowds.

    Raises:
        MissingExtra: pycocotools is not installed.
        ValueError: no picture holds anything.
    """
    import numpy as np

    judged = _evaluated(found, labels)
    table = judged.eval["precision"][:, :, :, 0, 0]  # [overlaps, recalls, classes]
    known = table[:, :, (table > -1).all(axis=(0, 1))]
    if not known.size:
        raise ValueError("no picture of the evaluation data holds anything")
    pictures = len(found)
    by_class = [judged.evalImgs[start : start + pictures] for start in range(0, len(judged.evalImgs), pictures)]
    per_picture: list[list[float]] = [[] for _ in range(pictures)]
    classes = []
    for held in by_class:
        matched = _matched(held)
        if matched.wanted.sum():
            classes.append(matched)
            for place in np.flatnonzero(matched.wanted):
                weights = np.zeros(pictures)
                weights[place] = 1.0
                average = _average(matched, weights)
                per_picture[place].append(0.0 if average is None else float(average[0]))
    return Precision(
        map50=float(known[0].mean()),
        map50_95=float(known.mean()),
        classes=tuple(classes),
        each=tuple(
            sum(one) / len(one) if one else _nothing_wanted(found[place]) for place, one in enumerate(per_picture)
        ),
    )


SURE = 0.25
"""A score from which a detection counts as one in a picture that holds nothing."""


def _nothing_wanted(found: Found) -> float:
    """1 where a picture without anything has no sure detection, else 0."""
    return float(not bool((found.scores >= SURE).any()))


def _evaluated(found: Sequence[Found], labels: Sequence[Mapping[str, Any]]) -> Any:
    """Pycocotools' evaluation: all sizes together, at most 100 detections of a picture."""
    import numpy as np

    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise MissingExtra(
            "Average precision needs pycocotools, which is not installed: pip install 'onnx-harness[zoo]'."
        ) from error
    annotations: list[dict[str, Any]] = []
    for place, label in enumerate(labels):
        crowd = np.asarray(label.get("crowd", np.zeros(len(label["classes"]), bool))).astype(int)
        for corners, kind, many in zip(label["boxes"], label["classes"], crowd, strict=True):
            left, top, right, bottom = map(float, corners)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": place,
                    "category_id": int(kind),
                    "bbox": [left, top, right - left, bottom - top],
                    "area": (right - left) * (bottom - top),
                    "iscrowd": int(many),
                }
            )
    rows = [
        np.column_stack(
            [
                np.full(len(one.scores), place),
                one.boxes[:, :2],
                one.boxes[:, 2:] - one.boxes[:, :2],
                one.scores,
                one.classes,
            ]
        )
        for place, one in enumerate(found)
        if len(one.scores)
    ]
    with contextlib.redirect_stdout(io.StringIO()):  # it tells of every step
        truth = COCO()
        truth.dataset = {
            "images": [{"id": place} for place in range(len(labels))],
            "annotations": annotations,
            "categories": [{"id": kind} for kind in sorted({one["category_id"] for one in annotations})],
        }
        truth.createIndex()
        if rows:
            detections = truth.loadRes(np.concatenate(rows).astype(np.float64))
        else:
            detections = COCO()
            detections.dataset = {**truth.dataset, "annotations": []}
            detections.createIndex()
        judged = COCOeval(truth, detections, "bbox")
        judged.params.imgIds = list(range(len(labels)))
        judged.params.areaRng, judged.params.areaRngLbl = [[0, 1e10]], ["all"]
        judged.params.maxDets = [MOST]
        judged.evaluate()
        judged.accumulate()
    return judged


def _matched(held: Sequence[Mapping[str, Any] | None]) -> _Matched:
    """One class of pycocotools' matches, which are one entry for each picture."""
    import numpy as np

    pictures, scores, hits, counts = [], [], [], []
    wanted = np.zeros(len(held))
    for place, one in enumerate(held):
        if one is None:
            continue
        wanted[place] = int((~np.asarray(one["gtIgnore"]).astype(bool)).sum())
        matches, ignored = np.asarray(one["dtMatches"]), np.asarray(one["dtIgnore"]).astype(bool)
        pictures.append(np.full(matches.shape[1], place))
        scores.append(np.asarray(one["dtScores"], dtype=np.float64))
        hits.append((matches > 0) & ~ignored)
        counts.append(~ignored)
    if not scores:
        nothing = np.zeros((OVERLAPS, 0), np.int64)
        return _Matched(pictures=np.zeros(0, np.int64), counts=None, hits=nothing, wanted=wanted)
    order = np.argsort(-np.concatenate(scores), kind="mergesort")
    right, counted = np.concatenate(hits, axis=1)[:, order], np.concatenate(counts, axis=1)[:, order]
    most = int(right.sum(axis=1).max(initial=0))
    places = np.full((OVERLAPS, most), right.shape[1])
    for overlap, row in enumerate(right):
        held_places = np.flatnonzero(row)
        places[overlap, : len(held_places)] = held_places
    return _Matched(
        pictures=np.concatenate(pictures)[order],
        counts=None if counted.all() else counted,
        hits=places,
        wanted=wanted,
    )


def _average(matched: _Matched, weights: Array) -> Array | None:
    """The average precision of one class at every overlap, pictures counted so often; None where none holds it."""
    import numpy as np

    wanted = float(matched.wanted @ weights)
    if not wanted:
        return None
    if not matched.hits.shape[1]:
        return np.zeros(OVERLAPS)
    drawn = weights[matched.pictures]
    # Behind the last detection stands one of no weight, which what fills up the hits points at.
    if matched.counts is None:
        so_far = np.append(np.cumsum(drawn), drawn.sum())[matched.hits]
    else:
        each = np.cumsum(drawn * matched.counts, axis=1)
        so_far = np.take_along_axis(np.concatenate([each, each[:, -1:]], axis=1), matched.hits, axis=1)
    right = np.cumsum(np.append(drawn, 0.0)[matched.hits], axis=1)
    recall = right / wanted
    precise = right / np.maximum(so_far, np.spacing(1.0))
    best = np.maximum.accumulate(precise[:, ::-1], axis=1)[:, ::-1]
    best = np.concatenate([best, np.zeros((OVERLAPS, 1))], axis=1)
    recalls = np.linspace(0.0, 1.0, 101)  # COCO's points
    places = np.array([row.searchsorted(recalls, side="left") for row in recall])
    average: Array = np.take_along_axis(best, places, axis=1).mean(axis=1)
    return average
