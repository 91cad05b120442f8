"""Which commit, or which onnxruntime release, made a case slower: halving, with a paired measurement at every step.

The good end is the base of every step. First both ends are set against each other, as a gate would; each step then asks
on which side of the middle between them (on the logarithm) its ratio lies, with as many pairs as that takes. What does
not build, or stays too close to call, is left out and its neighbours are tried. At last the two points next to the
change are set against each other on fresh pairs: a wrong turn would show there as a change that is not confirmed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.gate.nouns import Finding, Pair, Verdict
from harness.stats import paired
from harness.stats.paired import Interval

FIRST_PAIRS, MORE_PAIRS, MOST_PAIRS = 8, 4, 28
"""Pairs of a step: at first, each time they do not decide, and at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A commit or a release.

    Attributes:
        asked: as a side is asked for: a full hash, or `onnxruntime==1.23.0`.
        label: what people know it by, such as a short hash with the commit's subject.
    """

    asked: str
    label: str


class Unusable(Exception):
    """A point that does not build, or whose case is gone or cannot be compared; the text says why."""


class Contestants(Protocol):
    """Two points, built and ready to be measured against each other.

    Attributes:
        same: why both would measure the same thing; empty where they can differ.
    """

    same: str

    def pairs(self, count: int) -> Sequence[Pair]:
        """So many fresh pairs.

        Raises:
            Unusable: if a side cannot be measured.
        """

    def gate(self) -> Finding:
        """The gate's own finding of latency: screened, and confirmed on fresh pairs.

        Raises:
            Unusable: if a side cannot be measured.
        """


Prepare = Callable[[Point, Point], Contestants]
"""Builds two points (base, head); raises Unusable where one of them cannot be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What became of one point.

    Attributes:
        said: `slow`, `fine` or `skipped`.
        interval: of its ratio to the good end; None where it was not measured.
        reason: why it was skipped, or needed no measuring.
    """

    point: Point
    said: str
    interval: Interval | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bisected:
    """What a bisection found.

    Attributes:
        ends: the gate's finding between the good and the bad end.
        before, after: the last point that is fine and the first one that is slow; None where the ends do not differ.
        between: points between those two that could not be judged; the change may be in any of them, or in `after`.
        change: the gate's finding between `before` and `after`, on fresh pairs.
        steps: in the order in which they were taken.
    """

    ends: Finding
    before: Point | None = None
    after: Point | None = None
    between: tuple[Point, ...] = ()
    change: Finding | None = None
    steps: tuple[Step, ...] = ()

    @property
    def confirmed(self) -> bool:
        """Whether fresh pairs confirm the change where it was found."""
        return self.change is not None and self.change.verdict is Verdict.REGRESSION


def bisect(points: Sequence[Point], prepare: Prepare, watch: Callable[[Step], None]) -> Bisected:
    """Find the change between the first point (good) and the last (bad).

    Args:
        points: in the order in which they came to be, at least two.
        prepare: builds two of them.
        watch: told of every step.

    Raises:
        Unusable: if one of the ends cannot be built or measured.
    """
    ends = compared(prepare(points[0], points[-1]))
    if ends.verdict is not Verdict.REGRESSION or ends.ratio is None:
        return Bisected(ends=ends)
    middle = math.log(ends.ratio) / 2
    good, bad = 0, len(points) - 1
    skipped: set[int] = set()
    steps: list[Step] = []
    while True:
        left = [index for index in range(good + 1, bad) if index not in skipped]
        if not left:
            break
        chosen = min(left, key=lambda index: abs(index - (good + bad) / 2))
        step = judge(points[0], points[chosen], prepare, middle)
        watch(step)
        steps.append(step)
        if step.said == "skipped":
            skipped.add(chosen)
        elif step.said == "slow":
            bad = chosen
        else:
            good = chosen
    change: Finding | None
    if (good, bad) == (0, len(points) - 1):
        change = ends
    else:
        try:
            change = compared(prepare(points[good], points[bad]))
        except Unusable:
            change = None
    return Bisected(
        ends=ends,
        before=points[good],
        after=points[bad],
        between=tuple(points[good + 1 : bad]),
        change=change,
        steps=tuple(steps),
    )


def compared(contestants: Contestants) -> Finding:
    """The gate's finding; where both are the same, that, without measuring."""
    if contestants.same:
        return Finding(metric="latency", verdict=Verdict.PASS, sentence=f"not slower: {contestants.same}")
    return contestants.gate()


def judge(good: Point, candidate: Point, prepare: Prepare, middle: float) -> Step:
    """Whether a candidate is on the slow side of the middle.

    Args:
        good: the base.
        candidate: to judge.
        prepare: builds both.
        middle: the log-ratio between fine and slow.
    """
    try:
        contestants = prepare(good, candidate)
        if contestants.same:
            return Step(point=candidate, said="fine", reason=contestants.same)
        pairs = list(contestants.pairs(FIRST_PAIRS))
        while True:
            interval = paired.ratio_interval([pair.log_ratio for pair in pairs])
            if interval.low > math.exp(middle):
                return Step(point=candidate, said="slow", interval=interval)
            if interval.high < math.exp(middle):
                return Step(point=candidate, said="fine", interval=interval)
            if len(pairs) >= MOST_PAIRS:
                break
            pairs += contestants.pairs(MORE_PAIRS)
    except Unusable as error:
        return Step(point=candidate, said="skipped", reason=str(error))
    reason = f"too close to call after {len(pairs)} pairs"
    return Step(point=candidate, said="skipped", interval=interval, reason=reason)
