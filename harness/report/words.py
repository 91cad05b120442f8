"""Numbers as a reader wants them: a unit, and no more digits than the number has earned."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from harness.amounts import NONE, digits

__all__ = [
    "NONE",
    "accuracy",
    "change",
    "digits",
    "fidelity",
    "interval",
    "latency",
    "number",
    "plural",
    "ratio",
    "scale",
    "when",
]


def scale(values: Iterable[float | None], unit: str) -> tuple[float, str]:
    """One factor and unit for an axis: what `unit` (seconds, bytes or anything) is multiplied by, and its symbol."""
    sizes = sorted(abs(v) for v in values if v is not None and math.isfinite(v) and v)
    typical = sizes[len(sizes) // 2] if sizes else 0.0
    if unit == "seconds":
        steps = ((1.0, 1.0, "s"), (1e-3, 1e3, "ms"), (0.0, 1e6, "µs"))
    elif unit == "bytes":
        steps = ((1e9, 1e-9, "GB"), (1e6, 1e-6, "MB"), (0.0, 1e-3, "kB"))
    else:
        return 1.0, unit
    return next((factor, symbol) for least, factor, symbol in steps if typical >= least)


def number(value: float | None, unit: str) -> str:
    """A value with its unit, such as `12.3 ms`; `unit` is seconds, bytes, percent, dB or a word put behind it."""
    if value is None or not math.isfinite(value):
        return NONE
    if unit == "percent":
        return f"{value:.2%}"
    if unit == "bytes" and abs(value) < 1000:  # noqa: PLR2004
        return f"{value:.0f} B"
    if unit == "dB":
        return f"{value:.1f} dB"
    factor, symbol = scale([value], unit)
    return f"{digits(value * factor)} {symbol}".rstrip()


def interval(low: float | None, high: float | None, unit: str) -> str:
    """Both ends in the same unit, such as `12.1 to 12.6 ms`."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return NONE
    factor, symbol = scale([high], unit)
    return f"{digits(low * factor)} to {digits(high * factor)} {symbol}".rstrip()


def latency(row: Mapping[str, Any]) -> str:
    """A row's median with its 95% interval, such as `12.3 ms [12.1, 12.6]`."""
    found = row.get("latency") or {}
    if found.get("median_s") is None:
        return NONE
    median, low, high = found["median_s"], found.get("ci95_low_s"), found.get("ci95_high_s")
    factor, symbol = scale([median], "seconds")
    if low is None or high is None:
        return f"{digits(median * factor)} {symbol}"
    return f"{digits(median * factor)} {symbol} [{digits(low * factor)}, {digits(high * factor)}]"


def ratio(value: float | None) -> str:
    """Such as `1.25x`."""
    return NONE if value is None or not math.isfinite(value) else f"{value:.2f}x"


def change(value: float) -> str:
    """A ratio as the change that it is, such as `+12.3%`."""
    percent = (value - 1) * 100
    return f"{percent:+.0f}%" if abs(percent) >= 99.5 else f"{percent:+.1f}%"  # noqa: PLR2004


def fidelity(row: Mapping[str, Any]) -> str:
    """Centred SQNR, `exact` for bit-equal outputs, and top-1 agreement where it means something."""
    found = row.get("fidelity") or {}
    if found.get("max_abs") == 0:
        return "exact"
    sqnr, agreement = found.get("centred_sqnr_db"), found.get("top1_agreement")
    text = number(sqnr, "dB")
    return text if agreement is None else f"{text}, {agreement:.0%} top-1 agreement"


def accuracy(row: Mapping[str, Any]) -> str:
    """The task metric and its distance to the reference in points, such as `98.20% (-0.40)`."""
    found = row.get("accuracy") or {}
    if found.get("value") is None:
        return NONE
    drop = found.get("drop")
    return f"{found['value']:.2%}" + ("" if drop is None else f" ({(0.0 - drop) * 100:+.2f})")


def when(moment: str | float | None) -> str:
    """An ISO time or milliseconds since the epoch, to the minute, in UTC."""
    if moment is None or moment == "":
        return NONE
    if isinstance(moment, str):
        try:
            found = datetime.fromisoformat(moment)
        except ValueError:
            return moment
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
    else:
        found = datetime.fromtimestamp(moment / 1e3, UTC)
    return found.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def plural(count: int, word: str) -> str:
    """Such as `1 case` and `2 cases`."""
    return f"{count:,} {word}" + ("" if count == 1 else "s")
