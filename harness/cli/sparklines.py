"""Plots that are one line of text, in blocks or in plain ASCII."""

from __future__ import annotations

from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.,-=+*#"
FAILED = "x"


def fits(encoding: str | None) -> bool:
    """Whether an encoding has the characters of these plots."""
    try:
        f"{BLOCKS}─●".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def spark(values: Sequence[float | None], *, width: int = 24, blocks: bool = True) -> str:
    """The newest `width` values from their smallest to their largest, oldest first; `x` where there is none.

    All of one height says that nothing changed.
    """
    shown = values[-width:]
    there = [value for value in shown if value is not None]
    low, high = (min(there), max(there)) if there else (0.0, 0.0)
    marks = BLOCKS if blocks else ASCII
    return "".join(FAILED if value is None else marks[_step(value, low, high, len(marks))] for value in shown)


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
