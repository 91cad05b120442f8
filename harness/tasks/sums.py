"""Signal and noise of one output of floating-point numbers, over the whole array and along its small axes.

Two passes over the reference and one over the artifact's arrays, one example at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.leaves import numbers
from harness.tasks import ranking

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

LONGEST_AXIS = 128
"""Longest axis whose indices are looked at one by one: channels and fields, not pixels, boxes or tokens."""

FLAT = 1e-5
"""A reference that moves by less than this share of its size does not vary: that is float32's rounding."""


@dataclass(slots=True, kw_only=True)
class AxisSums:
    """What is known of each index along one axis; arrays of [indices].

    Attributes:
        signal: power of the reference about its mean over the examples, over all examples.
        power: of the reference itself.
        noise: [examples, indices], power of the difference.
        low, high: of the reference.
        out_low, out_high: of the artifact.
        moved: whether the artifact's values differ between any two examples.
        compared: values that are finite on both sides.
    """

    signal: Array
    power: Array
    noise: Array
    low: Array
    high: Array
    out_low: Array
    out_high: Array
    moved: Array
    compared: Array


@dataclass(slots=True, kw_only=True)
class Sums:
    """What is known of one output.

    Attributes:
        examples: how many.
        shape: of every example's array.
        signal, power: as in `AxisSums`, over the whole array.
        out_power, product: of the artifact, and of both.
        noise: per example.
        largest: difference.
        odd: values that are NaN or infinite, and not the same on both sides.
        reference_moved, moved: whether the side's values differ between any two examples.
        low, high: of the reference's finite values.
        axes: by the axis' number.
        rank: the overlap of the best scores: of all values where the reference is in 0..1, else of those indices of
            one axis where it is.
    """

    examples: int
    shape: tuple[int, ...] = ()
    signal: float = 0.0
    power: float = 0.0
    out_power: float = 0.0
    product: float = 0.0
    noise: list[float] = field(default_factory=list)
    largest: float = 0.0
    odd: int = 0
    reference_moved: bool = False
    moved: bool = False
    low: float = 0.0
    high: float = 0.0
    axes: dict[int, AxisSums] = field(default_factory=dict)
    rank: float | None = None


def of(reference: Sequence[Array], output: Sequence[Array]) -> Sums:
    """Add up one output, whose arrays all have one shape; `output` has as many examples."""
    import numpy as np

    found = Sums(examples=len(reference))
    if not len(reference):
        return found
    mean, low, high = _mean(reference)
    found.shape = mean.shape
    finite_low, finite_high = low[np.isfinite(low)], high[np.isfinite(high)]
    found.low, found.high = float(finite_low.min(initial=np.inf)), float(finite_high.max(initial=-np.inf))
    axes = {axis: _empty(size, len(reference)) for axis, size in enumerate(mean.shape) if 1 < size <= LONGEST_AXIS}
    first_ref, first_out = numbers(reference[0]), numbers(output[0])
    scores = _scores(low, high, axes)
    ranks: list[float | None] = []
    for example, (wanted, got) in enumerate(zip(reference, output, strict=True)):
        ref, out = numbers(wanted), numbers(got)
        both = np.isfinite(ref) & np.isfinite(out)
        same = both | (ref == out) | (np.isnan(ref) & np.isnan(out))
        found.odd += int(same.size - np.count_nonzero(same))
        if scores is not None:
            ranks.append(ranking.overlap(*(scores(np.where(both, side, -1.0)) for side in (ref, out))))
        centred = np.where(both, ref - np.where(both, mean, 0.0), 0.0) if not both.all() else ref - mean
        if not both.all():
            ref, out = np.where(both, ref, 0.0), np.where(both, out, 0.0)
        error = out - ref
        found.signal += float(np.vdot(centred, centred))
        found.power += float(np.vdot(ref, ref))
        found.out_power += float(np.vdot(out, out))
        found.product += float(np.vdot(ref, out))
        found.noise.append(float(np.vdot(error, error)))
        found.largest = max(found.largest, float(np.abs(error).max(initial=0.0)))
        differs, ours = _differs(numbers(got), first_out), _differs(numbers(wanted), first_ref)
        found.moved |= bool(differs.any())
        found.reference_moved |= bool(ours.any())
        for axis, sums in axes.items():
            others = tuple(one for one in range(ref.ndim) if one != axis)
            sums.signal += (centred**2).sum(axis=others)
            sums.power += (ref**2).sum(axis=others)
            sums.noise[example] = (error**2).sum(axis=others)
            sums.moved |= differs.any(axis=others)
            sums.compared += both.sum(axis=others)
            for name, side, pick in (
                ("low", ref, np.minimum), ("high", ref, np.maximum),
                ("out_low", out, np.minimum), ("out_high", out, np.maximum),
            ):  # fmt: skip
                empty = np.inf if pick is np.minimum else -np.inf
                edge = pick.reduce(np.where(both, side, empty), axis=others, initial=empty)
                setattr(sums, name, pick(getattr(sums, name), edge))
    found.axes = axes
    found.rank = ranking.mean(ranks)
    return found


def of_rows(reference: Array, output: Array, examples: Sequence[int], real: Sequence[bool], count: int) -> Sums:
    """Add up rows that have no fixed place, as a detector's boxes: the mean is that of all rows.

    Args:
        reference: [rows, values].
        output: the rows that belong to them.
        examples: the example that each row is of.
        real: whether the output has it: a row that stands for one that is missing is not a sign of life.
        count: how many examples there are.
    """
    import numpy as np

    found = Sums(examples=count, noise=[0.0] * count, shape=reference.shape[1:])
    if not len(reference):
        return found
    both = np.isfinite(reference) & np.isfinite(output)
    same = both | (reference == output) | (np.isnan(reference) & np.isnan(output))
    ref, out = np.where(both, reference, 0.0), np.where(both, output, 0.0)
    mean = ref.sum(axis=0) / np.maximum(both.sum(axis=0), 1)
    centred, error = np.where(both, ref - mean, 0.0), out - ref
    found.odd = int(same.size - np.count_nonzero(same))
    found.signal, found.power = float(np.vdot(centred, centred)), float(np.vdot(ref, ref))
    found.out_power, found.product = float(np.vdot(out, out)), float(np.vdot(ref, out))
    found.largest = float(np.abs(error).max(initial=0.0))
    each = np.zeros((count, ref.shape[1]))
    np.add.at(each, np.asarray(examples, dtype=np.int64), error**2)
    found.noise = each.sum(axis=1).tolist()
    own = np.asarray(real, dtype=bool)
    moved = _differs(output[own], output[own][:1]).any(axis=0)
    found.moved, found.reference_moved = bool(moved.any()), bool(_differs(reference, reference[:1]).any())
    low, high = (np.where(both, ref, edge) for edge in (np.inf, -np.inf))
    found.low, found.high = float(low.min(initial=np.inf)), float(high.max(initial=-np.inf))
    if 1 < ref.shape[1] <= LONGEST_AXIS:
        found.axes[0] = AxisSums(
            signal=(centred**2).sum(axis=0),
            power=(ref**2).sum(axis=0),
            noise=each,
            low=low.min(axis=0),
            high=high.max(axis=0),
            out_low=np.where(both, out, np.inf)[own].min(axis=0, initial=np.inf),
            out_high=np.where(both, out, -np.inf)[own].max(axis=0, initial=-np.inf),
            moved=np.asarray(moved),
            compared=both.sum(axis=0),
        )
    return found


def _scores(low: Array, high: Array, axes: dict[int, AxisSums]) -> Callable[[Array], Array] | None:
    """What picks the scores out of an example: values of 0..1; None where there are none."""
    import numpy as np

    if not low.size:
        return None
    if low.min() >= 0 and high.max() <= 1:
        return lambda array: array
    for axis in axes:
        others = tuple(one for one in range(low.ndim) if one != axis)
        least, most = low.min(axis=others), high.max(axis=others)
        mask = (least >= 0) & (most <= 1) & (most > least)
        if mask.any():
            return lambda array, mask=mask, axis=axis: np.compress(mask, array, axis=axis)  # type: ignore[misc]
    return None


def _differs(one: Array, other: Array) -> Array:
    import numpy as np

    found: Array = ~((one == other) | (np.isnan(one) & np.isnan(other)))
    return found


def _empty(size: int, examples: int) -> AxisSums:
    import numpy as np

    return AxisSums(
        signal=np.zeros(size),
        power=np.zeros(size),
        noise=np.zeros((examples, size)),
        low=np.full(size, np.inf),
        high=np.full(size, -np.inf),
        out_low=np.full(size, np.inf),
        out_high=np.full(size, -np.inf),
        moved=np.zeros(size, dtype=bool),
        compared=np.zeros(size, dtype=np.int64),
    )


def _mean(arrays: Sequence[Array]) -> tuple[Array, Array, Array]:
    """The mean over the examples of what is finite, element by element, and the least and largest of each element."""
    import numpy as np

    shape = numbers(arrays[0]).shape
    total, count = np.zeros(shape), np.zeros(shape, dtype=np.int64)
    low, high = np.full(shape, np.inf), np.full(shape, -np.inf)
    for array in arrays:
        one = numbers(array)
        finite = np.isfinite(one)
        total += np.where(finite, one, 0.0)
        count += finite
        low = np.minimum(low, np.where(finite, one, np.inf))
        high = np.maximum(high, np.where(finite, one, -np.inf))
    return total / np.maximum(count, 1), low, high
