"""How many bursts each side of a pair runs, and how long one lasts, where nobody asks for another number."""

from __future__ import annotations

import os
import re

from harness.errors import UsageError

BURSTS, BURST_S = 15, 0.01
"""Many short ones beat few long ones: on two busy cores 15 of 10 ms had a third of the spread of 7 of 20 ms, in the
same time."""

LEAST_WARMUP_S, MOST_WARMUP_S = 0.1, 0.5
"""A side that has not come to rest after so many seconds of inference is measured all the same."""

VARIABLE = "HARNESS_BURSTS"
"""A variable of the environment that sets others, such as `7x2ms`.

Tests set it that need pairs and no precise ones: most of what a pair of a small model takes are its bursts.
"""


def bursts() -> int:
    """How many.

    Raises:
        UsageError: the environment says something that is not a number of bursts and their length.
    """
    return _asked()[0]


def burst_s() -> float:
    """Seconds of each.

    Raises:
        UsageError: as `bursts`.
    """
    return _asked()[1]


def most_warmup_s() -> float:
    """Seconds of inference that a side may take to come to rest: fewer where shorter pairs are asked for.

    Raises:
        UsageError: as `bursts`.
    """
    count, each_s = _asked()
    return max(LEAST_WARMUP_S, MOST_WARMUP_S * min(1.0, count * each_s / (BURSTS * BURST_S)))


def _asked() -> tuple[int, float]:
    text = os.environ.get(VARIABLE)
    if not text:
        return BURSTS, BURST_S
    found = re.fullmatch(r"([1-9][0-9]{0,2})x([1-9][0-9]{0,3})ms", text)
    if found is None:
        raise UsageError(f"{VARIABLE}={text}: expected how many bursts, and how long each is, such as 7x2ms")
    return int(found[1]), int(found[2]) / 1000
