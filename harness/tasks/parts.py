"""The parts of one output along its small axes: which of them count, and how close or dead each one is.

One ratio over boxes of 0..640 and scores of 0..1 hears nothing of the scores. So every index of a small axis (at most
`sums.LONGEST_AXIS`) that matters is looked at by itself:

- an index whose reference lies in 0..1 matters where it moves by at least `SCORE_MOVES`; where no such index does,
  those within `APART` of the strongest do. A class that is never seen has scores near zero, whose rounding says
  nothing.
- any other index matters where it moves by at least `ROUNDING` of the strongest one.

A ratio of its own it has where the scales of those that matter differ by `APART` or more; elsewhere the ratio over the
whole output hears all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.tasks.sums import FLAT, AxisSums, Sums

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

APART = 20.0
"""Scales (standard deviations about the mean over the examples) that differ by this factor are judged apart."""

SCORE_MOVES = 0.1
"""By how much a score in 0..1 moves, from its least to its largest value, to count by itself."""

ROUNDING = 1e-4
"""An index that moves by less than this share of the strongest one is rounding beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisPart:
    """One index along one axis that counts.

    Attributes:
        name: such as `channel 4`.
        dead: whether it varies in the reference and is constant in the artifact.
        apart: whether it has a ratio of its own.
        signal: its power about the mean.
        noise: of the difference, per example.
    """

    name: str
    dead: bool
    apart: bool
    signal: float
    noise: tuple[float, ...]


def is_dead(sums: Sums) -> bool:
    """Whether the reference varies over the examples and the artifact's values do not."""
    return sums.examples > 1 and sums.signal > FLAT**2 * sums.power and not sums.moved


def counting(sums: Sums) -> list[AxisPart]:
    """Every index that is dead or has a ratio of its own, axis by axis."""
    found = []
    for axis, one in sums.axes.items():
        size = max(len(sums.shape), 1)
        found += _along(one, sums.examples, lambda index, axis=axis, size=size: name(axis, size, index))
    return found


def name(axis: int, dimensions: int, index: int) -> str:
    """What an index is called: a field of the last axis, a channel of axis 1, else by its axis' number."""
    if axis == dimensions - 1:
        return f"field {index}"
    return f"channel {index}" if axis == 1 else f"index {index} of axis {axis}"


def _along(one: AxisSums, examples: int, named: Any) -> list[AxisPart]:
    import numpy as np

    seen = one.compared > 0
    size = np.maximum(np.abs(np.where(seen, one.low, 0.0)), np.abs(np.where(seen, one.high, 0.0)))
    moves = np.where(seen, np.where(seen, one.high, 0.0) - np.where(seen, one.low, 0.0), 0.0)
    wide = seen & (moves > FLAT * size)
    flat = wide & (one.out_low == one.out_high)
    varies = wide & (one.signal > FLAT**2 * one.power) if examples > 1 else np.zeros_like(wide)
    scale = np.sqrt(one.signal / np.maximum(one.compared, 1))
    judged = _matter(varies, scale, moves, one)
    dead = (judged & ~one.moved) | (_matter(wide, moves, moves, one) & flat & ~varies)
    scales = scale[judged]
    apart = judged if scales.size and scales.max() >= APART * scales.min() else np.zeros_like(judged)
    return [
        AxisPart(
            name=named(int(index)),
            dead=bool(dead[index]),
            apart=bool(apart[index]),
            signal=float(one.signal[index]),
            noise=tuple(one.noise[:, index].tolist()),
        )
        for index in np.flatnonzero(dead | apart)
    ]


def _matter(among: Array, scale: Array, moves: Array, one: AxisSums) -> Array:
    """Which indices count, of those that move at all."""
    import numpy as np

    scores = among & (one.low >= 0) & (one.high <= 1)
    others = among & ~scores
    clear = scores & (moves >= SCORE_MOVES)
    if not clear.any() and scores.any():
        clear = scores & (scale >= scale[scores].max() / APART)
    strong = others & (scale >= ROUNDING * scale[others].max()) if others.any() else np.zeros_like(others)
    return clear | strong
