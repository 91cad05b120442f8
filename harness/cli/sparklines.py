"""Plots that are one line of text, in blocks or in plain ASCII."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.,-=+*#"
FAILED = "x"
WIDTH = 24
"""Commits that a plot has room for."""


def fits(encoding: str | None) -> bool:
    """Whether an encoding has the characters of these plots."""
    try:
        f"{BLOCKS}─●".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def spark(values: Sequence[float | None], *, width: int = WIDTH, blocks: bool = True) -> str:
    """The newest `width` values from their smallest to their largest, oldest first; `x` where there is none.

    All of one height says that nothing changed.
    """
    shown = values[-width:]
    there = [value for value in shown if value is not None]
    low, high = (min(there), max(there)) if there else (0.0, 0.0)
    marks = BLOCKS if blocks else ASCII
    return "".join(FAILED if value is None else marks[_step(value, low, high, len(marks))] for value in shown)


def relative(values: Sequence[float | str | None], span: float, *, blocks: bool = True) -> str:
    """Values on a logarithmic scale about their own median, whose ends are a factor `span` apart.

    Plots of one `span` can be compared: a step of the same height is the same ratio.

    Args:
        values: oldest first; None where there is none, a text where nothing was tried.
        span: above 1; what lies outside is drawn at the end.
        blocks: whether blocks can be printed.
    """
    there = [value for value in values if isinstance(value, float | int) and value > 0]
    marks = BLOCKS if blocks else ASCII
    middle = math.exp(median(map(math.log, there))) if there else 1.0
    half = math.log(span) / 2

    def mark(value: float | str | None) -> str:
        if value is None:
            return FAILED
        if isinstance(value, str):
            return " "
        if value <= 0:
            return marks[0]
        return marks[_step(round(math.log(value / middle), 9), -half, half, len(marks))]

    return "".join(map(mark, values)).rstrip()


def whisker(value: float, interval: tuple[float, float] | None, span: tuple[float, float], *, blocks: bool) -> str:
    """A value and its interval as a place between the two ends of `span`.

    Returns:
        25 characters; the value is a dot, its interval a line.
    """
    width = 25
    dot, line = ("●", "─") if blocks else ("o", "-")
    marks = [" "] * width
    if interval is not None:
        first, last = (_step(end, *span, width) for end in interval)
        marks[first : last + 1] = line * (last + 1 - first)
    marks[_step(value, *span, width)] = dot
    return "".join(marks)


def _step(value: float, low: float, high: float, steps: int) -> int:
    """Which of `steps` equal parts between low and high a value falls into; the middle where they are one."""
    if high <= low:
        return (steps - 1) // 2
    return min(max(int((value - low) / (high - low) * steps), 0), steps - 1)
