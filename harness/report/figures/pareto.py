"""What a variant costs against how fast it is: the Pareto front of each setting, and where the budget ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from harness.records import Status
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
    rounded,
    within,
)
from harness.report.palette import WORSE, SeriesStyle

if TYPE_CHECKING:
    import pandas as pd

SETTING: Final = ("target", "fingerprint", "weights_digest")
"""What rows share that may be set against each other."""

MEDIAN: Final = ("latency_median_s", "latency_ci95_low_s", "latency_ci95_high_s")

GREY: Final = "#8a8f98"

Lines = list[tuple[dict[str, Any], dict[str, Any], list[int]]]
"""Shape, annotation, and the page's rows that both stand for."""


def pareto(frame: pd.DataFrame | Sequence[Record], marks: Mapping[str, SeriesStyle], by: str) -> Figure:
    """What a variant costs against how fast it is, with the Pareto front of each setting and the budget's line.

    Args:
        frame: rows of one model, as `harness.report.pages.model.table` makes them.
        marks: a mark for every variant.
        by: `accuracy` (task metric on labelled data) or `fidelity` (centred SQNR; bit-equal outputs lie on top, on a
            line of their own that says so: they have no decibels).
    """
    found = [row for row in records(frame) if row["latency_median_s"] is not None]
    top = max((row["fidelity_centred_sqnr_db"] or 0.0 for row in found), default=0.0) + 10
    for row in found:
        row["y"] = _cost(row, by, top)
    found = [row for row in found if row["y"] is not None]
    factor, unit = wording.scale([row["latency_median_s"] for row in found], "seconds")
    traces = [_front(group, factor, chosen) for chosen, group in apart(found, SETTING)]
    for variant, group in grouped(found, "variant").items():
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": label(variant),
                "x": column((row["latency_median_s"] for row in group), factor),
                "y": column(row["y"] for row in group),
                "error_x": bars(group, *MEDIAN, factor),
                "marker": marker(marks[variant], group, 12),
                "text": [hover(row) for row in group],
                "hoverinfo": "text",
                "meta": {"rows": [row["row"] for row in group]},
            }
        )
    metric = next((row["accuracy_metric"] for row in found if row["accuracy_metric"]), "task metric")
    lines = _budgets(found, by) + (_exact(found, top) if by == "fidelity" else [])
    return figure(
        traces,
        height=420,
        xaxis=axis(f"median latency, {unit}", rangemode="tozero", **within(found, MEDIAN[0], MEDIAN[2], factor)),
        yaxis=axis(f"accuracy: {metric}, %") if by == "accuracy" else axis("fidelity: centred SQNR, dB"),
        shapes=[shape for shape, _, _ in lines],
        annotations=[said for _, said, _ in lines],
        meta={"lines": [rows for _, _, rows in lines]},
    )


def limit(row: Record, by: str) -> float | None:
    """The least percentage or decibels that a row's budget asks for; None without such a budget."""
    if by == "fidelity":
        least: float | None = row["budget_fidelity_db"]
        return least
    reference, drop, share = (
        row[name] for name in ("accuracy_reference", "budget_accuracy_drop", "budget_accuracy_share")
    )
    if reference is None:
        return None
    found = ([reference - drop] if drop is not None else []) + ([reference * share] if share is not None else [])
    return round(max(found) * 100, 6) if found else None


def _cost(row: Record, by: str, top: float) -> float | None:
    if by == "accuracy":
        return None if row["accuracy_value"] is None else row["accuracy_value"] * 100
    if row["fidelity_max_abs"] == 0:
        return top
    found: float | None = row["fidelity_centred_sqnr_db"]
    return found


def _budgets(found: Sequence[Record], by: str) -> Lines:
    """A line for each budget that rows have: those of other runs, hosts or weights may differ."""
    limits: dict[float, list[int]] = {}
    for row in found:
        least = limit(row, by)
        if least is not None:
            limits.setdefault(least, []).append(row["row"])
    unit = "%" if by == "accuracy" else "dB"
    return [
        _line(least, f"budget: at least {least:.4g} {unit}", WORSE, "dash", "right", rows)
        for least, rows in limits.items()
    ]


def _exact(found: Sequence[Record], top: float) -> Lines:
    rows = [row["row"] for row in found if row["fidelity_max_abs"] == 0]
    return [_line(top, "exact: bit-equal outputs", GREY, "dot", "left", rows)] if rows else []


def _line(
    y: float, text: str, colour: str, dash: str, side: str, rows: list[int]
) -> tuple[dict[str, Any], dict[str, Any], list[int]]:
    """A line over the whole width with its words at one end."""
    shape = {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": y,
        "y1": y,
        "line": {"dash": dash, "width": 1.5 if dash == "dash" else 1, "color": colour},
        "layer": "below",
    }
    said = {
        "xref": "paper",
        "x": 1 if side == "right" else 0,
        "y": y,
        "text": text,
        "showarrow": False,
        "xanchor": side,
        "yanchor": "top" if dash == "dash" else "bottom",
        "font": {"color": colour, "size": 12},
    }
    return shape, said, rows


def _front(group: Sequence[Record], factor: float, chosen: str) -> Trace:
    """The rows that no other row of the setting beats in both latency and cost; emulated ones never count."""
    best: list[Record] = []
    for row in sorted(group, key=lambda row: (row["latency_median_s"], -row["y"])):
        if Status(row["status"]).can_ship and (not best or row["y"] > best[-1]["y"]):
            best.append(row)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "Pareto front",
        "legendgroup": "front",
        "x": column((row["latency_median_s"] for row in best), factor),
        "y": [rounded(row["y"]) for row in best],
        "line": {"color": GREY, "width": 1, "dash": "dot", "shape": "hv"},
        "hoverinfo": "skip",
        "meta": {"rows": [row["row"] for row in best], "facets": {"run": chosen}, "legend": "front"},
    }
