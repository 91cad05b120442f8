"""Outputs whose size depends on the data, as a detector's boxes: rows are matched before they are compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.leaves import numbers

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

FARTHEST = 1.0
"""Rows match that are at most so many standard deviations apart, on average over their values."""

MOST_ROWS = 2000
"""With more rows than this in an example they are taken in the order in which they stand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedRows:
    """Rows of floating-point numbers in pairs.

    Attributes:
        reference, output: [rows, values]; a row that one side alone has is paired with the reference's mean row.
        examples: the example that each row is of.
        real: whether the artifact has the row, rather than the mean in its place.
        unmatched: rows that one side alone has.
    """

    reference: Array
    output: Array
    examples: tuple[int, ...]
    real: tuple[bool, ...]
    unmatched: int


def row_axis(reference: Sequence[Array], output: Sequence[Array], name: str) -> int | None:
    """The axis along which sizes depend on the data; None where all arrays have one shape.

    Raises:
        ValueError: the artifact's arrays have another shape for another reason.
    """
    ours, theirs = [tuple(one.shape) for one in reference], [tuple(one.shape) for one in output]
    if len({*ours, *theirs}) <= 1:
        return None
    every = {*ours, *theirs}
    differing = (
        {axis for axis in range(len(ours[0])) if len({shape[axis] for shape in every}) > 1}
        if len({len(shape) for shape in every}) == 1
        else set()
    )
    fixed = len(ours) > 1 and len(set(ours)) == 1 and len(set(theirs)) == 1
    if fixed or len(differing) != 1:
        place = next((i for i, (one, other) in enumerate(zip(ours, theirs, strict=True)) if one != other), None)
        if place is not None:
            raise ValueError(f"output `{name}` has shape {theirs[place]}, the reference {ours[place]}")
        return -1  # several axes vary, alike on both sides: value by value
    return differing.pop()


def rows(array: Array, axis: int) -> Array:
    """[rows, values]; each value is a row where `axis` is -1."""
    import numpy as np

    held = np.asarray(array)
    if axis < 0:
        return held.reshape(-1, 1)
    moved = np.moveaxis(held, axis, 0)
    return moved.reshape(len(moved), int(np.prod(moved.shape[1:], dtype=np.int64)))


def equal_rows(reference: Array, output: Array) -> int:
    """How many rows both sides have, in any order, one for one."""
    ours, theirs = (Counter(map(tuple, side.tolist())) for side in (reference, output))
    return (ours & theirs).total()


def matched(reference: Sequence[Array], output: Sequence[Array], axis: int) -> MatchedRows:
    """Pair the rows of each example: nearest first, in units of each value's spread over the reference's rows."""
    import numpy as np

    ours = [rows(numbers(one), axis) for one in reference]
    theirs = [rows(numbers(one), axis) for one in output]
    width = ours[0].shape[1] if ours else 0
    held = np.concatenate(ours) if ours else np.zeros((0, width))
    with np.errstate(invalid="ignore"):
        finite = np.where(np.isfinite(held), held, 0.0)
    mean = finite.mean(axis=0) if len(held) else np.zeros(width)
    spread = finite.std(axis=0) if len(held) else np.ones(width)
    spread = np.where(spread > 0, spread, 1.0)
    pairs: list[tuple[Array, Array]] = []
    examples: list[int] = []
    real: list[bool] = []
    unmatched = 0
    for example, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        chosen = _pairs(one / spread, other / spread) if axis >= 0 else [(i, i) for i in range(len(one))]
        alone = [set(range(len(side))) - {pair[place] for pair in chosen} for place, side in enumerate((one, other))]
        unmatched += len(alone[0]) + len(alone[1])
        pairs += [(one[i], other[j]) for i, j in chosen]
        pairs += [(one[i], mean) for i in sorted(alone[0])]
        pairs += [(mean, other[j]) for j in sorted(alone[1])]
        real += [True] * len(chosen) + [False] * len(alone[0]) + [True] * len(alone[1])
        examples += [example] * (len(chosen) + len(alone[0]) + len(alone[1]))
    return MatchedRows(
        reference=np.array([pair[0] for pair in pairs]).reshape(len(pairs), width),
        output=np.array([pair[1] for pair in pairs]).reshape(len(pairs), width),
        examples=tuple(examples),
        real=tuple(real),
        unmatched=unmatched,
    )


def _pairs(one: Array, other: Array) -> list[tuple[int, int]]:
    """Indices of rows that belong together."""
    import numpy as np

    least = min(len(one), len(other))
    if not least or max(len(one), len(other)) > MOST_ROWS:
        return [(i, i) for i in range(least)]
    if one.shape == other.shape and np.array_equal(one, other, equal_nan=True):
        return [(i, i) for i in range(least)]
    distance = np.zeros((len(one), len(other)))
    for column in range(one.shape[1]):
        gap = one[:, None, column] - other[None, :, column]
        distance += np.where(np.isfinite(gap), gap, 0.0) ** 2
    distance = np.sqrt(distance / max(one.shape[1], 1))
    found, left, right = [], set(range(len(one))), set(range(len(other)))
    for flat in np.argsort(distance, axis=None, kind="stable"):
        i, j = divmod(int(flat), len(other))
        if not left or not right or distance[i, j] > FARTHEST:
            break
        if i in left and j in right:
            found.append((i, j))
            left.remove(i)
            right.remove(j)
    return sorted(found)
