"""The evaluation examples and the fp32 framework's outputs on them, streamed into a folder of .npy files."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness import values
from harness.data import base as data
from harness.errors import BuildError, Unsupported
from harness.records import Reference, ValueEntry, fixed_batch

if TYPE_CHECKING:
    from pathlib import Path

    from harness.frameworks.base import Loaded


def write(loaded: Loaded, folder: Path, digest: str) -> Reference:
    """Compute the reference one example at a time and write `feeds/`, `outputs/` and `labels/` below `folder`.

    Arrays have whatever shapes the model gives them, and may have others for every example.

    Raises:
        BuildError: the data source has too few examples, or labels that cannot be stored.
        Unsupported: an output is not a tensor of numbers, booleans or text.
    """
    model = loaded.model
    request = data.DataRequest.of(model)
    count = data.feeds(request, "evaluation")
    feeds = values.ValueWriter(folder / "feeds", count)
    answers = values.ValueWriter(folder / "outputs", count)
    labels = _Labels(folder / "labels", count)
    for example in data.stream(request, "evaluation"):
        feed = {spec.name: example.feed[spec.name] for spec in model.inputs}
        feeds.add(feed)
        try:
            answers.add(dict(zip(loaded.outputs, loaded.run(feed), strict=True)))
        except ValueError as error:
            raise Unsupported(f"The model's outputs cannot be compared: {error}.") from error
        labels.add(example.label)
    loaded.close()
    labelled = labels.close()
    return Reference(
        digest=digest,
        origin=loaded.origin,
        inputs=tuple(spec.name for spec in model.inputs),
        outputs=loaded.outputs,
        examples=count,
        labelled=bool(labelled),
        feeds=values.below("feeds", feeds.close()),
        answers=values.below("outputs", answers.close()),
        labels=values.below("labels", labelled),
        batch_axes=model.batch_axes,
        rows=fixed_batch(model.inputs, model.dims) or 1,
    )


class _Labels:
    """The labels of all examples, or none at all: what is true of some examples only is true of no metric."""

    def __init__(self, folder: Path, examples: int) -> None:
        self._folder = folder
        self._writer: values.ValueWriter | None = values.ValueWriter(folder, examples)

    def add(self, label: Any) -> None:
        """The next example's label."""
        if label is None:
            self._writer = None
        if self._writer is None:
            return
        try:
            self._writer.add(label if isinstance(label, Mapping) else {"": label})
        except ValueError as error:
            raise BuildError(f"data: the labels cannot be stored: {error}.") from error

    def close(self) -> tuple[ValueEntry, ...]:
        """Where they lie; nothing where an example has none."""
        if self._writer is not None and (entries := self._writer.close()):
            return entries
        shutil.rmtree(self._folder)
        return ()
