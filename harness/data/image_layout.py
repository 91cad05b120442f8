"""The order of the axes of a model's image: channels first as in torch, or last as in TensorFlow or JAX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.data import base
from harness.errors import BuildError

if TYPE_CHECKING:
    import numpy as np

    from harness.records import InputSpec

CHANNELS = (1, 3)
"""How many an image may have."""


def image_input(request: base.DataRequest) -> tuple[InputSpec, int, int, int]:
    """The one input of an image model, with channels, height and width, in whichever order it takes them.

    Raises:
        BuildError: the model does not take one image.
    """
    shapes = [base.row_shape(spec, request) for spec in request.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 3 or not {shapes[0][0], shapes[0][2]} & set(CHANNELS):  # noqa: PLR2004 # channels, height, width
        raise BuildError(
            f"data: `{request.source}` feeds models with one input of shape [batch, 3, height, width] or [batch, "
            f"height, width, 3]; this one has "
            f"{', '.join(f'{spec.name} {list(spec.shape)}' for spec in request.inputs)}."
        )
    if channels_last(request):
        height, width, channels = shapes[0]
    else:
        channels, height, width = shapes[0]
    return request.inputs[0], channels, height, width


def channels_last(request: base.DataRequest) -> bool:
    """Whether an image model takes [height, width, channels], as TensorFlow and JAX do; by its first input's shape."""
    shape = base.row_shape(request.inputs[0], request)
    return len(shape) == 3 and shape[0] not in CHANNELS and shape[2] in CHANNELS  # noqa: PLR2004 # as above


def in_order(image: np.ndarray[Any, Any], request: base.DataRequest) -> np.ndarray[Any, Any]:
    """An image [channels, height, width] in the order that the model takes."""
    import numpy as np

    return np.ascontiguousarray(image.transpose(1, 2, 0)) if channels_last(request) else image
