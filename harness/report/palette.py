"""One colour and one symbol for each variant, the same on every page and in every figure.

Hues are those of Okabe and Ito ("Color Universal Design", 2008), which the common kinds of colour blindness tell
apart, leaving out yellow and black, which one of the two backgrounds would swallow. Since no palette carries more
than a few names, every variant has a symbol as well.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from harness.store.query import natural

HUES: Final = ("#8a8f98", "#0a7bc2", "#e69f00", "#cc79a7", "#d55e00", "#009e73", "#56b4e9")
SYMBOLS: Final = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon", "triangle-down")
KNOWN: Final = ("fp32", "fp32-fused", "fp16", "bf16", "int8-dynamic", "int8-static", "int4-weights")
"""The shipped zoo's variants: theirs are the hues in order, on every site."""

BETTER: Final = "#0a7bc2"
WORSE: Final = "#d55e00"
"""Blue and vermilion: red and green are what the most common colour blindness cannot tell apart."""

STATUS: Final[Mapping[str, str]] = {
    "measured": "#009e73",
    "mixed": "#b5c334",
    "unverified": "#56b4e9",
    "emulated": "#e69f00",
    "unsupported": "#9aa1ab",
    "skipped": "#c9ced6",
    "failed": "#d55e00",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesStyle:
    """How a variant looks."""

    colour: str
    symbol: str


def rank(variant: str) -> tuple[int, tuple[tuple[bool, int, str], ...]]:
    """A sort key: the known variants in their order, then others in natural order."""
    return (KNOWN.index(variant) if variant in KNOWN else len(KNOWN)), natural(variant)


def marks(variants: Iterable[str]) -> dict[str, SeriesStyle]:
    """A mark for every variant of a store; names of one's own follow the known ones in natural order.

    They take the hues that no known variant of the store has first: two of its variants share a colour only from the
    eighth on, and then differ in the symbol.
    """
    there = {*variants}
    found = {
        name: SeriesStyle(colour=hue, symbol=symbol) for name, hue, symbol in zip(KNOWN, HUES, SYMBOLS, strict=False)
    }
    seen = {found[name] for name in KNOWN if name in there}
    free = [hue for hue in HUES if hue not in {style.colour for style in seen}]
    hues = itertools.chain(free, itertools.cycle(HUES))
    taken = {*found.values()}
    for place, (name, hue) in enumerate(zip(sorted(there - {*KNOWN}, key=rank), hues, strict=False), len(KNOWN)):
        styles = [SeriesStyle(colour=hue, symbol=SYMBOLS[(place + at) % len(SYMBOLS)]) for at in range(len(SYMBOLS))]
        found[name] = next((style for style in styles if style not in taken), styles[0])
        taken.add(found[name])
    return found
