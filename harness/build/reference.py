"""The evaluation examples and the fp32 framework's outputs on them, streamed into a folder of .npy files."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness import frameworks, values
from harness.build.batching import Batching, difference, prove
from harness.data import base as data
from harness.data import past
from harness.errors import BuildError, Unsupported
from harness.leaves import leaves, numbers
from harness.records import Reference, ValueEntry, fixed_batch

if TYPE_CHECKING:
    from pathlib import Path

    from harness.frameworks.base import Loaded

AGAIN = 4
"""How many examples are run twice, to find outputs that are random."""

NEAR = 1e-3
"""Two runs that differ by less, relative to a value or to its array, computed the same."""


def write(loaded: Loaded, folder: Path, digest: str) -> Reference:
    """Compute the reference one example at a time and write `feeds/`, `outputs/`, `labels/` and `before/`.

    Arrays have whatever shapes the model gives them, and may have others for every example.

    Raises:
        BuildError: the data source has too few examples, or labels that cannot be stored.
        Unsupported: an output is not a tensor of numbers, booleans or text.
    """
    model = loaded.model
    request = data.DataRequest.of(model)
    count = data.feeds(request, "evaluation")
    batching = _batching(loaded, count)
    feeds = values.ValueWriter(folder / "feeds", count, structured=True)
    answers = values.ValueWriter(folder / "outputs", count, structured=True)
    before = values.ValueWriter(folder / "before", count)
    known = _Expected()
    labels = _Labels(folder / "labels", count)
    left_out: list[str] = []
    for example in data.stream(request, "evaluation", left_out):
        feed = fed(loaded, example)
        feeds.add(feed)
        if example.before is not None:
            before.add({past.IDS: example.before})
        try:
            found = dict(zip(loaded.outputs, loaded.run(feed), strict=True))
            answers.add(found)
        except ValueError as error:
            raise Unsupported(f"The model's outputs cannot be compared: {error}.") from error
        labels.add(example.label)
        known.add(example.expected, found)
    read = values.below("before", before.close())
    if not read:
        (folder / "before").rmdir()
    random = random_outputs(loaded, request, folder, answers_at := answers.close())
    labelled = labels.close()
    return Reference(
        digest=digest,
        origin=loaded.origin,
        inputs=tuple(spec.name for spec in model.inputs),
        outputs=loaded.outputs,
        examples=count,
        labelled=bool(labelled),
        feeds=values.below("feeds", feeds.close()),
        answers=values.below("outputs", answers_at),
        labels=values.below("labels", labelled),
        before=read,
        batch_axes=batching.axes,
        rows=batching.rows,
        why_no_batch=batching.why,
        notes=(*map(str, loaded.facts.get("guesses", ())), *known.notes(), *left_out),
        random=random,
    )


def fed(loaded: Loaded, example: data.Example) -> dict[str, Any]:
    """An example as the network takes it: keys and values of tokens before are what it keeps of them."""
    inputs = loaded.model.inputs
    feed = past.feed(example, inputs, lambda given: dict(zip(loaded.outputs, loaded.run(given), strict=True)))
    return {spec.name: feed[spec.name] for spec in inputs}


def _batching(loaded: Loaded, count: int) -> Batching:
    """The batch axes: those that were declared of a network, those that are proven of a file."""
    model = loaded.model
    if count and frameworks.get(model.source).states_inputs:
        return prove(loaded)
    return Batching(axes=model.batch_axes, rows=fixed_batch(model.inputs, model.dims) or 1)


class _Expected:
    """How the reference's answers compare with those that the data knows."""

    def __init__(self) -> None:
        self._compared = 0
        self._others: dict[str, str] = {}

    def add(self, expected: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        """The next example's."""
        for name, wanted in expected.items():
            if name in found:
                self._compared += 1
                if problem := difference(wanted, found[name]):
                    self._others.setdefault(name, problem)

    def notes(self) -> tuple[str, ...]:
        """One sentence, or one for each output that is not as expected."""
        if not self._compared:
            return ()
        if not self._others:
            return ("the outputs are those that the data expects",)
        return tuple(f"the output `{name}` is not what the data expects: {how}" for name, how in self._others.items())


def random_outputs(
    loaded: Loaded, request: data.DataRequest, folder: Path, answers: Sequence[ValueEntry]
) -> tuple[str, ...]:
    """The outputs that differ when the first examples are run again.

    In the same session: onnxruntime gives a random operator without a seed the same numbers in every session of a
    process, and others with every inference. A difference as large as float arithmetic in another order makes is none.

    Args:
        loaded: as it computed the answers; it is closed afterwards.
        request: for the examples.
        folder: that holds `outputs/`.
        answers: the first run's, below it.
    """
    found: set[str] = set()
    count = data.feeds(request, "evaluation")
    before = {one.name: values.Stored(folder / "outputs", one, count) for one in answers}
    for place, example in enumerate(itertools.islice(data.stream(request, "evaluation"), AGAIN)):
        again = loaded.run(fed(loaded, example))
        for name, value in zip(loaded.outputs, again, strict=True):
            if not alike(before[name][place], value):
                found.add(name)
    loaded.close()
    return tuple(name for name in loaded.outputs if name in found)


def alike(one: Any, other: Any) -> bool:
    """Whether two values are the same but for rounding: arrays, or structures of them.

    Numbers may differ by `NEAR` of their size or of the array's.
    """
    import numpy as np

    ours, theirs = leaves(one), leaves(other)
    if ours.keys() != theirs.keys():
        return False
    for place, held in ours.items():
        got = theirs[place]
        if held.shape != got.shape:
            return False
        if held.dtype.kind in "biuUSO" or got.dtype.kind in "biuUSO":
            if not np.array_equal(held, got):
                return False
            continue
        was, now = (numbers(side) for side in (held, got))
        finite = was[np.isfinite(was)]
        size = float(np.sqrt(np.mean(finite**2))) if finite.size else 0.0
        if not np.allclose(now, was, rtol=NEAR, atol=NEAR * size, equal_nan=True):
            return False
    return True


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
