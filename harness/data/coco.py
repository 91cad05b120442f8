"""Images with boxes as COCO keeps them: a JSON file of annotations, and the folder that its file names start from.

A picture is scaled to fit the input and centred on grey, as ultralytics does (`fit: letterbox`), or stretched over it
(`fit: stretch`); its boxes are those of the picture that the model sees. Classes are numbered in the order of the
categories' ids. The name of a picture's file decides which split it is for.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import foreign
from harness.data import BROKEN, base, chosen, image_layout
from harness.data.base import Split
from harness.data.images import NORMALIZE, normalised, opened, pillow
from harness.errors import BuildError
from harness.options import Option

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

OPTIONS = (
    Option(
        name="annotations",
        type=str,
        required=True,
        path=True,
        doc="the JSON file of COCO's, from the zoo's folder",
    ),
    Option(name="pictures", type=str, path=True, doc="the folder of the images; that of the annotations where absent"),
    Option(
        name="fit",
        type=str,
        default="letterbox",
        choices=("letterbox", "stretch"),
        doc="how a picture is brought to the input's size",
    ),
    NORMALIZE,
    BROKEN,
)
PACKAGES = {"pillow": "PIL"}

GREY = 114
"""What surrounds a picture that is narrower than the input, of 255."""


def examples(request: base.DataRequest, split: Split) -> Iterator[base.Row | base.LeftOut]:
    """Yield the pictures of a split with their boxes."""
    import numpy as np

    spec, channels, height, width = image_layout.image_input(request)
    content = _content(request)
    kinds = _kinds(content)
    boxes: dict[Any, list[Mapping[str, Any]]] = {}
    for one in content["annotations"]:
        boxes.setdefault(one["image_id"], []).append(one)
    folder = _folder(request)
    letterbox = base.option(request, "fit") == "letterbox"
    for image in _apart(content, folder, split, request.counts):
        name = str(image["file_name"])
        picture = opened(folder / name, name)
        if isinstance(picture, base.LeftOut):
            yield picture
            continue
        pixels, scale, offset = fitted(picture, height, width, letterbox=letterbox)
        own = boxes.get(image["id"], [])
        corners = np.asarray([one["bbox"] for one in own], np.float32).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        label = {
            "boxes": corners * np.array([*scale, *scale], np.float32) + np.array([*offset, *offset], np.float32),
            "classes": np.asarray([kinds[int(one["category_id"])] for one in own], np.int64),
            "crowd": np.asarray([bool(one.get("iscrowd", 0)) for one in own], bool),
        }
        yield base.Row(feed={spec.name: normalised(pixels, channels, request)}, label=label)


def digest(request: base.DataRequest) -> str:
    """The annotations, the pictures that may be used, and Pillow, which scales them."""
    whole = hashlib.sha256(base.versions(*PACKAGES).encode())
    whole.update(chosen.content_of(_annotations(request)).encode())
    content, folder = _content(request), _folder(request)
    for split in ("calibration", "evaluation"):
        for image in _chosen(content, split, request.counts[split]):
            path = folder / str(image["file_name"])
            whole.update(f"{split} {image['id']} {chosen.content_of(path) if path.is_file() else None}\n".encode())
    return whole.hexdigest()


def _annotations(request: base.DataRequest) -> Path:
    return Path(base.required(request, "annotations", "a JSON file as COCO keeps them"))


def _folder(request: base.DataRequest) -> Path:
    given = base.option(request, "pictures")
    return Path(str(given)) if given else _annotations(request).parent


def _content(request: base.DataRequest) -> dict[str, Any]:
    """The annotations.

    Raises:
        BuildError: the file cannot be read, or says something else.
    """
    path = _annotations(request)
    try:
        found = dict(foreign.mapping(foreign.content(path)))
        images = {one["id"] for one in found["images"]}
        kinds = {int(one["id"]) for one in found["categories"]}
        for one in found["annotations"]:
            box = list(map(float, one["bbox"]))
            inside = one["image_id"] in images and one["category_id"] in kinds
            if not inside or len(box) != 4 or not all(map(math.isfinite, box)) or min(box[2:]) < 0:  # noqa: PLR2004
                raise ValueError(f"annotation {one.get('id')} names an image, a category or a box that is not there")
        for one in found["images"]:
            name = Path(str(one["file_name"]))
            if name.is_absolute() or ".." in name.parts:
                raise ValueError(f"the image {one['id']} lies outside its folder: {name}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        why = f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
        raise BuildError(f"data: {path} cannot be read as annotations of COCO: {why}.") from error
    return found


def class_names(request: base.DataRequest) -> dict[str, int]:
    """The categories and their numbers."""
    content = _content(request)
    kinds = _kinds(content)
    return {str(one.get("name", one["id"])): kinds[int(one["id"])] for one in content["categories"]}


def _kinds(content: Mapping[str, Any]) -> dict[int, int]:
    """A category's id -> its number, in the order of the ids."""
    return {kind: place for place, kind in enumerate(sorted({int(one["id"]) for one in content["categories"]}))}


def _chosen(content: Mapping[str, Any], split: Split, count: int) -> list[Mapping[str, Any]]:
    """The images of a split and spare ones behind them; the file's name decides which split and where."""
    own = []
    for image in content["images"]:
        file = chosen.ChosenFile(path=Path(str(image["file_name"])), name=str(image["file_name"]))
        if chosen.split_of(file) == split:
            own.append((file.order, str(image["id"]), image))
    return [image for *_, image in sorted(own, key=lambda one: one[:2])][: chosen.SPARE * count]


def _apart(
    content: Mapping[str, Any], folder: Path, split: Split, counts: Mapping[str, int]
) -> Iterator[Mapping[str, Any]]:
    """The images of a split; none of those that calibrate is the same as one that evaluates."""
    own = _chosen(content, split, counts[split])
    if split == "evaluation":
        yield from own
        return
    others = _chosen(content, "evaluation", counts["evaluation"])
    paths = [folder / str(image["file_name"]) for image in others]
    held = {chosen.content_of(path) for path in paths if path.is_file()}
    for image in own:
        path = folder / str(image["file_name"])
        if not path.is_file() or chosen.content_of(path) not in held:
            yield image


def fitted(picture: Any, height: int, width: int, *, letterbox: bool) -> tuple[Array, list[float], list[float]]:
    """The picture as the model sees it, uint8 [height, width, 3], and what that did to x and y: factor and offset."""
    import numpy as np

    image_module = pillow()
    across, down = width / picture.width, height / picture.height
    if not letterbox:
        return np.asarray(picture.resize((width, height), image_module.Resampling.BILINEAR)), [across, down], [0.0, 0.0]
    scale = min(across, down)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    canvas = np.full((height, width, 3), GREY, np.uint8)
    small = np.asarray(picture.resize(size, image_module.Resampling.BILINEAR))
    canvas[top : top + size[1], left : left + size[0]] = small
    return canvas, [size[0] / picture.width, size[1] / picture.height], [float(left), float(top)]
