"""One metric of one case over commits, with intervals and changes of level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from harness.report import wording
from harness.report.figures.base import Figure, axis, column, figure, label, short
from harness.report.figures.samples import LINEAR_OR_LOG
from harness.report.palette import BETTER, WORSE
from harness.shown import html as escape

if TYPE_CHECKING:
    import numpy as np

    from harness.stats.scan import Change

    Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

TICKS = 12


def history(
    frame: Mapping[str, Any], changes: Sequence[Change], *, unit: str, title: str, colour: str, bare: bool = False
) -> Figure:
    """A metric over commits, evenly spaced, with its intervals; changes of level are marked and sized.

    Args:
        frame: columns `revision`, `when`, `subject`, `value`, `low` and `high`, in order of commits.
        changes: of level, by the index of the first point after each.
        unit: of the values: seconds, bytes or a word.
        title: of the metric.
        colour: of the case's variant.
        bare: leave out what the points are called; the page adds it, because all series share it.
    """
    import numpy as np

    values = np.asarray(frame["value"], dtype=float)
    factor, symbol = wording.scale([_typical(values)], unit)
    revisions: Sequence[str] = frame["revision"]
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": label(title),
        "x0": 0,
        "dx": 1,
        "y": column(values, factor),
        "marker": {"color": colour, "size": 5},
        "line": {"color": colour, "width": 1.2},
        "hovertemplate": f"<b>%{{customdata[0]}}</b> %{{customdata[1]}}<br>%{{customdata[2]}}<br>%{{y:.4~g}} {symbol}",
        "meta": {"unit": symbol},
    }
    if not bare:
        points = zip(revisions, frame["when"], frame["subject"], strict=True)
        trace["customdata"] = [[escape(short(text, 70)) for text in point] for point in points]
    low, high = np.asarray(frame["low"], dtype=float), np.asarray(frame["high"], dtype=float)
    ends = (low <= values) & (high >= values)
    if ends.any():
        trace["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": column(np.where(ends, high - values, 0.0), factor),
            "arrayminus": column(np.where(ends, values - low, 0.0), factor),
            "thickness": 0.8,
            "width": 0,
        }
    edges = [0, *(change.index for change in changes), len(values)]
    levels = [changes[0].before, *(change.after for change in changes)] if changes else []
    steps = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "level",
            "showlegend": False,
            "x": [first - 0.4, last - 0.6],
            "y": column([level, level], factor),
            "line": {"width": 3, "color": "#8a8f98"},
            "opacity": 0.55,
            "hoverinfo": "skip",
        }
        for first, last, level in zip(edges, edges[1:], levels, strict=False)
    ]
    every = max(1, -(-len(values) // TICKS))
    return figure(
        [*steps, trace],
        height=400,
        showlegend=False,
        margin={"l": 64, "r": 24, "t": 56, "b": 72},
        xaxis=axis(
            tickvals=list(range(0, len(values), every)),
            ticktext=[_tick(revision) for revision in revisions[::every]],
            tickangle=-40,
        ),
        yaxis=axis(f"{title}, {symbol}"),
        shapes=[_mark(change) for change in changes],
        annotations=[_sized(change) for change in changes],
        updatemenus=[LINEAR_OR_LOG],
    )


@lru_cache(maxsize=4096)
def _tick(revision: str) -> str:
    """What stands under a point; thousands of charts share the same few."""
    return label(revision, 12)


def _typical(values: Floats) -> float:
    """The size in the middle, zeros aside: what the unit of an axis goes by."""
    import numpy as np

    sizes = np.sort(np.abs(values[np.isfinite(values) & (values != 0)]))
    return float(sizes[len(sizes) // 2]) if len(sizes) else 0.0


def explained(change: Change, revisions: Sequence[str]) -> str:
    """A change in a sentence: between which commits, how large, how sure."""
    how = wording.change(change.ratio) if change.ratio == change.ratio else "a step from or to 0"
    span = f" [{wording.change(change.low)}, {wording.change(change.high)}]" if change.low != change.high else ""
    sure = "exact: the value has no noise" if change.p == 0 else f"adjusted p = {change.adjusted:.2g}"
    return f"{how}{span} between {revisions[change.index - 1]} and {revisions[change.index]} ({sure})"


def _mark(change: Change) -> dict[str, Any]:
    return {
        "type": "line",
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "x0": change.index - 0.5,
        "x1": change.index - 0.5,
        "line": {"width": 1.5, "dash": "dash", "color": WORSE if change.after > change.before else BETTER},
    }


def _sized(change: Change) -> dict[str, Any]:
    known = change.ratio == change.ratio
    return {
        "yref": "paper",
        "x": change.index - 0.5,
        "y": 1,
        "yanchor": "bottom",
        "showarrow": False,
        "text": wording.change(change.ratio) if known else "step",
        "font": {"size": 12, "color": WORSE if change.after > change.before else BETTER},
    }
