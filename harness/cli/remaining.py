"""How long a sweep still takes: from what its plan states at first, then from what has been seen of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from harness import confirmation

if TYPE_CHECKING:
    from harness.flow.preview import Preview

Row = Mapping[str, Any]

Group = tuple[str, str]
"""Model and target, of which one case is chosen."""


@dataclass(slots=True, kw_only=True)
class Remaining:
    """What is left of a sweep, in seconds.

    Attributes:
        to_build: artifacts that are to be built, and what each is stated to take.
        built_s: what those that are built have taken, and in `stated_s` what was stated of them.
        processes: that are to run, and in `ran` those that did.
        process_s: what one is stated to take at most.
        elapsed: what each took that ran; on several hosts, the time from one end to the next.
        at_once: how many run at the same time.
        groups: the group of every case that may get a number.
        rows: what is known so far of cases that have a number.
        confirm_s: what confirming one choice among so many cases may take.
        choices: how many choices are confirmed, 0 before it is known, and in `chosen_in` what those took that are made.
    """

    to_build: dict[tuple[str, str], float] = field(default_factory=dict)
    built_s: float = 0.0
    stated_s: float = 0.0
    processes: int = 0
    ran: int = 0
    process_s: float = 0.0
    elapsed: list[float] = field(default_factory=list)
    at_once: int = 1
    groups: dict[str, Group] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    confirm_s: Mapping[int, float] = field(default_factory=dict)
    choices: int = 0
    chosen_in: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, preview: Preview) -> Self:
        """Everything that is planned."""
        cases, settings = preview.plan.cases, preview.settings
        processes = len(cases) * settings.processes
        return cls(
            to_build=dict(preview.building),
            processes=processes,
            process_s=preview.measuring_s / max(processes, 1),
            groups={case.id: (case.model.name, case.target.label) for case in cases} if preview.confirm else {},
            confirm_s=preview.confirming_by_cases,
        )

    def built(self, model: str, variant: str, took: float) -> None:
        """An artifact is there, or known not to come."""
        self.stated_s += self.to_build.pop((model, variant), 0.0)
        self.built_s += took

    def took(self, seconds: float) -> None:
        """A process has run."""
        self.ran += 1
        self.elapsed.append(seconds)

    def without(self, case: str) -> None:
        """A case gets no number, and takes part in no choice."""
        self.groups.pop(case, None)

    def known(self, row: Row) -> None:
        """What is stored of a case so far."""
        if row.get("latency"):
            self.rows[row["case"]] = row

    def building(self, running: float = 0.0) -> float:
        """Of all that is to be built, at the pace of what was built, less what the one in progress has taken."""
        pace = self.built_s / self.stated_s if self.stated_s else 1.0
        return max(0.0, pace * sum(self.to_build.values()) - running)

    def measuring(self, running: float = 0.0) -> float:
        """Of all processes, as long as those took that ran; before that, as long as they may take.

        Hosts that run at the same time end the last ones together, however few those are.
        """
        each = sum(self.elapsed) / len(self.elapsed) if self.elapsed else self.process_s / self.at_once
        turns = math.ceil(max(self.processes - self.ran, 0) / self.at_once)
        return max(0.0, each * self.at_once * turns - running)

    def confirming(self, number: int = 0, running: float = 0.0) -> float:
        """Of all choices: as long as those took that are made; before that as long as they may take.

        It is slower where processes were slower than stated. Rivals are those that may be the fastest by what is known;
        all cases until each has a number.

        Args:
            number: which choice is being made, from 1; 0 before the first.
            running: for how long.
        """
        pace = 1.0
        if self.elapsed and self.process_s:
            pace = max(1.0, sum(self.elapsed) / len(self.elapsed) / self.process_s)
        most = pace * sum(self.confirm_s.get(self._members(group), 0.0) for group in set(self.groups.values()))
        if not number:
            return most
        each = sum(self.chosen_in) / len(self.chosen_in) if self.chosen_in else most / max(self.choices, 1)
        return each * (self.choices - number) + max(0.0, each - running)

    def _members(self, group: Group) -> int:
        """How many cases a choice is made among: those that compete, and the baseline."""
        cases = [case for case, own in self.groups.items() if own == group]
        rows = [self.rows[case] for case in cases if case in self.rows]
        if len(rows) < len(cases):
            return len(cases)
        compete, _ = confirmation.candidates(sorted(rows, key=lambda row: row["latency"]["median_s"]))
        return min(len(compete) + 1, len(cases))


def time_left(least: float, most: float | None = None) -> str:
    """What is left, for somebody who waits: about so long, or from so long to so long."""
    low, high = minutes(least), minutes(least if most is None else most)
    if most is not None and low != high:
        number, unit = low.split()
        first = number if high.endswith(f" {unit}") else low
        return f"{first} to {high} left" if least >= 1 else f"up to {high} left"
    return f"about {low} left" if least >= 1 else "nearly done"


def minutes(seconds: float) -> str:
    """A duration for people, such as `3 min` or `40 s`."""
    if seconds < 90:  # noqa: PLR2004
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
