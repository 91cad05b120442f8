"""Where the level of one series changes, and by how much.

The place is that of the most surprising step (`harness.stats.strength`), whose own distribution under "no change" is
that of random orders; the size is the median of all differences.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from harness.stats.strength import FEWEST_AFTER, cusum, of_sums, ranks_of, surprise

if TYPE_CHECKING:
    import numpy as np

    from harness.stats.strength import Floats, Numbers

ORDERS = 9999
"""Random orders behind a permutation p-value."""

DRAWN = 1000
"""Of them made at a time."""

ALIKE = 30
"""Up to so many points every length has random orders of its own."""

BLOCK = 25_000
"""Numbers that are worked on at once: few enough to stay in a core's own cache."""

SEED = 20

LEAST_LEFT = 0.25
"""The least that many levels are said to leave of a correlation: what is given back has an end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPosition:
    """The most likely place of a change in one series.

    Attributes:
        index: the first point after it.
        p: permutation p-value of the whole search, not of this place alone.
    """

    index: int
    p: float


class Null:
    """The statistic of random orders of n untied points, shared by all series of that length and made as needed."""

    def __init__(self, n: int) -> None:
        """Nothing is made yet."""
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
            parts.append(of_sums(cusum(orders))[0])
        found = np.concatenate(parts)
        found.sort()
        return found


null = lru_cache(maxsize=512)(Null)
"""One per length, kept."""


def length(n: int) -> int:
    """The length whose random orders stand for those of n points: n itself, or for longer series up to 8% more.

    A scan splits series at any place, and orders made for each length that comes up would be most of its time. The
    statistic is the largest over all places: with more of them it is larger, so that p errs on the safe side.
    """
    found = ALIKE
    while found < n:
        found = math.ceil(found * 1.08)
    return n if n <= ALIKE else found


def places(rows: Sequence[Numbers], ignore: float = 1.0, wider: Floats | None = None) -> list[StepPosition]:
    """The most likely change of every series, all of one length, and the p-value of there being none.

    The p-value is the share of random orders (of `length` points) at least as extreme, (1 + hits) / (1 + ORDERS). That
    cannot fall below one in ten thousand, too coarse for thousands of series; beyond it Boole's inequality over the
    places is used where it is the smaller one: it can only be too large.

    Args:
        rows: finite numbers, at least 2 * FEWEST_AFTER per series.
        ignore: p-values above it may be given as 1, which saves work where no series comes near.
        wider: by how much every S_k spreads wider than in random order (`harness.stats.drift`): (n - 1,).
    """
    import numpy as np

    values = np.asarray(rows, dtype=np.float64)
    n = values.shape[1]
    found, index = [], []
    step = max(1, 4_000_000 // n)
    for start in range(0, len(values), step):
        part = values[start : start + step]
        sums = cusum(ranks_of(part))
        strengths, _ = of_sums(sums if wider is None else sums / np.append(wider, 1.0))
        at = _highest(sums)
        found.append(strengths)
        index.append(at)
    strengths, at = np.concatenate(found), np.concatenate(index)
    if (strengths < -math.log10(ignore)).all():  # not even one place on its own would reach it
        return [StepPosition(index=int(i), p=1.0) for i in at]
    boole = np.minimum(1.0, (n - 2 * FEWEST_AFTER + 1) * 10.0**-strengths)
    hits = np.zeros(len(strengths))
    for part in null(length(n)).parts():
        # What was hit so far bounds p from below: most series are decided long before the last order is made.
        least = (1 + hits) / (1 + ORDERS)
        if not ((least < boole) & (least <= ignore)).any():
            break
        hits += len(part) - np.searchsorted(part, strengths - 1e-9, side="left")
    p = np.minimum((1 + hits) / (1 + ORDERS), boole)
    p = np.where(p > ignore, 1.0, p)
    return [StepPosition(index=int(i), p=float(q)) for i, q in zip(at, p, strict=True)]


def _highest(sums: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Where |S_k| is largest in standard deviations: (..., n) -> (...).

    Whether there is a change is asked of exact tails; for its place they and the normal ones, which take over in the
    middle, are not alike enough: a step after 13 points would be put after 12.
    """
    import numpy as np

    n = sums.shape[-1]
    at = np.arange(FEWEST_AFTER, n - FEWEST_AFTER + 1)
    heights = np.abs(sums[..., FEWEST_AFTER - 1 : n - FEWEST_AFTER]) / np.sqrt(at * (n - at))
    return np.asarray(at[heights.argmax(axis=-1)])


def step_interval(before: Numbers, after: Numbers, confidence: float) -> tuple[float, float, float]:
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


def neighbours(series: Numbers, edges: Sequence[int]) -> float:
    """Correlation of neighbours (lag 1) after the level of every segment is taken out.

    Ranks of the residuals are correlated, so that a few outliers neither make nor hide it. Taking a level out of
    m points by itself lowers the correlation r by about (1 + 3 r) / m (Kendall, 1954); that much is given back.

    Args:
        series: at least four points.
        edges: the first point after every change, ascending.
    """
    import numpy as np

    return float(neighbours_of(np.asarray([series], dtype=np.float64), edges)[0])


def neighbours_of(rows: Floats, edges: Sequence[int]) -> Floats:
    """`neighbours` of series of one length with the same edges: (series, n) -> (series,)."""
    import numpy as np

    bounds = [*itertools.pairwise([0, *edges, rows.shape[1]])]
    level = [rows[:, start:stop] - np.median(rows[:, start:stop], axis=1, keepdims=True) for start, stop in bounds]
    residuals = ranks_of(np.concatenate(level, axis=1))
    residuals = residuals - residuals.mean(axis=1, keepdims=True)
    energy = (residuals**2).mean(axis=1)
    products = [residuals[:, start + 1 : stop] * residuals[:, start : stop - 1] for start, stop in bounds]
    lost = len(bounds) / rows.shape[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (np.concatenate(products, axis=1).mean(axis=1) / energy + lost) / max(1 - 3 * lost, LEAST_LEFT)
    return np.where(energy == 0, 0.0, found)
