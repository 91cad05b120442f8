"""Whether examples can be joined to a batch, proven by running them: alone, and together.

A dynamic axis is not a promise. A graph may reshape to a fixed batch, compute over the batch axis, or call something
else `batch`. An axis counts as a batch axis where every output of two examples together is that of each of them, one
behind the other.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import reasons, values
from harness.data import base as data
from harness.records import batch_axes, fixed_batch

if TYPE_CHECKING:
    from harness.data.base import Example
    from harness.frameworks.base import Loaded
    from harness.records import InputSpec, ModelSpec

TOLERANCE = {"float32": 1e-3, "float64": 1e-3}
"""Relative to the root mean square of an output: kernels add up in another order for another batch."""

COARSE = 0.1
"""The same for narrower types, and for graphs that choose a scale for the whole batch."""

EQUAL = 0.98
"""The share of whole numbers that must be equal: a tie between two classes may be broken the other way."""

COMMON = ("batch", "batch_size", "batchsize", "n", "bs", "b")
"""What files call a batch axis, wherever it stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """How examples of a model can be joined.

    Attributes:
        axes: input name -> batch axis; empty where a feed can only be run as it is.
        rows: rows of data in one feed: the fixed size of the first axis where rows are proven not to interact, else 1.
        why: the reason that there are no axes; empty where there are some.
    """

    axes: Mapping[str, int] = field(default_factory=dict)
    rows: int = 1
    why: str = ""


def prove(loaded: Loaded) -> Batching:
    """Find the batch axes of a model by running it.

    Raises:
        BuildError: the data has no example.
    """
    model = loaded.model
    examples = list(itertools.islice(_examples(model), 2))
    examples += examples[-1:] * (2 - len(examples))
    fixed = fixed_batch(model.inputs, model.dims) or 1
    if not model.inputs:
        return Batching(why="the model has no inputs")
    why = ""
    for axes in candidates(model.inputs, model.dims):
        found = _interacts(loaded, axes, examples)
        if not found:
            return Batching(axes=axes)
        why = why or found
    if fixed > 1 and not _rows_interact(loaded, examples[0]):
        return Batching(rows=fixed, why=f"one example holds {fixed} rows: the first axis of the inputs is fixed")
    return Batching(why=why or "no input has an open first axis or one called `batch`")


def _examples(model: ModelSpec) -> Iterator[Example]:
    request = data.DataRequest.of(model)
    return data.stream(request, "evaluation" if request.counts["evaluation"] else "calibration")


def candidates(inputs: Sequence[InputSpec], dims: Mapping[str, int]) -> list[dict[str, int]]:
    """Which axes may be batch axes, the likeliest first: declared ones, open first axes, and those of one name.

    Only axes that an example has a single row on can be joined.
    """
    found = [batch_axes(inputs, dims)]
    tensors = [one for one in inputs if one.is_tensor]
    names = dict.fromkeys(axis for one in tensors for axis in one.shape if isinstance(axis, str))
    found += [
        {one.name: one.shape.index(name) for one in tensors if name in one.shape}
        for name in names
        if name.lower() in COMMON and dims.get(name, 1) == 1
    ]
    firsts = {one.name: one.shape[0] for one in tensors if one.name in found[0] and found[0][one.name] == 0}
    found += [{key: 0 for key, first in firsts.items() if first == name} for name in dict.fromkeys(firsts.values())]
    return [axes for place, axes in enumerate(found) if axes and axes not in found[:place]]


def _interacts(loaded: Loaded, axes: Mapping[str, int], examples: Sequence[Example]) -> str:
    """Why two examples cannot be joined along these axes; empty where they can."""
    first, second = examples
    # An input without a batch axis is the same for the whole batch.
    second = data.Example(feed={**first.feed, **{name: second.feed[name] for name in axes}})
    doing = "join two examples"
    try:
        together = data.joined([first, second], axes)
        doing = "run one example alone"
        alone = [loaded.run(one.feed) for one in (first, second, first)]
        doing = "run two examples together"
        both = loaded.run(together)
    except Exception as error:  # noqa: BLE001 # whatever the runtime says
        return f"it cannot {doing}: {reasons.reason_of(error, tool=True)}"
    for name, one, two, again, got in zip(loaded.outputs, *alone, both, strict=True):
        if not _same(one, again):
            return f"the output `{name}` is another one at every run"
        if problem := _joined(one, two, got):
            return f"the output `{name}` of two examples together {problem}"
    return ""


def _joined(one: Any, two: Any, got: Any) -> str:
    """What is wrong with an output of two examples together; empty where it is right."""
    if not all(isinstance(value, np.ndarray) for value in (one, two, got)):
        parts = [*one, *two] if isinstance(one, list) and isinstance(two, list) else None
        alike = isinstance(got, list) and parts is not None and len(got) == len(parts)
        if alike and all(_same(a, b) for a, b in zip(parts or (), got, strict=True)):
            return ""
        return "is a structure that is not theirs one behind the other"
    if _same(one, got) and _same(two, got):
        return ""  # it depends on no example
    if one.ndim != got.ndim or one.ndim != two.ndim:
        return f"has the shape {list(got.shape)}, alone {list(one.shape)}"
    for axis in range(one.ndim):
        rest = {shape[:axis] + shape[axis + 1 :] for shape in (one.shape, two.shape, got.shape)}
        if len(rest) == 1 and got.shape[axis] == one.shape[axis] + two.shape[axis]:
            alike = _same(np.concatenate([one, two], axis=axis), got)
            return "" if alike else "is not what it is of each alone: its rows depend on each other"
    return f"has the shape {list(got.shape)}, alone {list(one.shape)}"


def _rows_interact(loaded: Loaded, example: Example) -> str:
    """Why the rows of one feed depend on each other; empty where another first row changes the first answer alone."""
    feed = {name: np.array(array) for name, array in example.feed.items()}
    for array in feed.values():
        array[0] = array[1]
    try:
        before, after = loaded.run(example.feed), loaded.run(feed)
    except Exception as error:  # noqa: BLE001 # as in `_interacts`
        return reasons.reason_of(error, tool=True)
    rows = len(example.feed[loaded.model.inputs[0].name])
    for name, one, other in zip(loaded.outputs, before, after, strict=True):
        if not isinstance(one, np.ndarray) or one.shape[:1] != (rows,):
            return f"`{name}` does not answer row by row"
        wanted = np.array(one)
        wanted[0] = one[1]
        if not _same(wanted, other):
            return f"the rows of `{name}` depend on each other"
    return ""


def _same(wanted: Any, got: Any) -> bool:
    """Whether two values are equal but for rounding."""
    if not isinstance(wanted, np.ndarray) or not isinstance(got, np.ndarray):
        if type(wanted) is not type(got):
            return False
        wanted, got = values.flat(wanted), values.flat(got)
    if wanted.shape != got.shape or wanted.dtype != got.dtype:
        return False
    if not wanted.size:
        return True
    exact = wanted.dtype.kind in "iubU" or wanted.dtype.name.endswith("int4")
    if exact:
        return float(np.mean(wanted == got)) >= EQUAL
    one, two = wanted.astype(np.float64), got.astype(np.float64)
    finite = np.isfinite(one)
    if not np.array_equal(one[~finite], two[~finite], equal_nan=True) or not np.isfinite(two[finite]).all():
        return False
    scale = float(np.sqrt(np.mean(one[finite] ** 2))) if finite.any() else 0.0
    limit = TOLERANCE.get(wanted.dtype.name, COARSE) * scale
    return bool((np.abs(one[finite] - two[finite]) <= limit).all())


def difference(wanted: Any, got: Any) -> str:
    """How a value differs from the expected one, in words; empty where it does not, but for rounding."""
    one, two = values.flat(wanted), values.flat(got)
    if one.shape != two.shape:
        return f"the shape is {list(two.shape)} instead of {list(one.shape)}"
    if one.dtype.kind != two.dtype.kind:
        return f"the type is {two.dtype.name} instead of {one.dtype.name}"
    if _same(one, two.astype(one.dtype)):
        return ""
    if one.dtype.kind in "iubU":
        return f"{int(np.sum(one != two))} of {one.size} values differ"
    return f"values differ by up to {float(np.nanmax(np.abs(one.astype(np.float64) - two.astype(np.float64)))):.3g}"
