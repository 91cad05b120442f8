"""The numbers of the gate's rule and its margins, in one place, so that deciding and computing power cannot disagree.

They were tuned by simulation against noise as it was seen between process pairs (see docs/statistics.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

SCREEN_PAIRS = 8
"""Fresh process pairs on every case."""

CONFIRM_PAIRS = 20
"""Fresh process pairs again on every case that screening flagged."""

SCREEN_P = 0.20
"""Two-sided p at or below which screening flags a case. Screening alone decides nothing: a generous threshold costs
only time, and with eight pairs it is what limits the power to see +3%."""

MIN_EFFECT = 0.01
"""Changes up to this share are never flagged or confirmed: too small to act on, and within reach of memory layout."""

FAMILY_ALPHA = 0.025
"""Chance of any false alarm among the confirmed cases (Holm). Half of the 5% that is promised: real noise is a little
worse than independent pairs."""

EFFECT = 0.05
"""The slow-down beyond the margin that a pass must have been able to see, unless another is asked for."""

POWER = 0.8
"""The chance with which an effect counts as one that would have been seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """How much may be lost: absolute points, or the share of the reference that has to be kept (MLPerf: 0.99).

    Where both are given the stricter one counts; where neither is, nothing may be lost.
    """

    points: float | None = None
    share: float | None = None

    def allowed(self, reference: float) -> float:
        """The largest drop that is allowed, in the units of the score.

        Raises:
            ValueError: if the points are negative or the share lies outside 0 to 1.
        """
        if self.points is not None and not (math.isfinite(self.points) and self.points >= 0):
            raise ValueError(f"a margin of {self.points} points: it must be a finite number, zero or more")
        if self.share is not None and not 0 < self.share <= 1:
            raise ValueError(f"a share of {self.share}: it must lie above 0 and at most at 1, such as 0.99")
        limits = [] if self.points is None else [self.points]
        if self.share is not None:
            limits.append((1 - self.share) * abs(reference))
        return min(limits, default=0.0)
