"""What all charts share.

A trace's `meta.rows` names, for each of its points, the row of the page that it shows; the page's filters hide points
by it. `meta.facets` does so for a whole trace, and a layout's `meta.lines` names the rows that each of its shapes and
annotations stands for. Backgrounds and text have no colour here: the page's theme sets them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from harness.report import wording
from harness.report.palette import SeriesStyle
from harness.shown import html as escape

if TYPE_CHECKING:
    import pandas as pd

Figure = dict[str, Any]
Trace = dict[str, Any]
Record = dict[str, Any]

FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif"
DIGITS: Final = 6
"""Significant digits of a coordinate: far below a pixel, and half the bytes."""


REACH: Final = 2.0
"""Up to so many times the largest value, an axis follows intervals."""


def figure(traces: Sequence[Trace], *, height: int = 380, **layout: Any) -> Figure:
    """A figure with the house's layout; `layout` adds to it."""
    base = {
        "height": height,
        "margin": {"l": 64, "r": 36, "t": 24, "b": 56},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 13},
        "hoverlabel": {"align": "left", "font": {"family": FONT, "size": 13}},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 12}},
        "hovermode": "closest",
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "orientation": "v"},
    }
    return {"data": list(traces), "layout": base | layout}


def axis(title: str = "", **more: Any) -> dict[str, Any]:
    """An axis with its title, which stands clear of the tick labels."""
    words = {"text": escape(title), "standoff": 8, "font": {"size": 13}}
    return {"title": words, "automargin": True, "zeroline": False} | more


def records(frame: pd.DataFrame | Sequence[Record]) -> list[Record]:
    """Rows of a frame, or copies of what this made of one before; what is absent or not finite is None."""
    if isinstance(frame, Sequence):
        return [dict(row) for row in frame]
    names = [str(name) for name in frame.columns]
    columns = [[known(value) for value in frame[name].astype(object).tolist()] for name in frame.columns]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def known(value: Any) -> Any:
    """A value as plain Python, None where pandas or NumPy says that there is none."""
    if value is None or value is True or value is False or isinstance(value, str):
        return value
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, (int, list, tuple, Mapping)) else None


def rounded(value: float | None) -> float | None:
    """A coordinate with as many digits as a screen can show."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{DIGITS}g}")


def column(values: Iterable[float | None], factor: float = 1.0) -> list[float | None]:
    """Coordinates of one axis, scaled, with as many digits as a screen can show; what is not finite is None."""
    import numpy as np

    if not isinstance(values, np.ndarray):
        values = [np.nan if value is None else value for value in values]
    exact = np.asarray(values, dtype=float) * factor
    there = np.isfinite(exact)
    size = np.abs(exact)
    size[~there | (size == 0)] = 1.0
    places = 10.0 ** np.clip(DIGITS - 1 - np.floor(np.log10(size)), -300, 300)
    listed: list[float | None] = (np.round(exact * places) / places).tolist()
    return listed if there.all() else [value if ok else None for value, ok in zip(listed, there, strict=True)]


def bars(found: Sequence[Record], value: str, low: str, high: str, factor: float) -> dict[str, Any]:
    """Error bars from both ends of intervals; none where an interval is absent."""
    up, down = [], []
    for row in found:
        middle = row[value]
        up.append(0.0 if row[high] is None or middle is None else max(row[high] - middle, 0.0))
        down.append(0.0 if row[low] is None or middle is None else max(middle - row[low], 0.0))
    return {
        "type": "data",
        "symmetric": False,
        "array": column(up, factor),
        "arrayminus": column(down, factor),
        "thickness": 1.5,
        "width": 4,
    }


def within(found: Sequence[Record], value: str, high: str, factor: float) -> dict[str, Any]:
    """What keeps an axis from following a single interval so far that nothing else can be told apart on it.

    An interval from two processes may reach a thousand times beyond every value: its bar then runs off the chart, and
    its numbers stand in the table.
    """
    most = max((row[value] for row in found if row[value] is not None), default=0.0)
    widest = max((row[high] for row in found if row.get(high) is not None), default=0.0)
    return {"autorangeoptions": {"clipmax": rounded(REACH * most * factor)}} if widest > REACH * most > 0 else {}


def marker(mark: SeriesStyle, found: Sequence[Record], size: int = 10) -> dict[str, Any]:
    """A variant's colour and symbol; emulated rows are hollow."""
    return {
        "color": mark.colour,
        "size": size,
        "symbol": [mark.symbol + ("-open" if row.get("status") == "emulated" else "") for row in found],
        "line": {"width": 1.5, "color": mark.colour},
    }


def hover(row: Record) -> str:
    """What a row's point says: the case, its latency with interval, its cost, and what is special about it."""
    kind = row.get("weights_kind")
    ends = wording.interval(row.get("latency_ci95_low_s"), row.get("latency_ci95_high_s"), "seconds")
    lines = [
        f"<b>{escape(str(row['case']))}</b>",
        wording.number(row.get("latency_median_s"), "seconds") + ", 95% interval " + ends,
    ]
    if row.get("accuracy_value") is not None:
        lines.append(f"{escape(str(row['accuracy_metric']))} {row['accuracy_value']:.2%}")
    if row.get("fidelity_max_abs") == 0:
        lines.append("fidelity: exact")
    elif row.get("fidelity_centred_sqnr_db") is not None:
        lines.append(f"fidelity {row['fidelity_centred_sqnr_db']:.1f} dB")
    if kind == "seeded":
        lines.append("seeded (random) weights")
    if row.get("status") != "measured":
        lines.append(f"{row.get('status')}: {escape(wrapped(str(row.get('reason') or '')))}".replace("\n", "<br>"))
    return "<br>".join(lines)


def faint(colour: str) -> str:
    """A colour such as `#0a7bc2`, see-through."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.35)"


def wrapped(text: str, width: int = 70, most: int = 4) -> str:
    """Text in lines that fit a hover box; the whole of it stands in the tables."""
    import textwrap

    lines = textwrap.wrap(text, width)
    return "\n".join(lines[:most]) + (" ..." if len(lines) > most else "")


def short(text: str, most: int = 40) -> str:
    """A long name cut in its middle, so that both ends tell it from others."""
    return text if len(text) <= most else f"{text[: most // 2 - 1]}…{text[-most // 2 :]}"


def label(text: str, most: int = 40) -> str:
    """A name as Plotly draws it: cut, and without being taken for markup."""
    return escape(short(text, most))


def grouped(found: Sequence[Record], key: str) -> dict[str, list[Record]]:
    """Records by one of their values, in the order in which the values come."""
    groups: dict[str, list[Record]] = {}
    for row in found:
        groups.setdefault(row[key], []).append(row)
    return groups


def apart(found: Sequence[Record], keys: Sequence[str]) -> list[tuple[str, list[Record]]]:
    """Records that agree on `keys`, apart for every choice of runs (`sets`) that they belong to."""
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for row in found:
        for chosen in row["sets"]:
            groups.setdefault((chosen, *(row[key] for key in keys)), []).append(row)
    return [(str(key[0]), group) for key, group in groups.items()]
