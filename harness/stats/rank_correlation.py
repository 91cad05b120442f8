"""Spearman's rank correlation, ties sharing their mean rank (Spearman, 1904)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


def spearman(one: Sequence[float] | Array, other: Sequence[float] | Array) -> float:
    """The correlation of the ranks of two lists; NaN where one of them does not vary.

    Raises:
        ValueError: they are not of one length.
    """
    import numpy as np

    first, second = mean_ranks(one), mean_ranks(other)
    if len(first) != len(second):
        raise ValueError(f"{len(first)} values and {len(second)}: they must be of the same examples")
    first, second = first - first.mean() if len(first) else first, second - second.mean() if len(second) else second
    size = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / size if size else float("nan")


def mean_ranks(values: Sequence[float] | Array) -> Array:
    """The rank of each value, from 1; equal ones have the mean of the ranks that they take up."""
    import numpy as np

    held = np.asarray(values, dtype=np.float64)
    _, places, counts = np.unique(held, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Array = (last - (counts - 1) / 2)[places]
    return ranks
