"""How large a number that a person gives may be: the same in the zoo, on the command line, in pytest and under asv."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A range of numbers.

    Attributes:
        least: the smallest; itself left out where `above`.
        most: the largest.
        whole: whether only whole numbers are meant.
        example: what a message shows.
    """

    least: int
    most: int
    whole: bool = True
    above: bool = False
    example: str = ""

    def __str__(self) -> str:
        """In words, to follow `expected`."""
        kind = "a whole number" if self.whole else "a number"
        start = f"above {self.least}, at most" if self.above else f"from {self.least} to"
        return f"{kind} {start} {self.most}"

    @property
    def plural(self) -> str:
        """In words, of several with commas between them."""
        example = f", such as {self.example}" if self.example else ""
        return f"whole numbers from {self.least} to {self.most}, separated by commas{example}"

    def __contains__(self, value: float) -> bool:
        """Whether a number is in the range; NaN is in none."""
        if not (self.least < value if self.above else self.least <= value) or not value <= self.most:
            return False
        return not self.whole or value == int(value)

    def parse(self, text: str) -> float:
        """The number that a text stands for; NaN where it is none of the range."""
        given = text.strip()
        if not given.isascii() or "_" in given or len(given) > LONGEST:
            return math.nan
        try:
            value = float(given)
        except ValueError:
            return math.nan
        if value not in self or (self.whole and not given.isdecimal()):
            return math.nan
        return int(given) if self.whole else value


LONGEST: Final = 40
"""Characters of a number: Python refuses to read some thousand digits, and takes its time for fewer."""

THREADS: Final = Bound(least=0, most=4096, example="1,2,0")
BATCH: Final = Bound(least=1, most=65_536, example="1,8")
PROCESSES: Final = Bound(least=1, most=1000)
TIME_PER_CASE: Final = Bound(least=0, most=86_400, whole=False, above=True)
"""Seconds."""

PAIRS: Final = Bound(least=1, most=1000, example="8,20")
TIME_LIMIT: Final = Bound(least=0, most=30 * 86_400, whole=False, above=True)
"""Seconds; more than a clock's arithmetic can take would be no limit at all."""

CONFIRMED: Final = Bound(least=0, most=1000)
EXAMPLES: Final = Bound(least=1, most=100_000)
DECIBELS: Final = Bound(least=0, most=1000, whole=False)
SCALE: Final = Bound(least=0, most=10, whole=False, above=True)
PIXELS: Final = Bound(least=100, most=10_000)
AGE: Final = Bound(least=0, most=10**9 * 86_400, whole=False)
"""Seconds."""

PORT: Final = Bound(least=0, most=65_535)
