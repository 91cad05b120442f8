"""The highest rate of requests at which the 99th percentile of their latencies stays under a bound. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.stats import estimate

RANK = 99

NARROW = 0.01
"""The search ends when the rate is known to this share of it."""

LEAST_REQUESTS = 700
"""A trial has no fewer: the 99th percentile is known from 662 on (`estimate.discards`)."""

MOST_REQUESTS = 60_000
FEW_REQUESTS = 5_000
"""Below so many the rate is said to be cautious: the bound of the percentile is then far above the percentile.

Simulated, a server of constant service times and a bound of six of them: from 60,000 requests the rate comes out 1.5%
too low on average, from 20,000 2.4%, with a standard deviation of 1.5% and 2.1% between histories.
"""

TRIALS = 8
"""About how many trials a search takes: each halves what is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What became of the requests at one rate.

    Attributes:
        latencies_ns: from arrival to answer, in order of arrival.
        ended: why it was ended early: `late` or `queue`; else empty.
        waiting: how many had arrived when it ended and were not begun.
        elapsed_ns: from its start to its end.
    """

    latencies_ns: Sequence[int]
    ended: str = ""
    waiting: int = 0
    elapsed_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """The rate that was found, in requests per second, and its trial."""

    rate: float
    trial: Trial


def percentile_ns(trial: Trial) -> float | None:
    """An upper bound of the 99th percentile, by the rule of every percentile; None where there are too few requests."""
    return estimate.percentile([trial.latencies_ns], RANK) if trial.latencies_ns else None


def holds(trial: Trial, bound_ns: float) -> bool:
    """Whether the 99th percentile is certainly under the bound."""
    found = None if trial.ended else percentile_ns(trial)
    return found is not None and found <= bound_ns


def requests(budget_s: float, saturated: float) -> int:
    """How many requests a trial may have, so that a search takes about the budget.

    Args:
        budget_s: seconds of the whole search.
        saturated: requests per second that are served where the next one is always waiting.
    """
    return max(LEAST_REQUESTS, min(MOST_REQUESTS, int(budget_s * saturated / TRIALS)))


def most_late(n: int) -> int:
    """How many of n requests may be above the bound without the percentile being so."""
    return (estimate.discards(n, RANK) or 1) - 1


def search(trial: Callable[[float], Trial], *, bound_ns: float, saturated: float) -> Capacity | None:
    """Halve the interval between no request and saturation until the rate is known.

    Args:
        trial: offers requests at a rate per second; the same arrivals at every rate, only faster, so that what is
            too fast at one rate is too fast at every higher one.
        bound_ns: what the 99th percentile may be.
        saturated: the rate at which requests are served where the next one is always waiting; no higher one holds.

    Returns:
        None where no rate holds.
    """
    low, high = 0.0, saturated
    found: Capacity | None = None
    while high - low > NARROW * high and high > saturated / 1024:
        middle = (low + high) / 2
        seen = trial(middle)
        if holds(seen, bound_ns):
            low, found = middle, Capacity(rate=middle, trial=seen)
        else:
            high = middle
    return found
