"""Rows as tables: what is in a cell, and how numbers are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness import budget
from harness.cli import result_columns
from harness.cli.result_columns import STYLES, accuracy, fidelity, interval
from harness.layout import TextTable
from harness.records import Status
from harness.units import seconds, size

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

NOT_COMPARED = "bold: to ship; speed-ups lie within one run, host and runtime"


def model_table(model: str, rows: Sequence[Row], *, around: result_columns.Around | None = None) -> TextTable:
    """Every case of one model that has numbers; of the columns those that hold something.

    Args:
        model: its name.
        rows: what is shown.
        around: what is known of the rows that they are compared with; these where none is given.
    """
    weights = next((r["weights"] for r in rows if r.get("weights")), None)
    title = f"{model}  ({weights['kind']} weights {weights['digest'][:8]})" if weights else model
    several = len(settings(rows, around)) > 1
    measured = [row for row in rows if row.get("latency")]
    columns = [*result_columns.USUAL]
    if any(row["status"] != Status.MEASURED for row in measured):
        columns = [replace(one, rank=1) if one.name == "status" else one for one in columns]
    if several:
        columns.append(replace(result_columns.BY_NAME["measured on"], rank=1))
    return result_columns.grid(measured, columns, title=title, around=around).without_empty()


def settings(rows: Sequence[Row], around: result_columns.Around | None = None) -> set[tuple[Any, ...]]:
    """In how many runs, and on how many hosts and runtimes, rows with a latency were measured."""
    of_row = budget.setting if around is None else around.settings.of
    return {of_row(row) for row in rows if row.get("latency")}


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
