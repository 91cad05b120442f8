"""When to warm up, when to sample and when to stop: a pure state machine over durations.

`pace` is a generator: it yields how many inferences to time next, is sent their durations, and returns what it
kept. It reads no clock, so a test can play any history to it.
"""

from __future__ import annotations

import itertools
import statistics
from array import array
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from harness.stats import estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How one process is warmed up and sampled.

    Attributes:
        budget_s: seconds of inference, warm-up included, after which no further burst starts.
        ci_width: full relative width of the median's interval inside the process at which sampling stops.
        window_s: seconds of inference in one burst; a single inference may take longer.
        windows: how many consecutive windows must agree before the state counts as steady.
        agreement: largest relative difference between the medians of those windows.
        least_warmup_s, most_warmup_share: the bounds of warm-up, in seconds and as a share of the budget.
        least_sampling_s: sample for at least this long, however narrow the interval.
        least_samples, most_samples: bounds on how many samples are kept.
    most_warmups: end of warm-up in inferences, for a clock too coarse to add up.
    most_burst: inferences in one burst, so that replies stay short for tiny models.
    """

    budget_s: float
    ci_width: float
    window_s: float = 0.1
    windows: int = 3
    agreement: float = 0.10
    least_warmup_s: float = 0.2
    most_warmup_share: float = 0.4
    least_sampling_s: float = 0.5
    least_samples: int = 3
    most_samples: int = 20_000
    most_burst: int = 2_000
    most_warmups: int = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Paced:
    """What one process was timed to: durations in nanoseconds, and how it ended (see `ProcessSamples`)."""

    warmup_ns: array[int]
    samples_ns: array[int]
    steady: bool
    stop: str


def pace(plan: Pace, first_ns: int) -> Generator[int, Sequence[int], Paced]:
    """Yield burst sizes, receive their durations, return what was kept.

    Args:
        plan: the bounds.
        first_ns: the first inference of the process: the only hint of how long one takes.
    """
    warmup = array("q")
    medians: list[float] = []
    typical: float = max(first_ns, 1)
    most_warmup_s = plan.most_warmup_share * plan.budget_s
    steady = False
    while True:
        burst = yield size(plan, typical)
        warmup.extend(burst)
        typical = max(statistics.median(burst), 1)
        medians.append(typical)
        spent = (sum(warmup) + first_ns) / 1e9
        if is_steady(plan, medians[-plan.windows :]) and spent >= min(plan.least_warmup_s, most_warmup_s / 2):
            steady = True
            break
        if spent >= most_warmup_s or len(warmup) >= plan.most_warmups:
            break
    samples = array("q")
    while True:
        burst = yield min(size(plan, typical), plan.most_samples - len(samples))
        samples.extend(burst)
        sampled = sum(samples) / 1e9
        if len(samples) < plan.least_samples:
            continue
        if sampled >= plan.least_sampling_s and narrow(samples, plan.ci_width):
            stop = "precise"
        elif (spent + sampled) >= plan.budget_s:
            stop = "time"
        elif len(samples) >= plan.most_samples:
            stop = "count"
        else:
            continue
        return Paced(warmup_ns=warmup, samples_ns=samples, steady=steady, stop=stop)


def is_steady(plan: Pace, medians: Sequence[float]) -> bool:
    """Whether the last windows show a steady state: they agree, and are not still getting faster one by one.

    A noisy host needs the wide agreement, and a warm-up that crawls would pass it; windows within a fifth of it are
    steady whichever way they point.
    """
    if len(medians) < plan.windows:
        return False
    spread = estimate.spread(medians)
    faster = all(later < earlier for earlier, later in itertools.pairwise(medians))
    return spread <= plan.agreement / 5 or (spread <= plan.agreement and not faster)


def size(plan: Pace, typical_ns: float) -> int:
    """How many inferences of this length fill one window; at least one.

    A small budget has smaller windows, so that twice as many as must agree fit into its warm-up.
    """
    window_s = min(plan.window_s, plan.most_warmup_share * plan.budget_s / (2 * plan.windows))
    return max(1, min(plan.most_burst, round(window_s * 1e9 / typical_ns)))


def narrow(samples: Sequence[int], width: float) -> bool:
    """Whether the distribution-free 95% interval of the median is at most `width` of it; never below six samples."""
    if len(samples) < 6:  # noqa: PLR2004  (with fewer no interval of 95% exists)
        return False
    low, high = estimate.median_interval(samples)
    return high - low <= width * statistics.median(samples)
