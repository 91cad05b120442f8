"""Stores of thousands of rows on a terminal, and tables of rich's in any width."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.layout import TextColumn, TextTable, print_grid


@contextmanager
def kept() -> Iterator[None]:
    """Read what stays to the end: to look for garbage in it again and again is a third of the time."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # nor is it looked at when the process ends
        if before:
            gc.enable()


def print_table(console: Console, table: Table) -> tuple[str, ...]:
    """Print a table of rich's without a box as `harness.layout` does: columns with `no_wrap` are never left out.

    Of the others the last goes first. Those with a `min_width` are names, which may be cut down to that.

    Args:
        console: where to.
        table: of plain strings and `Text` of one line.

    Returns:
        The heads of the columns that were left out for want of room.
    """
    columns = [
        TextColumn(
            name=_text(column.header).plain,
            right=column.justify == "right",
            rank=0 if column.no_wrap or not place else place + 1,
            least=column.min_width or 0,
        )
        for place, column in enumerate(table.columns)
    ]
    cells = [list(map(_text, column.cells)) for column in table.columns]
    title = _text(table.title or "").plain
    return print_grid(console, TextTable(columns=tuple(columns), rows=list(zip(*cells, strict=True)), title=title))


def _text(cell: object) -> Text:
    return cell if isinstance(cell, Text) else Text(str(cell))
