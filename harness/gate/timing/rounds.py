"""Which pair is measured next: rounds over all cases, so that a slow minute of the host hits no case alone.

Screening gives every case the same number of pairs; cases whose spread was too wide get up to three times as many.
Whether a case is flagged is asked once, when all screening is over: to ask after every pair would flag more of what did
not change. Those that are flagged are measured again, on pairs that took no part in flagging them; what those settle
at one of the looks that were planned beforehand is not measured to the end.
"""

from __future__ import annotations

import abc
import math
import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from harness.errors import WorkerError, WorkerRefusal
from harness.flow.execute import UNSUPPORTED_KINDS
from harness.gate.model import GateSettings, Pair
from harness.measure.bursts import OPEN_DEADLINE_S
from harness.measure.pairs import SIDES, PairSpec, measure_pair
from harness.processes import OutOfTime, ending_at

SCREEN, WIDEN, CONFIRM = "screen", "widen", "confirm"
MOST_SCREENING = 3
"""Screening goes on to at most this many times the usual pairs where the spread is too wide to see anything."""

PAIR_GRACE_S = 15.0
"""How long a pair that has begun may go on when the time limit is over: only one that hangs needs more."""

TIME_LIMIT, CTRL_C, FLEET_GONE = "time limit", "Ctrl-C", "the loss of the fleet"

MeasurePair = Callable[..., Pair]


class RoundsWatcher(Protocol):
    """Somebody who looks on while pairs are measured."""

    def phase(self, name: str, cases: Sequence[str], pairs: int) -> None:
        """A phase begins, over these cases, with at most this many pairs of each.

        `screen`; `widen`, where screening goes on for cases whose spread was too wide; `confirm`.
        """

    def tick(self) -> None:
        """Some time has passed, and no worker is timing at this moment."""

    def paired(self, case: str, pair: Pair) -> None:
        """A pair is done."""

    def broke(self, case: str, reason: str) -> None:
        """A case cannot go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """Why a case could not be measured to its end.

    Attributes:
        reason: with the side named.
        unsupported: sides that say that nothing here can run it; empty where something broke.
    """

    reason: str
    unsupported: tuple[str, ...] = ()


@dataclass(slots=True)
class Measured:
    """What was measured so far, by case.

    Attributes:
        flagged: cases that screening sent into confirmation.
        interrupted: why measuring stopped early; else empty.
    """

    pairs: dict[str, list[Pair]]
    broken: dict[str, Broken] = field(default_factory=dict)
    flagged: tuple[str, ...] = ()
    interrupted: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chooser:
    """What screening decides.

    Attributes:
        flag: whether something may have changed, given a case's pairs, so that it has to be confirmed.
        wide: of all cases, those whose spread is still too wide to have seen a change.
        need: how much a case needs pairs where there is not time for all: those that need them most come first.
        looks: after how many fresh pairs it is asked what is settled; the last is at all of them.
        settled: of the cases that are being confirmed, those that need no further pair.
    """

    flag: Callable[[Sequence[Pair]], bool]
    wide: Callable[[Mapping[str, Sequence[Pair]]], Sequence[str]]
    need: Callable[[Sequence[Pair]], float] = lambda _: 0.0
    looks: Sequence[int] = ()
    settled: Callable[[Measured], Collection[str]] = lambda _: ()


def measure(
    specs: Mapping[str, PairSpec],
    settings: GateSettings,
    choose: Chooser,
    watch: RoundsWatcher,
    *,
    pair: MeasurePair = measure_pair,
    clock: Callable[[], float] = time.monotonic,
    rng: random.Random | None = None,
) -> Measured:
    """Measure all cases: screen, then confirm those that were flagged.

    Args:
        specs: case -> its two sides.
        settings: numbers of pairs, and the time limit; no pair begins after it.
        choose: what screening decides.
        watch: hears of everything.
        pair: measures one pair.
        clock: in seconds.
        rng: draws the order of the cases in each round, and everything inside a pair.

    Returns:
        Everything that was measured, also where Ctrl-C or the time limit ended it early.
    """
    return scheduled(
        Rounds(specs, settings, watch, pair=pair, clock=clock, rng=rng or random.SystemRandom()), settings, choose
    )


def scheduled(schedule: Schedule, settings: GateSettings, choose: Chooser) -> Measured:
    """`measure`, on whatever takes pairs to be measured: this host, or those of a fleet."""
    done, watch = schedule.done, schedule.watch
    names = list(done.pairs)

    def working() -> dict[str, list[Pair]]:
        return {name: pairs for name, pairs in done.pairs.items() if name not in done.broken}

    most = MOST_SCREENING * settings.screen_pairs
    try:
        watch.phase(SCREEN, names, settings.screen_pairs)
        schedule.rounds(names, settings.screen_pairs, SCREEN)
        widening = False
        while wide := [name for name in choose.wide(working()) if len(done.pairs[name]) < most]:
            suspects = sum(1 for pairs in working().values() if choose.flag(pairs))
            # What looks changed needs its fresh pairs more than the others need to be narrower.
            wide = schedule.first(wide, choose, 1, reserved=suspects * settings.confirm_pairs)
            if not wide:
                break
            if not widening:
                watch.phase(WIDEN, wide, most - settings.screen_pairs)
                widening = True
            least = min(most - len(done.pairs[name]) for name in wide)
            count = min(schedule.at_once(wide), least)
            schedule.rounds(wide, count, SCREEN, ahead=min(count, least - count))
        done.flagged = tuple(name for name, pairs in working().items() if choose.flag(pairs))
        if done.flagged:
            watch.phase(CONFIRM, done.flagged, settings.confirm_pairs)
            confirm(schedule, settings, choose)
    except OutOfTime:
        done.interrupted = TIME_LIMIT
    except KeyboardInterrupt:
        done.interrupted = CTRL_C
    finally:
        schedule.close()
    return done


def confirm(schedule: Schedule, settings: GateSettings, choose: Chooser) -> None:
    """Fresh pairs of every flagged case, until a look says that they settled it.

    Raises:
        OutOfTime: if the time limit is over.
    """
    flagged = list(schedule.done.flagged)
    left, so_far = schedule.first(flagged, choose, next(iter(choose.looks), settings.confirm_pairs)) or flagged, 0
    looks = [*(n for n in choose.looks if n < settings.confirm_pairs), settings.confirm_pairs]
    for look, following in zip(looks, [*looks[1:], settings.confirm_pairs], strict=True):
        schedule.rounds(left, look - so_far, CONFIRM, ahead=following - look)
        so_far = look
        settled = choose.settled(schedule.done)
        left = [name for name in left if name not in settled]


class Schedule(abc.ABC):
    """What takes pairs to be measured, and what came of them so far in `done`."""

    def __init__(
        self,
        names: Iterable[str],
        settings: GateSettings,
        watch: RoundsWatcher,
        *,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self.watch, self.clock, self.rng = watch, clock, rng
        self.began = clock()
        self.end = math.inf if settings.time_limit_s is None else self.began + settings.time_limit_s
        self.done = Measured(pairs={name: [] for name in names})

    @abc.abstractmethod
    def rounds(self, names: Sequence[str], count: int, phase: str, *, ahead: int = 0) -> None:
        """So many pairs of each case that still works, in a new order each round.

        Args:
            names: the cases.
            count: pairs of each.
            phase: that they belong to.
            ahead: how many more of each are likely to be asked for next, in the same phase.

        Raises:
            OutOfTime: if the time limit is over before a pair begins.
        """

    def close(self) -> None:  # noqa: B027  (one host begins nothing that was not asked for)
        """Let go of pairs that nobody asked for in the end."""

    def at_once(self, names: Sequence[str]) -> int:  # noqa: ARG002  (one host measures one pair after the other)
        """How many pairs of each of these cases are measured in the time of one."""
        return 1

    def room(self) -> float:
        """For how many more pairs the time limit leaves room, at the pace so far."""
        now, done = self.clock(), sum(len(found) for found in self.done.pairs.values())
        return math.inf if now <= self.began else (self.end - now) * done / (now - self.began)

    def first(self, names: Sequence[str], choose: Chooser, each: int, *, reserved: int = 0) -> list[str]:
        """All of the cases where there is time for so many more pairs of each, else as many as there is time for.

        Those that need them most come first: a few cases that are decided say more than many that are not.

        Args:
            names: the cases.
            choose: says who needs pairs most.
            each: pairs of each.
            reserved: pairs that are kept for others.
        """
        room = (self.room() - reserved) / each
        if room >= len(names):
            return list(names)
        return sorted(names, key=lambda name: -choose.need(self.done.pairs[name]))[: max(int(room), 0)]


class Rounds(Schedule):
    """Pairs on this host, one after the other."""

    def __init__(
        self,
        specs: Mapping[str, PairSpec],
        settings: GateSettings,
        watch: RoundsWatcher,
        *,
        pair: MeasurePair,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        super().__init__(specs, settings, watch, clock=clock, rng=rng)
        self.specs, self.pair = specs, pair

    def rounds(self, names: Sequence[str], count: int, phase: str, *, ahead: int = 0) -> None:  # noqa: ARG002
        """So many pairs of each case that still works, in a new order each round; nothing ahead, with no host idle.

        Raises:
            OutOfTime: if the time limit is over before a pair begins.
        """
        for _ in range(count):
            left = [name for name in names if name not in self.done.broken]
            self.rng.shuffle(left)
            for name in left:
                if self.clock() >= self.end:
                    raise OutOfTime
                over = self.end - self.clock() + PAIR_GRACE_S
                with ending_at(None if over == math.inf else time.monotonic() + over):
                    self.one(name, phase)

    def one(self, name: str, phase: str) -> None:
        """One pair of one case."""
        try:
            pair = self.pair(self.specs[name], phase=phase, rng=self.rng, on_burst=self.watch.tick)
        except WorkerError as error:
            self.done.broken[name] = why(self.specs[name], error)
            self.watch.broke(name, self.done.broken[name].reason)
        else:
            self.done.pairs[name].append(pair)
            self.watch.paired(name, pair)


def why(spec: PairSpec, error: WorkerError) -> Broken:
    """What to say of a case that broke: where a side cannot run it at all, whether the other can."""
    if not (isinstance(error, WorkerRefusal) and error.kind in UNSUPPORTED_KINDS):
        return Broken(reason=str(error))
    refusals = {role: reason for role in SIDES if (reason := refusal(spec, role)) is not None}
    reasons = "; ".join(f"{role}: {reason}" for role, reason in refusals.items())
    return Broken(reason=reasons or str(error), unsupported=tuple(refusals))


def refusal(spec: PairSpec, role: str) -> str | None:
    """Why a side alone cannot open its artifact and run it once; None where it can."""
    try:
        with spec.clients[role]() as worker:
            worker.ask("open", OPEN_DEADLINE_S, **spec.workloads[role].request())
            worker.ask("burst", OPEN_DEADLINE_S, n=1)
    except WorkerError as error:
        return str(error)
    return None
