"""What a person sees while a sweep runs, and at its end."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console as RichConsole
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from harness import budget, confirmation
from harness.cli import tables
from harness.cli.wide import print_table

if TYPE_CHECKING:
    from harness.build.pipeline import BuildEvent
    from harness.flow.preview import Preview
    from harness.flow.sweep import Swept
    from harness.records import Case

MOVED = 0.10
"""By how much the host's pace may move over a run before it is marked, as a share."""

REDRAW_S = 0.5
"""The live line is redrawn at most this often, and only while no worker is timing."""

FIGURE = re.compile(r"\d+(\.\d+)?")

TARGET_WIDTH = 160
"""Columns to assume where the output is not a terminal, so that tables are not folded."""


class Console:
    """A `harness.flow.sweep.Watcher` that draws on the terminal, or writes plain lines where there is none."""

    def __init__(self, *, quiet_stdout: bool = False) -> None:
        """With `quiet_stdout` everything goes to standard error, so that standard output can carry JSON."""
        self.out = RichConsole(stderr=quiet_stdout, highlight=False, soft_wrap=False)
        if not self.out.is_terminal:
            self.out = RichConsole(stderr=quiet_stdout, highlight=False, width=TARGET_WIDTH)
        self.live: Live | None = None
        self.drawn = 0.0
        self.total = self.done = 0
        self.processes = self.all_processes = 0
        self.number = self.rounds = 0
        self.expected_s = 0.0
        self.case_started = 0.0
        self.elapsed: list[float] = []
        self.current = self.said = ""

    def __enter__(self) -> Self:
        if self.out.is_terminal:
            # No refresh thread: redrawing beside a worker that times would be noise of our own making.
            self.live = Live(Text(""), console=self.out, auto_refresh=False, transient=True)
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live is not None:
            self.live.stop()
            self.live = None
        if kind is KeyboardInterrupt:
            self.out.print(
                f"Stopped: {self.processes} finished processes are kept; the same command goes on from there."
            )

    # --- the watcher ---

    def assumed(self, notes: Sequence[str]) -> None:
        """What is taken for granted of files that have no zoo."""
        for note in notes:
            self.out.print(escape(note), style="dim", soft_wrap=True)

    def planned(self, preview: Preview) -> None:
        """Say what is going to happen."""
        self.plan(preview, cases=False)

    def plan(self, preview: Preview, *, cases: bool) -> None:
        """The plan: how many cases, what has to be built, about how long, and every case where asked for."""
        planned = preview.plan.cases
        count = f"{len(planned)} case" + ("" if len(planned) == 1 else "s")
        models = len({c.model.name for c in planned})
        self.rounds = preview.settings.processes
        self.out.print(
            f"[bold]{count}[/bold] of {models} model{'s' if models != 1 else ''}; "
            f"{preview.settings.processes} processes and at most {preview.settings.time_per_case:g} s of inference "
            f"each: up to about {minutes(preview.measuring_s)}, start-ups included"
        )
        if preview.missing:
            by_model: dict[str, list[str]] = {}
            for model, variant in preview.missing:
                by_model.setdefault(model, []).append(variant)
            for model, variants in by_model.items():
                self.out.print(f"to build: {escape(model)}: {', '.join(variants)}")
            self.out.print(f"building takes about {minutes(preview.building_s)}, once", style="dim")
        else:
            self.out.print("nothing to build: every artifact is cached")
        for reason in preview.plan.pruned:
            self.out.print(f"left out: {escape(reason)}", style="dim")
        if cases:
            for case in planned:
                self.out.print(escape(case.id))

    def building(self, event: BuildEvent) -> None:
        """One line per finished step; the current one in the live line."""
        name = f"{event.model}/{event.variant}"
        if event.state == "started":
            self.draw(f"building {name}: {event.step}")
        elif event.state == "done" and event.step:
            self.out.print(f"built {escape(name)}: {event.step} in {event.seconds:.1f} s", style="dim")
        elif event.state == "refused":
            self.out.print(f"no {escape(name)}: {escape(one_line(event.detail))}", style="dim")

    def preparing(self, text: str) -> None:
        """Something else that takes a while."""
        self.out.print(escape(text), style="dim")

    def measuring(
        self,
        todo: Sequence[Case],
        kept: Sequence[tables.Row],
        begun: Sequence[tables.Row],
        problems: Sequence[str],
    ) -> None:
        """Builds are done."""
        for problem in problems:
            self.out.print(f"[yellow]measured again:[/yellow] {escape(problem)}", soft_wrap=True)
        self.total, self.done = len(todo) + len(kept), len(kept)
        self.all_processes = len(todo) * self.rounds - sum(map(processes, begun))
        if kept or begun:
            partly = f", {len(begun)} in part" if begun else ""
            self.out.print(f"resuming: {len(kept)} of {self.total} cases were finished before{partly}")

    def round(self, number: int, of: int) -> None:
        """Name the round where there are several."""
        self.number, self.rounds = number, of
        if of > 1:
            self.out.print(f"round {number} of {of}", style="dim")

    def started(self, case: Case) -> None:
        """Name the case in the live line."""
        self.current, self.case_started = case.id, time.monotonic()
        self.draw(self.progress())

    def tick(self) -> None:
        """Redraw, now that the worker is idle; rarely."""
        if self.live is not None and time.monotonic() - self.drawn >= REDRAW_S:
            self.draw(self.progress())

    def sharpened(self, row: tables.Row) -> None:
        """One line per case after its first process; later ones only move the live line."""
        self.took()
        if processes(row) == 1:
            self.line(row, f"first of {self.rounds}")

    def finished(self, row: tables.Row) -> None:
        """One line per case."""
        self.took()
        self.done += 1
        self.line(row, f"{self.done:>{len(str(self.total))}}/{self.total}")

    def took(self) -> None:
        """Count a process."""
        self.processes += 1
        self.elapsed.append(time.monotonic() - self.case_started)

    def line(self, row: tables.Row, place: str) -> None:
        """What is known of a case."""
        style = tables.STYLES[row["status"]]
        result = tables.interval(row["latency"]) if row.get("latency") else self.why(one_line(row["reason"]))
        marks = [tables.fidelity(row), tables.accuracy(row)] if row.get("latency") else []
        detail = "  ".join([result, *(m for m in marks if m != "-")])
        self.out.print(
            f"[dim]{place}[/dim] {escape(row['case'])}  [{style}]{row['status']}[/{style}]  {escape(detail)}",
            soft_wrap=True,
        )

    def why(self, reason: str) -> str:
        """A reason, written out once where it is that of one case after the other."""
        again, self.said = reason == self.said, reason
        return "as above" if again else reason

    def progress(self) -> str:
        """The live line: where we are and the time left, from what processes have really taken so far."""
        left = self.all_processes - self.processes
        if not self.elapsed:
            eta = "estimating the time left"
        else:
            mean = sum(self.elapsed) / len(self.elapsed)
            eta = f"about {minutes(max(0.0, mean * left - (time.monotonic() - self.case_started)))} left"
        number = f"round {self.number} of {self.rounds}, " if self.number and self.rounds > 1 else ""
        return f"{number}process {self.processes + 1}/{self.all_processes} {self.current}  ({eta})"

    def draw(self, text: str) -> None:
        """Show one live line."""
        if self.live is not None:
            self.live.update(Text(text, style="cyan"), refresh=True)
            self.drawn = time.monotonic()

    # --- the end ---

    def summary(self, swept: Swept, results: Path) -> None:
        """One table per model, the builds to ship, what has no number and why, and where everything lies."""
        for model in dict.fromkeys(row["model"] for row in swept.rows):
            rows = [row for row in swept.rows if row["model"] == model]
            self.out.print()
            if any(row.get("latency") for row in rows):
                print_table(self.out, tables.model_table(model, rows))
            self.choice(rows)
        self.refusals(swept.rows)
        self.remarks(swept.rows)
        self.pace(swept.rows)
        self.out.print()
        self.out.print(f"samples: {escape(str(swept.samples))}", soft_wrap=True)
        if swept.why_no_asv:
            self.out.print(f"asv files not written: {escape(swept.why_no_asv)}", soft_wrap=True)
        else:
            self.out.print(f"asv: {len(swept.asv_files)} files under {escape(str(results))}", soft_wrap=True)

    def stored(self, rows: Sequence[tables.Row]) -> None:
        """Stored rows, a table per model and weights; rows of several runs stand one below the other."""
        groups: dict[tuple[str, str], list[tables.Row]] = {}
        for row in rows:
            groups.setdefault((row["model"], (row.get("weights") or {}).get("digest", "")), []).append(row)
        for (model, _), group in groups.items():
            if any(row.get("latency") for row in group):
                print_table(self.out, tables.model_table(model, group))
                if len(tables.settings(group)) > 1:
                    self.out.print(f"  {tables.NOT_COMPARED}", style="dim", soft_wrap=True)
                self.choice(group)
                self.out.print()
        self.refusals(rows)

    def choice(self, rows: Sequence[tables.Row]) -> None:
        """The fastest case inside the budget, for each target; rows of other runs or runtimes are not compared."""
        for (_, target), choice in budget.choices(rows).items():
            best = choice.best
            apart = tables.brief([tables.apart(row, choice.rows[0]) for row in choice.apart])
            also = f"; measured apart and not compared: {apart}" if apart else ""
            if best is None:
                judged = any(budget.excess(row) is not None for row in choice.rows)
                why = (
                    "no case is inside the budget" if judged else "no budget or no way to judge it: set one in the zoo"
                )
                self.out.print(f"  {escape(target)}: {why}{escape(also)}", soft_wrap=bool(also))
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
            self.out.print(
                f"  fastest inside the budget on [bold]{escape(target)}[/bold]: "
                f"[bold]{escape(best['variant'])}[/bold] at {tables.seconds(best['latency']['median_s'])}"
                f"{escape(faster)}; {escape(state)} ({escape(basis(best))}){escape(doubt + also)}",
                soft_wrap=True,
            )

    def pace(self, rows: Sequence[tables.Row]) -> None:
        """How fast the host was over the whole run, by the reference workload, and whether that moved."""
        known = [row["pace"] for row in rows if row.get("pace")]
        if not known:
            return
        low, high = min(one["low_s"] for one in known), max(one["high_s"] for one in known)
        typical = tables.seconds(statistics.median(one["median_s"] for one in known))
        moved = f"moved by {high / low - 1:.0%}, {tables.seconds(low)} to {tables.seconds(high)}"
        style = "yellow" if high > (1 + MOVED) * low else "dim"
        self.out.print(f"host's pace: reference workload {typical}, {moved}", style=style, soft_wrap=True)

    def refusals(self, rows: Sequence[tables.Row]) -> None:
        """Cases without a number, with their reasons."""
        for status, reason, ids in tables.without_numbers(rows):
            style = tables.STYLES[status]
            self.out.print(
                f"[{style}]{status}[/{style}] {escape(tables.brief(ids))}: {escape(one_line(reason))}", soft_wrap=True
            )

    def remarks(self, rows: Sequence[tables.Row]) -> None:
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
            self.out.print(f"[yellow]note[/yellow] {escape(tables.brief(ids))}: {escape(line)}", soft_wrap=True)


def basis(row: tables.Row) -> str:
    """What a choice rests on."""
    if row.get("accuracy"):
        judged = budget.judged(row)
        stated = f"; {judged.phrase}" if judged.verdict == budget.CANNOT_TELL else ""
        return f"{row['accuracy']['metric']} {tables.accuracy(row)} points{stated}"
    weights = (row.get("weights") or {}).get("kind", "unknown")
    return f"fidelity {tables.fidelity(row)}, {weights} weights"


def processes(row: tables.Row) -> int:
    """How many processes a row rests on, crashed ones included."""
    return ((row.get("latency") or {}).get("processes") or 0) + len(row.get("crashes") or ())


def minutes(seconds: float) -> str:
    """A duration for people, such as `3 min` or `40 s`."""
    if seconds < 90:  # noqa: PLR2004
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"


def one_line(text: str | None) -> str:
    """A reason in one line: what onnxruntime says may be long, and its point comes last."""
    return " ".join((text or "").split())
