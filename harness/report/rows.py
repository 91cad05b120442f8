"""Whole rows of chosen cases, as the pages show them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.store import query
from harness.store.clock import settled
from harness.store.rows import Row

if TYPE_CHECKING:
    import pandas as pd


def picked(keys: pd.DataFrame, columns: Sequence[str] = query.LIGHT) -> list[Row]:
    """Rows of the chosen cases, with no number that is not finite."""
    return [{name: _finite(value) for name, value in row.items()} for row in query.pick(keys, columns)]


def _finite(value: Any) -> Any:
    """What DuckDB read, with None for numbers that are not finite."""
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is dict:
        return {name: _finite(entry) for name, entry in value.items()}
    return [_finite(entry) for entry in value] if kind is list else value


def ordered(rows: Sequence[Row]) -> list[Row]:
    """Rows by case in natural order, newest run first."""
    newest_first = sorted(rows, key=lambda row: (settled(row["run_started_at"]), row["run"]), reverse=True)
    return sorted(newest_first, key=lambda row: query.natural(row["case"]))
