"""Labelled images in ImageNet's layout: a folder for each class, maybe below `train` and `val`.

A class's number is its folder's place in alphabetical order, or in the file that `classes` names, one folder a line.
Where there are `train` (or `calibration`) and `val` (or `validation`, `test`, `evaluation`), the former calibrates and
the latter evaluates; else a file's name decides which it does. A picture is scaled so that its shorter side has
`resize` pixels, and the centre is cropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.data import BROKEN, base, chosen, image_layout
from harness.data.base import Split
from harness.data.chosen import ChosenFile
from harness.data.images import FOLDER, NORMALIZE, SUFFIXES, fit, normalised, opened, pillow
from harness.errors import BuildError
from harness.options import Option

CLASSES = Option(
    name="classes",
    type=str,
    path=True,
    doc="a file that lists the folders of the classes in the model's order",
)
RESIZE = Option(
    name="resize", type=int, at_least=1, doc="pixels of the shorter side before the centre is cropped; the input's size"
)
OPTIONS = (FOLDER, CLASSES, RESIZE, NORMALIZE, BROKEN)
PACKAGES = {"pillow": "PIL"}

PARTS: dict[Split, tuple[str, ...]] = {
    "calibration": ("calibration", "train"),
    "evaluation": ("evaluation", "val", "validation", "test"),
}
"""What the folders of a split are called, the first that is there."""


def examples(request: base.DataRequest, split: Split) -> Iterator[base.Row | base.LeftOut]:
    """Yield the pictures of a split with their classes' numbers."""
    spec, channels, height, width = image_layout.image_input(request)
    resize = base.option(request, "resize")
    places = class_names(request)
    for file in _files(request)[split]:
        picture = opened(file.path, file.name)
        if isinstance(picture, base.LeftOut):
            yield picture
            continue
        if resize:
            picture = _scaled(picture, int(resize))
        pixels = fit(picture, height, width)
        yield base.Row(feed={spec.name: normalised(pixels, channels, request)}, label=places[_class_of(file)])


def digest(request: base.DataRequest) -> str:
    """The pictures that may be used, their classes, and Pillow, which scales them."""
    return f"{chosen.digest(_files(request))} {list(class_names(request))} {base.versions(*PACKAGES)}"


def class_names(request: base.DataRequest) -> dict[str, int]:
    """The folders of the classes, and their numbers.

    Raises:
        BuildError: there are none, or one of them is empty or not in the list.
    """
    folders = _folders(request)
    there = sorted({one.name for folder in folders.values() for one in folder.iterdir() if one.is_dir()})
    given = base.option(request, "classes")
    if not given:
        named = there
    else:
        try:
            lines = Path(str(given)).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise BuildError(f"data: the classes of `imagefolder` cannot be read from {given}: {error}.") from error
        named = [line.strip() for line in lines if line.strip()]
    if not there:
        raise BuildError(f"data: {base.option(request, 'folder')} holds no folder of a class.")
    if strange := [name for name in there if name not in named]:
        raise BuildError(f"data: the folder `{strange[0]}` is not one of the {len(named)} classes in {given}.")
    evaluation = folders["evaluation"]
    for name in named:
        if (evaluation / name).is_dir() and next(chosen.walk(evaluation / name, SUFFIXES), None) is None:
            raise BuildError(
                f"data: the class `{name}` is empty: {evaluation / name} holds no image. Remove the folder."
            )
    return {name: place for place, name in enumerate(named)}


def _files(request: base.DataRequest) -> dict[Split, list[ChosenFile]]:
    """The files of both splits, with spare ones behind them.

    Raises:
        BuildError: there is no image.
    """
    folders = _folders(request)
    counts: dict[Split, int] = {split: request.counts[split] for split in PARTS}
    found: dict[Split, list[ChosenFile]] = {}
    if folders["calibration"] == folders["evaluation"]:
        found = chosen.first(_labelled(folders["evaluation"]), counts)
    else:
        for split, folder in folders.items():
            found[split] = chosen.first(_labelled(folder), {split: counts[split]}, only=split)[split]
    if not any(found.values()):
        raise BuildError(
            f"data: {base.option(request, 'folder')} holds no image. Known endings: {', '.join(sorted(SUFFIXES))}."
        )
    return chosen.apart(found, counts)


def _labelled(folder: Path) -> Iterator[ChosenFile]:
    return (file for file in chosen.walk(folder, SUFFIXES) if "/" in file.name)


def _class_of(file: ChosenFile) -> str:
    return file.name.partition("/")[0]


def _folders(request: base.DataRequest) -> dict[Split, Path]:
    """Where the files of each split lie.

    Raises:
        BuildError: there is no such folder.
    """
    folder = base.required_folder(request, "a folder of images")
    found = {split: _first_of(folder, names) for split, names in PARTS.items()}
    if all(found.values()):
        return {split: place for split, place in found.items() if place is not None}
    return dict.fromkeys(PARTS, folder)


def _first_of(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_dir()), None)


def _scaled(picture: Any, shorter: int) -> Any:
    scale = shorter / min(picture.size)
    size = tuple(max(1, round(side * scale)) for side in picture.size)
    return picture.resize(size, pillow().Resampling.BILINEAR)
