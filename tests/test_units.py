"""harness.units: what people write for shares, durations and sizes, in the zoo and on the command line."""

from __future__ import annotations

import math
from typing import Any

import pytest

from harness import units


@pytest.mark.parametrize(
    ("text", "expected"), [("2%", 0.02), ("0.02", 0.02), (" 5 % ", 0.05), ("0", 0.0), (".5%", 0.005), ("-3%", -0.03)]
)
def test_share(text: str, expected: float) -> None:
    """A percentage or a share; whether it makes sense is for whoever asked."""
    assert pytest.approx(expected) == units.parse_share(text)


@pytest.mark.parametrize("text", ["", "x", "2%%", "two", "3dB", "%"])
def test_share_that_is_not_one(text: str) -> None:
    """Anything else is not a number."""
    assert math.isnan(units.parse_share(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90), ("90s", 90), ("1.5m", 90), ("1 h", 3600), ("0", 0), ("20ms", 0.02), ("30d", 2592000)],
)
def test_long_duration(text: str, expected: float) -> None:
    """Any unit of time; without one they are seconds."""
    assert expected == units.parse_duration(text)


@pytest.mark.parametrize("text", ["", "1w", "-1s", "ms", "1:30", "1e3s", "9" * 500])
def test_long_duration_that_is_not_one(text: str) -> None:
    """Anything else is not a number."""
    assert math.isnan(units.parse_duration(text))


@pytest.mark.parametrize(
    ("value", "expected"), [("20ms", 0.02), ("1.5s", 1.5), ("300us", 3e-4), ("1 s", 1.0), ("5m", 300.0)]
)
def test_zoo_duration(value: str, expected: float) -> None:
    """A duration of an inference, always with its unit."""
    assert pytest.approx(expected) == units.parse_zoo_duration(value)


@pytest.mark.parametrize("mu", ["u", "\N{MICRO SIGN}", "\N{GREEK SMALL LETTER MU}"])
def test_millionths_are_written_in_three_ways(mu: str) -> None:
    """Of seconds and of joules; the two signs look the same."""
    assert pytest.approx(5e-6) == units.parse_zoo_duration(f"5{mu}s")
    assert pytest.approx(5e-6) == units.parse_zoo_energy(f"5{mu}J")


@pytest.mark.parametrize(
    ("value", "expected"), [("10MB", 10**7), ("512KiB", 2**19), (1000, 1000), ("1.5 kB", 1500), ("2B", 2)]
)
def test_zoo_size(value: Any, expected: int) -> None:
    """A size with a decimal or a binary unit, or in bytes."""
    assert expected == units.parse_zoo_size(value)


@pytest.mark.parametrize(("value", "expected"), [("2%", 0.02), (0.02, 0.02), ("99.5 %", 0.995)])
def test_zoo_share(value: Any, expected: float) -> None:
    """A percentage, or a share as a number."""
    assert pytest.approx(expected) == units.parse_zoo_share(value)


@pytest.mark.parametrize(
    ("parse", "value", "expected"),
    [
        (units.parse_zoo_share, "0.02", "a percentage such as 2%"),
        (units.parse_zoo_share, 2, "a percentage such as 2%"),
        (units.parse_zoo_share, True, "a percentage such as 2%"),
        (units.parse_zoo_share, "nan%", "a percentage such as 2%"),
        (units.parse_zoo_duration, 20, "a duration above 0 with its unit"),
        (units.parse_zoo_duration, "0ms", "a duration above 0 with its unit"),
        (units.parse_zoo_duration, "10", "a duration above 0 with its unit"),
        (units.parse_zoo_duration, "9" * 400 + "s", "a duration above 0 with its unit"),
        (units.parse_zoo_size, "9" * 400 + "GB", "a size such as 10MB"),
        (units.parse_zoo_size, "0B", "a size such as 10MB"),
        (units.parse_zoo_size, True, "a size such as 10MB"),
        (units.parse_zoo_size, 1.5, "a size such as 10MB"),
    ],
)
def test_zoo_refuses(parse: Any, value: Any, expected: str) -> None:
    """What is expected is said, with what was found."""
    with pytest.raises(ValueError, match=expected) as caught:
        parse(value)
    assert f"found {value!r}" in str(caught.value)
