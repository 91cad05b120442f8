"""The nouns of tuning: what is tried, what came of it, and what is chosen. Frozen; standard library only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.confirmation import UNCONFIRMED, ConfirmedChoice
from harness.records import Case

Row = Mapping[str, Any]

EXTENDED = ".extended"
"""What the name of a build ends with whose session optimizes at that level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneCandidate:
    """A build and how it is run.

    Attributes:
        why: what it is, in a few words, such as `entropy calibration` or `4 layers in float`.
    """

    case: Case
    why: str

    @property
    def build(self) -> str:
        """The build alone: another optimization level of the session is the same file."""
        return self.case.recipe.name.removesuffix(EXTENDED)

    @property
    def name(self) -> str:
        """Build and target, such as `int8-static.entropy on cpu-t2-b1`."""
        return f"{self.case.recipe.name} on {self.case.target.label}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedBuild:
    """A build, evaluated.

    Attributes:
        closeness_db: fidelity; infinite where it is exact, None where there is none.
        metric, value, drop: its accuracy, and what it loses of the reference's; None without labels.
        excess: why it is outside the budget; empty where it is inside, None where that cannot be judged.
        unjudged: why that cannot be judged; empty where it can.
        reason: why there is no build or no evaluation; empty where there is one.
        bytes: its size.
    """

    candidate: TuneCandidate
    closeness_db: float | None = None
    metric: str = ""
    value: float | None = None
    drop: float | None = None
    excess: str | None = None
    unjudged: str = ""
    reason: str = ""
    bytes: int = 0

    @property
    def keeps(self) -> bool:
        """Whether it is known to keep the budget."""
        return not self.reason and self.excess == ""

    @property
    def rank(self) -> tuple[bool, float, float]:
        """Builds by how good they are, the best with the largest: by accuracy where there are labels, else fidelity."""
        worst = float("-inf")
        close = worst if self.closeness_db is None else self.closeness_db
        return not self.reason, worst if self.drop is None else -self.drop, close


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedBuild:
    """A candidate with what timing it said.

    Attributes:
        median_s, low_s, high_s: of all its processes; None where it was not timed.
        processes: on how many it rests.
        excess, unjudged: as of a `TriedBuild`, on the settings that it was timed with.
        reason: why it has no number.
    """

    candidate: TuneCandidate
    median_s: float | None = None
    low_s: float | None = None
    high_s: float | None = None
    processes: int = 0
    excess: str | None = None
    unjudged: str = ""
    reason: str = ""

    @property
    def example_s(self) -> float | None:
        """The median for one example of its batch: what candidates are compared by."""
        return None if self.median_s is None else self.median_s / self.candidate.case.target.batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """What came of tuning.

    Attributes:
        default: what everything is compared with: the baseline on the target that was asked for.
        tried: every build that was evaluated, in the order in which it was tried.
        timed: every candidate that was timed, the fastest first.
        best: the candidate that is recommended; None where none keeps the budget.
        runner_up: the second; None where there is none.
        choice: what live groups say of the best, the runner-up and the default.
        blame: the layers that cost the most of the best build outside the budget, where none keeps it.
        nearest: that build.
        out_of_time: what was left out since the time was over; empty where nothing was.
        spared: what was not tried since it could not be the answer, and why.
        seconds: how long it took.
    """

    default: TuneCandidate
    tried: Sequence[TriedBuild]
    timed: Sequence[TimedBuild] = ()
    best: TuneCandidate | None = None
    runner_up: TuneCandidate | None = None
    choice: ConfirmedChoice | None = None
    blame: Sequence[str] = ()
    nearest: TriedBuild | None = None
    out_of_time: Sequence[str] = field(default_factory=tuple)
    spared: Sequence[str] = ()
    seconds: float = 0.0

    @property
    def is_faster(self) -> bool:
        """Whether the best is known to be faster than the default."""
        choice = self.choice
        if self.best is None or choice is None or choice.best == self.default.name:
            return False
        return choice.state != UNCONFIRMED and self.default.name in choice.slower

    @property
    def is_behind(self) -> bool:
        """Whether the default came out in front of the best in the live groups."""
        return self.choice is not None and self.choice.best == self.default.name

    def front(self) -> list[TimedBuild]:
        """The candidates that no other is both faster and closer than, the fastest first."""
        close = {one.candidate.build: one.rank for one in self.tried}
        kept: list[TimedBuild] = []
        for one in sorted((t for t in self.timed if t.median_s is not None), key=lambda t: t.example_s or 0.0):
            mine = close.get(one.candidate.build)
            if mine is not None and all(mine > close[other.candidate.build] for other in kept):
                kept.append(one)
        return kept
