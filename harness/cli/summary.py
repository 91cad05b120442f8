"""What a person sees of rows: the tables, the builds to ship, and what has no number and why."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli import choices, tables
from harness.cli.result_columns import Around
from harness.layout import TextColumn, TextTable, print_grid
from harness.shown import cell, one_line
from harness.shown import markup as escape
from harness.store.rows import runtime_of

if TYPE_CHECKING:
    from rich.console import Console as RichConsole

    from harness.flow.sweep import Swept

MOVED = 0.10
"""By how much the host's pace may move over a run before it is marked, as a share."""

FIGURE = re.compile(r"\d+(\.\d+)?")


def summary(out: RichConsole, swept: Swept, results: Path) -> None:
    """One table per model, what has no number and why, notes; then the builds to ship, and where everything lies."""
    narrow: dict[str, None] = {}
    for model in dict.fromkeys(row["model"] for row in swept.rows):
        rows = [row for row in swept.rows if row["model"] == model and row.get("latency")]
        if rows:
            out.print()
            narrow |= dict.fromkeys(print_grid(out, tables.model_table(model, rows)))
    left_out(out, tuple(narrow))
    out.print()
    refusals(out, swept.rows)
    remarks(out, swept.rows)
    pace(out, swept.rows)
    if swept.why_no_asv:
        out.print(f"asv files not written: {escape(swept.why_no_asv)}", soft_wrap=True)
    ship(out, choices.spoken(swept.rows))
    out.print()
    out.print(f"samples: {escape(str(swept.samples))}", soft_wrap=True)
    if not swept.why_no_asv:
        out.print(f"asv: {len(swept.asv_files)} files under {escape(str(results))}", soft_wrap=True)


class StoredTables:
    """Stored rows, a table per model and weights, shown part by part; rows of several runs stand one below the other.

    Rows of different weights are never compared. What has no number, and the answer, come last.

    Args:
        out: where to.
    """

    def __init__(self, out: RichConsole) -> None:
        self._out = out
        self._narrow: dict[str, None] = {}
        self._known: list[choices.SpokenChoice] = []
        self._without: dict[tuple[str, str], list[str]] = {}

    def add(self, rows: Sequence[tables.Row], among: Sequence[tables.Row] = ()) -> None:
        """Show all rows of some models.

        Args:
            rows: what is shown.
            among: everything that is stored of these models, so that a selection has the speed-ups and choices of the
                whole; `rows` where none are given.
        """
        groups = by_weights(rows)
        whole = groups if len(among) in (0, len(rows)) else by_weights(among)
        for key, group in groups.items():
            model, targets = key[0], {row["target"] for row in group}
            if any(row.get("latency") for row in group):
                around = Around.of(whole[key])
                self._narrow |= dict.fromkeys(print_grid(self._out, tables.model_table(model, group, around=around)))
                if len(tables.settings(group, around)) > 1:
                    self._out.print(f"  {tables.NOT_COMPARED}", style="dim", soft_wrap=True)
                shown = [choice for (_, target), choice in around.choices.items() if target in targets]
                self._known += map(choices.spoken_choice, shown)
                self._out.print()
        for status, reason, ids in tables.without_numbers(rows):
            self._without.setdefault((status, reason), []).extend(ids)

    def end(self) -> None:
        """What there was no room for, what has no number and why, and the builds to ship."""
        left_out(self._out, tuple(self._narrow))
        refused(self._out, [(status, reason, ids) for (status, reason), ids in self._without.items()])
        ship(self._out, self._known)


def by_weights(rows: Sequence[tables.Row]) -> dict[tuple[str, str], list[tables.Row]]:
    """Rows that may be compared: by model and the digest of its weights."""
    groups: dict[tuple[str, str], list[tables.Row]] = {}
    for row in rows:
        groups.setdefault((row["model"], (row.get("weights") or {}).get("digest", "")), []).append(row)
    return groups


def left_out(out: RichConsole, columns: Sequence[str]) -> None:
    """Say which columns there was no room for."""
    if columns:
        out.print(
            f"no room for: {', '.join(columns)} (a wider terminal, or harness results --columns)",
            style="dim",
            soft_wrap=True,
        )


def ship(out: RichConsole, known: Sequence[choices.SpokenChoice]) -> None:
    """The fastest case inside the budget of every model and target, in one block; what has to be said of them first.

    Rows of other runs or runtimes are not compared.
    """
    for one in known:
        if said := "; ".join(filter(None, [one.detail, one.doubt, one.apart])):
            out.print(f"[yellow]note[/yellow] {escape(one.case)}: {escape(said)}", soft_wrap=True)
    if not known:
        return
    out.print()
    out.print("Builds to ship: the fastest inside the budget", style="bold", soft_wrap=True)
    chosen = [one for one in known if one.variant]
    if chosen:
        print_grid(out, ship_grid(chosen))
    reasons: dict[str, list[str]] = {}
    for one in known:
        if not one.variant:
            reasons.setdefault(one.why_none, []).append(one.case)
    for why, cases in reasons.items():
        out.print(f"none for {escape(tables.brief(cases))}: {escape(why)}", soft_wrap=True)


def ship_grid(chosen: Sequence[choices.SpokenChoice]) -> TextTable:
    """Builds to ship as a table."""
    return TextTable(
        columns=(
            TextColumn(name="case", least=24),
            TextColumn(name="p50", right=True),
            TextColumn(name="speed-up", right=True, rank=1),
            TextColumn(name="state", rank=1),
            TextColumn(name="against", rank=3),
            TextColumn(name="good enough by", rank=2),
        ),
        rows=[
            [
                cell(one.case, style="bold"),
                one.seconds,
                cell(one.speedup),
                cell(one.brief),
                cell(one.baseline),
                cell(one.basis),
            ]
            for one in chosen
        ],
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
    refused(out, tables.without_numbers(rows))


def refused(out: RichConsole, gathered: Sequence[tuple[str, str, list[str]]]) -> None:
    """Such cases, as `tables.without_numbers` gathers them."""
    for status, reason, ids in gathered:
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
