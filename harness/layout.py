"""Tables on a terminal of any width: no row is ever folded, and no number is ever cut.

Where a table is too wide, columns are left out by importance, then names are cut in their middle. What cannot be made
narrower is printed as it is. On a pipe all columns stand, unless `COLUMNS` is set.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.style import Style
from rich.text import Text

from harness.shown import terminal
from harness.units import NONE

BETWEEN: Final = "  "
"""What stands between columns."""

CHUNK: Final = 1_000
"""Lines that are written at a time."""

NARROW: Final = re.compile("[ -~\\u00a1-\\u00ac\\u00ae-\\u00ff]*")
"""Text of the letters of the west, and µ: a column for each."""

HARD: Final = 1
"""The rank of columns for which names are cut first: they go only where that does not help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextColumn:
    """One column.

    Attributes:
        name: its head.
        right: numbers stand at the right.
        rank: 0 is never left out; of the others the highest goes first, and at 1 names are cut before it goes.
        least: down to how many characters its cells may be cut in their middle; 0 for never.
        words: cells are sentences, which are cut at their end.
        above: rather than being cut, its cells stand on lines of their own above what belongs to them; for the first.
    """

    name: str
    right: bool = False
    rank: int = 0
    least: int = 0
    words: bool = False
    above: bool = False


class TextCell(NamedTuple):
    """A text that is ready for a terminal, and its style."""

    plain: str
    style: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """A table before it has a width; cells are one line each, made by `harness.shown.cell` where they have a style."""

    columns: tuple[TextColumn, ...]
    rows: Sequence[Sequence[Text | TextCell | str]]
    title: Text | str = ""

    def only(self, names: Sequence[str]) -> TextTable:
        """The grid with these columns, in this order; none of them is left out any more."""
        places = [[column.name for column in self.columns].index(name) for name in names]
        return TextTable(
            columns=tuple(replace(self.columns[place], rank=0) for place in places),
            rows=[[row[place] for place in places] for row in self.rows],
            title=self.title,
        )

    def without_empty(self) -> TextTable:
        """The grid without the columns that hold nothing; those of rank 0 stay."""
        filled = [
            column.name
            for place, column in enumerate(self.columns)
            if not (column.rank and self.rows)
            or any(row[place] != NONE and plain(row[place]) not in ("", NONE) for row in self.rows)
        ]
        kept = [column for column in self.columns if column.name in filled]
        return replace(self.only(filled), columns=tuple(kept))


@lru_cache(maxsize=4096)  # most columns of a large store hold few values
def cell(given: str, style: str = "") -> TextCell:
    """As `shown.cell`, for tables that are printed here alone: a tenth of the cost."""
    return TextCell(terminal(given), style)


@lru_cache(maxsize=4096)
def _shown(given: str) -> str:
    return terminal(given)


def plain(one: Text | TextCell | str) -> str:
    """The text of a cell."""
    text = _shown(one) if isinstance(one, str) else one.plain
    return " ".join(text.split("\n")) if "\n" in text else text


def columns_of(text: str) -> int:
    """How many columns of the terminal a text takes that has no control character."""
    return len(text) if _narrow(text) else cell_len(text)


class _ShownColumn(NamedTuple):
    """The cells of a column as text, the columns of the terminal that the widest takes, and whether all are narrow."""

    texts: Sequence[str]
    width: int
    narrow: bool


def _column_of(cells: Sequence[Text | TextCell | str]) -> _ShownColumn:
    """A column's texts, as `plain` has them.

    All of them are looked at as one text first: of most columns that says that nothing in them needs care.
    """
    texts = [one if type(one) is str else one.plain for one in cells]  # type: ignore[union-attr]
    joined = " ".join(texts)
    if NARROW.fullmatch(joined) and "::" not in joined and "##[" not in joined:
        return _ShownColumn(texts, max(map(len, texts), default=0), narrow=True)
    texts = list(map(plain, cells))
    return _ShownColumn(texts, max(map(columns_of, texts), default=0), narrow=all(map(_narrow, texts)))


def print_grid(console: Console, grid: TextTable) -> tuple[str, ...]:
    """Print a table into the width of the console.

    Returns:
        The heads of the columns that were left out for want of room.
    """
    heads = [plain(column.name) for column in grid.columns]  # files' names, where two are set against each other
    whole = [row for row in grid.rows if len(row) > 1 or len(heads) == 1]
    held = [_column_of(cells) for cells in zip(*whole, strict=True)] or [_column_of(()) for _ in heads]
    widths = [max(columns_of(head), one.width) for head, one in zip(heads, held, strict=True)]
    kept = fitting(grid.columns, widths, console.width)
    if grid.columns[0].above and total([widths[place] for place in kept]) > console.width:
        return print_grid(console, _with_names_above(grid))
    room = narrowed(grid.columns, widths, kept, console.width)
    ellipsis = "…" if "utf" in console.encoding.lower() else "..."
    if plain(grid.title):
        if isinstance(grid.title, Text):
            console.print(grid.title, soft_wrap=True, highlight=False)
        else:
            console.file.write(_styled(terminal(grid.title), "bold", console) + "\n")
    columns = [grid.columns[place] for place in kept]
    lines = [_line([(heads[place], "bold") for place in kept], columns, room, ellipsis, console)]
    uncut = console.color_system is None and room == [widths[place] for place in kept]
    rows: Sequence[Sequence[Text | TextCell | str]] = grid.rows
    if uncut and len(whole) == len(rows) and all(held[place].narrow for place in kept):
        lines += _lines([held[place].texts for place in kept], columns, room)
        rows = []
    for row in rows:
        shown = [plain(one) for one in row]
        if len(row) == 1 < len(grid.columns):
            lines.append(f"{shown[0]}\n")
            continue
        cells = [(shown[place], "" if isinstance(one := row[place], str) else one.style) for place in kept]
        lines.append(_line(cells, columns, room, ellipsis, console))
        if len(lines) >= CHUNK:
            console.file.write("".join(lines))
            lines.clear()
    console.file.write("".join(lines))
    return tuple(column.name for place, column in enumerate(grid.columns) if place not in kept)


def _with_names_above(grid: TextTable) -> TextTable:
    """The grid with the cells of its first column in rows of their own, of one cell each."""
    first, *others = grid.columns
    rows: list[Sequence[Text | TextCell | str]] = []
    said = ""
    for name, *cells in grid.rows:
        if plain(name) not in ("", said):
            rows.append([name])
            said = plain(name)
        rows.append(["", *cells])
    return TextTable(columns=(replace(first, name="", above=False, least=0), *others), rows=rows, title=grid.title)


def fitting(columns: Sequence[TextColumn], widths: Sequence[int], width: int) -> list[int]:
    """The places of the columns that there is room for."""
    kept = list(range(len(columns)))
    while True:
        cut = [min(widths[p], columns[p].least) if columns[p].least else widths[p] for p in kept]
        full = total([widths[p] for p in kept])
        worst = max(kept, key=lambda p: (columns[p].rank, p))
        rank = columns[worst].rank
        if full <= width or rank == 0 or (rank <= HARD and total(cut) <= width):
            return kept
        kept.remove(worst)


def narrowed(columns: Sequence[TextColumn], widths: Sequence[int], kept: Sequence[int], width: int) -> list[int]:
    """The widths of the columns that are shown: the widest names are cut first."""
    room = {place: widths[place] for place in kept}
    while total(list(room.values())) > width:
        able = [place for place in kept if columns[place].least and room[place] > columns[place].least]
        if not able:
            break
        room[max(able, key=room.__getitem__)] -= 1
    return [room[place] for place in kept]


def total(widths: Sequence[int]) -> int:
    """The width of a line."""
    return sum(widths) + len(BETWEEN) * max(len(widths) - 1, 0)


def _narrow(text: str) -> bool:
    return text.isascii() or NARROW.fullmatch(text) is not None


def cut(text: str, width: int, ellipsis: str = "…") -> str:
    """A text in so many columns of the terminal, the middle left out: the ends of names tell them apart."""
    if columns_of(text) <= width:
        return text
    left = max(width - len(ellipsis), 0)
    first = _head(text, max(left // 4, min(left // 2, 1)))  # what tells cases apart stands towards the end
    last = _head(text[::-1], left - columns_of(first))[::-1]
    return f"{first}{ellipsis}{last}"


def cut_end(text: str, width: int, ellipsis: str = "…") -> str:
    """A sentence in so many columns of the terminal, its end left out."""
    return text if columns_of(text) <= width else f"{_head(text, max(width - len(ellipsis), 0)).rstrip()}{ellipsis}"


def _head(text: str, width: int) -> str:
    """The beginning of a text in at most so many columns."""
    end = used = 0
    for end, character in enumerate(text):
        used += columns_of(character)
        if used > width:
            return text[:end]
    return text


def _lines(cells: Sequence[Sequence[str]], columns: Sequence[TextColumn], widths: Sequence[int]) -> list[str]:
    """Lines of narrow text without a style, none of which is cut: column by column, at a third of the cost."""
    padded = [
        [one.rjust(width) for one in held] if column.right else [one.ljust(width) for one in held]
        for held, column, width in zip(cells, columns, widths, strict=True)
    ]
    return [BETWEEN.join(row).rstrip() + "\n" for row in zip(*padded, strict=True)]


def _styled(text: str, style: str | Style, console: Console) -> str:
    """A text as the console writes it in a style; without a colour system nothing is styled."""
    if not style or not text or console.color_system is None:
        return text
    own = Style.parse(style) if isinstance(style, str) else style
    return (own.without_color if console.no_color else own).render(text)


def _line(
    cells: Sequence[tuple[str, str | Style]],
    columns: Sequence[TextColumn],
    widths: Sequence[int],
    ellipsis: str,
    console: Console,
) -> str:
    """One line."""
    found = []
    for (whole, style), column, width in zip(cells, columns, widths, strict=True):
        cutting = cut_end if column.words else cut
        text = cutting(whole, width, ellipsis) if column.least else whole
        room = " " * (width - columns_of(text))
        text = _styled(text, style, console)
        found.append(room + text if column.right else text + room)
    return BETWEEN.join(found).rstrip() + "\n"
