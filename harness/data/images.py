"""A folder of the user's own images.

Images whose folder holds subfolders are labelled with the subfolder's place in alphabetical order. Every image is
scaled so that its shorter side fits, then cropped in the centre.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data import BROKEN, base, image_layout
from harness.data.chosen import SPARE
from harness.errors import BuildError
from harness.options import Option
from harness.special_files import require_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

NORMALIZE = Option(
    name="normalize", type=str, choices=("imagenet", "unit"), doc="how pixels are scaled; follows the model's source"
)
FOLDER = Option(
    name="folder",
    type=str,
    required=True,
    path=True,
    doc="where they are, from the zoo file's folder; subfolders are labels",
)
OPTIONS = (FOLDER, NORMALIZE, BROKEN)
PACKAGES = {"pillow": "PIL"}

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""What torchvision's and most of timm's classifiers were trained with, per channel of an image in 0..1."""


def examples(request: base.DataRequest, split: base.Split) -> Iterator[base.Row | base.LeftOut]:
    """Yield the folder's images: even places of the shuffled list calibrate, odd ones evaluate."""
    spec, channels, height, width = image_layout.image_input(request)
    for path, label in _chosen(request, split):
        picture = opened(path, path.name)
        if isinstance(picture, base.LeftOut):
            yield picture
            continue
        yield base.Row(feed={spec.name: normalised(fit(picture, height, width), channels, request)}, label=label)


def opened(path: Path, name: str) -> Any:
    """A picture in RGB, or why there is none.

    Args:
        path: the file.
        name: what it is called where it is left out.

    Raises:
        MissingExtra: Pillow is not installed.
    """
    image_module = pillow()
    try:
        require_plain(path)
        with image_module.open(path) as image:
            return image.convert("RGB")
    except Exception as error:  # noqa: BLE001  # Pillow has a class of its own for a bomb, and others for damage
        return base.LeftOut(name=name, why=f"cannot be read as an image: {error}")


def digest(request: base.DataRequest) -> str:
    """The names and contents of the images that are used, and Pillow, which scales them."""
    content = hashlib.sha256(base.versions(*PACKAGES).encode())
    for split in ("calibration", "evaluation"):
        for path, label in _chosen(request, split):
            content.update(f"{split} {path.name} {label} {base.file_digest(path)}\n".encode())
    return content.hexdigest()


def _chosen(request: base.DataRequest, split: base.Split) -> list[tuple[Path, int | None]]:
    """The files of one split with their labels; the two splits share none, whatever the counts."""
    import numpy as np

    files = _files(request)
    order = np.random.default_rng(0).permutation(len(files))
    offset = 0 if split == "calibration" else 1
    return [files[place] for place in order[offset::2]][: SPARE * request.counts[split]]


def _files(request: base.DataRequest) -> list[tuple[Path, int | None]]:
    """Every image below the folder with its label, in alphabetical order.

    Raises:
        BuildError: there is no such folder, or no image in it.
    """
    folder = base.required_folder(request, "a folder of images")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not files:
        raise BuildError(f"data: {folder} holds no image. Known endings: {', '.join(sorted(SUFFIXES))}.")
    classes = sorted({path.relative_to(folder).parts[0] for path in files if len(path.relative_to(folder).parts) > 1})
    places = {name: place for place, name in enumerate(classes)}
    return [(path, places.get(path.relative_to(folder).parts[0])) for path in files]


def fit(image: Any, height: int, width: int) -> np.ndarray[Any, Any]:
    """Scale to cover `height` x `width`, then crop the centre; uint8 [height, width, 3]."""
    import numpy as np

    image_module = pillow()
    scale = max(height / image.height, width / image.width)
    size = (max(width, round(image.width * scale)), max(height, round(image.height * scale)))
    scaled = np.asarray(image.resize(size, image_module.Resampling.BILINEAR))
    top, left = (scaled.shape[0] - height) // 2, (scaled.shape[1] - width) // 2
    return scaled[top : top + height, left : left + width]


def normalised(pixels: np.ndarray[Any, Any], channels: int, request: base.DataRequest) -> np.ndarray[Any, Any]:
    """A uint8 [height, width, 3] image as the model wants it, its channels first or last as its input has them.

    Models of ultralytics take 0..1; the others take ImageNet's mean and deviation, unless the option
    `normalize` says otherwise. An integer input gets the bytes as they are.

    Raises:
        BuildError: `normalize` is neither `imagenet` nor `unit`.
    """
    import numpy as np

    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    if channels == 1:
        planes = planes.mean(axis=0, keepdims=True)
    dtype = np.dtype(request.inputs[0].dtype)
    if dtype.kind in "iu":
        return image_layout.in_order(planes.astype(dtype), request)
    default = "unit" if request.model_source == "ultralytics" or channels == 1 else "imagenet"
    way = request.options.get("normalize", default)
    unit = planes.astype(np.float32) / np.float32(255)
    if way == "unit":
        return image_layout.in_order(unit.astype(dtype), request)
    if way == "imagenet" and channels == len(IMAGENET_MEAN):
        mean, deviation = (np.asarray(value, np.float32)[:, None, None] for value in (IMAGENET_MEAN, IMAGENET_STD))
        return image_layout.in_order(((unit - mean) / deviation).astype(dtype), request)
    raise BuildError(f"data: `normalize` is {way!r} for {channels} channels; valid are `unit`, and `imagenet` for 3.")


def pillow() -> Any:
    """Pillow's Image module.

    Raises:
        MissingExtra: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise base.needs("pillow", "Images as data") from error
    return Image
