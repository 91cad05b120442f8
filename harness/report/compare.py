"""Two sides against each other: ratios with intervals, from what two sweeps stored.

The sides were measured one after the other, not in pairs. An interval covers what the processes of both sides differ
by, not what happened to the host in between: to decide, measure pairs (`harness gate`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from harness.stats.estimate import CONFIDENCE, t_quantile

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

LEAST_CHANGE: Final = 0.01
"""Smaller changes are called the same, however narrow the interval."""

ASV: Final = 0.99
"""Confidence of the intervals in asv's files."""

VERDICTS: Final = ("slower", "faster", "same", "unjudged")


def compare(before: pd.DataFrame, after: pd.DataFrame, *, host: str = "", alike: Sequence[str] = ()) -> pd.DataFrame:
    """The cases that both sides measured on the same weights, what matters most first.

    Args:
        before: one line per case, with `case`, `median_s`, `low_s`, `high_s`, `processes`, `weights`, `status`.
        after: the same of the other side.
        host: a column that tells hosts apart: each has a line per case, and is judged as a list of its own.
        alike: more columns in which both sides have to agree.

    Returns:
        As `judged`.
    """
    known = after[after["weights"].notna()]  # pandas takes absent ones for equal
    on = ["case", "weights", *alike, *filter(None, [host])]
    both = known.merge(before, on=on, suffixes=("", "_before"))
    return judged(both, both[host].astype(object).to_numpy() if host else None)


def judged(both: pd.DataFrame, lists: Any = None) -> pd.DataFrame:
    """Ratios of lines that belong together, what matters most first.

    The interval of a ratio is Welch's on the logarithms, from each side's interval across its processes, about the
    ratio of their middles and widened to hold the ratio (`harness.report.ratios.interval`); a change is one whose
    interval still excludes 1 at a confidence of 1 - 0.05/m over the m cases that are compared (Bonferroni), so that
    with no change at all one such list in twenty names a case.

    Where a side is a value of asv's files there is no spread across processes, only an interval at 99%: the ratio's
    ends are then those of the intervals (of samples at 99%, too), which cover it with 98% or more, and a change is
    one where they lie apart.

    Args:
        both: a line per case and what it is apart for; `median_s`, `low_s`, `high_s`, `processes` and, where some are
            values of asv's files, `source` (empty for samples) of the side after, and of the side before with the
            suffix `_before`.
        lists: of each line the list that it belongs to, where several are judged at once; None for one list.

    Returns:
        Those lines that have a ratio, with `ratio`, `low`, `high`, `verdict` (one of `VERDICTS`) and `confidence`.
    """
    import numpy as np

    medians = both[["median_s", "median_s_before"]].to_numpy(float)
    there = ((medians > 0) & np.isfinite(medians)).all(axis=1)
    both = both[there].reset_index(drop=True)
    among = np.zeros(len(both), dtype=int) if lists is None else np.unique(lists[there], return_inverse=True)[1]
    ratio = (both["median_s"] / both["median_s_before"]).to_numpy(float)
    of_asv = np.zeros(len(both), dtype=bool)
    for column in {"source", "source_before"} & {*both.columns}:
        of_asv |= (both[column].astype(object) != "").to_numpy(bool)
    low, high, moved = _welch(both, ratio, ~of_asv, among)
    if of_asv.any():
        ends = _ends(both)
        low, high = np.where(of_asv, ends[0], low), np.where(of_asv, ends[1], high)
        moved = np.where(of_asv, (ends[0] > 1) | (ends[1] < 1), moved)
    known = np.isfinite(low) & np.isfinite(high)
    moved = known & moved & (np.abs(ratio - 1) > LEAST_CHANGE)
    both["ratio"], both["low"], both["high"] = ratio, low, high
    both["verdict"] = np.where(~known, "unjudged", np.where(~moved, "same", np.where(ratio > 1, "slower", "faster")))
    both["confidence"] = np.where(of_asv, 2 * ASV - 1, CONFIDENCE)
    return _sorted(both)


def _welch(both: pd.DataFrame, ratio: Floats, of_samples: Any, lists: Any) -> tuple[Floats, Floats, Any]:
    """Both ends of each ratio, and whether it excludes 1 among all of its list; NaN where there is no spread."""
    import numpy as np

    errors, freedoms = [], []
    centre = _middle(both, "") - _middle(both, "_before")
    for side in ("", "_before"):
        half, n = _half(both, side)
        quantile = np.array([t_quantile((1 + CONFIDENCE) / 2, max(k - 1, 1)) if k > 1 else np.nan for k in n])
        errors.append(half / quantile)
        freedoms.append(np.maximum(n - 1, 1))
    variance = errors[0] ** 2 + errors[1] ** 2
    spread = errors[0] ** 4 / freedoms[0] + errors[1] ** 4 / freedoms[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = np.where(spread > 0, variance**2 / spread, np.minimum(*freedoms))
    usable = np.isfinite(variance) & of_samples
    cases = np.maximum(np.bincount(lists[usable], minlength=len(lists)), 1)[lists].tolist()
    whole = np.where(usable, np.maximum(np.floor(np.nan_to_num(freedom, nan=1.0)), 1), 1).astype(int)
    error = np.sqrt(np.where(usable, variance, np.nan))
    reach = error * np.array([t_quantile((1 + CONFIDENCE) / 2, k) for k in whole])
    strict = error * np.array([t_quantile(1 - (1 - CONFIDENCE) / 2 / m, k) for m, k in zip(cases, whole, strict=True)])
    low, high = np.minimum(np.exp(centre - reach), ratio), np.maximum(np.exp(centre + reach), ratio)
    return low, high, usable & (np.abs(centre) > strict) & (np.sign(centre) == np.sign(np.log(ratio)))


def _ends(both: pd.DataFrame) -> tuple[Floats, Floats]:
    """Both ends of each ratio, from both sides' intervals at 99%."""
    import numpy as np

    found = []
    for side in ("", "_before"):
        half, n = _half(both, side)
        wider = [
            t_quantile((1 + ASV) / 2, k - 1) / t_quantile((1 + CONFIDENCE) / 2, k - 1) if k > 1 else np.nan for k in n
        ]
        middle = both[f"median_s{side}"].to_numpy(float)
        of_asv = (both[f"source{side}"].astype(object) != "").to_numpy(bool)
        ends = [both[f"{end}_s{side}"].to_numpy(float) for end in ("low", "high")]
        whole = (ends[0] > 0) & (ends[1] >= ends[0])
        reach = half * np.array(wider)
        low = np.where(of_asv, np.where(whole, ends[0], np.nan), middle * np.exp(-reach))
        high = np.where(of_asv, np.where(whole, ends[1], np.nan), middle * np.exp(reach))
        found.append((low, high))
    (low, high), (low_before, high_before) = found
    return low / high_before, high / low_before


def _half(both: pd.DataFrame, side: str) -> tuple[Floats, Any]:
    """Half the width of each interval on the logarithms, NaN where there is none, and the number of processes."""
    import numpy as np

    n = both[f"processes{side}"].fillna(1).astype(int).to_numpy()
    low, high = both[f"low_s{side}"].to_numpy(float), both[f"high_s{side}"].to_numpy(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        half = np.where((low > 0) & (high >= low), np.log(high / np.where(low > 0, low, 1)) / 2, np.nan)
    return half, n


def _middle(both: pd.DataFrame, side: str) -> Floats:
    """The middle of each interval on the logarithms: the mean of the processes' logarithms; NaN where there is none."""
    import numpy as np

    low, high = both[f"low_s{side}"].to_numpy(float), both[f"high_s{side}"].to_numpy(float)
    whole = (low > 0) & (high >= low)
    return np.where(whole, (np.log(np.where(whole, low, 1)) + np.log(np.where(whole, high, 1))) / 2, np.nan)


def _sorted(both: pd.DataFrame) -> pd.DataFrame:
    """Regressions first, the largest on top; then improvements; then the rest by how far they moved."""
    rank = both["verdict"].map({name: place for place, name in enumerate(VERDICTS)}).astype(int)
    distance = both["ratio"].map(lambda ratio: -abs(math.log(ratio)))
    order = rank.to_frame("rank").assign(distance=distance).sort_values(["rank", "distance"], kind="stable").index
    return both.loc[order].reset_index(drop=True)
