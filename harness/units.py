"""Numbers as sentences, tables and pages write them: with a unit, and no more digits than they have earned."""

from __future__ import annotations

import math

NONE = "-"
"""What stands where a number is absent."""

TWICE = 2.0
"""From this ratio on (or below its inverse) times are easier to read than percentages."""

HUNDRED, TEN, ONE = 99.95, 9.995, 0.9995
"""What three digits round up to the next power of ten: from there on there is one decimal less, or the next unit."""


def digits(value: float) -> str:
    """Three significant digits, never in exponent form; thousands are separated."""
    size = abs(value)
    return f"{value:,.0f}" if size >= HUNDRED else f"{value:.1f}" if size >= TEN else f"{value:.2f}"


def seconds(value: float | None) -> str:
    """A duration with its unit, such as `12.3 ms`; `-` where there is none."""
    if value is None or not math.isfinite(value):
        return NONE
    return f"{digits(value * in_seconds(value)[0])} {in_seconds(value)[1]}"


def in_seconds(value: float) -> tuple[float, str]:
    """The factor and unit that suit a duration: s, ms or µs."""
    for factor, unit in ((1.0, "s"), (1e3, "ms")):
        if abs(value) * factor >= ONE:
            return factor, unit
    return 1e6, "µs"


def interval(median: float | None, low: float | None, high: float | None) -> str:
    """A duration with its interval in the same unit, such as `12.3 ms [12.1, 12.6]`; `-` where there is none."""
    if median is None or not math.isfinite(median) or low is None or high is None:
        return seconds(median)
    factor, unit = in_seconds(median)
    return f"{digits(median * factor)} {unit} [{digits(low * factor)}, {digits(high * factor)}]"


def size(value: float | None) -> str:
    """Bytes with a decimal unit, such as `12.3 MB`; `-` where there is none."""
    if value is None or not math.isfinite(value):
        return NONE
    factor, unit = in_bytes(value)
    return f"{digits(value * factor)} {unit}" if unit != "B" else f"{value:.0f} B"


def in_bytes(value: float) -> tuple[float, str]:
    """The factor and decimal unit that suit a number of bytes: GB, MB, kB or B."""
    for factor, unit in ((1e-9, "GB"), (1e-6, "MB"), (1e-3, "kB")):
        if abs(value) * factor >= ONE:
            return factor, unit
    return 1.0, "B"


def count(n: int, noun: str, plural: str = "") -> str:
    """A number with its noun, such as `1 case` or `20 pairs`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {plural or noun + 's'}"


def share(value: float) -> str:
    """A share as a percentage, such as `3%`, `4.8%` or `0.05%`: as many decimals as it needs to be told from zero."""
    percent = value * 100
    if abs(percent - round(percent)) < 1e-9 or abs(percent) >= HUNDRED:  # noqa: PLR2004  (0.07 * 100 is not an integer)
        return f"{percent:,.0f}%"
    return f"{percent:.1f}%" if abs(percent) >= 0.0995 else f"{percent:.2g}%"  # noqa: PLR2004


def score(value: float | None, drop: float | None) -> str:
    """A task metric with its distance to the reference in points, such as `98.20% (-0.40)`; `-` where there is none."""
    if value is None:
        return NONE
    return f"{value:.2%}" + ("" if drop is None else f" ({(0.0 - drop) * 100:+.2f})")


def points(value: float) -> str:
    """A share of accuracy in points of a hundred, such as `1 point` or `0.5 points`."""
    number = f"{value * 100:.2f}".rstrip("0").rstrip(".")
    return f"{number} point{'' if number == '1' else 's'}"


def change(ratio: float, *, sign: bool = False) -> str:
    """What a ratio means as a change, such as `4.8%`; with `sign`, `+4.8%` or `-1.2%`."""
    percent = (ratio - 1) * 100
    magnitude = abs(percent)
    if magnitude >= HUNDRED:
        number = f"{magnitude:,.0f}"
    else:
        number = f"{magnitude:.{1 if magnitude >= 0.05 else 2}f}" if magnitude >= 0.005 else "0.0"  # noqa: PLR2004
    prefix = ("+" if percent > 0 else "-") if sign and number != "0.0" else ""
    return f"{prefix}{number}%"


def value(amount: float | None, unit: str) -> str:
    """An amount in its unit: `seconds`, `bytes`, `dB`, `fraction` or `share` (percentages), or a count of something."""
    if amount is None or not math.isfinite(amount):
        return NONE
    match unit:
        case "s" | "seconds":
            return seconds(amount)
        case "B" | "bytes":
            return size(amount)
        case "dB":
            return f"{amount:.1f} dB"
        case "fraction" | "share":
            return f"{amount:.2%}"
        case _:
            number = f"{amount:,.0f}" if amount == round(amount) else f"{amount:.4g}"
            unit = unit.removesuffix("s") if amount == 1 else unit
            return number if unit == "count" else f"{number} {unit}".rstrip()
