"""Numbers as the dashboard writes them."""

from __future__ import annotations

import math

import pytest

from harness.report import wording


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.0123, "seconds", "12.3 ms"),
        (2.0, "seconds", "2.00 s"),
        (3.74e-05, "seconds", "37.4 µs"),
        (0.0, "seconds", "0.00 µs"),
        (12_300_000, "bytes", "12.3 MB"),
        (512, "bytes", "512 B"),
        (40.04, "dB", "40.0 dB"),
        (0.1234, "percent", "12.34%"),
        (0.02, "noise to signal", "0.02 noise to signal"),
        (None, "seconds", "-"),
        (math.nan, "bytes", "-"),
        (math.inf, "seconds", "-"),
    ],
)
def test_number(value: float | None, unit: str, said: str) -> None:
    """A unit that fits, three digits, and a dash for what is not a number."""
    assert said == wording.number(value, unit)


def test_interval_shares_a_unit() -> None:
    """Both ends are written in the unit of the upper one."""
    assert "0.90 to 1.10 ms" == wording.interval(0.0009, 0.0011, "seconds")
    assert "-" == wording.interval(None, 1.0, "seconds")


def test_fidelity_is_never_called_accuracy() -> None:
    """What needs no labels is written in decibels; equal outputs are exact."""
    assert "exact" == wording.fidelity({"fidelity": {"max_abs": 0, "centred_sqnr_db": None}})
    row = {"fidelity": {"max_abs": 1.0, "centred_sqnr_db": 27.12, "top1_agreement": 0.99}}
    assert "27.1 dB, 99% top-1 agreement" == wording.fidelity(row)
    assert "-" == wording.accuracy(row)


def test_change() -> None:
    """A ratio as the change that it is."""
    assert "+12.5%" == wording.change(1.125)
    assert "-50.0%" == wording.change(0.5)
    assert "+200%" == wording.change(3.0)


def test_when() -> None:
    """Times are in UTC, to the minute; what is not a time stays as it is."""
    assert "2026-01-31 09:15" == wording.when("2026-01-31T10:15:02+01:00")
    assert "2026-01-31 09:00" == wording.when(1_769_850_000_000)
    assert "soon" == wording.when("soon")
    assert "-" == wording.when(None)
