"""Fewer points of long recordings, keeping what an eye would look for: the level, the spikes and the drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

POINTS: Final = 150
"""Points that are drawn of a process's samples; each stands for as many samples as it takes."""

WARMUPS: Final = 40
QUANTILES: Final = 101


OUTLIER: Final = 2.0
"""A sample of more than so many medians is counted as an outlier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Where the samples of a case lie, all of its processes together; times in seconds.

    Attributes:
        n: how many there are.
        low, first, median, third, high: what 5%, 25%, 50%, 75% and 95% of them took at most.
        largest: the slowest of them.
        outliers: how many took more than `OUTLIER` medians.
    """

    n: int
    low: float
    first: float
    median: float
    third: float
    high: float
    largest: float
    outliers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """The warm-up, or the samples, of one process in order, a point each or a point for several next to each other.

    Attributes:
        process: its number, from 1.
        at: seconds of inference since the process's first one, shape (points,).
        seconds: the median of the samples that a point stands for.
        low, high: the smallest and the largest of them.
    """

    process: int
    warmup: bool
    at: Floats
    seconds: Floats
    low: Floats
    high: Floats


def timeline(processes: Sequence[Mapping[str, Any]]) -> list[Stretch]:
    """The samples of a case in order, downsampled where there are more than `POINTS` of a process."""
    import numpy as np

    found = []
    for number, process in enumerate(processes, start=1):
        start = process["first_inference_ns"] / 1e9
        for warmup, key, most in ((True, "warmup_ns", WARMUPS), (False, "samples_ns", POINTS)):
            seconds = np.asarray(process[key] or [], dtype=float) / 1e9
            if not len(seconds):
                continue
            ends = start + np.cumsum(seconds)
            start = float(ends[-1])
            each = -(-len(seconds) // most)
            low = middle = high = seconds
            if each > 1:
                # The last group is filled up with its own last value: neither its smallest nor its largest moves.
                filled = np.append(seconds, np.full(-len(seconds) % each, seconds[-1])).reshape(-1, each)
                ends = ends[np.minimum(np.arange(1, len(filled) + 1) * each, len(seconds)) - 1]
                low, middle, high = filled.min(axis=1), np.median(filled, axis=1), filled.max(axis=1)
            found.append(Stretch(process=number, warmup=warmup, at=ends, seconds=middle, low=low, high=high))
    return found


def quantiles(processes: Sequence[Mapping[str, Any]]) -> list[float]:
    """Evenly spaced quantiles of all samples of a case, in seconds; empty without samples."""
    import numpy as np

    ordered = _ordered(processes)
    if not len(ordered):
        return []
    found: list[float] = _at(ordered, np.linspace(0, 1, min(QUANTILES, max(len(ordered), 2)))).tolist()
    return found


def spread(processes: Sequence[Mapping[str, Any]]) -> Spread | None:
    """Where the samples of a case lie; None without samples."""
    import numpy as np

    ordered = _ordered(processes)
    if not len(ordered):
        return None
    low, first, median, third, high = _at(ordered, np.array((0.05, 0.25, 0.5, 0.75, 0.95))).tolist()
    return Spread(
        n=len(ordered),
        low=low,
        first=first,
        median=median,
        third=third,
        high=high,
        largest=float(ordered[-1]),
        outliers=len(ordered) - int(np.searchsorted(ordered, OUTLIER * median, side="right")),
    )


def _ordered(processes: Sequence[Mapping[str, Any]]) -> Floats:
    """All samples, in seconds, the smallest first."""
    import numpy as np

    found = [np.asarray(process["samples_ns"] or [], dtype=float) for process in processes]
    return np.sort(np.concatenate([np.empty(0), *found])) / 1e9


def _at(ordered: Floats, shares: Floats) -> Floats:
    """Quantiles of ordered numbers, as `numpy.quantile` has them; which takes ten times as long for a few hundred."""
    import numpy as np

    return np.interp(shares * (len(ordered) - 1), np.arange(len(ordered)), ordered)


def sparkline(values: Sequence[float], points: int = 40) -> list[int]:
    """Heights from 0 to 100 of a small drawing; medians of neighbours where there are more values than points."""
    import numpy as np

    own = np.asarray(values, dtype=float)
    if len(own) > points:
        each = -(-len(own) // points)
        # Filled up at the front, so that the newest values make a whole group.
        groups = np.sort(np.append(np.full(-len(own) % each, own[0]), own).reshape(-1, each), axis=1)
        own = (groups[:, each // 2] + groups[:, (each - 1) // 2]) / 2
    low, high = own.min(), own.max()
    if high <= low:
        return [50] * len(own)
    heights: list[int] = np.rint((own - low) / (high - low) * 100).astype(int).tolist()
    return heights
