"""Charts over many cases: coverage of the matrix, changes between two sides, and the ratio heat map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from harness.report import wording
from harness.report.figures.base import (
    Figure,
    Record,
    Trace,
    axis,
    bars,
    column,
    figure,
    label,
    records,
    rounded,
    wrapped,
)
from harness.report.palette import BETTER, STATUS, WORSE, rank
from harness.shown import html as escape
from harness.store.query import natural

if TYPE_CHECKING:
    import pandas as pd

SIGNS: Final = {
    "measured": "✓", "mixed": "m", "unverified": "?", "emulated": "e", "unsupported": "n/a", "skipped": "s",
    "failed": "✗",
}  # fmt: skip
"""What stands in a cell of the coverage, whatever its colour."""

MOST_TICKS: Final = 9

MOST: Final = 30
"""Changes drawn; the table has all of them."""


def coverage(frame: pd.DataFrame) -> Figure:
    """What became of each case: variants against targets, a cell coloured by its status, the reason on hover.

    Args:
        frame: `model`, `variant`, `target`, `status`, `reason` and `host`, one line per case and host.
    """
    found = records(frame)
    names = list(STATUS)
    lines = sorted({(row["model"], row["variant"]) for row in found}, key=lambda key: (natural(key[0]), rank(key[1])))
    columns = sorted({row["target"] for row in found}, key=natural)
    traces = []
    for host in dict.fromkeys(row["host"] for row in found):
        cells = {(row["model"], row["variant"], row["target"]): row for row in found if row["host"] == host}
        grid = [[cells.get((*line, target)) for target in columns] for line in lines]
        traces.append(
            {
                "type": "heatmap",
                "x": [label(target, 24) for target in columns],
                "y": [label("/".join(line), 44) for line in lines],
                "z": [[None if cell is None else names.index(cell["status"]) for cell in line] for line in grid],
                # A sign in each cell: what became of it must not hang on telling colours apart.
                "text": [["" if cell is None else SIGNS[cell["status"]] for cell in line] for line in grid],
                "texttemplate": "%{text}",
                "hovertext": [["" if cell is None else _cell(cell) for cell in line] for line in grid],
                "hoverinfo": "text",
                "zmin": -0.5,
                "zmax": len(names) - 0.5,
                "colorscale": steps(list(STATUS.values())),
                "xgap": 3,
                "ygap": 3,
                "colorbar": {
                    "tickvals": list(range(len(names))),
                    "ticktext": [f"{SIGNS[name]} {name}" for name in names],
                    "orientation": "h",
                    "thickness": 10,
                    "x": 0,
                    "xanchor": "left",
                    "y": 1,
                    "yanchor": "bottom",
                    "len": 1,
                    "outlinewidth": 0,
                },
                "meta": {"facets": {"host": host}},
            }
        )
    return figure(
        traces,
        height=110 + 24 * max(len(lines), 4),
        margin={"l": 64, "r": 24, "t": 48, "b": 24},
        xaxis=axis(side="bottom", type="category", showgrid=False),
        yaxis=axis(type="category", autorange="reversed", showgrid=False),
    )


def changes(frame: pd.DataFrame) -> Figure:
    """Ratios between two sides with their intervals, regressions on top.

    Args:
        frame: what `harness.report.compare.compare` returns, of which the first of each host are drawn.
    """
    found = records(frame.groupby("fingerprint", observed=True, sort=False).head(MOST))
    traces: list[Trace] = []
    for host in dict.fromkeys(row["fingerprint"] for row in found):
        for verdict, colour, symbol in (("slower", WORSE, "triangle-right"), ("faster", BETTER, "triangle-left")):
            group = [row for row in found if row["verdict"] == verdict and row["fingerprint"] == host]
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": verdict,
                    "x": column(row["ratio"] for row in group),
                    "y": [label(row["case"], 48) for row in group],
                    "error_x": bars(group, "ratio", "low", "high", 1.0),
                    "marker": {"color": colour, "size": 11, "symbol": symbol},
                    "text": [_change(row) for row in group],
                    "hoverinfo": "text",
                    "meta": {"facets": {"host": host}, "legend": verdict},
                }
            )
    return figure(
        traces,
        height=120 + 26 * max(len(found), 2),
        meta={"perLine": 28},
        xaxis=axis("latency ratio, after / before", type="log", **_round(found)),
        yaxis=axis(type="category", autorange="reversed"),
        shapes=[
            {
                "type": "line",
                "yref": "paper",
                "y0": 0,
                "y1": 1,
                "x0": 1,
                "x1": 1,
                "line": {"width": 1, "dash": "dot", "color": "#8a8f98"},
            }
        ],
    )


def ratios(frame: pd.DataFrame) -> Figure:
    """A heat map of ratios: variants of each model against targets; orange is slower, blue is faster.

    Args:
        frame: what `harness.report.compare.compare` returns.
    """
    found = [row for row in records(frame) if row["ratio"] is not None]
    worst: dict[tuple[str, str], float] = {}
    for row in found:
        key = (row["model"], row["variant"])
        worst[key] = max(worst.get(key, 0.0), row["ratio"])
    lines = sorted(worst, key=lambda key: -worst[key])
    columns = sorted({row["target"] for row in found}, key=natural)
    cells = {(row["model"], row["variant"], row["target"]): row for row in found}
    grid = [[cells.get((*line, target)) for target in columns] for line in lines]
    values = [[None if cell is None else logarithm(cell["ratio"]) for cell in line] for line in grid]
    reach = max((abs(value) for line in values for value in line if value is not None), default=0.0)
    reach = min(max(reach, 0.07), 2.0)
    return figure(
        [
            {
                "type": "heatmap",
                "x": [label(target, 24) for target in columns],
                "y": [label("/".join(line), 44) for line in lines],
                "z": values,
                "text": [["" if cell is None else _change(cell) for cell in line] for line in grid],
                "hoverinfo": "text",
                "zmin": -reach,
                "zmax": reach,
                "colorscale": [[0, BETTER], [0.5, "#e9e9ec"], [1, WORSE]],
                "xgap": 3,
                "ygap": 3,
                "colorbar": {"title": {"text": "ratio"}, "thickness": 12, "outlinewidth": 0, **_ticks(reach)},
            }
        ],
        height=120 + 24 * max(len(lines), 4),
        xaxis=axis(side="bottom", type="category", showgrid=False),
        yaxis=axis(type="category", autorange="reversed", showgrid=False),
    )


def steps(colours: Sequence[str]) -> list[list[Any]]:
    """A colour scale of equal steps."""
    n = len(colours)
    return [[edge / n, colour] for place, colour in enumerate(colours) for edge in (place, place + 1)]


def logarithm(ratio: float) -> float | None:
    """Base-2 logarithm, so that twice as slow and twice as fast are equally far from 1."""
    return rounded(math.log2(ratio)) if ratio > 0 else None


def _round(found: Sequence[Record]) -> dict[str, Any]:
    """Ticks at round ratios that cover the intervals, and the place where nothing changed."""
    ends = [end for row in found for end in (row["low"], row["high"], 1.0) if end]
    low, high = min(ends, default=1.0), max(ends, default=1.0)
    step = next(step for step in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, math.inf) if (high - low) / step <= MOST_TICKS)
    if step == math.inf:
        return {"dtick": "D1"}
    ticks = [
        round(1 + step * k, 2) for k in range(-50, 51) if low - step <= 1 + step * k <= high + step and 1 + step * k > 0
    ]
    return {"tickvals": ticks, "ticktext": [f"{tick:g}x" for tick in ticks]}


def _ticks(reach: float) -> dict[str, Any]:
    places = [-reach, -reach / 2, 0.0, reach / 2, reach]
    return {"tickvals": places, "ticktext": [f"{2**place:.2f}x" for place in places]}


def _cell(cell: Record) -> str:
    reason = escape(wrapped(str(cell["reason"] or ""))).replace("\n", "<br>")
    return f"<b>{label(cell['case'], 80)}</b><br>{cell['status']}" + (f"<br>{reason}" if reason else "")


def _change(row: Record) -> str:
    ends = "(no interval)" if row["low"] is None else f"[{row['low']:.2f}, {row['high']:.2f}]"
    return (
        f"<b>{label(row['case'], 80)}</b><br>{wording.ratio(row['ratio'])} "
        f"{ends}<br>{wording.number(row['median_s_before'], 'seconds')} before, "
        f"{wording.number(row['median_s'], 'seconds')} after"
    )
