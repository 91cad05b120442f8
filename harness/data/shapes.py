"""Boxes, discs and triangles on noise and clutter: pictures that are drawn, with the truth for a detector.

The picture of a number is the same for good: it depends on the seed, its split and its number alone. Calibration,
evaluation and training draw from streams of their own, so that none shares a picture with another. A label has
`boxes`, float32 [n, 4], left, top, right and bottom in pixels of the picture, and `classes`, int64 [n].
`python -m harness.data.shapes FOLDER` writes pictures and the truth as COCO keeps them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data import SEED, base, image_layout
from harness.data.images import NORMALIZE, normalised, pillow

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    Array = np.ndarray[Any, Any]

OPTIONS = (NORMALIZE, SEED)
PACKAGES = {"numpy": "numpy"}

CLASSES = ("box", "disc", "triangle")
STREAMS = {"calibration": 0, "evaluation": 1, "training": 2}
MOST = 5
"""Things in one picture, at most."""

LEAST_SHARE, LARGEST_SHARE = 0.12, 0.4
"""How wide a thing is, as a share of the picture's shorter side."""

CROWDED = 0.1
"""How much of a thing another one may cover (of the smaller one's area)."""

ATTEMPTS = 20
"""Places that are tried for a thing before the picture goes without it."""

LEAST_CONTRAST = 50.0
"""Between a thing and what it stands on, of 255, in the channel that differs most."""


def examples(request: base.DataRequest, split: base.Split) -> Iterator[base.Row]:
    """Yield the pictures of a split with their labels."""
    spec, channels, height, width = image_layout.image_input(request)
    seed = int(base.option(request, "seed"))
    for number in range(request.counts[split]):
        pixels, label = picture(height, width, seed=seed, split=split, number=number)
        yield base.Row(feed={spec.name: normalised(pixels, channels, request)}, label=label)


def digest(request: base.DataRequest) -> str:  # noqa: ARG001 # the signature that every source has
    """Shapes depend on NumPy's generator."""
    return base.versions(*PACKAGES)


def class_names(request: base.DataRequest) -> dict[str, int]:  # noqa: ARG001 # the signature that every source has
    """The shapes and their numbers."""
    return {name: place for place, name in enumerate(CLASSES)}


def picture(height: int, width: int, *, seed: int, split: str, number: int) -> tuple[Array, dict[str, Array]]:
    """One picture, uint8 [height, width, 3], and its label.

    Args:
        height: in pixels.
        width: in pixels.
        seed: of the whole set.
        split: one of `STREAMS`.
        number: of the picture, from 0.
    """
    import numpy as np

    generator = np.random.default_rng([seed, STREAMS[split], number])
    canvas = _ground(height, width, generator)
    boxes: list[tuple[float, float, float, float]] = []
    classes: list[int] = []
    for _ in range(int(generator.integers(1, MOST + 1))):
        kind = int(generator.integers(len(CLASSES)))
        box = _free_place(height, width, kind, boxes, generator)
        if box is not None:
            boxes.append(draw(canvas, kind, box, generator))
            classes.append(kind)
    canvas += np.asarray(generator.normal(0.0, generator.uniform(3.0, 12.0), canvas.shape), np.float32)
    label: dict[str, Array] = {
        "boxes": np.asarray(boxes, np.float32).reshape(-1, 4),
        "classes": np.asarray(classes, np.int64),
    }
    return np.clip(canvas, 0, 255).astype(np.uint8), label


def _ground(height: int, width: int, generator: np.random.Generator) -> Array:
    """A slope of colour with lines and specks on it, none of which is a thing; float32 [height, width, 3]."""
    import numpy as np

    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    first, last = generator.uniform(40, 215, (2, 3)).astype(np.float32)
    way = generator.uniform(0, 2 * np.pi)
    slope = (np.cos(way) * columns / width + np.sin(way) * rows / height)[..., None]
    canvas = first + (last - first) * (slope * np.float32(0.5) + np.float32(0.5))
    for _ in range(int(generator.integers(2, 7))):  # lines
        angle, offset = generator.uniform(0, np.pi), generator.uniform(-0.2, 1.2) * max(height, width)
        distance = np.abs(np.cos(angle) * columns + np.sin(angle) * rows - offset)
        canvas[distance < generator.uniform(0.5, 1.5)] = generator.uniform(0, 255, 3)
    for _ in range(int(generator.integers(4, 20))):  # specks
        top, left = int(generator.integers(height)), int(generator.integers(width))
        size = int(generator.integers(1, max(2, min(height, width) // 32)))
        canvas[top : top + size, left : left + size] = generator.uniform(0, 255, 3)
    ground: Array = canvas.astype(np.float32)
    return ground


def _free_place(
    height: int, width: int, kind: int, taken: list[tuple[float, float, float, float]], generator: np.random.Generator
) -> tuple[float, float, float, float] | None:
    """Left, top, right and bottom of a place that hardly touches those that are taken; None where none was found."""
    short = min(height, width)
    for _ in range(ATTEMPTS):
        across = generator.uniform(LEAST_SHARE, LARGEST_SHARE) * short
        down = across if CLASSES[kind] == "disc" else min(across * generator.uniform(0.6, 1.6), 0.9 * short)
        left, top = generator.uniform(0, width - across), generator.uniform(0, height - down)
        box = (left, top, left + across, top + down)
        if all(_shared(box, other) <= CROWDED for other in taken):
            return box
    return None


def _shared(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """The area that two boxes share, as a share of the smaller one's."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return max(across, 0.0) * max(down, 0.0) / min(areas)


def draw(
    canvas: Array, kind: int, box: tuple[float, float, float, float], generator: np.random.Generator
) -> tuple[float, float, float, float]:
    """Draw a thing that fills its box, and say which pixels' edges bound what was drawn."""
    import numpy as np

    left, top, right, bottom = box
    rows = np.arange(int(top), int(np.ceil(bottom)))[:, None] + 0.5
    columns = np.arange(int(left), int(np.ceil(right)))[None, :] + 0.5
    across, down = (columns - left) / (right - left), (rows - top) / (bottom - top)  # 0..1 within the box
    if CLASSES[kind] == "box":
        inside = (across >= 0) & (across <= 1) & (down >= 0) & (down <= 1)
    elif CLASSES[kind] == "disc":
        inside = (across - 0.5) ** 2 + (down - 0.5) ** 2 <= 0.25  # noqa: PLR2004 # the square of the radius
    else:
        tip, upright = generator.uniform(0.2, 0.8), generator.random() < 0.5  # noqa: PLR2004 # a fair coin
        depth = down if upright else 1 - down  # 0 at the tip
        inside = (depth >= 0) & (depth <= 1) & (across >= tip * (1 - depth)) & (across <= tip + (1 - tip) * depth)
    window = canvas[int(top) : int(np.ceil(bottom)), int(left) : int(np.ceil(right))]
    ground = window.mean(axis=(0, 1))
    colour = generator.uniform(0, 255, 3)
    while np.abs(colour - ground).max() < LEAST_CONTRAST:
        colour = generator.uniform(0, 255, 3)
    window[inside] = colour
    held = np.argwhere(inside)
    (first_row, first_column), (last_row, last_column) = held.min(axis=0), held.max(axis=0)
    return (
        float(int(left) + first_column),
        float(int(top) + first_row),
        float(int(left) + last_column + 1),
        float(int(top) + last_row + 1),
    )


def truth(labels: list[dict[str, Array]], height: int, width: int) -> dict[str, Any]:
    """Labels as COCO keeps them, in JSON: pictures and annotations are numbered from 1, classes from 0."""
    annotations: list[dict[str, Any]] = []
    for number, label in enumerate(labels, 1):
        for (left, top, right, bottom), kind in zip(label["boxes"].tolist(), label["classes"].tolist(), strict=True):
            across, down = right - left, bottom - top
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": kind,
                    "bbox": [left, top, across, down],
                    "area": across * down,
                    "iscrowd": 0,
                }
            )
    return {
        "images": [
            {"id": number, "file_name": f"{number:06}.png", "height": height, "width": width}
            for number in range(1, len(labels) + 1)
        ],
        "annotations": annotations,
        "categories": [{"id": place, "name": name} for place, name in enumerate(CLASSES)],
    }


def write(folder: Path, *, split: str, count: int, size: int, seed: int = 0) -> None:
    """Write pictures and `annotations.json` into a folder, as the data source `coco` reads them.

    Raises:
        MissingExtra: Pillow is not installed.
        OSError: the folder cannot be written.
    """
    image_module = pillow()
    folder.mkdir(parents=True, exist_ok=True)
    labels = []
    for number in range(count):
        pixels, label = picture(size, size, seed=seed, split=split, number=number)
        image_module.fromarray(pixels).save(folder / f"{number + 1:06}.png")
        labels.append(label)
    content = json.dumps(truth(labels, size, size))
    (folder / "annotations.json").write_text(content, encoding="utf-8")


def main(words: list[str] | None = None) -> None:
    """The command: `python -m harness.data.shapes FOLDER`."""
    parser = argparse.ArgumentParser(description="Write pictures of shapes and their truth as COCO keeps them.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", choices=tuple(STREAMS), default="evaluation")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(words)
    write(given.folder, split=given.split, count=given.count, size=given.size, seed=given.seed)


if __name__ == "__main__":
    main()
