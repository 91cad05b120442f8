"""harness.cli.tables and console: how numbers are written."""

from __future__ import annotations

import re
from typing import Any

import pytest

from harness import shown
from harness.cli import console, remaining, summary, tables
from harness.store.rows import to_row
from tests import outcomes


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.234, "1.23 s"),
        (0.0123, "12.3 ms"),
        (0.999e-3, "999 µs"),
        (5.678e-6, "5.68 µs"),
        (2e-7, "0.20 µs"),
        (None, "-"),
    ],
)
def test_durations_have_three_digits_and_a_unit(value: float | None, text: str) -> None:
    """No exponents, and nothing invented for what is unknown."""
    assert text == tables.seconds(value)


def test_an_interval_has_the_unit_of_its_median() -> None:
    """Bounds on either side of a unit's edge are still comparable by eye."""
    latency = {"median_s": 1.02e-3, "ci95_low_s": 0.98e-3, "ci95_high_s": 1.1e-3}
    assert "1.02 ms [0.98, 1.10]" == tables.interval(latency)


def test_no_interval_of_a_duration_is_negative() -> None:
    """Stores of other tools and first versions hold some: the median stands alone then."""
    assert "28.2 µs" == tables.interval({"median_s": 28.2e-6, "ci95_low_s": -42.2e-6, "ci95_high_s": 98.7e-6})


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (999, "999 B"), (12_340, "12.3 kB"), (102e6, "102 MB"), (5e9, "5.00 GB")]
)
def test_sizes_are_decimal(value: float | None, text: str) -> None:
    """As disks and file managers count."""
    assert text == tables.size(value)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ({"max_abs": 0.0}, "exact"),
        ({"max_abs": 0.1, "centred_sqnr_db": 31.26}, "31.3 dB"),
        ({"max_abs": 0.1, "centred_sqnr_db": 31.26, "top1_agreement": 0.5}, "31.3 dB, 50% top-1"),
        (None, "-"),
    ],
)
def test_fidelity_is_exact_or_decibels(found: dict[str, Any] | None, text: str) -> None:
    """An exact output has no ratio."""
    assert text == tables.fidelity({"fidelity": found})


@pytest.mark.parametrize(
    ("drop", "text"), [(0.0, "98.00% (+0.00)"), (0.0044, "98.00% (-0.44)"), (-0.01, "98.00% (+1.00)")]
)
def test_a_drop_is_written_as_a_change(drop: float, text: str) -> None:
    """Worse is minus; no change is never minus zero."""
    assert text == tables.accuracy({"accuracy": {"value": 0.98, "drop": drop}})


def test_cases_without_numbers_are_gathered_by_reason() -> None:
    """One line for a provider that is missing, however many cases it had."""
    rows = [{"case": f"m/v{i}/cuda", "status": "unsupported", "reason": "no CUDA", "latency": None} for i in range(5)]
    assert [("unsupported", "no CUDA", [f"m/v{i}/cuda" for i in range(5)])] == tables.without_numbers(rows)
    assert "m/v0/cuda, m/v1/cuda, m/v2/cuda and 2 more" == tables.brief([str(r["case"]) for r in rows])


@pytest.mark.parametrize(("value", "text"), [(40.2, "40 s"), (89, "89 s"), (90, "2 min"), (600, "10 min")])
def test_time_left_is_rounded_for_people(value: float, text: str) -> None:
    """Seconds, then minutes."""
    assert text == remaining.minutes(value)


def test_reasons_are_one_line_and_whole() -> None:
    """What onnxruntime says may be long, and its point comes last."""
    assert "first second" == shown.one_line("first\n  second")
    assert "x" * 1000 == shown.one_line("x" * 1000)
    assert "" == shown.one_line(None)


def stored(variant: str, median_ms: int, **run: Any) -> dict[str, Any]:
    """A stored row whose budget is judged by accuracy."""
    row = to_row(outcomes.run(**run), outcomes.measured(outcomes.case("m", variant), (median_ms * 10**6,) * 3))
    return row | {"budget": {"accuracy_drop": 0.02}}


def show(screen: Any, rows: list[dict[str, Any]]) -> None:
    """Print stored rows as `harness results` does."""
    table = summary.StoredTables(screen)
    table.add(rows)
    table.end()


def test_rows_of_another_runtime_are_named_and_not_compared(capsys: pytest.CaptureFixture[str]) -> None:
    """A faster row of an older onnxruntime and run is not the recommendation, in no table of the terminal."""
    old = stored("int8-static", 1, id="a", started_at="2026-01-01T10:00:00+00:00", versions={"onnxruntime": "1.20.0"})
    new = stored("fp32", 5, id="b", started_at="2026-01-10T10:00:00+00:00", versions={"onnxruntime": "1.31.1"})
    screen = console.Console().out
    show(screen, [old, new])
    said = capsys.readouterr().out
    assert re.search(r"^m/fp32/cpu-t1-b1 +5.00 ms", said.split("Builds to ship")[1], re.MULTILINE)
    assert "m/fp32/cpu-t1-b1: not compared: int8-static (onnxruntime 1.20.0, run of 2026-01-01 10:00)" in said
    assert "onnxruntime 1.20.0, run of 2026-01-01 10:00" in said
    assert tables.NOT_COMPARED in said
    assert 2 == len(tables.settings([old, new]))
    show(screen, [new])
    assert "measured on" not in capsys.readouterr().out
