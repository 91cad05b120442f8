"""Whether the best scores are still the best: overlap of the first few places, example by example."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

FIRST = 10
"""How many of the best scores are looked at: as many, or half of what there is."""

FEWEST = 4
"""With fewer scores there is hardly an order."""


def overlap(reference: Array, output: Array) -> float | None:
    """The share of the reference's best scores that are among the output's best ones; None for fewer than `FEWEST`.

    Scores that are equal share the places for which they compete, so that an output of nothing but zeros has no more
    than chance.

    Args:
        reference: scores of one example, all finite.
        output: of the same shape.
    """
    import numpy as np

    wanted, found = np.ravel(reference), np.ravel(output)
    if wanted.size < FEWEST:
        return None
    count = min(FIRST, wanted.size // 2)
    return float(np.minimum(_places(wanted, count), _places(found, count)).sum() / count)


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of those that are known."""
    held = [one for one in values if one is not None]
    return sum(held) / len(held) if held else None


def _places(scores: Array, count: int) -> Array:
    """How much of one of the first `count` places each score has."""
    import numpy as np

    last = np.partition(scores, scores.size - count)[scores.size - count]
    above = scores > last
    level = scores == last
    places: Array = above + level * ((count - above.sum()) / level.sum())
    return places
