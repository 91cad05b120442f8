"""What a person sees of a sweep: its plan, and how far it is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from rich.cells import cell_len

from harness import foreign, providers
from harness.cli.loudness import Loudness, loudness
from harness.cli.remaining import Remaining, minutes, time_left
from harness.cli.terminal import Terminal
from harness.layout import cut
from harness.shown import cell, one_line
from harness.shown import markup as escape
from harness.units import count

if TYPE_CHECKING:
    from rich.live import Live

    from harness.build.pipeline import BuildEvent
    from harness.cli.tables import Row
    from harness.flow.preview import Preview
    from harness.records import Case, Target

REDRAW_S = 0.5
"""The live line is redrawn at most this often, and only while no worker is timing."""

UNBOUNDED = 10_000
"""The width of a pipe or a file where `COLUMNS` is not set: nothing is folded or left out."""

PLAIN_S = 30.0
"""Where there is no terminal, a line says how far it is at most this often, so that a log shows that it goes on."""


class Elsewhere(Protocol):
    """Who measures on the hosts of a fleet."""

    def at_once(self) -> int:
        """How many processes or pairs can run at the same time."""

    def underway(self) -> str:
        """What runs on how many hosts, and what is done again, in a few words."""


class Console:
    """A `harness.flow.sweep.Watcher` that draws on the terminal, or writes plain lines where there is none."""

    def __init__(self, *, quiet_stdout: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is drawn yet.

        Args:
            quiet_stdout: everything goes to standard error, so that standard output can carry JSON.
            clock: in seconds, as time goes on.
        """
        self.clock = clock
        self.out = Terminal(stderr=quiet_stdout, highlight=False, soft_wrap=False)
        if not self.out.interactive:
            columns = os.environ.get("COLUMNS", "")
            width = foreign.whole(columns) if columns.isdecimal() and foreign.whole(columns) > 0 else UNBOUNDED
            self.out = Terminal(stderr=quiet_stdout, highlight=False, width=width)
        self.live: Live | None = None
        self.loudness = loudness()
        self.drawn = self.clock()
        self.total = self.done = 0
        self.number = self.rounds = 0
        self.left = Remaining()
        self.begun_at = 0.0
        self.elsewhere: Elsewhere | None = None
        self.choice = 0
        self.current = self.said = ""
        self.in_work = ("", "")

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
            ran = self.left.ran
            kept = f"{count(ran, 'finished process', 'finished processes')} {'is' if ran == 1 else 'are'} kept"
            self.out.print(
                f"Stopped: {kept}; the same command goes on from there."
                if ran
                else "Stopped: no process has finished; the same command starts where this one did."
            )

    def mention(self, *texts: str, **settings: Any) -> None:
        """A line about what is going on, which the terminal folds where it must; none with `-q`."""
        if self.loudness is not Loudness.QUIET:
            self.out.print(*texts, soft_wrap=True, **settings)

    # --- the watcher ---

    def assumed(self, notes: Sequence[str]) -> None:
        """What is taken for granted of files that have no zoo."""
        for note in notes:
            self.mention(escape(note), style="dim")

    def planned(self, preview: Preview) -> None:
        """Say what is going to happen."""
        self.plan(preview, cases=False)

    def plan(self, preview: Preview, *, cases: bool) -> None:
        """The plan: how many cases, what has to be built, about how long, and every case where asked for."""
        planned = preview.plan.cases
        models = len({c.model.name for c in planned})
        self.rounds = preview.settings.processes
        self.left = Remaining.of(preview)
        self.mention(
            f"[bold]{count(len(planned), 'case')}[/bold] of {count(models, 'model')}; "
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
            if preview.to_install:
                names = escape(", ".join(preview.to_install))
                self.mention(f"to install first, into environments of their own in the cache: {names}")
            self.mention(f"building takes about {minutes(preview.building_s)}, once", style="dim")
        else:
            self.mention("nothing to build: every artifact is cached")
        for reason in preview.plan.pruned:
            self.mention(f"left out: {escape(reason)}", style="dim")
        for reason, left in preview.left_out.items():
            from harness.cli.tables import brief

            cases_left = brief([case.id for case in left])
            self.mention(f"no number of {escape(cases_left)}: {escape(reason)}", style="dim")
        if cases:
            for case in planned:
                self.out.print(case.id, markup=False, soft_wrap=True)
            untried = dict.fromkeys(case.target.name for case in planned if not runs_everywhere(case.target))
            if untried:
                self.mention(
                    f"whether {escape(', '.join(untried))} can run on this host was not tried: harness list does",
                    style="dim",
                )

    def building(self, event: BuildEvent) -> None:
        """One line per finished step; the current one in the live line."""
        name = f"{event.model}/{event.variant}"
        if (event.model, event.variant) != self.in_work:
            self.in_work, self.begun_at = (event.model, event.variant), self.clock()
        if event.state == "started":
            left = time_left(self.left.building(self.clock() - self.begun_at))
            self.draw(f"building {name}: {event.step}  (building: {left})")
        elif event.state == "done" and event.step:
            self.mention(f"built {escape(name)}: {event.step} in {event.seconds:.1f} s", style="dim")
        elif event.state == "damaged":
            self.mention(f"[yellow]{escape(event.detail)}[/yellow]")
        elif event.state == "refused":
            self.mention(f"no {escape(name)}: {escape(self.why(one_line(event.detail)))}", style="dim")
        if not event.step and event.state in ("done", "refused"):
            self.left.built(event.model, event.variant, self.clock() - self.begun_at)
            self.begun_at = self.clock()

    def preparing(self, text: str) -> None:
        """Something else that takes a while."""
        self.mention(escape(text), style="dim")

    def confirming(self, number: int, of: int, text: str) -> None:
        """A choice is measured again; its place among all of them counts for the time left."""
        if self.choice:
            self.left.chosen_in.append(self.clock() - self.begun_at)
        self.current, self.choice, self.left.choices = text, number, of
        self.begun_at = self.clock()
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
            self.mention(f"[yellow]measured again:[/yellow] {escape(problem)}")
        self.total, self.done, self.begun_at = len(todo) + len(kept), len(kept), self.clock()
        self.left.processes = len(todo) * self.rounds - sum(map(processes, begun))
        for row in (*kept, *begun):
            self.left.known(row)
        for row in kept:
            if not row.get("latency"):
                self.left.without(row["case"])
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
        self.current = case.id
        if self.elsewhere is None:  # on a fleet others are under way
            self.begun_at = self.clock()
        self.draw(self.progress())

    def tick(self) -> None:
        """Redraw, now that the worker is idle; rarely, and as a line now and then where there is no terminal."""
        waited = self.clock() - self.drawn
        if self.live is not None and waited >= REDRAW_S:
            self.draw(self.progress())
        elif self.live is None and waited >= PLAIN_S:
            self.drawn = self.clock()
            self.mention(escape(self.progress()), style="dim")

    def sharpened(self, row: Row) -> None:
        """One line per case after its first process; later ones only move the live line."""
        self.ended()
        self.left.known(row)
        done = processes(row)
        if done == 1 or self.loudness is Loudness.VERBOSE:
            self.line(row, f"{'first' if done == 1 else done} of {self.rounds}")

    def finished(self, row: Row) -> None:
        """One line per case; processes that it no longer needs count no more, and without a number it has no rivals."""
        if processes(row):
            self.ended()
        self.left.known(row)
        if not row.get("latency"):
            self.left.without(row["case"])
        self.left.processes -= self.rounds - processes(row)
        self.done += 1
        self.line(row, f"{self.done:>{len(str(self.total))}}/{self.total}")

    def ended(self) -> None:
        """A process has come to its end; on a fleet, the time to the next end counts from here."""
        now = self.clock()
        self.left.took(now - self.begun_at)
        if self.elsewhere is not None:
            self.begun_at = now

    def stopped(self, row: Row) -> None:
        """One line per case that stops early; what it does not run counts no more."""
        self.done += 1
        self.left.processes -= self.rounds - processes(row)
        self.line(row, f"{self.done:>{len(str(self.total))}}/{self.total}", end=row["stopped"])

    def reopened(self, row: Row) -> None:
        """A case that had stopped goes on."""
        self.done -= 1
        self.left.processes += self.rounds - processes(row)
        self.line(row, "goes on")

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
        )

    def why(self, reason: str) -> str:
        """A reason, written out once where it is that of one case after the other."""
        again, self.said = reason == self.said, reason
        return "as above" if again else reason

    def progress(self) -> str:
        """The live line: where we are and the time left, from what processes have really taken so far."""
        running = self.clock() - self.begun_at
        if self.choice:
            left = self.left.confirming(self.choice, running)
            return f"{self.current}  ({time_left(left) if self.left.chosen_in else time_left(0.0, left)})"
        self.left.at_once = self.elsewhere.at_once() if self.elsewhere is not None else 1
        measuring, confirming = self.left.measuring(running), self.left.confirming()
        eta = time_left(measuring, measuring + confirming) if self.left.elapsed else "estimating the time left"
        number = f"round {self.number} of {self.rounds}, " if self.number and self.rounds > 1 else ""
        place = min(self.left.ran + 1, self.left.processes)
        what = self.current if self.elsewhere is None else self.elsewhere.underway()
        line = f"process {place}/{self.left.processes} {what}  ({eta})"
        return f"{number}{line}" if cell_len(number + line) <= self.out.width else line

    def draw(self, text: str) -> None:
        """Show one live line, which is never folded: the case and the time left stand at its end."""
        if self.live is not None:
            self.live.update(cell(cut(text, self.out.width), style="cyan"), refresh=True)
            self.drawn = self.clock()


def runs_everywhere(target: Target) -> bool:
    """Whether a target is what every host has: the processor, with the onnxruntime beside harness."""
    return (target.runtime, target.provider) == ("onnxruntime", providers.SHORT["cpu"])


def alone(latency: Mapping[str, Any]) -> str:
    """A median without an interval."""
    from harness.cli import tables

    return tables.seconds(latency["median_s"])


def processes(row: Row) -> int:
    """How many processes a row rests on, crashed ones included."""
    return ((row.get("latency") or {}).get("processes") or 0) + len(row.get("crashes") or ())
