"""Intervals of statistics other than means, such as average precision: examples sampled again with replacement.

Percentiles of the resamples (Efron, 1979). Where hardly any example differs between two sides, so many examples cannot
exclude that a few others would: the interval of a difference is widened as in `correctness.bootstrap_drop`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.stats.correctness import CONFIDENCE, FEW, SEED

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

RESAMPLES = 1000

SAME = 1e-12
"""Numbers that are equal on paper are equal up to this share."""

Both = Callable[["Array"], tuple[float, float]]
"""From the numbers of the examples (drawn with return) to the statistic of one side and of the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResampledDifference:
    """A statistic of two sides on the same examples.

    Attributes:
        value, reference: of the one side and of the other, on all examples.
        low, high: 95% interval of `value`; None where it is the same of whatever examples are drawn: they say nothing
            of how far it may be off.
        difference_low, difference_high: 95% interval of `reference` minus `value`.
    """

    value: float
    reference: float
    low: float | None
    high: float | None
    difference_low: float
    difference_high: float


def difference(both: Both, n: int, *, differing: int, span: float = 1.0, resamples: int = RESAMPLES) -> (
    ResampledDifference
):  # fmt: skip
    """A statistic on two sides, with intervals over examples.

    Args:
        both: gives it for a choice of examples; NaN where it has none, and such a resample is left out.
        n: examples.
        differing: how many of them the sides do not answer alike.
        span: the largest difference that one example can make to a mean over examples.
        resamples: how many are drawn.

    Raises:
        ValueError: there is no example, or the statistic of all of them is not a number.
    """
    import numpy as np

    if not n:
        raise ValueError("no examples: at least one is needed")
    value, reference = both(np.arange(n))
    if not (math.isfinite(value) and math.isfinite(reference)):
        raise ValueError("it is not a number on these examples")
    generator = np.random.default_rng(SEED)
    drawn = np.array([both(generator.integers(0, n, n)) for _ in range(resamples)], dtype=np.float64)
    drawn = drawn[np.isfinite(drawn).all(axis=1)]
    tails = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
    gap = reference - value
    if len(drawn):
        ends, gaps = np.quantile(drawn[:, 0], tails), np.quantile(drawn[:, 1] - drawn[:, 0], tails)
        least, most = min(float(gaps[0]), gap), max(float(gaps[1]), gap)
    else:
        ends, least, most = np.array([value, value]), gap, gap
    if differing < FEW or most - least <= SAME * max(abs(most), abs(value)):
        unseen = span * (1 - (1 - CONFIDENCE) ** (1 / n))
        least, most = min(least, gap - unseen), max(most, gap + unseen)
    varies = float(ends[1] - ends[0]) > SAME * abs(value)
    return ResampledDifference(
        value=value,
        reference=reference,
        low=min(float(ends[0]), value) if varies else None,
        high=max(float(ends[1]), value) if varies else None,
        difference_low=least,
        difference_high=most,
    )


def influence(statistic: Callable[[Array], float], n: int) -> tuple[float, ...]:
    """What each example contributes to a statistic, by leaving it out; the mean of them is the statistic itself.

    Differences of such numbers can be tested like those of any score (the jackknife, Tukey 1958).

    Raises:
        ValueError: there are fewer than two examples.
    """
    import numpy as np

    if n < 2:  # noqa: PLR2004  (one to leave out, one to keep)
        raise ValueError("two examples are needed to leave one out")
    everything = np.arange(n)
    whole = statistic(everything)
    without = np.array([statistic(np.delete(everything, place)) for place in range(n)], dtype=np.float64)
    without[~np.isfinite(without)] = whole
    return tuple((whole + (n - 1) * (without.mean() - without)).tolist())
