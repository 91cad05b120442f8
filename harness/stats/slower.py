"""By how much one thing is at least slower than another, from numbers that were taken side by side."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from harness.stats.estimate import CONFIDENCE, t_quantile


def at_least(case: Sequence[float], rival: Sequence[float], confidence: float = CONFIDENCE) -> float:
    """The lower end of the interval of the ratio case / rival: Student's t on the logarithms of the ratios.

    Two ratios have one degree of freedom: unless they agree very well, they say little, and the interval shows it.

    Args:
        case: positive numbers.
        rival: one for each of them, taken in the same round.
        confidence: of the two-sided interval, so that the lower end alone holds with half of what is left.

    Raises:
        ValueError: if there are fewer than two, or not as many of each.
    """
    logs = [math.log(one / other) for one, other in zip(case, rival, strict=True)]
    if len(logs) < 2:  # noqa: PLR2004
        raise ValueError(f"{len(logs)} ratios: an interval needs two or more")
    half = t_quantile((1 + confidence) / 2, len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(statistics.fmean(logs) - half)
