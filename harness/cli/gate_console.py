"""What a person sees while a gate measures."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from harness.cli.console import Console
from harness.cli.loudness import Loudness
from harness.cli.remaining import minutes, time_left
from harness.shown import markup as escape
from harness.shown import one_line

if TYPE_CHECKING:
    from harness.gate.model import GateSettings, Match, Pair, Side

PAIR_S = 1.5
"""What a pair of a small network took on two cores; the pairs of a gate correct it."""

MB_PER_S = 100.0
"""How fast a network is opened and warmed up beyond that; one of 100 MB takes a second more on each side."""

PHASES = {
    "screen": "screening",
    "widen": "screening goes on where the spread is wide",
    "confirm": "confirming on fresh pairs",
}


class GateConsole(Console):
    """A `harness.gate.gate.GateWatcher` that draws on the terminal, or writes plain lines where there is none."""

    def __init__(self, *, quiet_stdout: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is measured yet.

        Args:
            quiet_stdout: everything goes to standard error, so that standard output can carry an output.
            clock: in seconds, as time goes on.
        """
        super().__init__(quiet_stdout=quiet_stdout, clock=clock)
        self.name = ""
        self.wanted = self.measured = self.every = 0
        self.spent = 0.0
        self.last = self.clock()
        self.settings: GateSettings | None = None

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(None, None, None)  # a gate that was stopped keeps nothing to go on from

    def say(self, text: str) -> None:
        """A line about something that takes a while."""
        self.mention(escape(text), style="dim")

    def sides(self, base: Side, head: Side) -> None:
        """Name both sides."""
        from harness.gate.text.summary import side

        self.mention(f"base: {escape(side(base))}")
        self.mention(f"head: {escape(side(head))}")

    def matched(self, matches: Sequence[Match], to_measure: Sequence[str], settings: GateSettings) -> None:
        """Say what there is to do, and how long it takes at least."""
        same = sum(bool(m.same) for m in matches)
        left = len(matches) - len(to_measure) - (0 if settings.remeasure_same else same)
        parts = [f"{len(to_measure)} of {len(matches)} case{'' if len(matches) == 1 else 's'} to measure"]
        if same and not settings.remeasure_same:
            parts.append(f"{same} the same on both sides")
        if left:
            parts.append(f"{left} that cannot be compared")
        self.settings = settings
        sides = [match for match in matches if match.name in set(to_measure)]
        each = sum(map(pair_s, sides))
        screening, most = (minutes(each * pairs) for pairs in (settings.screen_pairs, most_pairs(settings)))
        self.mention(
            ", ".join(parts)
            + (
                f"; screening takes about {screening}, and up to about {most} where everything has to be measured again"
                if to_measure
                else ""
            )
        )

    def evaluating(self, case: str) -> None:
        """The case whose outputs are compared."""
        self.draw(f"comparing outputs of {case}")

    def phase(self, name: str, cases: Sequence[str], pairs: int) -> None:
        """Begin to count the pairs of a phase."""
        self.name, self.wanted, self.measured = name, len(cases) * pairs, 0
        self.last = self.clock()
        if cases:
            plural = "" if len(cases) == 1 else "s"
            most = "" if name == "screen" else "up to "
            self.mention(f"{PHASES[name]}: {len(cases)} case{plural}, {most}{pairs} pairs each", style="dim")

    def progress(self) -> str:
        """Which pair is measured, and the time left at the pace of all pairs so far."""
        if not self.wanted:
            return self.current
        place = min(self.measured + 1, self.wanted)
        most = "" if self.name == "screen" else "up to "
        left = ""
        if self.every:
            each = self.spent / self.every
            running = min(self.clock() - self.last, each)
            left = f", {most}{time_left((self.wanted - self.measured) * each - running)}"
            if self.name != "confirm":
                left += " of screening; confirming follows where something may have changed"
        where = "" if self.elsewhere is None else f", {self.elsewhere.underway()}"
        return f"{PHASES[self.name]}: pair {place} of {most}{self.wanted}{where}{left}"

    def paired(self, case: str, pair: Pair) -> None:
        """Count it."""
        now = self.clock()
        self.spent += now - self.last
        self.last = now
        self.measured += 1
        self.every += 1
        if self.loudness is Loudness.VERBOSE:
            self.mention(f"{escape(case)}: {pair_said(pair)}", style="dim")

    def broke(self, case: str, reason: str) -> None:
        """Say at once which case is lost."""
        self.out.print(f"[red]failed[/red] {escape(case)}: {escape(one_line(reason))}", soft_wrap=True)


def most_pairs(settings: GateSettings) -> int:
    """Pairs of a case whose spread is wide and which is confirmed to the end."""
    from harness.gate.timing.rounds import MOST_SCREENING

    return MOST_SCREENING * settings.screen_pairs + settings.confirm_pairs


def pair_s(match: Match) -> float:
    """Seconds that a pair of a case may take, as far as the size of its artifacts tells."""
    from harness.records import Artifact

    built = [side.built for side in (match.base, match.head) if side is not None]
    return PAIR_S + sum(one.bytes for one in built if isinstance(one, Artifact)) / 1e6 / MB_PER_S


def pair_said(pair: Pair) -> str:
    """What a pair came to: head over base."""
    return f"head over base {math.exp(pair.log_ratio):.3f}"
