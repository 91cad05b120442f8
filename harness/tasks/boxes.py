"""From a detector's outputs to boxes: three layouts are known, and what overlaps is suppressed by onnxruntime.

- `predictions`, [1, 4 + classes, places] or the same turned: centre, size and one score for each class, as ultralytics
  exports its detectors. Overlapping boxes of one class are suppressed by the ONNX operator NonMaxSuppression, run by
  onnxruntime on the CPU, with ultralytics' settings for validation.
- the same with six fields, [1, places, 6]: corners, score and class, of detectors that suppress by themselves.
- `boxes` [n, 4], `scores` [n] and `classes` [n], as torchvision's detectors give them: corners.

The zoo names outputs where it is not plain which is which: `outputs: {predictions: NAME}`, or the other three.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.suggest import suggest

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

PREDICTIONS, BOXES, SCORES, CLASSES = "predictions", "boxes", "scores", "classes"
SEPARATE = (BOXES, SCORES, CLASSES)
ALSO = {"labels": CLASSES, "class": CLASSES, "score": SCORES, "box": BOXES}
"""What such outputs are called elsewhere."""

SUPPRESSION = Path(__file__).with_name("suppression.onnx")
OVERLAP = 0.7
"""Boxes of one class that overlap by more than this (intersection over union) are the same thing."""

LEAST_SCORE = 0.001
MOST = 300
"""What is kept of one picture, the best first: ultralytics' settings for validation."""

FINAL = 6
"""Fields of a detector that suppresses by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a detector finds in one picture, the best first.

    Attributes:
        boxes: float [n, 4], left, top, right, bottom in pixels of the input.
        scores: [n].
        classes: [n], whole numbers.
        seconds: what decoding and suppression took.
        broken: rows that are not finite, and were left out.
    """

    boxes: Array
    scores: Array
    classes: Array
    seconds: float = 0.0
    broken: int = 0


def layout(shapes: Mapping[str, tuple[int, ...] | None], roles: Mapping[str, str]) -> dict[str, str]:
    """What is read -> the output's name.

    Args:
        shapes: of the model's outputs on one example; None for a structure.
        roles: what the zoo names.

    Raises:
        ValueError: outputs that the zoo names are missing, or it is not plain which they are.
    """
    for role, name in roles.items():
        if name not in shapes:
            raise ValueError(f"the model has no output `{name}`; {suggest(name, list(shapes))}")
        if role not in (PREDICTIONS, *SEPARATE):
            raise ValueError(f"`{role}` is nothing that a detector has; {suggest(role, [PREDICTIONS, *SEPARATE])}")
    if PREDICTIONS in roles:
        return {PREDICTIONS: roles[PREDICTIONS]}
    named = {ALSO.get(name.lower(), name.lower()): name for name in shapes}
    held = {role: roles.get(role) or named.get(role) for role in SEPARATE}
    if all(held.values()):
        return {role: str(name) for role, name in held.items()}
    fitting = [name for name, shape in shapes.items() if shape is not None and _is_predictions(shape)]
    if len(fitting) == 1 and not roles:
        return {PREDICTIONS: fitting[0]}
    has = ", ".join(f"`{name}` {'a structure' if shape is None else list(shape)}" for name, shape in shapes.items())
    raise ValueError(
        f"it is not plain which outputs hold detections; the model has {has}. Name one of shape [1, 4 + classes, "
        f"places] in the zoo, `outputs: {{{PREDICTIONS}: NAME}}`, or three, `outputs: {{{BOXES}: NAME, {SCORES}: NAME, "
        f"{CLASSES}: NAME}}`"
    )


def found(arrays: Mapping[str, Any]) -> Found:
    """The boxes of one picture.

    Args:
        arrays: by role, as `layout` has them.

    Raises:
        ValueError: a shape is none that is known.
    """
    started = time.process_time()
    boxes, scores, classes = _separate(arrays) if BOXES in arrays else _predicted(arrays[PREDICTIONS])
    import numpy as np

    good = np.isfinite(boxes).all(axis=1) & np.isfinite(scores)
    broken = int(len(good) - good.sum())
    boxes, scores, classes = boxes[good], scores[good], classes[good]
    order = np.argsort(-scores, kind="stable")[:MOST]
    return Found(
        boxes=boxes[order],
        scores=scores[order],
        classes=classes[order].astype(np.int64),
        seconds=time.process_time() - started,
        broken=broken,
    )


def _is_predictions(shape: tuple[int, ...]) -> bool:
    three = len(shape) == 3 and shape[0] == 1  # noqa: PLR2004  (example, fields, places)
    return three and min(shape[1:]) > 4  # noqa: PLR2004  (a box and at least one class)


def _separate(arrays: Mapping[str, Any]) -> tuple[Array, Array, Array]:
    import numpy as np

    boxes = np.asarray(arrays[BOXES], dtype=np.float32).reshape(-1, 4)
    scores, classes = (np.asarray(arrays[role]).reshape(-1) for role in (SCORES, CLASSES))
    if not len(boxes) == len(scores) == len(classes):
        raise ValueError(f"there are {len(boxes)} boxes, {len(scores)} scores and {len(classes)} classes")
    scores = scores.astype(np.float32)
    kept = ~(scores < LEAST_SCORE)
    return boxes[kept], scores[kept], classes[kept]


def _predicted(array: Any) -> tuple[Array, Array, Array]:
    import numpy as np

    held = np.asarray(array)
    if not _is_predictions(held.shape):
        raise ValueError(f"predictions have shape {list(held.shape)}: expected [1, 4 + classes, places]")
    table = held[0].astype(np.float32)
    if table.shape[1] == FINAL and table.shape[0] > FINAL:  # corners, score and class
        kept = ~(table[:, 4] < LEAST_SCORE)
        return table[kept, :4], table[kept, 4], table[kept, 5]
    if table.shape[0] > table.shape[1]:  # places come first
        table = table.T
    centres, scores = table[:4], table[4:]
    sound = np.isfinite(table).all(axis=0)
    corners = np.concatenate([centres[:2] - centres[2:] / 2, centres[:2] + centres[2:] / 2])
    strong = sound & (scores.max(axis=0, initial=-np.inf, where=sound) >= LEAST_SCORE)
    boxes, rest = np.ascontiguousarray(corners[:, strong].T), np.ascontiguousarray(scores[:, strong])
    broken = np.full((int((~sound).sum()), 4), np.nan, dtype=np.float32)
    kinds, places = (_suppressed(boxes, rest) if len(boxes) else np.zeros((0, 2), np.int64)).T
    return (
        np.concatenate([boxes[places], broken]),
        np.concatenate([rest[kinds, places], broken[:, 0]]),
        np.concatenate([kinds, np.zeros(len(broken), np.int64)]),
    )


def _suppressed(boxes: Array, scores: Array) -> Array:
    """Class and place of what is left, int64 [n, 2].

    Args:
        boxes: float32 [places, 4], corners.
        scores: float32 [classes, places].
    """
    import numpy as np

    feed = {
        "boxes": boxes[None],
        "scores": scores[None],
        "most": np.array([MOST], np.int64),
        "overlap": np.array([OVERLAP], np.float32),
        "least": np.array([LEAST_SCORE], np.float32),
    }
    (chosen,) = _session().run(None, feed)
    kept: Array = chosen[:, 1:]
    return kept


@functools.cache
def _session() -> Any:
    """Onnxruntime on one thread of the CPU, for one operator."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(SUPPRESSION), options, providers=["CPUExecutionProvider"])
