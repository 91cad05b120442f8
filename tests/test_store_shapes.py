"""harness.store.shapes: an open column holds what readers rely on, or nothing."""

from __future__ import annotations

import json

import pytest

from harness.store import absent, shapes
from harness.store.columns import COLUMNS, JSON
from harness.store.rows import to_row
from tests import outcomes

OPEN = [name for name, kind in COLUMNS.items() if kind is JSON]


def test_every_open_column_has_a_shape() -> None:
    """And what is stored of a whole outcome is of it."""
    assert set(OPEN) == set(shapes.SHAPES)
    row = to_row(outcomes.run(), outcomes.measured())
    held = {name: row[name] for name in OPEN if row[name] is not None}
    assert {"steps", "placement", "versions", "host"} <= held.keys()
    assert held == absent.row({name: json.dumps(value) for name, value in held.items()}, held)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("placement", '{"CPUExecutionProvider": "all"}'), ("time_share", '{"a": {"b": 1}}'), ("floor_s", "[1]"),
        ("kernels", '{"Conv": 1.5}'), ("operators", '{"Conv": null}'), ("fusion", '{"before": {"Conv": NaN}}'),
        ("fusion", '{"after": [1]}'), ("steps", '{"kind": "export"}'), ("steps", '[{"kind": "export", "options": []}]'),
        ("choice", '{"state": "confirmed"}'), ("choice", '{"state": "confirmed", "best": "a", "ratio": "1"}'),
        ("choice", '{"state": "confirmed", "best": "a", "tied": "bc"}'), ("metrics", "[5]"), ("crashes", '{"a": 1}'),
        ("versions", '{"torch": ["2"]}'), ("host", "[]"), ("session_config", '{"a": {"b": "c"}}'),
    ],
)  # fmt: skip
def test_what_is_of_another_kind_reads_as_absent(name: str, text: str) -> None:
    """No reader meets it."""
    assert {name: None} == absent.row({name: text}, [name])


def test_numbers_that_json_does_not_have_are_absent() -> None:
    """Whatever writes them again is refused otherwise."""
    written = {"placement": '{"a": NaN}', "host": '{"a": [-Infinity], "b": 1e999, "c": 1}'}
    assert {"placement": None, "host": {"a": [None], "b": None, "c": 1}} == absent.row(written, written)


def test_values_that_rows_share_are_parsed_once() -> None:
    """Thousands of rows have the same host, and a column's kind is not another one's."""
    first, second = (
        absent.row({"host": '{"cpu": "A"}', "placement": '{"cpu": "A"}'}, ["host", "placement"]) for _ in "ab"
    )
    assert first["host"] is second["host"]
    assert first["placement"] is None
