"""Two sides against each other: ratios with intervals, from what two sweeps stored.

The sides were measured one after the other, not in pairs. An interval covers what the processes of both sides differ
by, not what happened to the host in between: to decide, measure pairs (`harness gate`).
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Final

from harness.stats.estimate import CONFIDENCE, t_quantile

if TYPE_CHECKING:
    import pandas as pd

LEAST_CHANGE: Final = 0.01
"""Smaller changes are called the same, however narrow the interval."""

KEY: Final = ("case",)


def compare(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """The cases that both sides measured on the same weights, what matters most first.

    The interval of a ratio is Welch's on the logarithms, from each side's interval across its processes; a change is
    one whose interval still excludes 1 at a confidence of 1 - 0.05/m over the m cases that are compared (Bonferroni),
    so that with no change at all one such list in twenty names a case.

    Args:
        before: one line per case, with `case`, `median_s`, `low_s`, `high_s`, `processes`, `weights`, `status`.
        after: the same of the other side.

    Returns:
        Lines of `after` with `ratio`, `low`, `high`, `verdict` (`slower`, `faster`, `same`, `unjudged`),
        `before_s` and the columns of `before` with the suffix `_before`.
    """
    import numpy as np

    both = after.merge(before, on="case", suffixes=("", "_before"))
    medians = both[["median_s", "median_s_before"]].to_numpy(float)
    ok = ((medians > 0) & np.isfinite(medians)).all(axis=1)
    same_weights = (both["weights"].astype(object) == both["weights_before"].astype(object)).to_numpy(bool)
    both = both[ok & same_weights].reset_index(drop=True)
    ratio = (both["median_s"] / both["median_s_before"]).to_numpy(float)
    errors, freedoms = [], []
    for side in ("", "_before"):
        n = both[f"processes{side}"].fillna(1).astype(int).to_numpy()
        low, high = both[f"low_s{side}"].to_numpy(float), both[f"high_s{side}"].to_numpy(float)
        with np.errstate(divide="ignore", invalid="ignore"):
            half = np.where((low > 0) & (high >= low), np.log(high / np.where(low > 0, low, 1)) / 2, np.nan)
        quantile = np.array([_t((1 + CONFIDENCE) / 2, max(k - 1, 1)) if k > 1 else np.nan for k in n])
        errors.append(half / quantile)
        freedoms.append(np.maximum(n - 1, 1))
    variance = errors[0] ** 2 + errors[1] ** 2
    spread = errors[0] ** 4 / freedoms[0] + errors[1] ** 4 / freedoms[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = np.where(spread > 0, variance**2 / spread, np.minimum(*freedoms))
    judged = np.isfinite(variance)
    cases = max(int(judged.sum()), 1)
    whole = np.where(judged, np.maximum(np.floor(np.nan_to_num(freedom, nan=1.0)), 1), 1).astype(int)
    error = np.sqrt(np.where(judged, variance, np.nan))
    reach = error * np.array([_t((1 + CONFIDENCE) / 2, k) for k in whole])
    strict = error * np.array([_t(1 - (1 - CONFIDENCE) / 2 / cases, k) for k in whole])
    moved = judged & (np.abs(np.log(ratio)) > strict) & (np.abs(ratio - 1) > LEAST_CHANGE)
    both["ratio"], both["low"], both["high"] = ratio, ratio * np.exp(-reach), ratio * np.exp(reach)
    both["verdict"] = np.where(~judged, "unjudged", np.where(~moved, "same", np.where(ratio > 1, "slower", "faster")))
    return _sorted(both)


def _sorted(both: pd.DataFrame) -> pd.DataFrame:
    """Regressions first, the largest on top; then improvements; then the rest by how far they moved."""
    rank = both["verdict"].map({"slower": 0, "faster": 1, "same": 2, "unjudged": 3}).astype(int)
    distance = both["ratio"].map(lambda ratio: -abs(math.log(ratio)))
    order = rank.to_frame("rank").assign(distance=distance).sort_values(["rank", "distance"], kind="stable").index
    return both.loc[order].reset_index(drop=True)


@cache
def _t(probability: float, freedom: int) -> float:
    return t_quantile(probability, freedom)
