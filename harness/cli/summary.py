"""What a person sees of rows: the tables, the builds to ship, and what has no number and why."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import budget, confirmation
from harness.cli import tables
from harness.shown import markup as escape
from harness.shown import one_line

if TYPE_CHECKING:
    from rich.console import Console as RichConsole

    from harness.flow.sweep import Swept

MOVED = 0.10
"""By how much the host's pace may move over a run before it is marked, as a share."""

FIGURE = re.compile(r"\d+(\.\d+)?")


def summary(out: RichConsole, swept: Swept, results: Path) -> None:
    """One table per model, the builds to ship, what has no number and why, and where everything lies."""
    for model in dict.fromkeys(row["model"] for row in swept.rows):
        rows = [row for row in swept.rows if row["model"] == model]
        out.print()
        if any(row.get("latency") for row in rows):
            out.print(tables.model_table(model, rows))
        choice(out, rows)
    refusals(out, swept.rows)
    remarks(out, swept.rows)
    pace(out, swept.rows)
    out.print()
    out.print(f"samples: {escape(str(swept.samples))}", soft_wrap=True)
    if swept.why_no_asv:
        out.print(f"asv files not written: {escape(swept.why_no_asv)}", soft_wrap=True)
    else:
        out.print(f"asv: {len(swept.asv_files)} files under {escape(str(results))}", soft_wrap=True)


def stored(out: RichConsole, rows: Sequence[tables.Row]) -> None:
    """Stored rows, a table per model and weights; rows of several runs stand one below the other."""
    groups: dict[tuple[str, str], list[tables.Row]] = {}
    for row in rows:
        groups.setdefault((row["model"], (row.get("weights") or {}).get("digest", "")), []).append(row)
    for (model, _), group in groups.items():
        if any(row.get("latency") for row in group):
            out.print(tables.model_table(model, group))
            if len(tables.settings(group)) > 1:
                out.print(f"  {tables.NOT_COMPARED}", style="dim", soft_wrap=True)
            choice(out, group)
            out.print()
    refusals(out, rows)


def choice(out: RichConsole, rows: Sequence[tables.Row]) -> None:
    """The fastest case inside the budget, for each target; rows of other runs or runtimes are not compared."""
    for (_, target), choice in budget.choices(rows).items():
        best = choice.best
        apart = tables.brief([tables.apart(row, choice.rows[0]) for row in choice.apart])
        also = f"; measured apart and not compared: {apart}" if apart else ""
        if best is None:
            judged = any(budget.excess(row) is not None for row in choice.rows)
            why = "no case is inside the budget" if judged else "no budget or no way to judge it: set one in the zoo"
            out.print(f"  {escape(target)}: {why}{escape(also)}", soft_wrap=bool(also))
            continue
        found = confirmation.stored(best)
        speedup = budget.speedup(best, choice.rows)
        if found is None:
            ties = [r["variant"] for r in budget.tied(best, choice.rows)]
            overlaps = f"; its interval overlaps {', '.join(ties)}" if ties else ""
            factor = f"{speedup:.2f}x {budget.baseline(best)}" if speedup else ""
            state = f"{confirmation.UNCONFIRMED}{overlaps}"
        else:
            factor, state = found.factor, found.verdict
        faster = f", {factor}" if factor else ""
        doubt = f"; {remark}" if (remark := budget.remark(best)) else ""
        out.print(
            f"  fastest inside the budget on [bold]{escape(target)}[/bold]: "
            f"[bold]{escape(best['variant'])}[/bold] at {tables.seconds(best['latency']['median_s'])}"
            f"{escape(faster)}; {escape(state)} ({escape(basis(best))}){escape(doubt + also)}",
            soft_wrap=True,
        )


def pace(out: RichConsole, rows: Sequence[tables.Row]) -> None:
    """How fast the host was over the whole run, by the reference workload, and whether that moved."""
    known = [row["pace"] for row in rows if row.get("pace")]
    if not known:
        return
    low, high = min(one["low_s"] for one in known), max(one["high_s"] for one in known)
    typical = tables.seconds(statistics.median(one["median_s"] for one in known))
    moved = f"moved by {high / low - 1:.0%}, {tables.seconds(low)} to {tables.seconds(high)}"
    style = "yellow" if high > (1 + MOVED) * low else "dim"
    out.print(f"host's pace: reference workload {typical}, {moved}", style=style, soft_wrap=True)


def refusals(out: RichConsole, rows: Sequence[tables.Row]) -> None:
    """Cases without a number, with their reasons."""
    for status, reason, ids in tables.without_numbers(rows):
        style = tables.STYLES[status]
        out.print(
            f"[{style}]{status}[/{style}] {escape(tables.brief(ids))}: {escape(one_line(reason))}", soft_wrap=True
        )


def remarks(out: RichConsole, rows: Sequence[tables.Row]) -> None:
    """Why cases are emulated, mixed or unverified, and warnings that go with numbers."""
    said: dict[str, tuple[str, list[str]]] = {}
    for row in rows:
        if not row.get("latency"):
            continue
        lines: list[Any] = list(row.get("notes") or [])
        if row.get("reason"):
            lines.append(f"{row['status']}: {row['reason']}")
        for line in lines:
            # Lines that differ in their figures alone say the same; the first stands for all.
            said.setdefault(FIGURE.sub("#", line), (line, []))[1].append(row["case"])
    for line, ids in said.values():
        out.print(f"[yellow]note[/yellow] {escape(tables.brief(ids))}: {escape(line)}", soft_wrap=True)


def basis(row: tables.Row) -> str:
    """What a choice rests on."""
    if row.get("accuracy"):
        judged = budget.judged(row)
        stated = f"; {judged.phrase}" if judged.verdict == budget.CANNOT_TELL else ""
        return f"{row['accuracy']['metric']} {tables.accuracy(row)} points{stated}"
    weights = (row.get("weights") or {}).get("kind", "unknown")
    return f"fidelity {tables.fidelity(row)}, {weights} weights"
