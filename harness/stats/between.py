"""How far runs of unchanged work lie apart, against what their processes say: the drift of a host between runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.stats.estimate import t_quantile

LEAST_PAIRS = 20
"""Pairs of runs that a share of 95% can be read from: with fewer, it would be the largest of them."""

LEAST_PROCESSES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMiddle:
    """One run of a case: the mean of its processes' logarithms, that mean's standard error, and how many they are."""

    middle: float
    error: float
    n: int


def half_widths(one: RunMiddle, other: RunMiddle) -> float:
    """How far two runs are apart, in half-widths of Welch's 95% interval; 0 where both are the same."""
    first, second = one.error**2, other.error**2
    spread = first**2 / (one.n - 1) + second**2 / (other.n - 1)
    freedom = max(int((first + second) ** 2 / spread), 1) if spread else 1
    half = math.sqrt(first + second) * t_quantile(0.975, freedom)
    apart = abs(one.middle - other.middle)
    return apart / half if half else (math.inf if apart else 0.0)


def distances(cases: Iterable[Sequence[RunMiddle]]) -> list[float]:
    """Of every pair of runs of a case, sorted; runs of few processes are left out."""
    known = ([run for run in runs if run.n >= LEAST_PROCESSES] for runs in cases)
    return sorted(half_widths(*pair) for runs in known for pair in itertools.combinations(runs, 2))


def at(ordered: Sequence[float], share: float) -> float:
    """The value that this share of all does not exceed."""
    return ordered[math.ceil(share * len(ordered)) - 1]
