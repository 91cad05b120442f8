"""Stores of thousands of rows on a terminal: rich takes a millisecond for a row, most of it to find line breaks."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.style import Style
from rich.table import Column, Table
from rich.text import Text

LARGE: Final = 200
"""Rows from which on a table is never folded: lines that are too wide for the terminal are left to it."""

BETWEEN: Final = "  "
"""What rich puts between the columns of a table without a box."""

CHUNK: Final = 1_000
"""Lines that are written at a time."""


@contextmanager
def kept() -> Iterator[None]:
    """Read what stays to the end: to look for garbage in it again and again is a third of the time."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def print_table(console: Console, table: Table) -> None:
    """Print a table without a box: as rich does, and cheaply where nothing has to be folded.

    Args:
        console: where to.
        table: of plain strings and `Text` of one line.
    """
    cells = [list(map(_text, column.cells)) for column in table.columns]
    heads = [_text(column.header) for column in table.columns]
    widths = [max(map(_width, [head, *column]), default=0) for head, column in zip(heads, cells, strict=True)]
    folded = sum(widths) + len(BETWEEN) * (len(widths) - 1) > console.width or any(
        "\n" in text.plain for one in cells for text in one
    )
    if folded and table.row_count < LARGE:
        console.print(table)
        return
    colour = console.color_system is not None and not console.no_color
    if table.title:
        console.print(table.title, style="bold", soft_wrap=True, highlight=False)
    bold = Style.parse("bold")
    found = [_line(heads, table.columns, widths, bold if colour else None)]
    for row in zip(*cells, strict=True):
        found.append(_line(row, table.columns, widths, Style() if colour else None))
        if len(found) >= CHUNK:
            console.file.write("".join(found))
            found.clear()
    console.file.write("".join(found))


def _text(cell: object) -> Text:
    return cell if isinstance(cell, Text) else Text(str(cell))


def _width(text: Text) -> int:
    return cell_len(text.plain)


def _line(cells: tuple[Text, ...] | list[Text], columns: list[Column], widths: list[int], style: Style | None) -> str:
    """One line; without a style nothing in it is coloured."""
    found = []
    for cell, column, width in zip(cells, columns, widths, strict=True):
        text = " ".join(cell.plain.split("\n"))
        room = " " * (width - cell_len(text))
        if style is not None and text:
            own = style + Style.parse(cell.style) if isinstance(cell.style, str) else style + cell.style
            text = own.render(text)
        found.append(f"{room}{text}" if column.justify == "right" else f"{text}{room}")
    return BETWEEN.join(found).rstrip() + "\n"
