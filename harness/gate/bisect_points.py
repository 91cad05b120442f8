"""What a bisection goes over, and how two points of it become contestants: commits by git, releases by pip."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.version import InvalidVersion, Version

from harness import runtimes
from harness.errors import UsageError, WorkerError
from harness.gate import judge, matching, phases, sides, timing, turn, worktrees
from harness.gate.bisect import Contestants, Point, Prepare, Unusable
from harness.gate.contender_build import LABEL, contenders
from harness.gate.gate import Watcher, contest
from harness.gate.measure import CTRL_C, SCREEN, measure
from harness.gate.nouns import Finding, Match, Pair, Settings
from harness.measure.paired import Contest, measure_pair
from harness.plan import Selection

PLAIN = "onnxruntime"
VERSION = re.compile(r"\d+\.\d+(?:\.\d+)*")
INDEX_DEADLINE_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a bisection takes place: the zoo, the cache, and the case as its zoo names it."""

    zoo: Path
    cache: Path
    case: str

    @property
    def selection(self) -> Selection:
        """The case alone.

        Raises:
            UsageError: if it is not written as a case is.
        """
        parts = self.case.split("/")
        found = LABEL.fullmatch(parts[-1])
        if len(parts) != 3 or found is None:  # noqa: PLR2004  (model, variant, target)
            raise UsageError(f"{self.case!r} is no case; expected model/variant/target, such as resnet50/fp32/cpu-t1")
        return Selection(
            models=(parts[0],),
            variants=(parts[1],),
            targets=(found["name"],),
            threads=(int(found["threads"]),),
            batch=(int(found["batch"] or 1),),
        )


def is_release(text: str) -> bool:
    """Whether a text names an onnxruntime release: a version, or a requirement with one."""
    return bool(VERSION.fullmatch(text)) or ("==" in text and runtimes.is_spec(text))


def releases(good: str, bad: str, given: Sequence[str] = ()) -> tuple[Point, ...]:
    """The releases from good to bad, both included, in the order of their versions (backwards where bad is older).

    Args:
        good: a version, or a requirement such as `onnxruntime-openvino==1.23.0`.
        bad: likewise.
        given: the versions to go over; empty asks the package index.

    Raises:
        UsageError: if they name two packages, one of them is not among the releases, or the index cannot be asked.
    """
    (package, first), (other, last) = named(good), named(bad)
    if package != other:
        raise UsageError(f"--good names {package} and --bad {other}: a bisection goes over the releases of one package")
    known = sorted({parsed(text) for text in given or listed(package)} | ({first, last} if given else set()))
    for version in (first, last):
        if version not in known:
            raise UsageError(f"{package} has no release {version}; available: {', '.join(map(str, known))}")
    low, high = sorted((first, last))
    between = [version for version in known if low <= version <= high]
    if first > last:
        between.reverse()
    return ends_differ([Point(asked=f"{package}=={v}", label=f"{package} {v}") for v in between], good, bad)


def named(text: str) -> tuple[str, Version]:
    """The package and version of a release as it was written."""
    package, found, version = text.partition("==")
    return (runtimes.normal(package), parsed(version)) if found else (PLAIN, parsed(text))


def parsed(text: str) -> Version:
    """A version.

    Raises:
        UsageError: if the text is none.
    """
    try:
        return Version(text.strip())
    except InvalidVersion:
        raise UsageError(f"{text!r} is no version; expected one such as 1.23.0") from None


def listed(package: str) -> list[str]:
    """The releases of a package that pip would install here, as its index has them.

    Raises:
        UsageError: if the index cannot be asked.
    """
    command = (sys.executable, "-m", "pip", "index", "versions", package, "--disable-pip-version-check")
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INDEX_DEADLINE_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"the releases of {package} cannot be listed ({error}): name them with --versions") from error
    found = re.search(r"^Available versions: (.+)$", done.stdout, re.MULTILINE)
    if found is None:
        words = " ".join(done.stderr.split())[-200:]
        raise UsageError(f"pip lists no releases of {package} ({words}): name them with --versions 1.22.1,1.23.0")
    return [part.strip() for part in found[1].split(",")]


def commits(good: str, bad: str, zoo: Path) -> tuple[Point, ...]:
    """The commits from good to bad along the first parents of bad, both included.

    Raises:
        UsageError: if one is no commit, or good is no first-parent ancestor of bad.
    """
    top = worktrees.top_of(zoo.absolute().parent)
    if top is None:
        raise UsageError(f"{zoo.absolute().parent} is in no git checkout, so that there are no commits to go over")
    first, last = (worktrees.revision(top, text).commit for text in (good, bad))
    told = worktrees.git(top, "log", "--first-parent", "--reverse", "--format=%H %h %s", last).stdout.splitlines()
    points = [Point(asked=line.split(" ", 1)[0], label=line.split(" ", 1)[1]) for line in told]
    begin = next((place for place, point in enumerate(points) if point.asked == first), None)
    if begin is None:
        shallow = " This is a shallow clone: run `git fetch --unshallow` first." if worktrees.shallow(top) else ""
        raise UsageError(f"{good} does not come before {bad} on its first parents: nothing lies between them.{shallow}")
    points = points[begin:]
    return ends_differ(points, good, bad)


def ends_differ(points: Sequence[Point], good: str, bad: str) -> tuple[Point, ...]:
    """The points, where there are two at least.

    Raises:
        UsageError: if good and bad are the same.
    """
    if len(points) < 2:  # noqa: PLR2004  (two ends)
        raise UsageError(f"--good {good} and --bad {bad} are the same: there is nothing between them")
    return tuple(points)


class Ready:
    """A match of two points, ready to be measured."""

    def __init__(self, match: Match, settings: Settings, watch: Watcher, cache: Path) -> None:
        self.name, self.same = match.name, match.same
        self.settings, self.watch, self.cache = settings, watch, cache
        self.contest: Contest = contest(match, settings)

    def pairs(self, count: int) -> Sequence[Pair]:
        """So many fresh pairs.

        Raises:
            Unusable: if a side's worker breaks.
        """
        try:
            with turn.alone(self.cache, self.watch.say):
                return [measure_pair(self.contest, phase=SCREEN, on_burst=self.watch.tick) for _ in range(count)]
        except WorkerError as error:
            raise Unusable(str(error)) from error

    def gate(self) -> Finding:
        """The gate's own finding of latency.

        Raises:
            Unusable: if a side's worker breaks.
            KeyboardInterrupt: if somebody stops it.
        """
        with turn.alone(self.cache, self.watch.say):
            done = measure({self.name: self.contest}, self.settings, phases.chooser(self.settings), self.watch)
        if done.interrupted == CTRL_C:
            raise KeyboardInterrupt
        if self.name in done.broken:
            raise Unusable(done.broken[self.name].reason)
        return timing.findings(self.name, done, phases.confirmed(done, self.settings), self.settings)[0]


def preparer(place: Place, settings: Settings, watch: Watcher) -> Prepare:
    """Builds two points and sets them against each other."""
    selection = place.selection

    def prepare(base: Point, head: Point) -> Contestants:
        def asked(point: Point, role: str) -> dict[str, str]:
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
            built = [contenders(side, selection, place.cache, on_event=watch.building)[0] for side in found]
        except UsageError as error:
            raise Unusable(str(error)) from error
        match = matching.match(*built)[0]
        verdict = judge.settled(match, {"base": found[0], "head": found[1]})
        if verdict is not None:
            raise Unusable(verdict.reason)
        return Ready(match, settings, watch, place.cache)

    return prepare
