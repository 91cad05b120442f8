"""The charts of a model's page. Every function takes the frame of `harness.report.pages.model.table`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from harness.report import words
from harness.report.figures.base import (
    Figure,
    Record,
    Trace,
    axis,
    bars,
    column,
    figure,
    hover,
    label,
    marker,
    records,
    rounded,
)
from harness.report.palette import Mark

if TYPE_CHECKING:
    import pandas as pd

SETTING: Final = ("target", "fingerprint", "weights_digest")
"""What rows share that may be set against each other."""

MEDIAN: Final = ("latency_median_s", "latency_ci95_low_s", "latency_ci95_high_s")


def pareto(frame: pd.DataFrame | Sequence[Record], marks: Mapping[str, Mark], by: str) -> Figure:
    """What a variant costs against how fast it is, with the Pareto front of each setting and the budget's line.

    Args:
        frame: rows of one model.
        marks: a mark for every variant.
        by: `accuracy` (task metric on labelled data) or `fidelity` (centred SQNR; bit-equal outputs lie on top).
    """
    found = [row for row in records(frame) if row["latency_median_s"] is not None]
    top = max((row["fidelity_centred_sqnr_db"] or 0.0 for row in found), default=0.0) + 10
    for row in found:
        row["y"] = _cost(row, by, top)
    found = [row for row in found if row["y"] is not None]
    factor, unit = words.scale([row["latency_median_s"] for row in found], "seconds")
    traces = [_front(group, factor, chosen) for chosen, group in _groups(found, SETTING)]
    for variant, group in _by(found, "variant").items():
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
    y = axis(f"accuracy: {metric}, %") if by == "accuracy" else axis("fidelity: centred SQNR, dB")
    limit = _limit(found, by)
    shapes = [_line(limit)] if limit is not None else []
    return figure(
        traces,
        height=420,
        xaxis=axis(f"median latency, {unit}", rangemode="tozero"),
        yaxis=y,
        shapes=shapes,
        annotations=[_said(limit, by)] if limit is not None else [],
    )


def latency(frame: pd.DataFrame | Sequence[Record], marks: Mapping[str, Mark]) -> Figure:
    """Median latency with its 95% interval, a line per variant and target."""
    found = [row for row in records(frame) if row["latency_median_s"] is not None]
    factor, unit = words.scale([row["latency_median_s"] for row in found], "seconds")
    traces: list[Trace] = []
    for variant, group in _by(found, "variant").items():
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
        xaxis=axis(f"median latency, {unit}", rangemode="tozero"),
        yaxis=axis(type="multicategory", autorange="reversed"),
    )


def scaling(frame: pd.DataFrame | Sequence[Record], marks: Mapping[str, Mark], by: str) -> Figure | None:
    """Examples per second over threads or batch, a line per variant and remaining setting.

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
    keys = ("variant", "target_name", "inter_threads", other, "fingerprint", "weights_digest")
    traces: list[Trace] = []
    for chosen, group in _groups(found, keys):
        group.sort(key=lambda row: row[by])
        for row in group:
            row["rate"], row["slow"], row["fast"] = (
                row["batch"] / row[end] if row[end] else None for end in (MEDIAN[0], MEDIAN[2], MEDIAN[1])
            )
        first, variant = group[0], group[0]["variant"]
        tail = f"{label(first['target_name'], 20)}, " + (
            f"batch {first['batch']}" if by == "intra_threads" else f"{first['intra_threads']} threads"
        )
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
                "text": [f"{hover(row)}<br>{words.digits(row['rate'])} examples per second ({tail})" for row in group],
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
        yaxis=axis("examples per second", rangemode="tozero"),
    )


PARTS: Final = {
    "artifact_bytes": ("Artifact size", "bytes"),
    "peak_rss_bytes": ("Peak memory of the worker", "bytes"),
    "session_s": ("Session creation", "seconds"),
    "first_inference_s": ("First inference", "seconds"),
}
"""Column -> what it is called, and its unit."""


def footprint(frame: pd.DataFrame | Sequence[Record], marks: Mapping[str, Mark], key: str) -> Figure:
    """One of `PARTS` over the variants."""
    title, kind = PARTS[key]
    there = [row for row in records(frame) if row[key] is not None]
    factor, unit = words.scale([row[key] for row in there], kind)
    traces: list[Trace] = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": label(variant),
            "x": column((row[key] for row in group), factor),
            "y": [label(variant, 22)] * len(group),
            "marker": marker(marks[variant], group),
            "text": [f"<b>{label(row['case'], 80)}</b><br>{title}: {words.number(row[key], kind)}" for row in group],
            "hoverinfo": "text",
            "meta": {"rows": [row["row"] for row in group]},
        }
        for variant, group in _by(there, "variant").items()
    ]
    return figure(
        traces,
        height=280,
        showlegend=False,
        xaxis=axis(f"{title.lower()}, {unit}", rangemode="tozero"),
        yaxis=axis(autorange="reversed", type="category"),
    )


def _cost(row: Record, by: str, top: float) -> float | None:
    if by == "accuracy":
        return None if row["accuracy_value"] is None else row["accuracy_value"] * 100
    if row["fidelity_max_abs"] == 0:
        return top
    found: float | None = row["fidelity_centred_sqnr_db"]
    return found


def _limit(found: Sequence[Record], by: str) -> float | None:
    """Where the budget's line lies; None without one, or where the rows do not agree on it."""
    if by == "fidelity":
        limits = {row["budget_fidelity_db"] for row in found}
    else:
        limits = {
            None
            if row["budget_accuracy_drop"] is None or row["accuracy_reference"] is None
            else round((row["accuracy_reference"] - row["budget_accuracy_drop"]) * 100, 6)
            for row in found
        }
    return limits.pop() if len(limits) == 1 else None


def _line(limit: float) -> dict[str, Any]:
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": limit,
        "y1": limit,
        "line": {"dash": "dash", "width": 1.5, "color": "#d55e00"},
    }


def _said(limit: float, by: str) -> dict[str, Any]:
    text = f"budget: at least {limit:.2f} %" if by == "accuracy" else f"budget: at least {limit:g} dB"
    return {
        "xref": "paper",
        "x": 1,
        "y": limit,
        "text": text,
        "showarrow": False,
        "xanchor": "right",
        "yanchor": "top",
        "font": {"color": "#d55e00", "size": 12},
    }


def _front(group: Sequence[Record], factor: float, chosen: str) -> Trace:
    """The rows that no other row of the setting beats in both latency and cost; emulated ones never count."""
    best: list[Record] = []
    for row in sorted(group, key=lambda row: (row["latency_median_s"], -row["y"])):
        if row["status"] == "measured" and (not best or row["y"] > best[-1]["y"]):
            best.append(row)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "Pareto front",
        "legendgroup": "front",
        "x": column((row["latency_median_s"] for row in best), factor),
        "y": [rounded(row["y"]) for row in best],
        "line": {"color": "#8a8f98", "width": 1, "dash": "dot", "shape": "hv"},
        "hoverinfo": "skip",
        "meta": {"rows": [row["row"] for row in best], "facets": {"run": chosen}, "legend": "front"},
    }


def _by(found: Sequence[Record], key: str) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = {}
    for row in found:
        groups.setdefault(row[key], []).append(row)
    return groups


def _groups(found: Sequence[Record], keys: Sequence[str]) -> list[tuple[str, list[Record]]]:
    """Rows that agree on `keys`, apart for every choice of runs (`sets`) that they belong to."""
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for row in found:
        for chosen in row["sets"]:
            groups.setdefault((chosen, *(row[key] for key in keys)), []).append(row)
    return [(str(key[0]), group) for key, group in groups.items()]
