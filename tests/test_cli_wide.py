"""Tables of many rows on a terminal."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness import budget
from harness.cli import markdown, summary
from harness.cli.wide import print_table
from harness.store.rows import to_row
from tests.outcomes import case, measured, run


def made(rows: int, word: str = "naïve 模型") -> Table:
    """A table of two columns with a title."""
    table = Table(title=Text("a title"), title_justify="left", title_style="bold", header_style="bold", box=None)
    table.pad_edge = False
    table.add_column("name", no_wrap=True)
    table.add_column("value", justify="right")
    for place in range(rows):
        table.add_row(Text(word, style="bold" if place % 2 else ""), str(place * 7))
    return table


def printed(show: Callable[[Console], object], *, width: int = 80, terminal: bool = False) -> list[str]:
    """The lines of a console, without blanks at their ends."""
    file = io.StringIO()
    show(Console(file=file, width=width, force_terminal=terminal, color_system="standard" if terminal else None))
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_as_rich_prints_it() -> None:
    """What fits into the terminal looks as it does without the short way, wide characters included."""
    expected = printed(lambda console: console.print(made(5)))
    assert expected == printed(lambda console: print_table(console, made(5)))
    assert "\x1b[1m" in "".join(printed(lambda console: print_table(console, made(5)), terminal=True))


def test_columns_that_may_fold_are_left_out() -> None:
    """No row is ever folded, however many there are; what may not be left out is printed as it is."""
    for rows in (3, 300):
        lines = printed(lambda console, rows=rows: print_table(console, made(rows, "word " * 20)), width=40)  # type: ignore[misc]
        assert rows + 2 == len(lines)
        assert "name" == lines[1]


def test_markup_is_text() -> None:
    """Square brackets in names are not taken for markup."""
    assert any("[/x]" in line for line in printed(lambda console: print_table(console, made(3, "[/x]"))))


def shown_as_tables(rows: list[dict[str, Any]]) -> None:
    """As `harness results` shows them."""
    table = summary.StoredTables(Console(file=io.StringIO(), width=200))
    table.add(rows)
    table.end()


def counted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[Any]:
    """The rows that a function of `harness.budget` is asked of."""
    asked: list[Any] = []
    real = getattr(budget, name)
    monkeypatch.setattr(budget, name, lambda row: asked.append(row) or real(row))  # type: ignore[func-returns-value]
    return asked


@pytest.mark.parametrize("show", [shown_as_tables, markdown.render])
def test_each_row_is_looked_at_a_few_times(
    monkeypatch: pytest.MonkeyPatch, show: Callable[[list[dict[str, Any]]], object]
) -> None:
    """Its baseline and what tells it from others are looked up, and not searched for; its budget is judged once."""
    looked, judged = counted(monkeypatch, "setting"), counted(monkeypatch, "excess")
    counts = []
    for number in (20, 40):
        rows = [to_row(run(), measured(case(variant=f"v{place}"))) for place in range(number)]
        looked.clear()
        judged.clear()
        show(rows)
        counts.append(len(looked))
        assert len(judged) <= (1 if show is shown_as_tables else 2) * number
    assert counts[1] <= 2 * counts[0]
