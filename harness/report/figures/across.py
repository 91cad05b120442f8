"""Charts over many cases: coverage of the matrix, changes between two sides, and the ratio heat map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from harness.report import wording
from harness.report.compare import LEAST_CHANGE
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

LEAST_REACH: Final = 0.07
MOST_REACH: Final = 2.0
"""How far the colours of a heat map reach, as a logarithm to base 2: by 5% at least and a factor of 4 at most."""

SAME: Final = "#d9dce1"
RULE: Final = f"grey: within {LEAST_CHANGE:.0%},<br>or interval<br>holds 0%"
"""What grey means, in the legend."""

LEAST_LINES: Final = 6
"""With fewer lines the legend of a heat map is too low for more than its ends and its rule."""

MOST_LINES: Final = 150
"""With more lines the coverage has one for each model, and a column for each variant."""

MOST: Final = 30
"""Changes drawn; the table has all of them."""


def coverage(frame: pd.DataFrame) -> Figure:
    """What became of each case: variants against targets, a cell coloured by its status, the reason on hover.

    Args:
        frame: `model`, `variant`, `target`, `status`, `reason` and `host`, one line per case and host.
    """
    found = records(frame)
    names = list(STATUS)
    folded = len({(row["model"], row["variant"]) for row in found}) > MOST_LINES
    place = _of_model if folded else _of_variant
    lines = sorted({place(row)[0] for row in found}, key=_in_order)
    columns = sorted({place(row)[1] for row in found}, key=_in_order)
    traces = []
    for host in dict.fromkeys(row["host"] for row in found):
        cells = {place(row): row for row in found if row["host"] == host}
        grid = [[cells.get((line, at)) for at in columns] for line in lines]
        traces.append(
            {
                "type": "heatmap",
                "x": [label("/".join(at), 34) for at in columns],
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
        yaxis=axis(type="category", autorange="reversed", showgrid=False, dtick=1),
    )


Place = tuple[tuple[str, ...], tuple[str, ...]]
"""The line and the column of a cell."""


def _of_variant(row: Record) -> Place:
    return (row["model"], row["variant"]), (row["target"],)


def _of_model(row: Record) -> Place:
    """A line for each model: hundreds of lines would be a chart that nobody sees the whole of."""
    return (row["model"],), (row["target"], row["variant"])


def _in_order(names: tuple[str, ...]) -> tuple[Any, ...]:
    """By the first name, then by the variant's rank where there is one."""
    return natural(names[0]), *(rank(name) for name in names[1:])


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
        xaxis=axis("change of latency", type="log", **_round(found)),
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
    """A heat map of changes: variants of each model against targets; orange is slower, blue is faster.

    Only what moved has a colour: a cell whose interval holds "no change", that has none, or that moved by at most
    `LEAST_CHANGE`, is grey. Bold is what is named as changed over the whole list.

    Args:
        frame: what `harness.report.compare.compare` returns.
    """
    found = [row for row in records(frame) if row["ratio"] is not None]
    worst: dict[tuple[str, str], float] = {}
    for row in found:
        key = (row["model"], row["variant"])
        worst[key] = max(worst.get(key, 0.0), row["ratio"] if differs(row) else 1.0)
    lines = sorted(worst, key=lambda key: -worst[key])
    columns = sorted({row["target"] for row in found}, key=natural)
    cells = {(row["model"], row["variant"], row["target"]): row for row in found}
    grid = [[cells.get((*line, target)) for target in columns] for line in lines]
    values = [[None if cell is None else _colour(cell) for cell in line] for line in grid]
    reach = max((abs(value) for line in values for value in line if value is not None), default=0.0)
    reach = min(max(reach, LEAST_REACH), MOST_REACH)
    return figure(
        [
            {
                "type": "heatmap",
                "x": [label(target, 24) for target in columns],
                "y": [label("/".join(line), 44) for line in lines],
                "z": values,
                "text": [["" if cell is None else _percent(cell) for cell in line] for line in grid],
                "texttemplate": "%{text}",
                "hovertext": [["" if cell is None else _change(cell) for cell in line] for line in grid],
                "hoverinfo": "text",
                "zmin": -reach,
                "zmax": reach,
                "colorscale": _scale(reach),
                "xgap": 3,
                "ygap": 3,
                "colorbar": {"thickness": 12, "outlinewidth": 0, **_ticks(reach, few=len(lines) < LEAST_LINES)},
            }
        ],
        height=120 + 24 * max(len(lines), 4),
        xaxis=axis(side="bottom", type="category", showgrid=False),
        yaxis=axis(type="category", autorange="reversed", showgrid=False),
    )


def differs(row: Record) -> bool:
    """Whether a line moved: its interval leaves out "no change", and it moved by more than `LEAST_CHANGE`."""
    known = row["low"] is not None and row["high"] is not None
    return known and not row["low"] <= 1 <= row["high"] and abs(row["ratio"] - 1) > LEAST_CHANGE


def steps(colours: Sequence[str]) -> list[list[Any]]:
    """A colour scale of equal steps."""
    n = len(colours)
    return [[edge / n, colour] for place, colour in enumerate(colours) for edge in (place, place + 1)]


def logarithm(ratio: float) -> float | None:
    """Base-2 logarithm, so that twice as slow and twice as fast are equally far from 1."""
    return rounded(math.log2(ratio)) if ratio > 0 else None


def _colour(row: Record) -> float | None:
    """Where a cell lies on the scale: in the middle, which is grey, where it did not move."""
    return logarithm(row["ratio"]) if differs(row) else 0.0


def _percent(row: Record) -> str:
    """What stands in a cell: the change; bold where it is named over the whole list, `?` where nothing judges it."""
    said = wording.change(row["ratio"]) + ("?" if row["low"] is None else "")
    return f"<b>{said}</b>" if row["verdict"] in ("slower", "faster") else said


def _scale(reach: float) -> list[list[Any]]:
    """Blue to orange with grey between: as wide as a change that counts for none."""
    edge = math.log2(1 + LEAST_CHANGE) / (2 * reach)
    return [
        [0, BETTER],
        [0.5 - edge, "#cfe4f3"],
        [0.5 - edge, SAME],
        [0.5 + edge, SAME],
        [0.5 + edge, "#f8d9c2"],
        [1, WORSE],
    ]


def _round(found: Sequence[Record]) -> dict[str, Any]:
    """Ticks at round ratios that cover the intervals, and the place where nothing changed."""
    ends = [end for row in found for end in (row["low"], row["high"], 1.0) if end]
    low, high = min(ends, default=1.0), max(ends, default=1.0)
    step = next(step for step in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, math.inf) if (high - low) / step <= MOST_TICKS)
    if step == math.inf:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        return {"tickvals": [10.0**k for k in decades], "ticktext": [f"{10.0**k:g}x" if k else "0%" for k in decades]}
    ticks = [
        round(1 + step * k, 2) for k in range(-50, 51) if low - step <= 1 + step * k <= high + step and 1 + step * k > 0
    ]
    return {"tickvals": ticks, "ticktext": ["0%" if tick == 1 else f"{tick - 1:+.0%}" for tick in ticks]}


def _ticks(reach: float, *, few: bool) -> dict[str, Any]:
    places = [-reach, 0.0, reach] if few else [-reach, -reach / 2, 0.0, reach / 2, reach]
    return {"tickvals": places, "ticktext": [wording.change(2**place) if place else RULE for place in places]}


def _cell(cell: Record) -> str:
    reason = escape(wrapped(str(cell["reason"] or ""))).replace("\n", "<br>")
    return f"<b>{label(cell['case'], 80)}</b><br>{cell['status']}" + (f"<br>{reason}" if reason else "")


def _change(row: Record) -> str:
    span = "" if row["low"] is None else f"[{wording.change(row['low'])}, {wording.change(row['high'])}]"
    ends = span or "(no interval)"
    return (
        f"<b>{label(row['case'], 80)}</b><br>{wording.change(row['ratio'])} "
        f"{ends}<br>{wording.number(row['median_s_before'], 'seconds')} before, "
        f"{wording.number(row['median_s'], 'seconds')} after"
    )
