"""A report for the terminal: the verdict, a table, then what a table has no room for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from harness.gate.model import GRAVITY, CaseVerdict, Finding, Report, Verdict
from harness.gate.text import summary
from harness.layout import TextColumn, TextTable, print_grid
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


FEW = 3
"""Up to so many cases that need nobody's attention have their rows; more of them are counted below the table."""


def render(report: Report, *, every: bool = False) -> list[TextTable | Text]:
    """Everything that `harness gate` prints, part by part; text of others is never taken for markup.

    Args:
        report: as it was judged.
        every: a row also for every case of which no row says more than a count does.
    """
    cases = summary.ordered(report.cases)
    folded = [] if every else [case for case in cases if _folds(case, history=summary.in_history(report))]
    hidden = set(map(id, folded)) if len(folded) > FEW else set()
    shown = [case for case in cases if id(case) not in hidden]
    parts: list[TextTable | Text] = [
        cell(summary.headline(report), style=STYLES[summary.overall(report)]),
        cell(summary.sides(report), style="dim"),
    ]
    if shown:
        parts += [cell(""), findings_table(shown)]
    if len(shown) < len(cases):
        parts += [cell(""), cell(_counted(folded), style="dim")]
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


def show(report: Report, out: Console, *, every: bool = False) -> None:
    """Print it; sentences are left whole where the output is narrow, so that they can be searched for."""
    for part in render(report, every=every):
        if isinstance(part, Text):
            out.print(part, soft_wrap=True)
        else:
            print_grid(out, part)


COLUMNS = (
    TextColumn(name="case", above=True),
    TextColumn(name="verdict"),
    TextColumn(name="metric", rank=1),
    TextColumn(name="base", right=True, rank=2),
    TextColumn(name="head", right=True, rank=2),
    TextColumn(name="change [95% interval]", right=True),
    TextColumn(name="n", right=True, rank=3),
)


def findings_table(cases: list[CaseVerdict]) -> TextTable:
    """Every case with the findings that somebody may want to see."""
    rows = []
    for case in cases:
        for place, finding in enumerate(_shown(case) or [None]):
            verdict = case.verdict if place == 0 or finding is None else finding.verdict
            own = cell("" if place and verdict is Verdict.NOT_COMPARABLE else verdict.value, style=STYLES[verdict])
            rows.append((cell(case.name if place == 0 else ""), own, *_cells(finding)))
    return TextTable(columns=COLUMNS, rows=rows)


def _folds(case: CaseVerdict, *, history: bool) -> bool:
    """Whether a row says nothing of a case that a count does not: nothing was measured, or nothing has changed."""
    if any(f.verdict not in summary.QUIET or f.accepted or f.metric == summary.SIGNATURE for f in case.findings):
        return False
    unmeasured = any(note.startswith(summary.UNMEASURED) for note in case.notes)
    return case.verdict is Verdict.NOT_COMPARABLE or (case.verdict is Verdict.PASS and (unmeasured or history))


def _counted(folded: Sequence[CaseVerdict]) -> str:
    """Cases without a row, by verdict, gravest first."""
    found = Counter(case.verdict for case in folded)
    by_verdict = ", ".join(f"{found[one]} {summary.PLURAL[one]}" for one in reversed(GRAVITY) if found[one])
    return f"{count(len(folded), 'case')} of which nothing differs or nothing was compared: {by_verdict}; -v lists them"


def _sentence(verdict: Verdict, place: int, text: str) -> Text:
    """A line of its own for each finding; those of one case stand below one another."""
    start = f"{verdict.value}  "
    return Text.assemble((start if place == 0 else " " * len(start), STYLES[verdict]), terminal(text))


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
            groups.setdefault(FIGURE.sub("#", note), (note, []))[1].append(case.name)
    lines = summary.notes(report)
    for note, names in groups.values():
        more = f" and {count(len(names) - 1, 'more case')}" if len(names) > 1 else ""
        lines.append(f"{names[0]}{more}: {note}")
    return lines
