"""What happens before and after a model, as its zoo entry states it: for whoever feeds it in an application."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from harness import data
from harness.data import base, images
from harness.errors import HarnessError
from harness.records import ModelSpec

PIXELS: Final[Mapping[str, str]] = {
    "imagenet": f"(value / 255 - mean) / std, per channel red, green, blue: mean {images.IMAGENET_MEAN}, "
    f"std {images.IMAGENET_STD}",
    "unit": "value / 255, per channel red, green, blue",
}


def stated(model: ModelSpec | None) -> dict[str, Any]:
    """Inputs, how examples are made, the task and what it reads; empty where no zoo has the model.

    Args:
        model: its entry.

    Returns:
        `inputs` [{name, dtype, shape}], `data` in words and its `options`, `pixels` in words where images are scaled,
        `task`, `reads`, role -> output, and `classes`, the names of the classes in the order of their numbers (empty
        where the data names none, or is not here any more).
    """
    if model is None:
        return {}
    known = {option.name: option for option in data.options(model.data.source)}
    files = {name for name, option in known.items() if option.path}
    return {
        "inputs": [{"name": one.name, "dtype": one.dtype, "shape": list(one.shape)} for one in model.inputs],
        "data": f"{model.data.source}: {data.summary(model.data.source)}",
        # Where files lay on the exporting host is nobody else's business.
        "options": {name: value for name, value in model.data.options.items() if name not in files},
        "pixels": _pixels(model) if images.NORMALIZE.name in known else "",
        "task": model.task or "",
        "reads": dict(model.outputs),
        "classes": classes(base.DataRequest.of(model)),
    }


def classes(request: base.DataRequest) -> list[str]:
    """The names of the classes in the order of their numbers; a number that no name has stands for itself."""
    named: Callable[[base.DataRequest], Mapping[str, int]] | None
    named = getattr(data.module(request.source), "class_names", None)
    try:
        places = {place: name for name, place in named(request).items()} if named else {}
    except HarnessError:  # the data lay on the machine that measured
        return []
    return [places.get(place, str(place)) for place in range(max(places, default=-1) + 1)]


def _pixels(model: ModelSpec) -> str:
    """As `harness.data.images.normalised` does it; empty where the model does not take one image."""
    spec = model.inputs[0]
    if len(model.inputs) != 1 or len(spec.shape) != 4:  # noqa: PLR2004  (batch, channels, height, width)
        return ""
    if "int" in spec.dtype:
        return "the bytes as they are"
    grey = 1 in (spec.shape[1], spec.shape[3])
    default = "unit" if grey or model.source == "ultralytics" else "imagenet"
    said = PIXELS[str(model.data.options.get(images.NORMALIZE.name, default))]
    return f"{said}, which are averaged to one" if grey else said
