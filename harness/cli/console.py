"""What a person sees of a sweep: its plan, and how far it is."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.cells import cell_len

from harness.cli.loudness import Loudness, loudness
from harness.cli.tables import brief
from harness.cli.terminal import Terminal
from harness.layout import cut
from harness.shown import cell, one_line
from harness.shown import markup as escape

if TYPE_CHECKING:
    from rich.live import Live

    from harness.build.pipeline import BuildEvent
    from harness.cli.tables import Row
    from harness.flow.preview import Preview
    from harness.records import Case

REDRAW_S = 0.5
"""The live line is redrawn at most this often, and only while no worker is timing."""

UNBOUNDED = 10_000
"""The width of a pipe or a file where `COLUMNS` is not set: nothing is folded or left out."""

PLAIN_S = 30.0
"""Where there is no terminal, a line says how far it is at most this often, so that a log shows that it goes on."""


class Console:
    """A `harness.flow.sweep.Watcher` that draws on the terminal, or writes plain lines where there is none."""

    def __init__(self, *, quiet_stdout: bool = False) -> None:
        """With `quiet_stdout` everything goes to standard error, so that standard output can carry JSON."""
        self.out = Terminal(stderr=quiet_stdout, highlight=False, soft_wrap=False)
        if not self.out.interactive:
            columns = os.environ.get("COLUMNS", "")
            width = int(columns) if columns.isdecimal() and int(columns) > 0 else UNBOUNDED
            self.out = Terminal(stderr=quiet_stdout, highlight=False, width=width)
        self.live: Live | None = None
        self.loudness = loudness()
        self.drawn = time.monotonic()
        self.total = self.done = 0
        self.processes = self.all_processes = 0
        self.number = self.rounds = 0
        self.expected_s = self.confirming_s = 0.0
        self.case_started = 0.0
        self.choice, self.choices = 0, 1
        self.choice_started = 0.0
        self.chosen_in: list[float] = []
        self.elapsed: list[float] = []
        self.current = self.said = ""

    def __enter__(self) -> Self:
        if self.out.interactive and self.loudness is not Loudness.QUIET:
            from rich.live import Live

            # No refresh thread: redrawing beside a worker that times would be noise of our own making.
            self.live = Live(cell(""), console=self.out, auto_refresh=False, transient=True)
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

    def mention(self, *texts: str, **settings: Any) -> None:
        """A line about what is going on; none with `-q`."""
        if self.loudness is not Loudness.QUIET:
            self.out.print(*texts, **settings)

    # --- the watcher ---

    def assumed(self, notes: Sequence[str]) -> None:
        """What is taken for granted of files that have no zoo."""
        for note in notes:
            self.mention(escape(note), style="dim", soft_wrap=True)

    def planned(self, preview: Preview) -> None:
        """Say what is going to happen."""
        self.plan(preview, cases=False)

    def plan(self, preview: Preview, *, cases: bool) -> None:
        """The plan: how many cases, what has to be built, about how long, and every case where asked for."""
        planned = preview.plan.cases
        count = f"{len(planned)} case" + ("" if len(planned) == 1 else "s")
        models = len({c.model.name for c in planned})
        self.rounds = preview.settings.processes
        self.confirming_s = preview.confirming_s
        self.expected_s = preview.measuring_s / max(len(planned) * self.rounds, 1)
        self.mention(
            f"[bold]{count}[/bold] of {models} model{'s' if models != 1 else ''}; "
            f"{preview.settings.processes} processes and at most {preview.settings.time_per_case:g} s of inference "
            f"each: up to about {minutes(preview.measuring_s)}, start-ups included"
            + (f"; confirming up to about {minutes(preview.confirming_s)}" if preview.confirming_s else "")
        )
        if preview.missing:
            by_model: dict[str, list[str]] = {}
            for model, variant in preview.missing:
                by_model.setdefault(model, []).append(variant)
            for model, variants in by_model.items():
                self.mention(f"to build: {escape(model)}: {escape(', '.join(variants))}")
            self.mention(f"building takes about {minutes(preview.building_s)}, once", style="dim")
        else:
            self.mention("nothing to build: every artifact is cached")
        for reason in preview.plan.pruned:
            self.mention(f"left out: {escape(reason)}", style="dim")
        for reason, left in preview.left_out.items():
            cases_left = brief([case.id for case in left])
            self.mention(f"no number of {escape(cases_left)}: {escape(reason)}", style="dim", soft_wrap=True)
        if cases:
            for case in planned:
                self.out.print(case.id, markup=False, soft_wrap=True)

    def building(self, event: BuildEvent) -> None:
        """One line per finished step; the current one in the live line."""
        name = f"{event.model}/{event.variant}"
        if event.state == "started":
            self.draw(f"building {name}: {event.step}")
        elif event.state == "done" and event.step:
            self.mention(f"built {escape(name)}: {event.step} in {event.seconds:.1f} s", style="dim")
        elif event.state == "damaged":
            self.mention(f"[yellow]{escape(event.detail)}[/yellow]", soft_wrap=True)
        elif event.state == "refused":
            self.mention(f"no {escape(name)}: {escape(self.why(one_line(event.detail)))}", style="dim")

    def preparing(self, text: str) -> None:
        """Something else that takes a while."""
        self.mention(escape(text), style="dim")

    def confirming(self, number: int, of: int, text: str) -> None:
        """A choice is measured again; its place among all of them counts for the time left."""
        if self.choice:
            self.chosen_in.append(time.monotonic() - self.choice_started)
        self.current, self.choice, self.choices = text, number, of
        self.choice_started = time.monotonic()
        self.mention(escape(f"{text} ({number} of {of})" if of > 1 else text), style="dim")
        self.draw(self.progress())

    def measuring(
        self,
        todo: Sequence[Case],
        kept: Sequence[Row],
        begun: Sequence[Row],
        problems: Sequence[str],
    ) -> None:
        """Builds are done."""
        for problem in problems:
            self.mention(f"[yellow]measured again:[/yellow] {escape(problem)}", soft_wrap=True)
        self.total, self.done = len(todo) + len(kept), len(kept)
        self.all_processes = len(todo) * self.rounds - sum(map(processes, begun))
        if kept or begun:
            partly = f", {len(begun)} in part" if begun else ""
            self.mention(f"resuming: {len(kept)} of {self.total} cases were finished before{partly}")

    def round(self, number: int, of: int) -> None:
        """Name the round where there are several."""
        self.number, self.rounds = number, of
        if of > 1:
            self.mention(f"round {number} of {of}", style="dim")

    def started(self, case: Case) -> None:
        """Name the case in the live line."""
        self.current, self.case_started = case.id, time.monotonic()
        self.draw(self.progress())

    def tick(self) -> None:
        """Redraw, now that the worker is idle; rarely, and as a line now and then where there is no terminal."""
        waited = time.monotonic() - self.drawn
        if self.live is not None and waited >= REDRAW_S:
            self.draw(self.progress())
        elif self.live is None and waited >= PLAIN_S:
            self.drawn = time.monotonic()
            self.mention(escape(self.progress()), style="dim", soft_wrap=True)

    def sharpened(self, row: Row) -> None:
        """One line per case after its first process; later ones only move the live line."""
        self.took()
        done = processes(row)
        if done == 1 or self.loudness is Loudness.VERBOSE:
            self.line(row, f"{'first' if done == 1 else done} of {self.rounds}")

    def finished(self, row: Row) -> None:
        """One line per case."""
        self.took()
        self.done += 1
        self.line(row, f"{self.done:>{len(str(self.total))}}/{self.total}")

    def stopped(self, row: Row) -> None:
        """One line per case that stops early; what it does not run counts no more."""
        self.done += 1
        self.all_processes -= self.rounds - processes(row)
        self.line(row, f"{self.done:>{len(str(self.total))}}/{self.total}", end=row["stopped"])

    def reopened(self, row: Row) -> None:
        """A case that had stopped goes on."""
        self.done -= 1
        self.all_processes += self.rounds - processes(row)
        self.line(row, "goes on")

    def took(self) -> None:
        """Count a process."""
        self.processes += 1
        self.elapsed.append(time.monotonic() - self.case_started)

    def line(self, row: Row, place: str, *, end: str = "") -> None:
        """What is known of a case, and why it ended where that is not as planned."""
        from harness.cli import tables

        style = tables.STYLES[row["status"]]
        shown = tables.interval if processes(row) > 1 else alone  # one process says nothing of how processes differ
        result = shown(row["latency"]) if row.get("latency") else self.why(one_line(row["reason"]))
        marks = [tables.fidelity(row), tables.accuracy(row)] if row.get("latency") else []
        known = [result, *(m for m in marks if m != "-")]
        if self.out.interactive:  # what does not fit stands in the table at the end
            room = self.out.width - sum(map(cell_len, (place, row["case"], row["status"]))) - 5
            while len(known) > 1 and cell_len("  ".join(known)) > room:
                known.pop()
        detail = "  ".join([*known, *([end] if end else [])])
        self.mention(
            f"[dim]{place}[/dim] {escape(row['case'])}  [{style}]{row['status']}[/{style}]  {escape(detail)}",
            soft_wrap=True,
        )

    def why(self, reason: str) -> str:
        """A reason, written out once where it is that of one case after the other."""
        again, self.said = reason == self.said, reason
        return "as above" if again else reason

    def progress(self) -> str:
        """The live line: where we are and the time left, from what processes have really taken so far."""
        if self.choice:
            left = time_left(self.confirming_left())
            return f"{self.current}  ({left})"
        remaining = max(self.all_processes - self.processes, 0)
        if not self.elapsed:
            eta = "estimating the time left"
        else:
            mean = sum(self.elapsed) / len(self.elapsed)
            running = time.monotonic() - self.case_started
            eta = time_left(max(0.0, mean * remaining - running) + self.confirming_left())
        number = f"round {self.number} of {self.rounds}, " if self.number and self.rounds > 1 else ""
        place = min(self.processes + 1, self.all_processes)
        line = f"process {place}/{self.all_processes} {self.current}  ({eta})"
        return f"{number}{line}" if cell_len(number + line) <= self.out.width else line

    def confirming_left(self) -> float:
        """Seconds that confirming the choices still takes: as long as those took that are made, before that at most.

        Planned are as many rivals as a choice may have; most have few. It is slower where processes were slower.
        """
        pace = 1.0
        if self.elapsed and self.expected_s:
            pace = max(1.0, sum(self.elapsed) / len(self.elapsed) / self.expected_s)
        each = self.confirming_s * pace / self.choices
        if self.chosen_in:
            each = sum(self.chosen_in) / len(self.chosen_in)
        if not self.choice:
            return self.confirming_s * pace
        running = time.monotonic() - self.choice_started
        return each * (self.choices - self.choice) + max(0.0, each - running)

    def draw(self, text: str) -> None:
        """Show one live line, which is never folded: the case and the time left stand at its end."""
        if self.live is not None:
            self.live.update(cell(cut(text, self.out.width), style="cyan"), refresh=True)
            self.drawn = time.monotonic()


def alone(latency: Mapping[str, Any]) -> str:
    """A median without an interval."""
    from harness.cli import tables

    return tables.seconds(latency["median_s"])


def processes(row: Row) -> int:
    """How many processes a row rests on, crashed ones included."""
    return ((row.get("latency") or {}).get("processes") or 0) + len(row.get("crashes") or ())


def time_left(seconds: float) -> str:
    """What is left, for somebody who waits."""
    return f"about {minutes(seconds)} left" if seconds >= 1 else "nearly done"


def minutes(seconds: float) -> str:
    """A duration for people, such as `3 min` or `40 s`."""
    if seconds < 90:  # noqa: PLR2004
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
