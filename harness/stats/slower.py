"""By how much one thing is at least slower than another, from numbers that were taken side by side."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from harness.stats.estimate import CONFIDENCE, t_quantile

LEAST = 2
"""Rounds that an interval needs."""


def at_least(
    case: Sequence[float],
    rival: Sequence[float],
    others: Sequence[Sequence[float]] = (),
    confidence: float = CONFIDENCE,
) -> float:
    """The lower end of the interval of the ratio case / rival, on logarithms.

    Two or three ratios alone hardly say how much they spread (Student's t has one or two degrees of freedom). What else
    was measured in the same rounds says it together with them: the residuals about the means of every row and round, as
    in an analysis of variance by rows and columns. The spread is that of all, or of the ratios where that is larger.

    Args:
        case: positive numbers, one per round.
        rival: of the same rounds.
        others: of the same rounds as well; without any the ratios stand alone.
        confidence: of the two-sided interval, so that the lower end alone holds with half of what is left.

    Raises:
        ValueError: if there are fewer than two rounds, or not as many of each.
    """
    logs = [[math.log(value) for value in row] for row in (case, rival, *others)]
    ratios = [one - other for one, other in zip(logs[0], logs[1], strict=True)]
    n = len(ratios)
    if n < LEAST:
        raise ValueError(f"{n} rounds: an interval needs {LEAST} or more")
    spread = max(statistics.stdev(ratios), math.sqrt(2) * residual(logs))
    half = t_quantile((1 + confidence) / 2, (len(logs) - 1) * (n - 1)) * spread / math.sqrt(n)
    return math.exp(statistics.fmean(ratios) - half)


def residual(rows: Sequence[Sequence[float]]) -> float:
    """Standard deviation of a number about the effects of its row and of its column.

    Raises:
        ValueError: if rows differ in length.
    """
    columns = [statistics.fmean(column) for column in zip(*rows, strict=True)]
    middle = statistics.fmean(columns)
    squares = 0.0
    for row in rows:
        own = statistics.fmean(row)
        squares += sum((value - own - column + middle) ** 2 for value, column in zip(row, columns, strict=True))
    return math.sqrt(squares / ((len(rows) - 1) * (len(columns) - 1)))
