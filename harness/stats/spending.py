"""How much of a month's error each look at a growing history may spend.

A history is looked at again and again, night after night, and each look is a chance to be wrong. Every look spends a
part of what is left of a budget; what was spent comes back after thirty days. So the sum over any thirty days never
exceeds the budget, however often somebody looks. Successive looks see nearly the same numbers, so that false alarms
come in runs: the budget, a sum over looks, is larger than the promise that it keeps for a month of nights
(`benchmarks/nights.py`).
"""

from __future__ import annotations

from collections.abc import Iterable

PROMISE = 0.05
"""Chance of any false red night in a month of nights."""

BUDGET = 0.25
"""Sum of the levels of thirty days' looks; by simulation about a third of it becomes false red months."""

PART = 0.1
"""Of what is left, spent by one look."""

DAYS = 30.0


def level(spent: Iterable[tuple[float, float]], day: float) -> float:
    """The level of a new look.

    Args:
        spent: (day, level) of the looks so far.
        day: of the new one, on the same scale.
    """
    gone = sum(used for when, used in spent if abs(day - when) < DAYS)
    return PART * max(BUDGET - gone, 0.0)
