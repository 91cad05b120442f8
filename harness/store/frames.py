"""Rows as tables of scalars, for charts and CSV."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.store.columns import COLUMNS
from harness.store.query import LIGHT
from harness.store.rows import Row

if TYPE_CHECKING:
    import pandas as pd


def frame(found: Sequence[Row], columns: Collection[str] | None = None) -> pd.DataFrame:
    """Rows as a table of scalars: `latency_median_s` and so on; open-ended mappings and lists are JSON text.

    Whole numbers stay whole where some are absent.

    Args:
        found: rows.
        columns: which are wanted; None takes all.
    """
    import pandas as pd

    dtypes: dict[Any, Any] = {int: "Int64", float: "Float64", bool: "boolean"}
    arrays: dict[str, Any] = {}
    for name in LIGHT:
        kind = COLUMNS[name]
        inner: Mapping[str | None, Any] = kind if isinstance(kind, Mapping) else {None: kind}
        for key, of in inner.items():
            column = name if key is None else f"{name}_{key}"
            if columns is None or column in columns:
                values = [_scalar(row[name], key) for row in found]
                arrays[column] = pd.array(values, dtype=dtypes.get(of, "string") if isinstance(of, type) else "string")
    return pd.DataFrame(arrays)


def _scalar(value: Any, key: str | None) -> Any:
    if key is not None:
        return value[key] if value else None
    return json.dumps(value) if isinstance(value, (dict, list)) else value
