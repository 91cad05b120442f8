"""Where the level of one series changes, by ranks alone: the statistic, its null distribution, the size of a step.

The rank CUSUM of a series x_1 ... x_n with ranks R_i is S_k = sum of (R_i - (n + 1) / 2) over i <= k (Pettitt, Applied
Statistics 28, 1979). Its largest |S_k| hardly sees a change near an end: three points after a change can never be
far in it. S_k is a Wilcoxon rank sum, so every k has an exact tail probability of its own; the statistic here is the
smallest of those, which treats every place alike. Its own distribution under "no change" is that of random orders.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

FEWEST_AFTER = 3
"""Fewest points before and after a change: two slow runs in a row are no new level yet."""

EXACT = 12
"""Rank sums of up to this many points have exact tails; beyond, the normal ones are close."""

ORDERS = 9999
"""Random orders behind a permutation p-value."""

DRAWN = 1000
"""Of them drawn at a time."""

BLOCK = 25_000
"""Numbers that are worked on at once: few enough to stay in a core's own cache."""

SEED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The most likely place of a change in one series.

    Attributes:
        index: the first point after it.
        p: permutation p-value of the whole search, not of this place alone.
    """

    index: int
    p: float


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
        for size in range(min(few, rank), 0, -1):
            counts[size, rank:] += counts[size - 1, :-rank]
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

    return _strength(cusum(ranks_of(np.asarray(series, dtype=np.float64))))


def _strength(sums: Floats) -> tuple[Floats, np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
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


class Null:
    """The statistic of random orders of n untied points, shared by all series of that length and drawn as needed."""

    def __init__(self, n: int) -> None:
        """Nothing is drawn yet."""
        import numpy as np

        self.n = n
        self._parts: list[Floats] = []
        self._generator = np.random.default_rng([SEED, n])

    def parts(self) -> Iterator[Floats]:
        """The statistic of `ORDERS` orders, sorted, in parts; the same at every call."""
        for place in range(-(-ORDERS // DRAWN)):
            if place == len(self._parts):
                self._parts.append(self._draw(min(DRAWN, ORDERS - place * DRAWN)))
            yield self._parts[place]

    def _draw(self, size: int) -> Floats:
        import numpy as np

        parts, step = [], max(1, BLOCK // self.n)
        for start in range(0, size, step):
            orders = np.tile(np.arange(1.0, self.n + 1), (min(step, size - start), 1))
            self._generator.permuted(orders, axis=1, out=orders)
            parts.append(_strength(cusum(orders))[0])
        found = np.concatenate(parts)
        found.sort()
        return found


null = lru_cache(maxsize=512)(Null)
"""One per length, kept."""


def places(rows: Sequence[Sequence[float]], ignore: float = 1.0) -> list[Place]:
    """The most likely change of every series, all of one length, and the p-value of there being none.

    The p-value is the share of random orders at least as extreme, (1 + hits) / (1 + ORDERS). That cannot fall below
    one in ten thousand, too coarse for thousands of series; beyond it Boole's inequality over the places is used
    where it is the smaller one: it can only be too large.

    Args:
        rows: finite numbers, at least 2 * FEWEST_AFTER per series.
        ignore: p-values above it may be given as 1, which saves work where no series comes near.
    """
    import numpy as np

    values = np.asarray(rows, dtype=np.float64)
    n = values.shape[1]
    found, index = [], []
    step = max(1, 4_000_000 // n)
    for start in range(0, len(values), step):
        strengths, at = strength(values[start : start + step])
        found.append(strengths)
        index.append(at)
    strengths, at = np.concatenate(found), np.concatenate(index)
    if (strengths < -math.log10(ignore)).all():  # not even one place on its own would reach it
        return [Place(index=int(i), p=1.0) for i in at]
    boole = np.minimum(1.0, (n - 2 * FEWEST_AFTER + 1) * 10.0**-strengths)
    hits = np.zeros(len(strengths))
    for part in null(n).parts():
        # What was hit so far bounds p from below: most series are settled long before the last order is drawn.
        least = (1 + hits) / (1 + ORDERS)
        if not ((least < boole) & (least <= ignore)).any():
            break
        hits += len(part) - np.searchsorted(part, strengths - 1e-9, side="left")
    p = np.minimum((1 + hits) / (1 + ORDERS), boole)
    p = np.where(p > ignore, 1.0, p)
    return [Place(index=int(i), p=float(q)) for i, q in zip(at, p, strict=True)]


def step_interval(before: Sequence[float], after: Sequence[float], confidence: float) -> tuple[float, float, float]:
    """Shift from before to after: median of all differences, interval by inverting the rank-sum test.

    Source: Hodges and Lehmann, Annals of Mathematical Statistics 34, 1963.

    Returns:
        Estimate, lower and upper end; the ends are infinite where so few points cannot bound it.
    """
    import numpy as np

    first, second = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    differences = np.sort((second[:, None] - first[None, :]).ravel())
    n, few = len(first) + len(second), min(len(first), len(second))
    # The outermost m differences on each side may be left out while a sum of |S| that far out stays unlikely enough.
    total = len(differences)
    unlikely = surprise(n, np.full(total + 1, float(few)), np.arange(total + 1.0)) >= -math.log10(1 - confidence) - 1e-9
    estimate = float(np.median(differences))
    if not unlikely[total]:
        return estimate, -math.inf, math.inf
    least = int(np.argmax(unlikely))  # smallest 2 |S| that is unlikely: U <= (total - least) / 2 is outside
    cut = (total - least) // 2
    return estimate, float(differences[cut]), float(differences[total - 1 - cut])


def neighbours(series: Sequence[float], edges: Sequence[int]) -> float:
    """Correlation of neighbours (lag 1) after the level of every segment is taken out.

    Ranks of the residuals are correlated, so that a few outliers neither make nor hide it. Taking a level out of
    m points by itself lowers the correlation r by about (1 + 3 r) / m (Kendall, 1954); that much is given back.

    Args:
        series: at least four points.
        edges: the first point after every change, ascending.
    """
    import numpy as np

    bounds = [0, *edges, len(series)]
    parts = [np.asarray(series[start:stop], dtype=np.float64) for start, stop in itertools.pairwise(bounds)]
    residuals = ranks_of(np.concatenate([part - statistics.median(part.tolist()) for part in parts]))
    residuals = residuals - residuals.mean()
    energy = float((residuals**2).mean())
    if energy == 0:
        return 0.0
    products, start = [], 0
    for part in parts:
        inside = residuals[start : start + len(part)]
        products.append(inside[1:] * inside[:-1])
        start += len(part)
    lost = len(parts) / len(series)
    return (float(np.concatenate(products).mean()) / energy + lost) / max(1 - 3 * lost, 0.25)
