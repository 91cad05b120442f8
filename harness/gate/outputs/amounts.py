"""Numbers as sentences and tables write them. Standard library only."""

from __future__ import annotations

import math

TWICE = 2.0
"""From this ratio on (or below its inverse) times are easier to read than percentages."""


def digits(value: float) -> str:
    """Three significant digits, never in exponent form."""
    size = abs(value)
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"  # noqa: PLR2004


def seconds(value: float | None) -> str:
    """A duration with its unit, such as `12.3 ms`; `-` where there is none."""
    if value is None:
        return "-"
    for factor, unit in ((1, "s"), (1e3, "ms")):
        if value * factor >= 1:
            return f"{digits(value * factor)} {unit}"
    return f"{digits(value * 1e6)} us"


def size(value: float | None) -> str:
    """Bytes with a decimal unit, such as `12.3 MB`; `-` where there is none."""
    if value is None:
        return "-"
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= factor:
            return f"{digits(value / factor)} {unit}"
    return f"{value:.0f} B"


def count(n: int, noun: str, plural: str = "") -> str:
    """A number with its noun, such as `1 case` or `20 pairs`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {plural or noun + 's'}"


def share(value: float) -> str:
    """A share as a percentage, such as `3%`, `4.8%` or `0.05%`: as many decimals as it needs to be told from zero."""
    percent = value * 100
    if percent == round(percent) or abs(percent) >= 100:  # noqa: PLR2004
        return f"{percent:.0f}%"
    return f"{percent:.1f}%" if abs(percent) >= 0.05 else f"{percent:.2g}%"  # noqa: PLR2004


def points(value: float) -> str:
    """A share of accuracy in points of a hundred, such as `1 point` or `0.5 points`."""
    number = f"{value * 100:.2f}".rstrip("0").rstrip(".")
    return f"{number} point{'' if number == '1' else 's'}"


def change(ratio: float, *, sign: bool = False) -> str:
    """What a ratio means as a change, such as `4.8%`; with `sign`, `+4.8%` or `-1.2%`."""
    percent = (ratio - 1) * 100
    size = abs(percent)
    decimals = 1 if size >= 0.05 else 2  # noqa: PLR2004
    number = f"{size:.{decimals}f}" if size >= 0.005 else "0.0"  # noqa: PLR2004
    prefix = ("+" if percent > 0 else "-") if sign and number != "0.0" else ""
    return f"{prefix}{number}%"


def value(amount: float | None, unit: str) -> str:
    """An amount of a finding in its unit: `seconds`, `bytes`, `dB`, `fraction` or `share` (percentages), or a count."""
    if amount is None or not math.isfinite(amount):
        return "-"
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
            return number if unit == "count" else f"{number} {unit}".rstrip()
