"""Quantities with their units, as people read and write them: `12.3 ms`, `4.8%`, `10MB`. Standard library only.

The first part writes numbers for sentences, tables and pages, with no more digits than they have earned; the second
reads what the zoo and the command line say.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

LONGEST = 400
"""Characters of a quantity that are looked at."""

NONE = "-"
"""What stands where a number is absent."""

TWICE = 2.0
"""From this ratio on (or below its inverse) times are easier to read than percentages."""

PERFECT_DB = 80.0
"""From here on a difference is float32's own rounding, and nobody asks where it is."""

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
    """A duration with its interval in the same unit, such as `12.3 ms [12.1, 12.6]`; `-` where there is none.

    No duration is below zero: an interval that says so, as other tools and the first versions wrote it, is left out.
    """
    if median is None or not math.isfinite(median) or low is None or high is None or low < 0:
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


def joules(value: float | None) -> str:
    """An energy with its unit, such as `12.3 mJ`; `-` where there is none."""
    if value is None or not math.isfinite(value):
        return NONE
    factor, unit = in_joules(value)
    return f"{digits(value * factor)} {unit}"


def in_joules(value: float) -> tuple[float, str]:
    """The factor and unit that suit an energy: J, mJ or µJ."""
    factor, unit = in_seconds(value)
    return factor, unit.replace("s", "J")


def count(n: int, noun: str, plural: str = "") -> str:
    """A number with its noun, such as `1 case` or `20 pairs`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {plural or noun + 's'}"


def share(value: float) -> str:
    """A share as a percentage, such as `3%`, `4.8%` or `0.05%`: as many decimals as it needs to differ from zero."""
    percent = value * 100
    if abs(percent - round(percent)) < 1e-9 or abs(percent) >= HUNDRED:  # noqa: PLR2004  (0.07 * 100 is not an integer)
        return f"{percent:,.0f}%"
    return f"{percent:.1f}%" if abs(percent) >= 0.0995 else f"{percent:.2g}%"  # noqa: PLR2004


def score(value: float | None, drop: float | None, interval: tuple[float, float] | None = None) -> str:
    """A task metric with its distance to the reference in points, such as `98.20% (-0.40)`; `-` where there is none.

    Args:
        value: as a share of one.
        drop: reference minus value, as a share.
        interval: 95%, of the drop: `98.20% (-0.40 [-1.10, +0.20])`.
    """
    if value is None:
        return NONE
    if drop is None:
        return f"{value:.2%}"
    low, high = (f"{(0.0 - end) * 100:+.2f}" for end in reversed(interval or (0.0, 0.0)))
    return f"{value:.2%} ({(0.0 - drop) * 100:+.2f}{f' [{low}, {high}]' if interval else ''})"


def accuracy(found: Mapping[str, Any] | None) -> str:
    """A row's `accuracy` as `score` writes it, with its interval where there is one."""
    held = found or {}
    low, high = held.get("drop_low"), held.get("drop_high")
    return score(held.get("value"), held.get("drop"), None if low is None or high in (None, low) else (low, high))


def fidelity(found: Mapping[str, Any] | None, *, agreement: str = "top-1 agreement") -> str:
    """A row's `fidelity`, and the part that is the worst, such as `3.1 dB (output0 channel 4), 98.20% equal`.

    `exact` for outputs that are the reference's own, `dead` where a part is constant that should not be.
    """
    held = found or {}
    if held.get("max_abs") == 0:
        return "exact"
    decibels, equal, worst = held.get("centred_sqnr_db"), held.get("equal"), held.get("worst")
    faults = held.get("faults") or ()
    parts = []
    if decibels is not None:
        parts.append(f"{decibels:.1f} dB" + (f" ({worst})" if worst and decibels < PERFECT_DB else ""))
    if equal is not None:
        parts.append(f"{equal:.2%} equal")
    if faults and any(" dead" in fault for fault in faults):
        parts.insert(0, "dead" if parts or not worst else f"dead ({worst})")
    elif faults:
        parts.insert(0, "not comparable")
    if not parts:
        parts.append("random" if " random" in (held.get("reason") or "") else NONE)
    if held.get("top1_agreement") is not None:
        parts.append(f"{held['top1_agreement']:.0%} {agreement}")
    return ", ".join(parts)


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
    """An amount in its unit; `-` where there is none.

    `seconds`, `bytes`, `joules`, `dB`, `fraction` or `share` (percentages), or a count of something.
    """
    if amount is None or not math.isfinite(amount):
        return NONE
    written = _WRITTEN.get(unit)
    if written is not None:
        return written(amount)
    number = f"{amount:,.0f}" if amount == round(amount) else f"{amount:.4g}"
    unit = unit.removesuffix("s") if amount == 1 else unit
    return number if unit == "count" else f"{number} {unit}".rstrip()


_WRITTEN: Mapping[str, Callable[[float], str]] = {
    **dict.fromkeys(("s", "seconds"), seconds),
    **dict.fromkeys(("B", "bytes"), size),
    **dict.fromkeys(("J", "joules"), joules),
    "dB": lambda amount: f"{amount:.1f} dB",
    **dict.fromkeys(("fraction", "share"), lambda amount: f"{amount:.2%}"),
}
"""How amounts of a unit are written."""


# --- reading ---------------------------------------------------------------------------------------------------------

_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
_SECONDS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
"""What a unit of time is in seconds; the same in every option and in the zoo."""

_BYTES = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
PERCENT_PATTERN = rf"^{_NUMBER} ?%$"
DURATION_PATTERN = rf"^{_NUMBER} ?({'|'.join(_SECONDS)})$"
SIZE_PATTERN = rf"^{_NUMBER} ?({'|'.join(_BYTES)})$"


_HERTZ = {"Hz": 1, "kHz": 10**3, "MHz": 10**6, "GHz": 10**9}
_JOULES = {"uJ": 1e-6, "µJ": 1e-6, "mJ": 1e-3, "J": 1.0, "kJ": 1e3}
ENERGY_PATTERN = rf"^{_NUMBER} ?({'|'.join(_JOULES)})$"
FREQUENCY_PATTERN = rf"^{_NUMBER} ?({'|'.join(_HERTZ)})$"


def parse_number(text: str, unit: str) -> float:
    """A number with or without its unit; NaN where it is not one."""
    if not text.isascii() or "_" in text:  # what Python reads as a number and nobody means as one
        return math.nan
    try:
        return float(text.strip().removesuffix(unit))
    except ValueError:
        return math.nan


def parse_share(text: str) -> float:
    """The share that `2%` or `0.02` stands for; NaN where it is neither."""
    return parse_number(text, "%") / (100 if text.strip().endswith("%") else 1)


def parse_duration(text: str, bare: str = "s") -> float:
    """The seconds that `300us`, `20ms`, `90s`, `10m`, `1h` or `30d` stands for; NaN where it is none of these.

    Args:
        text: what was given.
        bare: the unit of a number without one; empty where it needs one.
    """
    given = text.strip()
    if len(given) > LONGEST:
        return math.nan
    found = re.fullmatch(DURATION_PATTERN, given) or (bare and re.fullmatch(DURATION_PATTERN, f"{given}{bare}"))
    return float(found[1]) * _SECONDS[found[2]] if found else math.nan


def parse_zoo_share(value: Any) -> float:
    """Return the share that `2%` or `0.02` stands for.

    Raises:
        ValueError: it is neither, or not above 0 and below 1.
    """
    found = math.nan
    if isinstance(value, str) and re.fullmatch(PERCENT_PATTERN, value):
        found = parse_share(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        found = float(value)
    if not 0 < found < 1:
        raise ValueError(
            f"expected a percentage such as 2%, or a share such as 0.02, between 0% and 100%, found {value!r}"
        )
    return found


def parse_zoo_duration(value: Any) -> float:
    """Return the seconds that `20ms`, `1.5s`, `300us` or `5m` stands for.

    Raises:
        ValueError: it is none of these; a number without a unit could be any of them.
    """
    if isinstance(value, str) and 0 < (found := parse_duration(value, bare="")) < math.inf:
        return found
    raise ValueError(f"expected a duration above 0 with its unit, such as 20ms, 1.5s or 300us, found {value!r}")


def parse_zoo_energy(value: Any) -> float:
    """Return the joules that `20mJ`, `1.5J` or `300uJ` stands for.

    Raises:
        ValueError: it is none of these; a number without a unit could be any of them.
    """
    if isinstance(value, str) and len(value) <= LONGEST and (match := re.fullmatch(ENERGY_PATTERN, value)):
        found = float(match[1]) * _JOULES[match[2]]
        if 0 < found < math.inf:
            return found
    raise ValueError(f"expected an energy above 0 with its unit, such as 20mJ, 1.5J or 300uJ, found {value!r}")


def parse_zoo_frequency(value: Any) -> int:
    """Return the hertz that `1500MHz` or `1.5GHz` stands for.

    Raises:
        ValueError: it is neither, or less than one.
    """
    found = 0.0
    if isinstance(value, str) and (match := re.fullmatch(FREQUENCY_PATTERN, value)):
        found = float(match[1]) * _HERTZ[match[2]]
    if not 1 <= found < math.inf:
        raise ValueError(f"expected a frequency such as 1500MHz or 1.5GHz, found {value!r}")
    return round(found)


def exact(value: int, unit: str) -> str:
    """A whole number with the largest prefix that leaves it whole: `256MB`, `1500MHz`; alone without a unit."""
    if not unit:
        return str(value)
    for factor, prefix in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value % factor == 0:
            return f"{value // factor}{prefix}{unit}"
    return f"{value}{unit}"


def parse_zoo_size(value: Any) -> int:
    """Return the bytes that `10MB`, `512KiB` or a whole number of bytes stands for.

    Raises:
        ValueError: it is none of these, or less than one byte.
    """
    found = 0
    if isinstance(value, str) and (match := re.fullmatch(SIZE_PATTERN, value)):
        exact = float(match[1]) * _BYTES[match[2]]
        found = round(exact) if exact < math.inf else 0
    elif isinstance(value, int) and not isinstance(value, bool):
        found = value
    if found < 1:
        raise ValueError(f"expected a size such as 10MB, 512KiB or a whole number of bytes, found {value!r}")
    return found
