"""The calibration examples a few at a time, to give a randomly initialised network the statistics that it lacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from harness.data import base as data

if TYPE_CHECKING:
    import numpy as np

    from harness.records import ModelSpec

BATCH = 4
"""Rows at a time: batch norm needs several, and memory stays small."""

SHIFT, JITTER = 0.5, 0.1
"""Mean and deviation of batch norm's bias; some deviation, because exporters merge weights that are all equal."""


def batches(model: ModelSpec) -> Iterator[list[np.ndarray[Any, Any]]]:
    """The calibration examples as arrays in the order of the inputs: several rows where there is a batch axis."""
    examples: list[data.Example] = []
    size = BATCH if model.batch_axes else 1

    def together() -> list[np.ndarray[Any, Any]]:
        batch = data.joined(examples, model.batch_axes)
        return [batch[spec.name] for spec in model.inputs]

    for example in data.stream(data.DataRequest.of(model), "calibration"):
        examples.append(example)
        if len(examples) == size:
            yield together()
            examples = []
    if len(examples) > 1:
        yield together()
