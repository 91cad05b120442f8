"""How far an axis of the dashboard follows intervals."""

from __future__ import annotations

from typing import Any

import pytest

from harness.report.figures import base


@pytest.mark.parametrize(
    ("high", "axis"),
    [
        (11.0, {}),
        (None, {}),
        (1e12, {"autorangeoptions": {"clipmax": 20_000.0}}),
    ],
)
def test_one_wide_interval_does_not_make_the_others_a_line_at_zero(high: float | None, axis: dict[str, object]) -> None:
    """Twice the largest value is the end of the axis, in the unit of the chart; other intervals change nothing."""
    rows: list[dict[str, Any]] = [
        {"value": 10.0, "high": high},
        {"value": 1.0, "high": 1.1},
        {"value": None, "high": None},
    ]
    assert axis == base.within(rows, "value", "high", 1e3)
    assert {} == base.within([], "value", "high", 1.0)
