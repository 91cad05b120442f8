"""Rows of a sweep as Markdown: the builds to ship first, then what has no number and why, every case folded."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import budget, units
from harness.cli import choices, tables
from harness.gate.outputs.delivery import SUMMARY_VARIABLE, append
from harness.gate.outputs.markdown import LONGEST
from harness.shown import markdown as escape
from harness.store import files
from harness.units import count

Row = Mapping[str, Any]

STDOUT = "-"
MOST_LISTED = 100
"""Choices, and remarks, that are written out."""

LONGEST_LINE = 200
"""Characters of a remark: what onnxruntime says may be pages long."""

SHIP = ("model", "target", "build to ship", "median [95%]", "against the baseline", "state", "good enough by")
CASES = ("case", "median [95%]", "speed-up", "fidelity", "accuracy", "status", "remark")


def render(rows: Sequence[Row], *, among: Sequence[Row] = ()) -> str:
    """The summary; never longer than GitHub takes, and it says how many cases it leaves out.

    Args:
        rows: what is shown.
        among: everything that is stored, which has the baselines and choices; `rows` where none are given.
    """
    whole = among or rows
    shown = {(row["model"], row["target"]) for row in rows}
    known = choices.spoken([row for row in whole if (row["model"], row["target"]) in shown])
    listed = _doubts(known)
    listed += [f"{status}: {tables.brief(ids)}: {reason}" for status, reason, ids in tables.without_numbers(rows)]
    head = [
        "### Builds to ship",
        "",
        *(_table(SHIP, [_chosen(one) for one in known[:MOST_LISTED]]) if known else ["No case has a number."]),
        *([f"and {len(known) - MOST_LISTED} more"] if len(known) > MOST_LISTED else []),
        "",
        *[f"- {escape(_cut(text))}" for text in listed[:MOST_LISTED]],
        "",
    ]
    numbers, base = [row for row in rows if row.get("latency")], budget.Baselines(whole)
    room = LONGEST - len("\n".join(head)) - 500
    kept: list[str] = []
    for row in numbers:
        (line,) = _table(CASES, [_case(row, base)])[-1:]
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    left = [f"and {count(len(numbers) - len(kept), 'more case')}"] if len(kept) < len(numbers) else []
    if not kept:
        return "\n".join([*head, *left]).rstrip("\n") + "\n"
    titled = f"<details><summary>{count(len(numbers), 'case')} with numbers</summary>"
    body = [titled, "", *_table(CASES, []), *kept, "", *left, "</details>"]
    return "\n".join([*head, *body]) + "\n"


def deliver(rows: Sequence[Row], to: str | None) -> str:
    """Write the summary where it was asked for, and add it to the job's summary where there is one.

    Returns:
        What belongs on standard output.

    Raises:
        StoreError: if a file cannot be written.
    """
    job = os.environ.get(SUMMARY_VARIABLE)
    if to is None and not job:
        return ""
    text = render(rows)
    if job:
        append(Path(job), text)
    if to not in (None, STDOUT, job):
        files.write(Path(to or ""), text.encode())
    return text if to == STDOUT else ""


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_LINE else f"{text[:LONGEST_LINE]} …"


def _chosen(one: choices.SpokenChoice) -> list[str]:
    if not one.variant:
        return [one.model, one.target, units.NONE, "", "", one.why_none, ""]
    return [one.model, one.target, one.variant, one.median, one.factor or units.NONE, one.state, one.basis]


def _doubts(known: Sequence[choices.SpokenChoice]) -> list[str]:
    found = [f"{one.case}: {one.doubt}" for one in known if one.doubt]
    return found + [f"{one.case}: {one.apart}" for one in known if one.apart]


def _case(row: Row, base: budget.Baselines) -> list[str]:
    speedup = base.speedup(row)
    return [
        row["case"],
        tables.interval(row["latency"]),
        units.NONE if speedup is None else f"{speedup:.2f}x {budget.baseline(row)}",
        tables.fidelity(row),
        tables.accuracy(row),
        row["status"],
        "; ".join(filter(None, [row.get("stopped"), row.get("reason"), budget.excess(row)])),
    ]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    return [*lines, *(f"| {' | '.join(map(escape, row))} |" for row in rows)]
