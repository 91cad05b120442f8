"""A report as a pull-request comment: the verdict first, what needs a reader next, everything else folded."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from harness import shown
from harness.gate.model import CaseVerdict, Finding, Report, Verdict
from harness.gate.text import summary
from harness.units import change, count, value

MARKER = "<!-- harness gate -->"
"""The first line: by it a job finds its own comment again and replaces it."""

LONGEST = 60_000
"""Characters; GitHub refuses comments from 65,536 on."""

MOST_LISTED = 25
"""Cases, and notes, that are written out above the fold."""

SIGNS = {
    Verdict.REGRESSION: ":x:",
    Verdict.FAILED: ":boom:",
    Verdict.INCONCLUSIVE: ":grey_question:",
    Verdict.NOT_COMPARABLE: ":no_entry_sign:",
    Verdict.IMPROVEMENT: ":rocket:",
    Verdict.PASS: ":white_check_mark:",
}


def render(report: Report) -> str:
    """The comment; never longer than `LONGEST`, and it says how many rows it leaves out."""
    cases = summary.ordered(report.cases)
    compared, notes = summary.sides(report), summary.notes(report)
    more = [f"> and {count(len(notes) - MOST_LISTED, 'more note')}"] if len(notes) > MOST_LISTED else []
    head = [
        MARKER,
        f"### {SIGNS[summary.overall(report)]} {shown.markdown(summary.headline(report))}",
        "",
        shown.markdown(_cut(f"{compared[:1].upper()}{compared[1:]}.")),
        "",
        *_list(summary.grouped([case for case in cases if summary.needs_a_reader(case)])),
        "",
        *[f"> {shown.markdown(_cut(note))}  " for note in notes[:MOST_LISTED]],
        *more,
        "",
    ]
    tail = [
        "",
        *_acceptance(report, cases),
        *_fold("How this was measured", _table(("", ""), summary.circumstances(report))),
    ]
    room = LONGEST - len("\n".join([*head, *tail]))
    body = _cases(cases, room)
    return "\n".join([*head, *body, *tail]) + "\n"


def _list(listed: Sequence[tuple[Verdict, str, str]]) -> list[str]:
    lines = [
        f"- {SIGNS[verdict]} **{shown.markdown(names)}**: {shown.markdown(_cut(text))}"
        for verdict, names, text in listed[:MOST_LISTED]
    ]
    more = len(listed) - MOST_LISTED
    return [*lines, f"- and {count(more, 'more case')}"] if more > 0 else lines


def _cases(cases: Sequence[CaseVerdict], room: int) -> list[str]:
    """Every finding as a row, as many as there is room for."""
    rows: list[tuple[str, ...]] = []
    used = 0
    for case in cases:
        of_case = [_row(case, finding) for finding in case.findings] or [_row(case, None)]
        used += sum(len("".join(map(shown.markdown, row))) + 4 * len(row) for row in of_case)
        if used > room - 500:
            break
        rows += of_case
    listed = len({row[0] for row in rows})
    all_of = f"Every metric of {count(len(cases), 'case')}"
    title = all_of if listed == len(cases) else f"{listed} of {count(len(cases), 'case')}"
    if not rows:
        return []
    return _fold(title, _table(("case", "metric", "verdict", "base", "head", "change", "n", "remark"), rows))


def _row(case: CaseVerdict, finding: Finding | None) -> tuple[str, ...]:
    notes = "; ".join(case.notes)
    if finding is None:
        return (
            case.name,
            "",
            case.verdict.value,
            "",
            "",
            "",
            "",
            _cut("; ".join(filter(None, (case.reason, notes)))),
        )
    ratio = summary.ratio(finding)
    moved = "" if ratio is None else change(ratio, sign=True)
    if moved and finding.low is not None and finding.high is not None:
        moved += f" ({change(finding.low, sign=True)} to {change(finding.high, sign=True)})"
    verdict = finding.verdict.value + (" (accepted)" if finding.accepted else "")
    numbers = value(finding.base, finding.unit), value(finding.head, finding.unit)
    # A row that has its numbers in columns needs no sentence beside them.
    remark = finding.accepted or ("" if moved else finding.sentence)
    first = finding is case.findings[0]
    remark = "; ".join(filter(None, (remark, notes if first else "")))
    return case.name, finding.metric, verdict, *numbers, moved, str(finding.n or ""), _cut(remark)


def _cut(text: str, most: int = 600) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def _acceptance(report: Report, cases: Sequence[CaseVerdict]) -> list[str]:
    """How to let a regression pass, with the first one as the example; two cases of one zoo are a choice, no change."""
    history = summary.in_history(report)
    if report.head is not None and report.head.kind == "case":
        return []
    worse = next((case.name for case in cases if case.verdict is Verdict.REGRESSION), None)
    if worse is None:
        return []
    accept = f"--accept {shlex.quote(worse)} --reason '...'"
    command = f"harness gate --history {accept}" if history else f"harness gate {accept} --from gate.json"
    note = "It is then stored beside the zoo, stays visible, and covers this change alone."
    return [*_fold("Is it worth it? How to accept it", [f"<code>{shown.markdown(command)}</code>", "", note]), ""]


def _fold(title: str, lines: Iterable[str]) -> list[str]:
    return [f"<details><summary>{shown.html(title)}</summary>", "", *lines, "", "</details>"]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        "| " + " | ".join(header) + " |",
        "|" + " --- |" * len(header),
        *("| " + " | ".join(shown.markdown(cell) for cell in row) + " |" for row in rows),
    ]
