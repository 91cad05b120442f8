"""How surprising the largest step in a series is, by ranks alone.

The rank CUSUM of a series x_1 ... x_n with ranks R_i is S_k = sum of (R_i - (n + 1) / 2) over i <= k (Pettitt, Applied
Statistics 28, 1979). Its largest |S_k| hardly sees a change near an end: three points after a change can never be
far in it. S_k is a Wilcoxon rank sum, so every k has an exact tail probability of its own; the statistic here is the
smallest of those, which treats every place alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    Numbers = Sequence[float] | Floats

FEWEST_AFTER = 3
"""Fewest points before and after a change: two slow runs in a row are not a new level yet."""

EXACT = 12
"""Rank sums of up to this many points have exact tails; beyond, the normal ones are close."""


def ranks_of(series: Floats) -> Floats:
    """Midranks along the last axis, from 1: (..., n) -> (..., n)."""
    import numpy as np

    order = np.argsort(series, axis=-1, kind="stable")
    ascending = np.take_along_axis(series, order, axis=-1)
    n = series.shape[-1]
    place = np.broadcast_to(np.arange(1.0, n + 1), series.shape)
    differs = np.ones(series.shape, dtype=bool)
    differs[..., 1:] = ascending[..., 1:] != ascending[..., :-1]
    # Equal values share the middle of the first and the last rank among them.
    first = np.maximum.accumulate(np.where(differs, place, 0.0), axis=-1)
    ends = np.ones(series.shape, dtype=bool)
    ends[..., :-1] = differs[..., 1:]
    last = np.minimum.accumulate(np.where(ends, place, np.inf)[..., ::-1], axis=-1)[..., ::-1]
    found = np.empty(series.shape, dtype=np.float64)
    np.put_along_axis(found, order, (first + last) / 2, axis=-1)
    return found


def cusum(ranks: Floats) -> Floats:
    """S_1 ... S_n of every row of ranks: (..., n) -> (..., n); the last one is zero."""
    import numpy as np

    n = ranks.shape[-1]
    return np.asarray(np.cumsum(ranks - (n + 1) / 2, axis=-1), dtype=np.float64)


@lru_cache(maxsize=512)
def exact_tails(n: int) -> Floats:
    """-log10 of the two-sided tail of |S_k| under random order, for k up to `EXACT`: (k, twice |S_k|).

    By symmetry, row k also serves n - k points.
    """
    import numpy as np

    few = min(n // 2, EXACT)
    widest = few * (n - few)  # twice the largest |S_k| is k (n - k)
    counts = np.zeros((few + 1, few * n + 1))
    counts[0, 0] = 1.0
    for rank in range(1, n + 1):
        reach = few * rank + 1  # no sum of ranks so far is larger
        counts[1:, rank:reach] += counts[:-1, : reach - rank]
    logs = np.zeros((few + 1, widest + 1))
    doubled = np.arange(widest + 1)
    for size in range(1, few + 1):
        share = counts[size] / counts[size].sum()
        upper = np.append(np.cumsum(share[::-1])[::-1], 0.0)  # P(rank sum >= s)
        sums = np.minimum((doubled + size * (n + 1) + 1) // 2, len(share))
        # Nothing is rarer than the one order that is the most extreme.
        logs[size] = -np.log10(np.clip(2 * upper[sums], 2 / math.comb(n, size), 1.0))
    logs.setflags(write=False)
    return logs


@lru_cache(maxsize=1)
def _normal_tails() -> tuple[Floats, Floats]:
    """A grid of z and -log10 of the two-sided normal tail beyond it."""
    import numpy as np

    grid = np.linspace(0.0, 30.0, 6001)
    return grid, np.array([-math.log10(math.erfc(z / math.sqrt(2))) for z in grid])


def surprise(n: int, sizes: Floats, doubled: Floats) -> Floats:
    """-log10 of the two-sided tail probability of |S_k| in random order.

    Args:
        n: points in the series.
        sizes: points on one side of the place, 1 to n - 1; broadcasts against `doubled`.
        doubled: twice |S_k|; halves of ties are rounded down, to the safe side.
    """
    import numpy as np

    size = np.minimum(sizes, n - sizes)
    exact = exact_tails(n)
    few = size < len(exact)
    column = np.minimum(np.floor(doubled + 1e-9), np.minimum(size, EXACT) * (n - np.minimum(size, EXACT)))
    table = exact[np.where(few, size, 0).astype(np.int64), np.where(few, column, 0).astype(np.int64)]
    if few.all():
        return np.asarray(table, dtype=np.float64)
    grid, logs = _normal_tails()
    return np.where(few, table, np.interp(_z(n, size, doubled), grid, logs))


def _z(n: int, size: Floats, doubled: Floats) -> Floats:
    """|S_k| in standard deviations, corrected for continuity."""
    import numpy as np

    return np.asarray(np.maximum(doubled / 2 - 0.5, 0.0) / _deviation(n, size))


def _deviation(n: int, size: Floats) -> Floats:
    """Of S_k in random order, without ties."""
    import numpy as np

    return np.asarray(np.sqrt(size * (n - size) * (n + 1) / 12))


def strength(series: Floats) -> tuple[Floats, np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
    """The largest -log10 tail over all places, and the place: (..., n) -> (...), (...).

    Ties get midranks and the tails of untied ranks, which are wider: that errs on the safe side.
    """
    import numpy as np

    return of_sums(cusum(ranks_of(np.asarray(series, dtype=np.float64))))


def of_sums(sums: Floats) -> tuple[Floats, np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
    """As `strength`, of rank CUSUMs."""
    import numpy as np

    n = sums.shape[-1]
    places = np.arange(FEWEST_AFTER, n - FEWEST_AFTER + 1)
    size = np.minimum(places, n - places).astype(np.float64)
    heights = np.abs(sums[..., FEWEST_AFTER - 1 : n - FEWEST_AFTER])
    few = size <= EXACT
    found = surprise(n, size[few], 2 * heights[..., few])
    best = found.argmax(axis=-1)
    most, at = np.take_along_axis(found, best[..., None], axis=-1)[..., 0], places[few][best]
    if not few.all():
        # Where the tail is normal the largest z is the smallest tail: one look-up per row instead of one per place.
        # Those places lie next to each other, in the middle; all of this is most of the time of a large scan.
        first, stop = int(np.argmin(few)), len(few) - int(np.argmin(few[::-1]))
        scale = 1 / _deviation(n, size[first:stop])
        z = heights[..., first:stop] * scale
        z -= 0.5 * scale
        best = z.argmax(axis=-1)
        grid, logs = _normal_tails()
        large = np.interp(np.take_along_axis(z, best[..., None], axis=-1)[..., 0], grid, logs)
        at = np.where(large > most, places[first:stop][best], at)
        most = np.maximum(most, large)
    return most, at
