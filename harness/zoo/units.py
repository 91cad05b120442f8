"""Quantities as people write them: `2%`, `20ms`, `10MB`. Standard library only."""

from __future__ import annotations

import math
import re
from typing import Any

_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
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


def percent(value: Any) -> float:
    """Return the share that `2%` or `0.02` stands for.

    Raises:
        ValueError: it is neither, or not above 0 and below 1.
    """
    expected = "expected a percentage such as 2%, or a share such as 0.02"
    share = None
    if isinstance(value, str) and (match := re.fullmatch(PERCENT_PATTERN, value)):
        share = float(match[1]) / 100
    elif isinstance(value, int | float) and not isinstance(value, bool):
        share = float(value)
    if share is None or not 0 < share < 1:
        raise ValueError(f"{expected}, found {value!r}")
    return share


def duration(value: Any) -> float:
    """Return the seconds that `20ms`, `1.5s` or `300us` stands for.

    Raises:
        ValueError: it is none of these; a number without a unit could be any of them.
    """
    if isinstance(value, str) and (match := re.fullmatch(DURATION_PATTERN, value)):
        seconds = float(match[1]) * _SECONDS[match[2]]
        if 0 < seconds < math.inf:
            return seconds
    raise ValueError(f"expected a duration above 0 with its unit, such as 20ms, 1.5s or 300us, found {value!r}")


def size(value: Any) -> int:
    """Return the bytes that `10MB`, `512KiB` or a whole number of bytes stands for.

    Raises:
        ValueError: it is none of these, or less than one byte.
    """
    count = 0
    if isinstance(value, str) and (match := re.fullmatch(SIZE_PATTERN, value)):
        exact = float(match[1]) * _BYTES[match[2]]
        count = round(exact) if exact < math.inf else 0
    elif isinstance(value, int) and not isinstance(value, bool):
        count = value
    if count < 1:
        raise ValueError(f"expected a size such as 10MB, 512KiB or a whole number of bytes, found {value!r}")
    return count
