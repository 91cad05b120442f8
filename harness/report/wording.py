"""What pages say of a row, a ratio or a time; digits and units are those of `harness.units`, as in the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from harness import units
from harness.units import NONE, digits
from harness.units import count as plural

__all__ = [
    "NONE",
    "accuracy",
    "change",
    "closeness",
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
        return units.in_seconds(typical)
    if unit == "joules":
        return units.in_joules(typical)
    return units.in_bytes(typical) if unit == "bytes" else (1.0, unit)


def number(value: float | None, unit: str) -> str:
    """A value with its unit, such as `12.3 ms`: seconds, bytes, joules, percent, dB or a word that is put behind it."""
    if value is None or not math.isfinite(value):
        return NONE
    if unit in ("seconds", "bytes", "joules", "dB"):
        return units.value(value, unit)
    return units.value(value, "share") if unit == "percent" else f"{digits(value)} {unit}".rstrip()


def interval(low: float | None, high: float | None, unit: str) -> str:
    """Both ends in the same unit, such as `12.1 to 12.6 ms`."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return NONE
    factor, symbol = scale([high], unit)
    return f"{digits(low * factor)} to {digits(high * factor)} {symbol}".rstrip()


def latency(row: Mapping[str, Any]) -> str:
    """A row's median with its 95% interval, such as `12.3 ms [12.1, 12.6]`."""
    found = row.get("latency") or {}
    return units.interval(found.get("median_s"), found.get("ci95_low_s"), found.get("ci95_high_s"))


def ratio(value: float | None) -> str:
    """Such as `1.25x`."""
    return NONE if value is None or not math.isfinite(value) else f"{value:.2f}x"


def change(value: float) -> str:
    """A ratio as the change that it is, such as `+12.3%`."""
    return units.change(value, sign=True)


def fidelity(row: Mapping[str, Any]) -> str:
    """Closeness of the worst part, `exact` for equal outputs, and top-1 agreement where it means something."""
    return units.fidelity(row.get("fidelity"))


def closeness(row: Mapping[str, Any]) -> str:
    """As `fidelity`, without the agreement."""
    return units.fidelity({**(row.get("fidelity") or {}), "top1_agreement": None})


def accuracy(row: Mapping[str, Any]) -> str:
    """The task metric and its distance to the reference in points, such as `98.20% (-0.40)`."""
    return units.accuracy(row.get("accuracy"))


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
