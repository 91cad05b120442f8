"""A treemap as SVG: areas in proportion, as square as they can be made (Bruls, Huizing and van Wijk, 2000)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from harness import shown

WIDTH: Final = 960.0
HEIGHT: Final = 420.0
ROOM: Final = 7.0
"""Pixels of one character of a label."""

QUIET, LOUD = (222, 235, 247), (213, 94, 0)
"""From no loss to the largest: ends of the scale that the common kinds of colour blindness tell apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One area.

    Attributes:
        area: in proportion; above zero.
        heat: from 0 to 1; None for what has none.
        title: shown on hover.
    """

    label: str
    area: float
    heat: float | None = None
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Where a tile lies."""

    x: float
    y: float
    width: float
    height: float


def svg(tiles: Sequence[Tile], *, name: str) -> str:
    """The treemap of some tiles, the largest first, as an SVG element.

    Args:
        tiles: what is drawn; those without an area are left out.
        name: what it shows, for whoever cannot see it.
    """
    ordered = sorted((one for one in tiles if one.area > 0), key=lambda one: -one.area)
    boxes = squarified([one.area for one in ordered], Box(x=0, y=0, width=WIDTH, height=HEIGHT))
    drawn = "".join(_tile(one, box) for one, box in zip(ordered, boxes, strict=True))
    return (
        f'<svg class="treemap" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{_text(name)}" '
        f'font-size="12">{drawn}</svg>'
    )


def squarified(areas: Sequence[float], room: Box) -> list[Box]:
    """Boxes that fill the room, in the order of the areas, which are above zero and fall."""
    whole = sum(areas)
    left = [area * room.width * room.height / whole for area in areas] if whole else []
    found: list[Box] = []
    while left:
        side = min(room.width, room.height)
        taken = 1
        while taken < len(left) and _worst(left[: taken + 1], side) <= _worst(left[:taken], side):
            taken += 1
        row, left = left[:taken], left[taken:]
        boxes, room = _laid(row, room)
        found += boxes
    return found


def _worst(row: Sequence[float], side: float) -> float:
    """How far from square the worst box of a row is."""
    total = sum(row)
    return max(max(side**2 * one / total**2, total**2 / (side**2 * one)) for one in row)


def _laid(row: Sequence[float], room: Box) -> tuple[list[Box], Box]:
    """A row along the shorter side of the room, and the room that is left."""
    total = sum(row)
    along = min(room.height, room.width)
    depth = total / along if along else 0.0
    boxes, place = [], 0.0
    for one in row:
        length = one / depth if depth else 0.0
        if room.width >= room.height:
            boxes.append(Box(x=room.x, y=room.y + place, width=depth, height=length))
        else:
            boxes.append(Box(x=room.x + place, y=room.y, width=length, height=depth))
        place += length
    if room.width >= room.height:
        rest = Box(x=room.x + depth, y=room.y, width=max(room.width - depth, 0.0), height=room.height)
    else:
        rest = Box(x=room.x, y=room.y + depth, width=room.width, height=max(room.height - depth, 0.0))
    return boxes, rest


def _tile(one: Tile, box: Box) -> str:
    letters = int(box.width / ROOM)
    fits = letters > 2 and box.height > 16  # noqa: PLR2004 # less room holds no word
    label = one.label if len(one.label) <= letters else f"{one.label[: max(letters - 1, 0)]}…"
    words = f'<text x="{box.x + 4:.1f}" y="{box.y + 15:.1f}" fill="#111">{_text(label)}</text>' if fits else ""
    return (
        f'<g><rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" '
        f'fill="{colour(one.heat)}" stroke="#fff"/><title>{_text(one.title or one.label)}</title>{words}</g>'
    )


def colour(heat: float | None) -> str:
    """The colour of a loss; grey without one."""
    if heat is None:
        return "#d5d8dc"
    share = min(max(heat, 0.0), 1.0)
    return "#" + "".join(f"{round(low + (high - low) * share):02x}" for low, high in zip(QUIET, LOUD, strict=True))


def _text(given: str) -> str:
    return escape(shown.page(given))


def steps(count: int) -> Iterator[str]:
    """The colours of the scale, from no loss to the largest, for a legend."""
    for place in range(count):
        yield colour(place / max(count - 1, 1))
