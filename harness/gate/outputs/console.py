"""A report for the terminal: the verdict, a table, then what a table has no room for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.gate.model import CaseVerdict, Finding, Report, Verdict
from harness.gate.text import summary
from harness.gate.text.sentences import spoken
from harness.shown import cell, terminal
from harness.units import change, count, value

STYLES = {
    Verdict.REGRESSION: "bold red",
    Verdict.FAILED: "bold red",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.NOT_COMPARABLE: "dim",
    Verdict.IMPROVEMENT: "green",
    Verdict.PASS: "green",
}

FIGURE = re.compile(r"\b[0-9a-f]{8,}\b|\d+(\.\d+)?")
"""Digests and numbers."""

ALWAYS = frozenset({"latency"})
"""Metrics whose row is shown in the table also where nothing is wrong with them."""


COLUMNS = ("metric", "base", "head", "change [95% interval]", "n")
"""Of the table, behind the case and its verdict."""

LEAST = ("n", "base", "head")
"""Columns that go first where a terminal is narrow: the sentences have what stands in them."""

WIDE = 10_000


def render(report: Report, out: Console | None = None) -> list[Table | Text]:
    """Everything that `harness gate` prints, part by part; text of others is never taken for markup.

    Args:
        report: of a gate.
        out: the table fits its width; any is wide enough where there is none.
    """
    cases = summary.ordered(report.cases)
    parts: list[Table | Text] = [
        cell(summary.headline(report), style=STYLES[summary.overall(report)]),
        cell(summary.sides(report), style="dim"),
    ]
    if cases:
        parts += [cell(""), *_fitting(cases, out)]
    to_read = summary.grouped_sentences([case for case in cases if summary.needs_a_reader(case)])
    if to_read:
        parts.append(cell(""))
    parts += [
        _sentence(verdict, place, f"{names}: {text}" if place == 0 else text)
        for verdict, names, texts in to_read
        for place, text in enumerate(texts)
    ]
    parts += [Text.assemble(("note  ", "yellow"), terminal(line)) for line in _notes(report)]
    parts += [Text.assemble(("next  ", "bold"), terminal(f"{what}: {how}")) for what, how in summary.following(report)]
    return parts


def show(report: Report, out: Console) -> None:
    """Print it; sentences are left whole where the output is narrow, so that they can be searched for."""
    for part in render(report, out):
        out.print(part, soft_wrap=isinstance(part, Text))


def _sentence(verdict: Verdict, place: int, text: str) -> Text:
    """A line of its own for each finding; those of one case stand below one another."""
    start = f"{verdict.value}  "
    return Text.assemble((start if place == 0 else " " * len(start), STYLES[verdict]), terminal(text))


def _fitting(cases: list[CaseVerdict], out: Console | None) -> list[Table | Text]:
    """The widest table that fits: no row is wrapped, and no interval loses an end.

    Where it is too wide, the name of a case gets a line of its own, and then columns go, the least first.
    """
    table = _table(cases)
    if out is None or out.measure(table, options=out.options.update(width=WIDE)).maximum <= out.width:
        return [table]
    names: Sequence[str] = COLUMNS
    for least in ("", *LEAST):
        names = tuple(name for name in names if name != least)
        lines = _stacked(cases, names)
        if max(line.cell_len for line in lines) <= out.width:
            break
    return [*lines]


def _rows(case: CaseVerdict) -> list[tuple[Text, dict[str, Text]]]:
    """(verdict, column -> cell) of each finding that is shown, or of the case alone."""
    rows = []
    for place, finding in enumerate(_shown(case) or [None]):
        verdict = case.verdict if place == 0 or finding is None else finding.verdict
        own = cell("" if place and verdict is Verdict.NOT_COMPARABLE else verdict.value, style=STYLES[verdict])
        rows.append((own, dict(zip(COLUMNS, _cells(finding), strict=True))))
    return rows


def _table(cases: list[CaseVerdict]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("case", "verdict"):
        table.add_column(name, no_wrap=True)
    for name in COLUMNS:
        table.add_column(name, justify="left" if name == "metric" else "right", no_wrap=True)
    for case in cases:
        for place, (verdict, cells) in enumerate(_rows(case)):
            table.add_row(cell(spoken(case.name) if place == 0 else ""), verdict, *cells.values())
    return table


def _stacked(cases: list[CaseVerdict], names: Sequence[str]) -> list[Text]:
    """The same as lines, each case's name on one of its own above its findings."""
    whole = [[(verdict, [cells[name] for name in names]) for verdict, cells in _rows(case)] for case in cases]
    rows = [[Text("verdict", style="bold"), *(Text(name, style="bold") for name in names)]]
    rows += [[verdict, *cells] for found in whole for verdict, cells in found]
    widths = [max(row[column].cell_len for row in rows) for column in range(len(rows[0]))]

    def line(cells: Sequence[Text]) -> Text:
        text = Text("  ")
        for column, one in enumerate(cells):
            space = " " * (widths[column] - one.cell_len)
            left = column == 0 or names[column - 1] == "metric"
            text.append_text(Text.assemble(one, space) if left else Text.assemble(space, one)).append("  ")
        text.rstrip()
        return text

    lines = [line(rows[0])]
    for case, found in zip(cases, whole, strict=True):
        lines.append(cell(spoken(case.name)))
        lines += [line([verdict, *cells]) for verdict, cells in found]
    return lines


def _shown(case: CaseVerdict) -> list[Finding]:
    """The findings that have a row: what the case's verdict rests on comes first, beside it."""
    found = [f for f in case.findings if f.metric in ALWAYS or f.verdict not in summary.QUIET or f.accepted]
    found.sort(key=lambda f: not summary.rests_on(case, f))
    if found and summary.rests_on(case, found[0]):
        return found
    first = next((f for f in case.findings if summary.rests_on(case, f)), None)
    return found if first is None else [first, *found]


def _cells(finding: Finding | None) -> tuple[Text, ...]:
    if finding is None:
        return (cell(""),) * 5
    ratio = summary.ratio(finding)
    moved = "" if ratio is None else change(ratio, sign=True)
    moved = "not judged" if finding.verdict is Verdict.NOT_COMPARABLE and not moved else moved
    if moved and finding.low is not None and finding.high is not None:
        moved += f" [{change(finding.low, sign=True)}, {change(finding.high, sign=True)}]"
    style = "dim" if finding.accepted else STYLES[finding.verdict] if finding.verdict is not Verdict.PASS else ""
    numbers = (value(finding.base, finding.unit), value(finding.head, finding.unit), moved, str(finding.n or ""))
    return cell(finding.metric), *(cell(number, style=style) for number in numbers)


def _notes(report: Report) -> list[str]:
    """Notes of the report and of its cases; those that differ in figures alone say the same, and one stands for all."""
    groups: dict[str, tuple[str, list[str]]] = {}
    for case in report.cases:
        for note in case.notes:
            groups.setdefault(FIGURE.sub("#", note), (note, []))[1].append(spoken(case.name))
    lines = summary.notes(report)
    for note, names in groups.values():
        more = f" and {count(len(names) - 1, 'more case')}" if len(names) > 1 else ""
        lines.append(f"{names[0]}{more}: {note}")
    return lines
