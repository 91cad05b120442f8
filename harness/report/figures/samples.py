"""Raw samples: the distribution of each case, and every process of one case over time."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from harness.records import case_id
from harness.report import wording
from harness.report.downsample import Stretch
from harness.report.figures.base import Figure, Trace, axis, column, figure, label, records
from harness.report.palette import HUES, SeriesStyle

if TYPE_CHECKING:
    import pandas as pd


SPIKE: Final = 10
"""A sample of so many medians makes the timeline open with a logarithmic axis."""


def violin(frame: pd.DataFrame, marks: Mapping[str, SeriesStyle]) -> Figure:
    """The distribution of each case's samples as a violin with its quartiles.

    Args:
        frame: `case`, `variant`, `row` and `quantiles`: evenly spaced quantiles of all samples, in seconds.
        marks: a mark for every variant.
    """
    found = records(frame)
    factor, unit = _unit(found)
    traces: list[Trace] = [
        {
            "type": "violin",
            "orientation": "h",
            "name": label(case_id.parts(row["case"]).within_model, 40),
            "x": column(row["quantiles"], factor),
            "line": {"color": marks[row["variant"]].colour, "width": 1.5},
            "points": False,
            "box": {"visible": True},
            "spanmode": "hard",
            "hoverinfo": "x+name",
            "meta": {"row": row["row"]},
        }
        for row in found
    ]
    return figure(
        traces,
        height=420,
        showlegend=False,
        meta={"perLine": 44},
        xaxis=axis(f"latency, {unit}", range=_reach(found, factor)),
        yaxis=axis(type="category", autorange="reversed"),
    )


def ecdf(frame: pd.DataFrame, marks: Mapping[str, SeriesStyle]) -> Figure:
    """The share of each case's samples that took at most so long; the frame is that of `violin`."""
    found = records(frame)
    factor, unit = _unit(found)
    traces: list[Trace] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": label(case_id.parts(row["case"]).within_model, 40),
            "x": column(row["quantiles"], factor),
            "y": column((i / (len(row["quantiles"]) - 1) for i in range(len(row["quantiles"]))), 100),
            "line": {"color": marks[row["variant"]].colour, "width": 1.5},
            "hovertemplate": "%{y:.0f}% within %{x} " + unit,
            "meta": {"row": row["row"]},
        }
        for row in found
        if len(row["quantiles"]) > 1
    ]
    return figure(traces, xaxis=axis(f"latency, {unit}", type="log"), yaxis=axis("share of samples, %", range=[0, 100]))


def timeline(stretches: Sequence[Stretch]) -> Figure:
    """Every process and sample of a case in order, so that warm-up, throttling and drift show.

    Args:
        stretches: warm-up and samples of each process, in order.
    """
    import numpy as np

    middle = np.concatenate([np.empty(0), *(one.seconds for one in stretches)])
    typical = float(np.median(middle)) if len(middle) else 0.0
    factor, unit = wording.scale([typical], "seconds")
    # Next to one spike of the host everything else would be a flat line at zero.
    spiky = max((float(one.high.max()) for one in stretches), default=0.0) > SPIKE * typical
    # All at once: a site has tens of thousands of short stretches.
    x, y = column(np.concatenate([np.empty(0), *(one.at for one in stretches)])), column(middle, factor)
    ends = list(itertools.accumulate(len(one.at) for one in stretches))
    traces: list[Trace] = [
        {
            "type": "scatter",
            "mode": "markers" if one.warmup else "lines+markers",
            "name": f"process {one.process}" + (", warm-up" if one.warmup else ""),
            "legendgroup": f"{one.process}",
            "showlegend": not one.warmup,
            "x": x[end - len(one.at) : end],
            "y": y[end - len(one.at) : end],
            **({} if one.high is one.low else {"error_y": _range(one, factor)}),
            "marker": {"color": _hue(one), "size": 4, "symbol": "x-thin-open" if one.warmup else "circle"},
            "line": {"color": _hue(one), "width": 1},
            "hovertemplate": "%{y} " + unit + " at %{x} s",
        }
        for one, end in zip(stretches, ends, strict=True)
    ]
    return figure(
        traces,
        height=420,
        xaxis=axis("seconds since the first inference"),
        yaxis=axis(f"latency, {unit}", rangemode="tozero", type="log" if spiky else "linear"),
        updatemenus=[LINEAR_OR_LOG | {"active": int(spiky)}],
        legend={"orientation": "h", "y": -0.22, "yanchor": "top", "x": 0, "font": {"size": 12}},
        margin={"l": 64, "r": 24, "t": 64, "b": 56},
    )


def _range(one: Stretch, factor: float) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": column(one.high - one.seconds, factor),
        "arrayminus": column(one.seconds - one.low, factor),
        "thickness": 0.6,
        "width": 0,
    }


def _hue(one: Stretch) -> str:
    return HUES[one.process % len(HUES)]


def _unit(found: list[dict[str, Any]]) -> tuple[float, str]:
    medians = [row["quantiles"][len(row["quantiles"]) // 2] for row in found if row["quantiles"]]
    return wording.scale(medians, "seconds")


def _reach(found: list[dict[str, Any]], factor: float) -> list[float]:
    """The range drawn at first: up to the largest 95th percentile, so that one outlier does not flatten the rest."""
    ends = [row["quantiles"][min(int(len(row["quantiles"]) * 0.95), len(row["quantiles"]) - 1)] for row in found]
    return [0.0, max(ends, default=1.0) * factor * 1.1]


LINEAR_OR_LOG = {
    "type": "buttons",
    "direction": "right",
    "x": 0,
    "xanchor": "left",
    "y": 1.2,
    "yanchor": "top",
    "pad": {"t": 0, "b": 0},
    "showactive": True,
    "buttons": [
        {"label": "linear", "method": "relayout", "args": [{"yaxis.type": "linear"}]},
        {"label": "log", "method": "relayout", "args": [{"yaxis.type": "log"}]},
    ],
}
