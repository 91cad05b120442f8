"""Raw samples: the distribution of each case, and every process of one case over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.report import words
from harness.report.figures.base import Figure, Trace, axis, column, figure, label, records
from harness.report.palette import HUES, Mark

if TYPE_CHECKING:
    import pandas as pd


def violin(frame: pd.DataFrame, marks: Mapping[str, Mark]) -> Figure:
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
            "name": label(row["case"].partition("/")[2], 40),
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


def ecdf(frame: pd.DataFrame, marks: Mapping[str, Mark]) -> Figure:
    """The share of each case's samples that took at most so long; the frame is that of `violin`."""
    found = records(frame)
    factor, unit = _unit(found)
    traces: list[Trace] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": label(row["case"].partition("/")[2], 40),
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


def timeline(frame: pd.DataFrame) -> Figure:
    """Every process and sample of a case in order, so that warm-up, throttling and drift show.

    Args:
        frame: a line per point, in order of process and phase: `process` (from 1), `phase` (`warm-up` or `sample`),
            `at` (seconds of inference since the process's first one), `low`, `high` (the smallest and largest of the
            samples that the point stands for) and `seconds` (their median).
    """
    factor, unit = words.scale(frame.loc[frame["phase"] == "sample", "seconds"].tolist(), "seconds")
    traces: list[Trace] = []
    middle = frame["seconds"].to_numpy()
    x, y = column(frame["at"]), column(middle, factor)
    up, down = column(frame["high"].to_numpy() - middle, factor), column(middle - frame["low"].to_numpy(), factor)
    at = 0
    sizes: Mapping[Any, int] = frame.groupby(["process", "phase"], sort=False).size().to_dict()
    for (process, phase), size in sizes.items():
        own, at = slice(at, at + size), at + size
        colour = HUES[process % len(HUES)]
        warm = phase == "warm-up"
        traces.append(
            {
                "type": "scatter",
                "mode": "markers" if warm else "lines+markers",
                "name": f"process {process}" + (", warm-up" if warm else ""),
                "legendgroup": f"{process}",
                "showlegend": not warm,
                "x": x[own],
                "y": y[own],
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": up[own],
                    "arrayminus": down[own],
                    "thickness": 0.6,
                    "width": 0,
                },
                "marker": {"color": colour, "size": 4, "symbol": "x-thin-open" if warm else "circle"},
                "line": {"color": colour, "width": 1},
                "hovertemplate": "%{y} " + unit + " at %{x} s",
            }
        )
    return figure(
        traces,
        height=420,
        xaxis=axis("seconds of inference since the process's first one"),
        yaxis=axis(f"latency, {unit}", rangemode="tozero"),
        updatemenus=[LINEAR_OR_LOG],
        margin={"l": 64, "r": 24, "t": 84, "b": 56},
    )


def _unit(found: list[dict[str, Any]]) -> tuple[float, str]:
    medians = [row["quantiles"][len(row["quantiles"]) // 2] for row in found if row["quantiles"]]
    return words.scale(medians, "seconds")


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
