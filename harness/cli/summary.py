"""What a person sees of rows: the tables, the builds to ship, and what has no number and why."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli import choices, tables
from harness.cli.wide import print_table
from harness.shown import markup as escape
from harness.shown import one_line
from harness.store.rows import runtime_of

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
            print_table(out, tables.model_table(model, rows))
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
            print_table(out, tables.model_table(model, group))
            if len(tables.settings(group)) > 1:
                out.print(f"  {tables.NOT_COMPARED}", style="dim", soft_wrap=True)
            choice(out, group)
            out.print()
    refusals(out, rows)


def choice(out: RichConsole, rows: Sequence[tables.Row]) -> None:
    """The fastest case inside the budget, for each target; rows of other runs or runtimes are not compared."""
    for one in choices.spoken(rows):
        also = f"; measured apart and not compared: {one.apart}" if one.apart else ""
        if not one.variant:
            out.print(f"  {escape(one.target)}: {one.why_none}{escape(also)}", soft_wrap=bool(also))
            continue
        faster = f", {one.factor}" if one.factor else ""
        doubt = f"; {one.doubt}" if one.doubt else ""
        out.print(
            f"  fastest inside the budget on [bold]{escape(one.target)}[/bold]: "
            f"[bold]{escape(one.variant)}[/bold] at {one.seconds}"
            f"{escape(faster)}; {escape(one.state)} ({escape(one.basis)}){escape(doubt + also)}",
            soft_wrap=True,
        )


def pace(out: RichConsole, rows: Sequence[tables.Row]) -> None:
    """How fast the host was over the whole run, by the reference workload, and whether that moved."""
    paces: dict[Any, list[Any]] = {}  # one runtime's reference workload is faster than another's on the same host
    for row in rows:
        if row.get("pace"):
            paces.setdefault(runtime_of(dict(row)), []).append(row["pace"])
    if not paces:
        return
    known = max(paces.values(), key=lambda some: max(one["high_s"] for one in some) / min(one["low_s"] for one in some))
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
        if row.get("stopped"):
            lines.append(row["stopped"])
        if row.get("reason"):
            lines.append(f"{row['status']}: {row['reason']}")
        for line in lines:
            # Lines that differ in their figures alone say the same; the first stands for all.
            said.setdefault(FIGURE.sub("#", line), (line, []))[1].append(row["case"])
    for line, ids in said.values():
        out.print(f"[yellow]note[/yellow] {escape(tables.brief(ids))}: {escape(line)}", soft_wrap=True)
