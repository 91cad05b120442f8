"""harness.layout: tables in any width."""

from __future__ import annotations

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from harness import layout
from harness.cli import tables
from harness.layout import TextColumn, TextTable
from harness.shown import cell
from harness.store.rows import to_row
from tests.outcomes import case, measured, run

LONG = "vision_transformer_base_patch16_224_with_a_name_that_goes_on"
WIDE = "模型" * 20


def printed(
    grid: TextTable, width: int, *, encoding: str = "utf-8", colour: bool = False
) -> tuple[list[str], list[str]]:
    """The lines of a table and the columns that were left out."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    console = Console(file=file, width=width, force_terminal=colour, color_system="standard" if colour else None)
    gone = layout.print_grid(console, grid)
    file.seek(0)
    return file.read().splitlines(), list(gone)


def made(name: str) -> TextTable:
    """A table with a column of each kind."""
    return TextTable(
        columns=(
            TextColumn(name="name", least=10),
            TextColumn(name="value", right=True),
            TextColumn(name="much wanted", rank=1),
            TextColumn(name="less wanted", rank=2),
            TextColumn(name="least wanted", rank=3),
        ),
        rows=[(cell(name), "1.02 ms [0.98, 1.10]", "a", cell("[/b]", style="red"), "c"), ("x", "1 s", "", "", "")],
    )


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
@pytest.mark.parametrize("name", ["short", LONG, WIDE])
def test_every_row_is_one_line_that_fits(name: str, width: int) -> None:
    """At any width, with long names and wide characters, and no number is cut."""
    lines, gone = printed(made(name), width)
    assert 3 == len(lines)
    assert all(cell_len(line) <= width for line in lines)
    assert "1.02 ms [0.98, 1.10]" in lines[1]
    assert gone == [one for one in ("much wanted", "less wanted", "least wanted") if one not in lines[0]]


@pytest.mark.parametrize("above", [True, False])
def test_heads_are_text(above: bool) -> None:
    """Names of files stand there, where two are set against each other."""
    columns = (TextColumn(name="a\nb", above=above), TextColumn(name="\x1b[31m\x85.onnx", right=True))
    for width in (10, 80):
        lines, _ = printed(TextTable(columns=columns, rows=[("size", "1 B")]), width)
        assert "\\x1b[31m\\x85.onnx" in "".join(lines)
        assert not [line for line in lines if "\x1b" in line or "\x85" in line]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_results_fit(width: int) -> None:
    """The table of a model's rows keeps the median with both bounds at every width, and tells more with more room."""
    rows = [to_row(run(), measured(case(LONG, variant))) for variant in ("fp32", "int8-static-of-a-long-name")]
    lines, gone = printed(tables.model_table("m", rows), width)
    assert 4 == len(lines)
    assert all(cell_len(line) <= width for line in lines[1:])
    assert all(re.search(r"ms \[[0-9.]+, [0-9.]+\]", line) for line in lines[2:])
    assert ("speed-up" in gone) == (width < 60)
    assert ("throughput" in gone) == (width <= 120)
    assert not gone or width < 200


def test_columns_go_by_importance() -> None:
    """The least important goes first; names are cut before what is much wanted goes."""
    assert ["least wanted"] == printed(made("short"), 62)[1]
    assert ["less wanted", "least wanted"] == printed(made("short"), 45)[1]
    lines, gone = printed(made(LONG), 50)
    assert ["less wanted", "least wanted"] == gone
    assert "…" in lines[1]
    assert LONG[-5:] in lines[1]


def test_what_cannot_be_narrower_is_left_whole() -> None:
    """Numbers are never cut."""
    lines, _ = printed(made("x"), 5)
    assert "1.02 ms [0.98, 1.10]" in lines[1]


@pytest.mark.parametrize(("width", "text"), [(10, "abcdefghij"), (9, "ab…efghij"), (4, "a…ij"), (1, "…")])
def test_names_are_cut_in_their_middle(width: int, text: str) -> None:
    """Their ends tell them apart."""
    assert text == layout.cut("abcdefghij", width)
    assert cell_len(layout.cut("模型模型模型", width)) <= width


def test_a_terminal_of_ascii_has_three_dots() -> None:
    """An escape of one character would be wider than its column."""
    lines, _ = printed(made(LONG), 40, encoding="ascii")
    assert "..." in lines[1]
    assert all(len(line) <= 40 for line in lines)


def test_colour_only_where_there_is_some() -> None:
    """Styles stand around the text, and take no room."""
    plain, _ = printed(made("short"), 80)
    coloured, _ = printed(made("short"), 80, colour=True)
    assert "\x1b[31m[/b]\x1b[0m" in coloured[1]
    assert plain == [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in coloured]


def test_columns_without_a_value_are_not_shown() -> None:
    """But those that are always there."""
    grid = made("x").without_empty()
    assert 5 == len(grid.columns)
    grid = TextTable(columns=grid.columns, rows=[("", "", "", "-", "c")]).without_empty()
    assert ["name", "value", "least wanted"] == [column.name for column in grid.columns]
    assert 5 == len(TextTable(columns=made("x").columns, rows=[]).without_empty().columns)
