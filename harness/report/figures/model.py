"""The charts of a model's page. Every function takes the frame of `harness.report.pages.model.table`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from harness.metrics import METRICS
from harness.report import wording
from harness.report.figures.base import (
    Figure,
    Record,
    Trace,
    apart,
    axis,
    bars,
    column,
    figure,
    grouped,
    hover,
    label,
    marker,
    records,
    within,
)
from harness.report.figures.pareto import MEDIAN, pareto
from harness.report.palette import SeriesStyle

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PARTS", "footprint", "latency", "pareto", "scaling"]


def latency(frame: pd.DataFrame | Sequence[Record], marks: Mapping[str, SeriesStyle]) -> Figure:
    """Median latency with its 95% interval, a line per variant and target."""
    found = [row for row in records(frame) if row["latency_median_s"] is not None]
    factor, unit = wording.scale([row["latency_median_s"] for row in found], "seconds")
    traces: list[Trace] = []
    for variant, group in grouped(found, "variant").items():
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": label(variant),
                "x": column((row["latency_median_s"] for row in group), factor),
                "y": [[label(row["target"], 24) for row in group], [label(row["variant"], 24) for row in group]],
                "error_x": bars(group, *MEDIAN, factor),
                "marker": marker(marks[variant], group),
                "text": [hover(row) for row in group],
                "hoverinfo": "text",
                "meta": {"rows": [row["row"] for row in group]},
            }
        )
    return figure(
        traces,
        height=420,
        showlegend=False,
        meta={"perLine": 26},
        xaxis=axis(f"median latency, {unit}", rangemode="tozero", **within(found, MEDIAN[0], MEDIAN[2], factor)),
        yaxis=axis(type="multicategory", autorange="reversed"),
    )


def scaling(frame: pd.DataFrame | Sequence[Record], marks: Mapping[str, SeriesStyle], by: str) -> Figure | None:
    """Examples per second over threads or batch, a line per variant and remaining setting.

    Of a scenario they are those that it found, without an interval; a latency there is not the inverse of a throughput.

    Args:
        frame: rows of one model.
        marks: a mark for every variant.
        by: `intra_threads` or `batch`.

    Returns:
        None where only one value of it was measured.
    """
    found = [row for row in records(frame) if row["latency_median_s"]]
    if len({row[by] for row in found}) < 2:  # noqa: PLR2004
        return None
    other = "batch" if by == "intra_threads" else "intra_threads"
    keys = ("variant", "target_name", "inter_threads", other, "scenario", "fingerprint", "weights_digest")
    traces: list[Trace] = []
    drawn: list[Record] = []
    for chosen, group in apart(found, keys):
        group.sort(key=lambda row: row[by])
        for row in group:
            row["rate"], row["slow"], row["fast"] = _rates(row)
        drawn += group
        first, variant = group[0], group[0]["variant"]
        tail = f"{label(first['target_name'], 20)}, " + (
            f"batch {first['batch']}" if by == "intra_threads" else f"{first['intra_threads']} threads"
        )
        tail += f", {first['scenario']}" if first["scenario"] else ""
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": label(variant),
                "legendgroup": variant,
                "x": [row[by] for row in group],
                "y": column(row["rate"] for row in group),
                "error_y": bars(group, "rate", "slow", "fast", 1.0),
                "marker": marker(marks[variant], group, 9),
                "line": {"color": marks[variant].colour, "width": 1.5},
                "text": [
                    f"{hover(row)}<br>{wording.digits(row['rate'])} examples per second ({tail})" for row in group
                ],
                "hoverinfo": "text",
                "meta": {"rows": [row["row"] for row in group], "facets": {"run": chosen}, "legend": variant},
            }
        )
    title = "intra-op threads (0: one pinned per core)" if by == "intra_threads" else "batch size"
    ticks = sorted({row[by] for row in found})
    return figure(
        traces,
        meta={"ignore": ["threads" if by == "intra_threads" else "batch"]},
        xaxis=axis(title, tickvals=ticks, type="linear" if by == "intra_threads" else "log"),
        yaxis=axis("examples per second", rangemode="tozero", **within(drawn, "rate", "fast", 1.0)),
    )


def _rates(row: Record) -> Sequence[float | None]:
    """Examples per second, and the ends of their interval: the slow one, the fast one."""
    if row["load_example_s"]:
        return 1 / row["load_example_s"], None, None
    return [row["batch"] / row[end] if row[end] else None for end in (MEDIAN[0], MEDIAN[2], MEDIAN[1])]


PARTS: Final = {metric.column.replace(".", "_"): (metric.title, metric.unit) for metric in METRICS if metric.title}
"""Column -> what it is called, and its unit."""


def footprint(frame: pd.DataFrame | Sequence[Record], marks: Mapping[str, SeriesStyle], key: str) -> Figure:
    """One of `PARTS` over the variants, with intervals where the frame has them (`session_s_low` and so on)."""
    title, kind = PARTS[key]
    low, high = f"{key}_low", f"{key}_high"
    there = [row for row in records(frame) if row[key] is not None]
    factor, unit = wording.scale([row[key] for row in there], kind)
    traces: list[Trace] = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": label(variant),
            "x": column((row[key] for row in group), factor),
            "y": [label(variant, 22)] * len(group),
            "marker": marker(marks[variant], group),
            **({"error_x": bars(group, key, low, high, factor)} if low in group[0] else {}),
            "text": [f"<b>{label(row['case'], 80)}</b><br>{title}: {wording.number(row[key], kind)}" for row in group],
            "hoverinfo": "text",
            "meta": {"rows": [row["row"] for row in group]},
        }
        for variant, group in grouped(there, "variant").items()
    ]
    return figure(
        traces,
        height=280,
        showlegend=False,
        xaxis=axis(f"{title.lower()}, {unit}", rangemode="tozero", **within(there, key, high, factor)),
        yaxis=axis(autorange="reversed", type="category"),
    )
