"""The numbers of the gate's rule, in one place, so that deciding and computing power cannot disagree.

They were tuned by simulation against noise as it was seen between process pairs (see docs/statistics.md).
"""

from __future__ import annotations

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
