"""Which commit, or which onnxruntime release, made a case slower: halving, with a paired measurement at every step.

The good end is the base of every step. First both ends are set against each other, as a gate would; each step then asks
on which side of the middle between them (on the logarithm) its ratio lies, with as many pairs as that takes. What does
not build, or stays too close to call, is left out and its neighbours are tried. At last the two points next to the
change are set against each other on fresh pairs: a wrong step would show there as a change that is not confirmed.
"""

from __future__ import annotations

import dataclasses
import math
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from packaging.version import InvalidVersion, Version

from harness import git, processes
from harness.errors import UsageError, WorkerError
from harness.flavours import normal
from harness.flow.plan import Selection
from harness.gate import judge
from harness.gate.gate import GateWatcher, pair_spec
from harness.gate.model import Contender, Finding, GateSettings, Match, Pair, Verdict
from harness.gate.sides import build, matching, worktrees
from harness.gate.sides import resolve as sides
from harness.gate.text import sentences
from harness.gate.timing import findings, lock, phases
from harness.gate.timing.rounds import CTRL_C, SCREEN, TIME_LIMIT, MeasurePair, measure
from harness.measure.pairs import PairSpec, measure_pair
from harness.records import CaseId
from harness.runtimes import resolve as runtimes
from harness.stats import paired
from harness.stats.paired import Interval

FIRST_PAIRS, MORE_PAIRS, MOST_PAIRS = 8, 4, 28
"""Pairs of a step: at first, each time they do not decide, and at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BisectPoint:
    """A commit or a release.

    Attributes:
        asked: as a side is asked for: `commit:` and a full hash, or `onnxruntime==1.23.0`.
        label: what people know it by, such as a short hash with the commit's subject.
    """

    asked: str
    label: str


class Unusable(Exception):
    """A point that does not build, or whose case is gone or cannot be compared; the text says why."""


class PointPair(Protocol):
    """Two points, built and ready to be measured against each other.

    Attributes:
        same: why both would measure the same thing; empty where they can differ.
        retrained: whether they compute with different weights.
    """

    same: str
    retrained: bool

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


Prepare = Callable[[BisectPoint, BisectPoint], PointPair]
"""Builds two points (base, head); raises Unusable where one of them cannot be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BisectStep:
    """What became of one point.

    Attributes:
        said: `slow`, `fine` or `skipped`.
        interval: of its ratio to the good end; None where it was not measured.
        reason: why it was skipped, or needed no measuring; of a measured one, what else has to be known.
    """

    point: BisectPoint
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
        out_of_time: whether the time limit was over before all of that was known.
    """

    ends: Finding
    before: BisectPoint | None = None
    after: BisectPoint | None = None
    between: tuple[BisectPoint, ...] = ()
    change: Finding | None = None
    steps: tuple[BisectStep, ...] = ()
    out_of_time: bool = False

    @property
    def confirmed(self) -> bool:
        """Whether fresh pairs confirm the change where it was found."""
        return self.change is not None and self.change.verdict is Verdict.REGRESSION


def bisect(points: Sequence[BisectPoint], prepare: Prepare, watch: Callable[[BisectStep], None]) -> Bisected:
    """Find the change between the first point (good) and the last (bad).

    Args:
        points: in the order in which they came to be, at least two.
        prepare: builds two of them.
        watch: hears of every step.

    Raises:
        Unusable: if one of the ends cannot be built or measured.
        OutOfTime: if the time limit is over before the ends are compared.
    """
    ends = compared(prepare(points[0], points[-1]))
    if ends.verdict is not Verdict.REGRESSION or ends.ratio is None:
        return Bisected(ends=ends)
    middle = math.log(ends.ratio) / 2
    good, bad = 0, len(points) - 1
    skipped: set[int] = set()
    steps: list[BisectStep] = []
    out_of_time = False
    while True:
        left = [index for index in range(good + 1, bad) if index not in skipped]
        if not left:
            break
        chosen = min(left, key=lambda index: abs(index - (good + bad) / 2))
        try:
            step = judge_point(points[0], points[chosen], prepare, middle)
        except processes.OutOfTime:
            out_of_time = True
            break
        watch(step)
        steps.append(step)
        if step.said == "skipped":
            skipped.add(chosen)
        elif step.said == "slow":
            bad = chosen
        else:
            good = chosen
    change: Finding | None = None
    try:
        change = None if out_of_time else confirmed(points, (good, bad), ends, prepare)
    except processes.OutOfTime:
        out_of_time = True
    return Bisected(
        ends=ends,
        before=points[good],
        after=points[bad],
        between=tuple(points[good + 1 : bad]),
        change=change,
        steps=tuple(steps),
        out_of_time=out_of_time,
    )


def confirmed(
    points: Sequence[BisectPoint], between: tuple[int, int], ends: Finding, prepare: Prepare
) -> Finding | None:
    """The gate's finding between two points; that of the ends where it is between these, None where there is none."""
    good, bad = between
    if between == (0, len(points) - 1):
        return ends
    try:
        return compared(prepare(points[good], points[bad]))
    except Unusable:
        return None


def compared(points: PointPair) -> Finding:
    """The gate's finding; where both are the same, that, without measuring."""
    if points.same:
        return Finding(metric="latency", verdict=Verdict.PASS, sentence=f"not slower: {points.same}")
    return points.gate()


def judge_point(good: BisectPoint, candidate: BisectPoint, prepare: Prepare, middle: float) -> BisectStep:
    """Whether a candidate is on the slow side of the middle.

    Args:
        good: the base.
        candidate: to judge.
        prepare: builds both.
        middle: the log-ratio between fine and slow.
    """
    try:
        both = prepare(good, candidate)
        if both.same:
            return BisectStep(point=candidate, said="fine", reason=both.same)
        pairs = list(both.pairs(FIRST_PAIRS))
        known = sentences.OTHER_WEIGHTS if both.retrained else ""
        while True:
            interval = paired.ratio_interval([pair.log_ratio for pair in pairs])
            if interval.low > math.exp(middle):
                return BisectStep(point=candidate, said="slow", interval=interval, reason=known)
            if interval.high < math.exp(middle):
                return BisectStep(point=candidate, said="fine", interval=interval, reason=known)
            if len(pairs) >= MOST_PAIRS:
                break
            pairs += both.pairs(MORE_PAIRS)
    except Unusable as error:
        return BisectStep(point=candidate, said="skipped", reason=str(error))
    reason = f"too close to call after {len(pairs)} pairs"
    return BisectStep(point=candidate, said="skipped", interval=interval, reason=reason)


PLAIN = "onnxruntime"
VERSION = re.compile(r"\d+\.\d+(?:\.\d+)*")
INDEX_DEADLINE_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BisectCase:
    """Where a bisection takes place: the zoo, the cache, and the case as its zoo names it; `build` makes its sides."""

    zoo: Path
    cache: Path
    case: str
    build: Callable[..., tuple[tuple[Contender, ...], tuple[str, ...]]] = build.contenders

    @property
    def selection(self) -> Selection:
        """The case alone.

        Raises:
            CaseIdError: if it is not written as a case is.
        """
        return build.of_case(CaseId.parse(self.case))


def is_release(text: str) -> bool:
    """Whether a text is written as an onnxruntime release: a version, or a requirement with one."""
    return bool(VERSION.fullmatch(text)) or ("==" in text and runtimes.is_spec(text))


def releases(
    good: str, bad: str, given: Sequence[str] = (), *, index: Callable[[str], Sequence[str]] | None = None
) -> tuple[BisectPoint, ...]:
    """The releases from good to bad, both included, in the order of their versions (backwards where bad is older).

    Args:
        good: a version, or a requirement such as `onnxruntime-openvino==1.23.0`.
        bad: likewise.
        given: the versions to go over; empty asks the package index.
        index: lists the versions of a package; pip where none is given.

    Raises:
        UsageError: if they name two packages, one of them is not among the releases, or the index cannot be asked.
    """
    (package, first), (other, last) = named(good), named(bad)
    if package != other:
        raise UsageError(f"--good names {package} and --bad {other}: a bisection goes over the releases of one package")
    known = sorted({parsed(text) for text in given or (index or listed)(package)} | ({first, last} if given else set()))
    for version in (first, last):
        if version not in known:
            raise UsageError(f"{package} has no release {version}; available: {', '.join(map(str, known))}")
    low, high = sorted((first, last))
    between = [version for version in known if low <= version <= high]
    if first > last:
        between.reverse()
    return ends_differ([BisectPoint(asked=f"{package}=={v}", label=f"{package} {v}") for v in between], good, bad)


def named(text: str) -> tuple[str, Version]:
    """The package and version of a release as it was written."""
    package, found, version = text.partition("==")
    return (normal(package), parsed(version)) if found else (PLAIN, parsed(text))


def parsed(text: str) -> Version:
    """A version.

    Raises:
        UsageError: if the text is none.
    """
    try:
        return Version(text.strip())
    except InvalidVersion:
        raise UsageError(f"{text!r} is not a version; expected one such as 1.23.0") from None


def listed(package: str, run: Callable[..., subprocess.CompletedProcess[str]] = processes.run_text) -> list[str]:
    """The releases of a package that pip would install here, as its index has them; `run` runs pip.

    Raises:
        UsageError: if the index cannot be asked.
    """
    command = (sys.executable, "-m", "pip", "index", "versions", package, "--disable-pip-version-check")
    done = run(command, deadline_s=INDEX_DEADLINE_S)
    found = re.search(r"^Available versions: (.+)$", done.stdout, re.MULTILINE)
    if found is None:
        words = " ".join(done.stderr.split())[-200:]
        raise UsageError(f"pip lists no releases of {package} ({words}): name them with --versions 1.22.1,1.23.0")
    return [part.strip() for part in found[1].split(",")]


def commits(good: str, bad: str, zoo: Path) -> tuple[BisectPoint, ...]:
    """The commits from good to bad along the first parents of bad, both included.

    Raises:
        UsageError: if one is not a commit, or good is not a first-parent ancestor of bad.
    """
    top = git.top_of(zoo.absolute().parent)
    if top is None:
        raise UsageError(f"{zoo.absolute().parent} is not in a git checkout, so that there are no commits to go over")
    first, last = (worktrees.revision(top, text).commit for text in (good, bad))
    points = [
        BisectPoint(asked=f"{worktrees.COMMIT}{one.commit}", label=" ".join([one.short, *one.subject.split()]))
        for one in git.first_parents(top, last)
    ]
    begin = next((place for place, point in enumerate(points) if point.asked == f"{worktrees.COMMIT}{first}"), None)
    if begin is None:
        shallow = " This is a shallow clone: run `git fetch --unshallow` first." if git.is_shallow(top) else ""
        raise UsageError(f"{good} does not come before {bad} on its first parents: nothing lies between them.{shallow}")
    points = points[begin:]
    return ends_differ(points, good, bad)


def ends_differ(points: Sequence[BisectPoint], good: str, bad: str) -> tuple[BisectPoint, ...]:
    """The points, where there are two at least.

    Raises:
        UsageError: if good and bad are the same.
    """
    if len(points) < 2:  # noqa: PLR2004  (two ends)
        raise UsageError(f"--good {good} and --bad {bad} are the same: there is nothing between them")
    return tuple(points)


class MeasurablePoints:
    """A match of two points, ready to be measured."""

    def __init__(
        self, match: Match, settings: GateSettings, watch: GateWatcher, cache: Path, pair: MeasurePair
    ) -> None:
        self.name, self.same, self.retrained = match.name, match.same, matching.retrained(match)
        self.settings, self.watch, self.cache, self.pair = settings, watch, cache, pair
        self.spec: PairSpec = pair_spec(match, settings)

    def pairs(self, count: int) -> Sequence[Pair]:
        """So many fresh pairs.

        Raises:
            Unusable: if a side's worker breaks.
        """
        try:
            with lock.alone(self.cache, self.watch.say, who="bisection"):
                return [self.pair(self.spec, phase=SCREEN, on_burst=self.watch.tick) for _ in range(count)]
        except WorkerError as error:
            raise Unusable(str(error)) from error

    def gate(self) -> Finding:
        """The gate's own finding of latency.

        Raises:
            Unusable: if a side's worker breaks.
            KeyboardInterrupt: if somebody stops it.
            OutOfTime: if the time limit is over.
        """
        with lock.alone(self.cache, self.watch.say, who="bisection"):
            left = processes.left_s()
            settings = dataclasses.replace(self.settings, time_limit_s=None if left == math.inf else left)
            done = measure({self.name: self.spec}, settings, phases.chooser(settings), self.watch, pair=self.pair)
        if done.interrupted == CTRL_C:
            raise KeyboardInterrupt
        if done.interrupted == TIME_LIMIT:
            raise processes.OutOfTime
        if self.name in done.broken:
            raise Unusable(done.broken[self.name].reason)
        found = findings.findings(self.name, done, phases.confirmed(done, self.settings), self.settings)[0]
        return dataclasses.replace(found, sentence=sentences.retrained(found.sentence)) if self.retrained else found


def preparer(
    place: BisectCase, settings: GateSettings, watch: GateWatcher, *, pair: MeasurePair = measure_pair
) -> Prepare:
    """Builds two points and sets them against each other; `pair` measures them."""
    selection = place.selection

    def prepare(base: BisectPoint, head: BisectPoint) -> PointPair:
        def asked(point: BisectPoint, role: str) -> dict[str, str]:
            return {f"{role}_runtime" if runtimes.is_spec(point.asked) else role: point.asked}

        given = {**asked(base, "base"), **asked(head, "head")}
        try:
            found = sides.resolve(
                base=given.get("base"),
                head=given.get("head"),
                base_runtime=given.get("base_runtime"),
                head_runtime=given.get("head_runtime"),
                zoo=place.zoo,
                cache=place.cache,
                say=watch.say,
            )
            built = [place.build(side, selection, place.cache, on_event=watch.building)[0] for side in found]
        except UsageError as error:
            raise Unusable(str(error)) from error
        match = matching.match(*built)[0]
        verdict = judge.without_measuring(match, {"base": found[0], "head": found[1]})
        if verdict is not None:
            raise Unusable(verdict.reason)
        return MeasurablePoints(match, settings, watch, place.cache, pair)

    return prepare
