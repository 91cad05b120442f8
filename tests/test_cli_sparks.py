"""Plots of one line."""

from __future__ import annotations

import pytest

from harness.cli.sparklines import fits, relative, spark, whisker


def test_spark_runs_from_smallest_to_largest() -> None:
    """Failures are marked, and only the newest are shown."""
    assert "▁x█" == spark([1.0, None, 2.0])
    assert "_x#" == spark([1.0, None, 2.0], blocks=False)
    assert "▁█" == spark([9.0, 1.0, 2.0], width=2)
    assert "" == spark([])


def test_spark_of_no_change_is_level() -> None:
    """One height, wherever it is."""
    assert 1 == len(set(spark([3.0, 3.0, 3.0])))
    assert "xx" == spark([None, None])


def test_whisker() -> None:
    """The value between the ends of its interval, on an axis that all lines share."""
    line = whisker(2.0, (1.0, 3.0), (0.0, 4.0), blocks=False)
    assert 25 == len(line)
    assert "-" * 6 + "o" + "-" * 6 == line.strip()
    assert "o" == whisker(4.0, None, (0.0, 4.0), blocks=False)[-1]
    assert "●" == whisker(1.0, None, (1.0, 1.0), blocks=True).strip()


@pytest.mark.parametrize(
    ("encoding", "fit"), [("utf-8", True), ("ascii", False), ("latin-1", False), (None, False), ("no such", False)]
)
def test_fits(encoding: str | None, fit: bool) -> None:
    """Terminals that cannot draw blocks get plain ASCII."""
    assert fit == fits(encoding)


def test_plots_of_one_span_can_be_compared() -> None:
    """A step of the same height is the same ratio, whatever the values are; what was not tried is a gap."""
    assert "▁x█" == relative([1.0, None, 1.1], 1.1)
    assert relative([1.0, 1.0, 2.0], 4.0) == relative([30.0, 30.0, 60.0], 4.0)
    assert relative([1.0, 1.0, 1.01], 4.0) == relative([1.0, 1.0, 1.0], 4.0)
    assert "█ ▁" == relative([9.0, "", 1.0], 1.5)
    assert "▁" == relative([0.0], 1.5)
    assert "" == relative([], 2.0)
