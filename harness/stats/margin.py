"""How much of a score may be lost."""

from __future__ import annotations

import math
from dataclasses import dataclass


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
