"""The evaluation examples and the fp32 framework's outputs on them, streamed into a folder of .npy files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from harness.data import base as data
from harness.errors import BuildError, Unsupported
from harness.records import Reference

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.frameworks.base import Loaded

Array = np.ndarray[Any, Any]


def write(loaded: Loaded, folder: Path, digest: str) -> Reference:
    """Compute the reference one example at a time and write `feeds/`, `outputs/` and `labels.npy` below `folder`.

    Axis 0 of every array is the model's own axis 0. A model with a fixed batch size of b is fed b examples at once.

    Raises:
        BuildError: the outputs cannot be stacked, or the examples do not fill the fixed batch size.
    """
    model = loaded.model
    request = data.DataRequest.of(model)
    rows = request.counts["evaluation"]
    size = batch_size(model.inputs)
    if rows % size:
        raise BuildError(
            f"data: {model.name} takes exactly {size} rows at a time; make `evaluation` a multiple of {size}."
        )
    feeds = _Arrays(folder / "feeds", rows)
    outputs = _Arrays(folder / "outputs", rows)
    labels: list[int] = []
    for start, batch in batches(request, "evaluation", size):
        arrays = [np.stack([example.feed[spec.name] for example in batch]) for spec in model.inputs]
        feeds.put(start, arrays)
        outputs.put(start, loaded.run({spec.name: array for spec, array in zip(model.inputs, arrays, strict=True)}))
        labels += [example.label for example in batch if example.label is not None]
    loaded.close()
    feeds.close()
    outputs.close()
    labelled = bool(labels) and len(labels) == rows
    if labelled:
        np.save(folder / "labels.npy", np.asarray(labels, np.int64))
    return Reference(
        digest=digest,
        origin=loaded.origin,
        inputs=tuple(spec.name for spec in model.inputs),
        outputs=loaded.outputs,
        examples=rows,
        labelled=labelled,
    )


def batch_size(inputs: Any) -> int:
    """The fixed size of axis 0, or 1 where it is dynamic.

    Raises:
        Unsupported: an input is a scalar, or the inputs' fixed sizes differ.
    """
    sizes = set()
    for spec in inputs:
        if not spec.shape:
            raise Unsupported(f"The input `{spec.name}` is a scalar: it has no axis to put examples on.")
        sizes.add(spec.shape[0] if isinstance(spec.shape[0], int) else 1)
    if len(sizes) != 1:
        raise Unsupported(f"The inputs disagree on the size of axis 0 ({sorted(sizes)}): it is not a batch axis.")
    return int(sizes.pop())


def batches(request: data.DataRequest, split: data.Split, size: int) -> Iterator[tuple[int, list[data.Example]]]:
    """The examples of a split, `size` at a time, with the place of the first."""
    batch: list[data.Example] = []
    for place, example in enumerate(data.stream(request, split)):
        batch.append(example)
        if len(batch) == size:
            yield place + 1 - size, batch
            batch = []


class _Arrays:
    """One .npy file per input or output, opened when the first rows tell its shape."""

    def __init__(self, folder: Path, rows: int) -> None:
        folder.mkdir(parents=True)
        self.folder, self.rows = folder, rows
        self.maps: list[Any] = []

    def put(self, start: int, arrays: list[Array]) -> None:
        if not self.maps:
            for place, array in enumerate(arrays):
                shape = (self.rows, *array.shape[1:])
                file = self.folder / f"{place}.npy"
                self.maps.append(np.lib.format.open_memmap(file, mode="w+", dtype=array.dtype, shape=shape))
        for held, array in zip(self.maps, arrays, strict=True):
            piece = held[start : start + array.shape[0]] if array.ndim else held[:0]
            if piece.shape != array.shape or not array.ndim:
                raise Unsupported(
                    f"An output has the shape {list(array.shape)} for one batch and {list(held.shape[1:])} per example "
                    f"before: outputs whose size depends on the data cannot be compared."
                )
            piece[...] = array

    def close(self) -> None:
        for held in self.maps:
            held.flush()
        self.maps = []
