"""Rows as tables: what is in a cell, and how numbers are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from harness import budget, units
from harness.metrics import METRICS, stored
from harness.shown import cell
from harness.store.rows import measured_on, tell_apart
from harness.units import NONE, seconds, size, value

__all__ = [
    "STYLES",
    "Row",
    "accuracy",
    "brief",
    "fidelity",
    "interval",
    "model_table",
    "seconds",
    "size",
    "without_numbers",
]  # fmt: skip

Row = Mapping[str, Any]

NOT_COMPARED = (
    "bold: the fastest inside the budget of the newest rows that were measured together; rows of other runs, hosts or "
    "runtimes are not compared with it"
)

SHOWN = tuple(metric for metric in METRICS if metric.short)
"""Metrics with a column that shows their value and nothing else."""

STYLES = {
    "measured": "green",
    **dict.fromkeys(("mixed", "unverified", "emulated"), "yellow"),
    **dict.fromkeys(("unsupported", "skipped"), "dim"),
    "failed": "bold red",
}


def interval(latency: Row) -> str:
    """The median with its interval, such as `12.3 ms [12.1, 12.6]`."""
    return units.interval(latency.get("median_s"), latency.get("ci95_low_s"), latency.get("ci95_high_s"))


def fidelity(row: Row) -> str:
    """Closeness of the worst part, `exact` for equal outputs, and top-1 agreement where it means something."""
    return units.fidelity(row.get("fidelity"), agreement="top-1")


def accuracy(row: Row) -> str:
    """The task metric and its drop, such as `98.2% (-0.4)`: points against the reference."""
    return units.accuracy(row.get("accuracy"))


def model_table(model: str, rows: Sequence[Row]) -> Table:
    """Every case of one model that has numbers."""
    weights = next((r["weights"] for r in rows if r.get("weights")), None)
    title = f"{model}  ({weights['kind']} weights {weights['digest'][:8]})" if weights else model
    table = Table(
        title=cell(title), title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False
    )
    for name in ("variant", "target"):
        table.add_column(name, no_wrap=True)
    for name in (
        "p50 [95% interval]",
        "p90 ≤",
        "speed-up",
        "fidelity",
        "accuracy",
        "size",
        *(one.short for one in SHOWN),
    ):
        table.add_column(name, justify="right")
    table.add_column("status")
    several = len(settings(rows)) > 1
    measured = [dict(row) for row in rows if row.get("latency")]
    if several:
        table.add_column("measured on")
    best = budget.fastest(rows)
    baselines, measured_where = budget.Baselines(rows), tell_apart(measured)
    for row in rows:
        if not row.get("latency"):
            continue
        speedup = baselines.speedup(row)
        chosen = best.get((model, row["target"])) is row
        over = budget.excess(row)
        table.add_row(
            cell(row["variant"], style="bold" if chosen else ""),
            cell(row["target"]),
            interval(row["latency"]),
            seconds(row["latency"].get("p90_s")),
            NONE if speedup is None else f"{speedup:.2f}x",
            cell(fidelity(row), style="red" if over and ("fidelity" in over or budget.faulty(row)) else ""),
            cell(accuracy(row), style="red" if over and "drops" in over else ""),
            size((row.get("artifact") or {}).get("bytes")),
            *(value(stored(row, one.column), one.unit) for one in SHOWN),
            cell(row["status"], style=STYLES[row["status"]]),
            *([cell(measured_where(dict(row)))] if several else []),
        )
    return table


def settings(rows: Sequence[Row]) -> set[tuple[Any, ...]]:
    """In how many runs, and on how many hosts and runtimes, rows with a latency were measured."""
    return {budget.setting(row) for row in rows if row.get("latency")}


def apart(row: Row, other: Row) -> str:
    """A row that is not compared with another one, and in what they differ."""
    return f"{row['variant']} ({measured_on(dict(row), [dict(other)])})"


def without_numbers(rows: Sequence[Row]) -> list[tuple[str, str, list[str]]]:
    """Cases without a number, gathered by status and reason: (status, reason, case ids)."""
    groups: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if not row.get("latency"):
            groups.setdefault((row["status"], row["reason"] or "no reason was given"), []).append(row["case"])
    return [(status, reason, ids) for (status, reason), ids in groups.items()]


def brief(ids: Sequence[str], most: int = 3) -> str:
    """A few case ids, and how many more there are."""
    return ", ".join(ids[:most]) + (f" and {len(ids) - most} more" if len(ids) > most else "")
