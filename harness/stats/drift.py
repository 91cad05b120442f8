"""How much neighbouring points of stored series go together, and what that does to a search for changes of level.

On a host that drifts, a slow night is followed by another one, and random orders (the null of the search) know nothing
of that. The correlation of neighbours is estimated from all series of one kind together, since one series alone says
little; it widens the search, and where it is strong nothing is judged.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from harness.stats import changes

if TYPE_CHECKING:
    from harness.stats.strength import Floats

MOST = 0.7
"""Correlation above which a series is not judged: a drift and a change of level look the same."""

SURE = 0.5
"""A series whose own correlation is this large for sure (one-sided 95%) is not judged, whatever the others say."""

PRIOR, PRIOR_POINTS = 0.2, 30
"""What is assumed where little is known, and the number of points that it counts as."""

UNLIKE, UNLIKE_SERIES = 0.1, 10
"""By how much the correlations of series of one kind are assumed to differ (standard deviation), and as how many series
that counts beside what is seen: the host's drift is in all of them."""

ENOUGH = 300
"""Points of one kind from which on differences are asked, too: of fewer they say little, and the larger of two poor
estimates is too large."""

SERIES = 4
"""Series of one kind that it takes to see what all of them did together."""

SHARED = 2.5
"""By how much more than independent series they may vary together, as a ratio of variances: over 40 points it is 1 give
or take 0.23, and 0.33 where neighbours correlate by 0.6."""

STEP = 0.05
"""Correlations are rounded up to multiples of it, so that series share their tables."""


def of_differences(logs: Floats) -> float:
    """Correlation of neighbours from the differences of successive points, which a change of level hardly touches.

    The differences of a series whose neighbours correlate by r correlate by (r - 1) / 2 themselves. Differences beyond
    three robust deviations are cut to that, so that a step is one large difference among many.
    """
    import numpy as np

    steps = np.diff(logs)
    scale = 1.4826 * float(np.median(np.abs(steps - np.median(steps))))
    if scale == 0 or len(steps) < 3:  # noqa: PLR2004  (two products at least)
        return 0.0
    cut = np.clip(steps - np.median(steps), -3 * scale, 3 * scale)
    energy = float((cut**2).mean())
    return 1 + 2 * float((cut[1:] * cut[:-1]).mean()) / energy


def correlations(
    logs: Mapping[str, Floats], levels: Mapping[str, Collection[int]], kinds: Mapping[str, object]
) -> dict[str, tuple[float, str]]:
    """By series: the correlation to reckon with, and why it is not judged (empty where it is).

    Estimated from what is left when the levels are taken out, which sees slow drift, and where there are many points
    also from differences, which see through steps that were none; of each kind the larger mean counts.

    Args:
        logs: name -> logarithms of its values, at least four.
        levels: name -> first points after each change that a search of it alone finds.
        kinds: name -> what it shares its drift with, such as host and metric; a name that is missing stands alone.
    """
    groups: dict[object, list[str]] = {}
    for name in logs:
        groups.setdefault(kinds.get(name, name), []).append(name)
    found: dict[str, tuple[float, str]] = {}
    for names in groups.values():
        own = [_of_levels(logs[name], levels[name]) for name in names]
        # With few to set it against, a series that seems to drift is better left out than judged.
        lost = [len(levels[name]) + 1 if len(names) >= SERIES else 0 for name in names]
        errors = [_error_of_levels(len(logs[name]), parts) for name, parts in zip(names, lost, strict=True)]
        shared = seen = _pooled(own, names, logs)
        if sum(len(logs[name]) for name in names) >= ENOUGH:
            shared = max(seen, _pooled([of_differences(logs[name]) for name in names], names, logs))
        own = [one + shared - seen for one in own]  # differences of one series alone say too little of it
        apart = _apart(own, errors, shared)
        for name, one, error in zip(names, own, errors, strict=True):
            together = shared + apart / (apart + error**2) * (one - shared)
            rounded = min(max(math.ceil(together / STEP - 1e-9) * STEP, 0.0), 0.95)
            strong = together > MOST or one - 1.64 * error > SURE
            worse = min(max(together, one), 1.0)
            found[name] = rounded, f"neighbouring points correlate ({worse:.2f}): the host drifted" if strong else ""
    return found


def moved_together(logs: Mapping[str, Floats], kinds: Mapping[str, object]) -> dict[str, str]:
    """The series that moved with most others of their kind, each with the reason; the rest is left out.

    The median over series, point by point from the newest back, hardly knows what one of them did. Where it varies more
    than the median of as many independent series would, something moved all of them: a host's pace, or a change that
    is in all of them, and nothing tells which.

    Args:
        logs: name -> logarithms of its values, the newest last.
        kinds: name -> what it shares its drift with; a name that is missing takes no part.
    """
    import numpy as np

    groups: dict[object, list[str]] = {}
    for name in logs:
        if name in kinds:
            groups.setdefault(kinds[name], []).append(name)
    found: dict[str, str] = {}
    for names in groups.values():
        n = min(len(logs[name]) for name in names)
        if len(names) < SERIES:
            continue
        rows = np.array([logs[name][-n:] - np.median(logs[name][-n:]) for name in names])
        # Robust: a step in one series does not count as noise; pi / 2 is the median's variance against the mean's.
        noise = np.median((1.4826 * np.median(np.abs(rows), axis=1)) ** 2)
        together = float(np.median(rows, axis=0).var(ddof=1))
        if noise > 0 and together > SHARED * math.pi / 2 * noise / len(names):
            why = f"{len(names)} series moved together, and no reference workload tells the host's pace from a change"
            found |= dict.fromkeys(names, why)
    return found


def _pooled(own: Sequence[float], names: Sequence[str], logs: Mapping[str, Floats]) -> float:
    points = [len(logs[name]) for name in names]
    known = sum(n * min(max(one, -1.0), 1.0) for n, one in zip(points, own, strict=True))
    return (known + PRIOR_POINTS * PRIOR) / (sum(points) + PRIOR_POINTS)


def _apart(own: Sequence[float], errors: Sequence[float], shared: float) -> float:
    """Variance of the series' correlations about what they share: what their errors leave, beside what is assumed."""
    left = sum((one - shared) ** 2 - error**2 for one, error in zip(own, errors, strict=True))
    return max((UNLIKE_SERIES * UNLIKE**2 + left) / (UNLIKE_SERIES + len(own)), 0.0)


def _of_levels(logs: Floats, edges: Collection[int]) -> float:
    return changes.neighbours(logs, sorted(edges))


def _error_of_levels(n: int, lost: int) -> float:
    """Standard error of `changes.neighbours` of n points: what so many levels took is given back, and is uncertain."""
    return 1 / math.sqrt(n) / max(1 - 3 * lost / n, changes.LEAST_LEFT)


@lru_cache(maxsize=1024)
def widening(n: int, correlation: float) -> Floats:
    """By how much S_k spreads wider than in random order, for k = 1 to n - 1, where neighbours correlate: (n - 1,).

    Exact for the mean of the first k points against that of all, with correlation r^d between points d apart, and
    relative to the spread that such a series itself shows.
    """
    import numpy as np

    distances = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    covariance = correlation**distances
    shown = (n - covariance.sum() / n) / (n - 1)
    first = np.arange(n)[None, :] < np.arange(1, n)[:, None]
    weights = first - np.arange(1, n)[:, None] / n
    spread = np.einsum("ki,ij,kj->k", weights, covariance, weights)
    k = np.arange(1, n)
    found: Floats = np.maximum(np.sqrt(spread / (k * (n - k) / n) / shown), 1.0)
    found.setflags(write=False)
    return found
