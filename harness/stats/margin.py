"""How much of a score may be lost, and whether head has lost more than that."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from harness.stats.correctness import Drop


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


@dataclass(frozen=True, slots=True, kw_only=True)
class NonInferiority:
    """Whether head is worse by more than the margin, by the word that reports use for it.

    Attributes:
        allowed: the margin, in the units of the score.
        reason: what it rests on.
    """

    verdict: Literal["pass", "regression", "improvement", "inconclusive"]
    allowed: float
    reason: str


def non_inferiority(drop: Drop, margin: Margin) -> NonInferiority:
    """Whether head may take base's place as far as this score goes.

    - regression: even the lower end of the interval loses more than is allowed.
    - pass: even the upper end loses no more than is allowed, or no example differs at all (the same data gave the
      same answers: nothing was lost on them, however few they are).
    - improvement: a pass whose whole interval lies below zero.
    - inconclusive: the interval holds both.

    Raises:
        ValueError: if the margin makes no sense.
    """
    allowed = margin.allowed(drop.reference)
    span = f"{drop.value:.4g} (interval {drop.low:.4g} to {drop.high:.4g}, {drop.n} examples), {allowed:.4g} allowed"
    if drop.identical:
        return NonInferiority(verdict="pass", allowed=allowed, reason=f"identical on all {drop.n} examples")
    if drop.low > allowed:
        return NonInferiority(verdict="regression", allowed=allowed, reason=f"drop of {span}")
    if drop.high < 0:
        return NonInferiority(verdict="improvement", allowed=allowed, reason=f"drop of {span}")
    if drop.high <= allowed:
        return NonInferiority(verdict="pass", allowed=allowed, reason=f"drop of {span}")
    smallest = f"{drop.detectable:.4g}" if math.isfinite(drop.detectable) else "nothing"
    return NonInferiority(
        verdict="inconclusive",
        allowed=allowed,
        reason=f"drop of {span}: more examples would decide it, this many show a drop from {smallest} on",
    )
