"""Raw samples: the distribution of each case, and every process of one case over time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from harness.records import case_id
from harness.report import wording
from harness.report.downsample import OUTLIER, Stretch
from harness.report.figures.base import (
    Figure,
    Record,
    Trace,
    axis,
    bars,
    column,
    faint,
    figure,
    grouped,
    label,
    records,
    rounded,
)
from harness.report.palette import HUES, SeriesStyle

if TYPE_CHECKING:
    import pandas as pd


BULK: Final = 0.78
"""The share of a chart's width that the lines have; at the right of them stand the outliers."""

LEAST_SPAN: Final = 0.01
"""Decades that an axis of samples shows at least."""

DASHES: Final = ("solid", "dash", "dot", "dashdot")
"""Cases of one variant share its colour."""

SPIKE: Final = 10
"""A sample of so many medians makes the timeline open with a logarithmic axis."""


def spread(frame: pd.DataFrame, marks: Mapping[str, SeriesStyle]) -> Figure:
    """Where each case's samples lie: the middle half as a bar, 5% to 95% as a line, the median as the variant's mark.

    On a logarithmic axis that reaches as far as the lines do, so that an outlier of the host flattens nothing: those
    are counted beside the line, with the slowest.

    Args:
        frame: `case`, `variant`, `row`, and the attributes of `harness.report.downsample.Spread`.
        marks: a mark for every variant.
    """
    found = records(frame)
    factor, unit = wording.scale([row["median"] for row in found], "seconds")
    traces: list[Trace] = []
    for variant, group in grouped(found, "variant").items():
        colour = marks[variant].colour
        shared = {
            "type": "scatter",
            "name": label(variant),
            "y": [label(case_id.parts(row["case"]).within_model, 40) for row in group],
            "meta": {"rows": [row["row"] for row in group]},
        }
        middle = {"x": column((row["median"] for row in group), factor), "mode": "markers"}
        traces += [
            shared
            | middle
            | {
                "marker": {"color": colour, "size": 1},
                "error_x": bars(group, "median", "first", "third", factor)
                | {"thickness": 13, "width": 0, "color": faint(colour)},
                "hoverinfo": "skip",
            },
            shared
            | middle
            | {
                "marker": {"color": colour, "size": 8, "symbol": marks[variant].symbol},
                "error_x": bars(group, "median", "low", "high", factor) | {"color": colour},
                "text": [_spread(row) for row in group],
                "hoverinfo": "text",
            },
            shared
            | {
                "x": [0] * len(group),
                "xaxis": "x2",
                "mode": "text",
                "text": [_beside(row) for row in group],
                "customdata": [f"{row['outliers']:,}" for row in group],  # on a phone
                "textposition": "middle right",
                "textfont": {"size": 12},
                "hoverinfo": "skip",
            },
        ]
    return figure(
        traces,
        height=max(160, 110 + 30 * len(found)),
        showlegend=False,
        meta={"perLine": 30, "reach": True},
        xaxis=axis(
            f"latency, {unit}",
            type="log",
            domain=[0, BULK],
            nticks=8,
            **_reach([(row["low"], row["high"]) for row in found], factor),
        ),
        xaxis2={"domain": [BULK + 0.01, 1], "range": [0, 1], "visible": False, "fixedrange": True},
        yaxis=axis(type="category", autorange="reversed"),
    )


def ecdf(frame: pd.DataFrame, marks: Mapping[str, SeriesStyle]) -> Figure:
    """The share of each case's samples that took at most so long.

    Args:
        frame: `case`, `variant`, `row` and `quantiles`: evenly spaced quantiles of all samples, in seconds.
        marks: a mark for every variant.
    """
    found = records(frame)
    factor, unit = _unit(found)
    counts = {len(row["quantiles"]) for row in found} - {0, 1}
    shares = {count: column((i / (count - 1) for i in range(count)), 100) for count in counts}
    traces: list[Trace] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": label(case_id.parts(row["case"]).within_model, 40),
            "x": column(row["quantiles"], factor),
            "y": shares[len(row["quantiles"])],
            "line": {"color": marks[row["variant"]].colour, "width": 1.5, "dash": DASHES[place % len(DASHES)]},
            "hovertemplate": "%{y:.0f}% within %{x} " + unit,
            "meta": {"row": row["row"]},
        }
        for same in grouped(found, "variant").values()
        for place, row in enumerate(same)
        if len(row["quantiles"]) > 1
    ]
    ends = [(row["quantiles"][0], _most(row["quantiles"])) for row in found if len(row["quantiles"]) > 1]
    return figure(
        traces,
        meta={"reach": True},
        xaxis=axis(f"latency, {unit}", type="log", nticks=12, **_reach(ends, factor)),
        yaxis=axis("share of samples, %", range=[0, 100]),
    )


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


def _most(quantiles: Sequence[float]) -> float:
    """The 95th percentile of evenly spaced quantiles."""
    return quantiles[min(int(len(quantiles) * 0.95), len(quantiles) - 1)]


def _reach(ends: Sequence[tuple[float, float]], factor: float) -> dict[str, Any]:
    """The range of a logarithmic axis over some ends; none where they are not above 0."""
    low = min((low for low, _ in ends if low > 0), default=0.0) * factor
    high = max((high for _, high in ends if high > 0), default=0.0) * factor
    if not low > 0:
        return {}
    span = max(math.log10(high / low), LEAST_SPAN)
    return {"range": [rounded(math.log10(low) - 0.05 * span), rounded(math.log10(high) + 0.05 * span)]}


def _spread(row: Record) -> str:
    took = {name: wording.number(row[name], "seconds") for name in ("low", "first", "median", "third", "high")}
    return (
        f"<b>{label(row['case'], 80)}</b><br>median {took['median']}<br>half of them {took['first']} to "
        f"{took['third']}<br>90% {took['low']} to {took['high']}<br>{_outliers(row)}"
    )


def _outliers(row: Record) -> str:
    among = f" of {row['n']:,}"
    return f"{_count(row, among)}, max {wording.number(row['largest'], 'seconds')}"


def _beside(row: Record) -> str:
    """The outliers, as short as they have room at the right; over what they are, the chart's note says."""
    return f"{row['outliers'] or 'none'} of {row['n']:,}, max {wording.number(row['largest'], 'seconds')}"


def _count(row: Record, among: str = "") -> str:
    return f"{row['outliers'] or 'none'}{among} over {OUTLIER:g}x"


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
