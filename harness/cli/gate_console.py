"""What a person sees while a gate measures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from harness.cli.console import REDRAW_S, Console, minutes
from harness.shown import markup as escape
from harness.shown import one_line

if TYPE_CHECKING:
    from harness.gate.model import GateSettings, Match, Pair, Side

PAIR_S = 1.5
"""What a pair of a small network took on two cores; the first pairs of a gate correct it."""

PHASES = {"screen": "screening", "confirm": "confirming on fresh pairs"}


class GateConsole(Console):
    """A `harness.gate.gate.GateWatcher` that draws on the terminal, or writes plain lines where there is none."""

    def __init__(self, *, quiet_stdout: bool = False) -> None:
        """With `quiet_stdout` everything goes to standard error, so that standard output can carry an output."""
        super().__init__(quiet_stdout=quiet_stdout)
        self.name = ""
        self.wanted = self.measured = 0
        self.began = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(None, None, None)  # a gate that was stopped keeps nothing to go on from

    def say(self, text: str) -> None:
        """A line about something that takes a while."""
        self.out.print(escape(text), style="dim", soft_wrap=True)

    def sides(self, base: Side, head: Side) -> None:
        """Name both sides."""
        from harness.gate.text.summary import side

        self.out.print(f"base: {escape(side(base))}", soft_wrap=True)
        self.out.print(f"head: {escape(side(head))}", soft_wrap=True)

    def matched(self, matches: Sequence[Match], to_measure: Sequence[str], settings: GateSettings) -> None:
        """Say what there is to do, and how long it takes at least."""
        same = sum(bool(m.same) for m in matches)
        left = len(matches) - len(to_measure) - (0 if settings.remeasure_same else same)
        parts = [f"{len(to_measure)} of {len(matches)} case{'' if len(matches) == 1 else 's'} to measure"]
        if same and not settings.remeasure_same:
            parts.append(f"{same} the same on both sides")
        if left:
            parts.append(f"{left} that cannot be compared")
        about = minutes(len(to_measure) * settings.screen_pairs * PAIR_S)
        self.out.print(", ".join(parts) + (f"; screening takes about {about}" if to_measure else ""))

    def evaluating(self, case: str) -> None:
        """The case whose outputs are compared."""
        self.draw(f"comparing outputs of {case}")

    def phase(self, name: str, cases: Sequence[str], pairs: int) -> None:
        """Begin to count the pairs of a phase."""
        self.name, self.wanted, self.measured = name, len(cases) * pairs, 0
        self.began = time.monotonic()
        if cases:
            plural = "" if len(cases) == 1 else "s"
            most = "up to " if name == "confirm" else ""
            self.out.print(f"{PHASES[name]}: {len(cases)} case{plural}, {most}{pairs} pairs each", style="dim")

    def tick(self) -> None:
        """Redraw, since no worker is timing."""
        if self.wanted and time.monotonic() - self.drawn >= REDRAW_S:
            left = ""
            if self.measured:
                each = (time.monotonic() - self.began) / self.measured
                left = f", about {minutes(max(self.wanted - self.measured, 0) * each)} left"
            self.draw(f"{PHASES[self.name]}: pair {self.measured + 1} of {max(self.wanted, self.measured + 1)}{left}")

    def paired(self, case: str, pair: Pair) -> None:  # noqa: ARG002  (what a watcher hears)
        """Count it."""
        self.measured += 1

    def broke(self, case: str, reason: str) -> None:
        """Say at once which case is lost."""
        self.out.print(f"[red]failed[/red] {escape(case)}: {escape(one_line(reason))}", soft_wrap=True)
