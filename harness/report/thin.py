"""Fewer points of long recordings, keeping what an eye would look for: the level, the spikes and the drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pandas as pd

POINTS: Final = 150
"""Points that are drawn of a process's samples; each stands for as many samples as it takes."""

WARMUPS: Final = 40
QUANTILES: Final = 101


def timeline(processes: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The samples of a case in order, a line per point, as `harness.report.figures.samples.timeline` takes them.

    Samples next to each other are put together where there are more than `POINTS` of them: their median, smallest
    and largest are kept.
    """
    import numpy as np
    import pandas as pd

    parts: list[dict[str, Any]] = []
    for number, process in enumerate(processes, start=1):
        start = process["first_inference_ns"] / 1e9
        for phase, key, most in (("warm-up", "warmup_ns", WARMUPS), ("sample", "samples_ns", POINTS)):
            seconds = np.asarray(process[key] or [], dtype=float) / 1e9
            if not len(seconds):
                continue
            each = -(-len(seconds) // most)
            # The last group is filled up with its own last value, which moves neither its smallest nor its largest.
            filled = np.append(seconds, np.full(-len(seconds) % each, seconds[-1])).reshape(-1, each)
            ends = start + np.cumsum(seconds)
            last = np.minimum(np.arange(1, len(filled) + 1) * each, len(seconds)) - 1
            parts.append(
                {
                    "process": number,
                    "phase": phase,
                    "at": ends[last],
                    "seconds": filled[:, 0] if each == 1 else np.median(filled, axis=1),
                    "low": filled.min(axis=1),
                    "high": filled.max(axis=1),
                }
            )
            start = float(ends[-1])
    columns = ("process", "phase", "at", "seconds", "low", "high")
    lengths = [len(part["at"]) for part in parts]
    return pd.DataFrame(
        {
            name: np.repeat([part[name] for part in parts], lengths)
            if name in ("process", "phase")
            else np.concatenate([np.empty(0), *(part[name] for part in parts)])
            for name in columns
        }
    )


def quantiles(processes: Sequence[Mapping[str, Any]]) -> list[float]:
    """Evenly spaced quantiles of all samples of a case, in seconds; empty without samples."""
    import numpy as np

    pooled = np.concatenate(
        [np.empty(0), *(np.asarray(process["samples_ns"] or [], dtype=float) for process in processes)]
    )
    if not len(pooled):
        return []
    return [float(value) / 1e9 for value in np.quantile(pooled, np.linspace(0, 1, min(QUANTILES, max(len(pooled), 2))))]


def sparkline(values: Sequence[float], points: int = 40) -> list[int]:
    """Heights from 0 to 100 of a small drawing; medians of neighbours where there are more values than points."""
    import numpy as np

    own = np.asarray(values, dtype=float)
    if len(own) > points:
        each = -(-len(own) // points)
        # Filled up at the front, so that the newest values make a whole group.
        own = np.median(np.append(np.full(-len(own) % each, own[0]), own).reshape(-1, each), axis=1)
    low, high = own.min(), own.max()
    if high <= low:
        return [50] * len(own)
    heights: list[int] = np.rint((own - low) / (high - low) * 100).astype(int).tolist()
    return heights
