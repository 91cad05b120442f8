"""Whole rows of chosen cases, as the pages show them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from harness.store import query
from harness.store.clock import settled
from harness.store.columns import COLUMNS, JSON
from harness.store.rows import Row

if TYPE_CHECKING:
    import pandas as pd

BRIEF: Final = tuple(
    name
    for name in query.LIGHT
    if name
    not in {
        "host", "settings", "noise", "floor_s", "kernels", "operators", "arithmetic", "computation", "steps",
        "provider_options", "session_config", "reference", "fidelity_parts",
    }
)  # fmt: skip
"""What is read of rows that stand in lists and charts: the rest only a case's page shows, and most of it is text to
decode."""


def picked(keys: pd.DataFrame, columns: Sequence[str] = query.LIGHT) -> list[Row]:
    """Rows of the chosen cases, with no number that is not finite."""
    found = query.pick(keys, columns)
    for name in columns:
        if (finite := _finite_of(COLUMNS[name])) is not None:
            for row in found:
                row[name] = finite(row[name])
    return found


def _finite_of(kind: Any) -> Callable[[Any], Any] | None:
    """What makes a column's values finite; None where it holds no number that could be anything else."""
    if kind is not JSON:
        return _finite if _holds_floats(kind) else None
    # The rows of a run have most of their JSON in common: the same objects, which are looked at once.
    known: dict[int, tuple[Any, Any]] = {}

    def finite(value: Any) -> Any:
        if value is None:
            return None
        if id(value) not in known:
            known[id(value)] = value, _finite(value)
        return known[id(value)][1]

    return finite


def _holds_floats(kind: Any) -> bool:
    if isinstance(kind, Mapping):
        return any(_holds_floats(one) for one in kind.values())
    return _holds_floats(kind[0]) if isinstance(kind, list) else kind in (float, JSON)


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
