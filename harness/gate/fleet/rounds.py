"""Which host measures which pair: a host that is free takes the next one, of the case that it has had least of.

A pair is measured on one host from its beginning to its end. At a look hosts would wait for the last one: those with
nothing else to do begin pairs that are likely to be asked for next. They count from then on, whenever they are done:
else the pairs of a look would be those that happened to be quick. A host that is lost costs the pair that it had, which
another host of its class measures anew; a class without hosts fails its cases after the fleet's patience.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import queue
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from harness.build.cache import Cache
from harness.errors import HarnessError, StoreError
from harness.fleet import transfer
from harness.fleet.engine import Fleet
from harness.fleet.executor import LOOK_S, MOST_ATTEMPTS, SLACK_S
from harness.fleet.flights import FETCH_S, patience_s, underway
from harness.fleet.model import SLOT, FleetHost, classes
from harness.gate.fleet import member
from harness.gate.fleet.model import PairAnswer, SentPair, SideEntry
from harness.gate.model import GateSettings
from harness.gate.timing.rounds import PAIR_GRACE_S, Broken, RoundsWatcher, Schedule
from harness.processes import OutOfTime

AHEAD = 2
"""How many pairs for each host are looked at to find one of a case that a host has had little of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedCase:
    """A case and the class of hosts that measures it.

    Attributes:
        able: whether a host may measure it, as far as that is known beforehand.
    """

    sent: SentPair
    host_class: str
    able: Callable[[FleetHost], bool] = lambda _: True


@dataclass(slots=True, kw_only=True)
class PairFlight:
    """A pair that was given to a host.

    Attributes:
        attempt: how often it was given away before.
        early: whether nobody has asked for it yet.
        since: when, as `time.monotonic` counts.
    """

    name: str
    phase: str
    address: str
    attempt: int
    early: bool
    future: Any
    since: float


class PairAnswers(Protocol):
    """Where what hosts answer arrives: a queue of flights and what became of them."""

    def put(self, item: tuple[PairFlight, Any]) -> None:
        """An answer is there; called on Dask's own thread."""

    def get(self, *, timeout: float) -> tuple[PairFlight, Any]:
        """The next one.

        Raises:
            queue.Empty: there is none for so long.
        """


class FleetRounds(Schedule):
    """Rounds of pairs over cases, on the hosts of a fleet."""

    def __init__(
        self,
        fleet: Fleet,
        cases: Mapping[str, PlacedCase],
        settings: GateSettings,
        watch: RoundsWatcher,
        *,
        cache: Callable[[str], Cache],
        say: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
        answers: PairAnswers | None = None,
        look_s: float = LOOK_S,
    ) -> None:
        """Nothing is sent yet.

        Args:
            fleet: the hosts; they stay the caller's.
            cases: name -> what is sent, and where to.
            settings: numbers of pairs, and the time limit.
            watch: hears of every pair.
            cache: the cache on this host that a side's folder stands for.
            say: hears of what was lost and is measured again.
            clock: in seconds.
            rng: draws the order of the cases in each round, and which free host is asked first.
            answers: where what hosts answer arrives; a simulation has it arrive in its own time.
            look_s: how often it is looked who is there.
        """
        super().__init__(cases, settings, watch, clock=clock, rng=rng or random.SystemRandom())
        self._fleet, self._cases, self._cache, self._say = fleet, cases, cache, say
        self._patience_s, self._look_s = patience_s(), look_s
        self._answered: PairAnswers = answers or queue.Queue()
        self._flights: list[PairFlight] = []
        self._arrived: list[tuple[PairFlight, tuple[Any, SentPair]]] = []
        self._ahead: Counter[str] = Counter()
        self._had: Counter[tuple[str, str]] = Counter()
        self._refused: dict[tuple[str, str], str] = {}
        self._empty_since: dict[str, float] = {}
        self._put: set[SideEntry] = set()
        self._names: dict[str, str] = {}
        self._looked = -math.inf
        self._repeated = 0

    def at_once(self, names: Sequence[str]) -> int:
        """How many pairs of each of these cases the hosts measure in the time of one."""
        wanted = Counter(self._cases[name].host_class for name in names)
        slots = {name: sum(one.slots for one in hosts) for name, hosts in classes(self._fleet.hosts()).items()}
        return max(1, min(slots.get(name, 0) // n for name, n in wanted.items()))

    def underway(self) -> str:
        """What runs on how many hosts now, and how much was given away again."""
        return underway(len(self._flights), sum(one.slots for one in self._measuring()), self._repeated)

    def rounds(self, names: Sequence[str], count: int, phase: str, *, ahead: int = 0) -> None:
        """So many pairs of each case that still works, on all hosts of its class at once; more where hosts are idle.

        Args:
            names: the cases.
            count: pairs of each.
            phase: that they belong to.
            ahead: how many more of each hosts with nothing else to do may begin, for the next call.

        Raises:
            OutOfTime: if the time limit is over before a pair begins.
            HarnessError: if the scheduler is gone for longer than the fleet's patience.
        """
        waiting: deque[tuple[str, int]] = deque()
        for _ in range(count):
            left = [name for name in names if name not in self.done.broken]
            self.rng.shuffle(left)
            waiting += [(name, 0) for name in left]
        try:
            self._take_early(names, phase, waiting)
            early = Counter(one.name for one in (*self._early(), *(flight for flight, _ in self._arrived)))
            self._ahead = Counter({name: ahead - early[name] for name in names})
            while waiting or len(self._early()) < len(self._flights):
                if self.clock() >= self.end + (PAIR_GRACE_S if self._flights else 0.0) and waiting:
                    raise OutOfTime
                self._move_on(waiting, phase)
                try:
                    self._landed(*self._answered.get(timeout=self._look_s), waiting)
                except queue.Empty:
                    self.watch.tick()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of whatever runs."""
        for flight in self._flights:
            self._cancel(flight)
        self._flights.clear()
        self._arrived.clear()

    def _early(self) -> list[PairFlight]:
        """What runs that nobody has asked for yet."""
        return [one for one in self._flights if one.early]

    def _take_early(self, names: Sequence[str], phase: str, waiting: deque[tuple[str, int]]) -> None:
        """Pairs that were begun early take the place of those that wait; those of other cases and phases go."""
        wanted = {name for name in names if name not in self.done.broken}
        arrived, self._arrived = self._arrived, []
        for flight, found in [*arrived, *((flight, None) for flight in self._early())]:
            if flight.phase != phase or flight.name not in wanted:
                self._cancel(flight)
                if found is None:
                    self._flights.remove(flight)
            elif (flight.name, 0) in waiting:
                waiting.remove((flight.name, 0))
                flight.early = False
                if found is not None:
                    self._flights.append(flight)
                    self._taken(flight, found, waiting)
            elif found is not None:
                self._arrived.append((flight, found))

    def _move_on(self, waiting: deque[tuple[str, int]], phase: str) -> None:
        """Look who is there and give away what can be; the scheduler may be lost in every line of it."""
        try:
            hosts = self._measuring()
            if time.monotonic() - self._looked > self._look_s:
                self._looked = time.monotonic()
                self._missed(hosts, waiting)
            self._abandon(hosts, waiting)
            if self.clock() < self.end:
                self._fill(hosts, waiting, phase)
        except (OSError, TimeoutError, RuntimeError):
            if not self._revived(waiting):
                raise

    def _measuring(self) -> list[FleetHost]:
        return [one for one in self._fleet.hosts() if one.slots and not one.refused]

    def _missed(self, hosts: Sequence[FleetHost], waiting: deque[tuple[str, int]]) -> None:
        """Take back what was given to hosts that are gone, or that take longer than any pair does."""
        if self._revived(waiting):
            return
        there = {one.address for one in hosts}
        for flight in list(self._flights):
            late = time.monotonic() - flight.since > SLACK_S
            if late or flight.address not in there:
                self._again(flight, waiting, "takes too long" if late else "is gone")

    def _revived(self, waiting: deque[tuple[str, int]]) -> bool:
        """Connect again where the scheduler was lost, and take everything back; whether that was so."""
        if not self._fleet.revive(self._patience_s, self._say):
            return False
        for flight in self._flights:
            if not flight.early:
                waiting.appendleft((flight.name, flight.attempt))
        self._flights.clear()
        return True

    def _abandon(self, hosts: Sequence[FleetHost], waiting: deque[tuple[str, int]]) -> None:
        """Break the cases that no host is left for: at once where all that are there refused them, else in time."""
        for name in {name for name, _ in waiting}:
            case = self._cases[name]
            mine = [one for one in hosts if one.host_class == case.host_class and case.able(one)]
            refusals = [self._refused.get((name, one.address), "") for one in mine]
            if mine and not all(refusals):
                self._empty_since.pop(name, None)
                continue
            waited = time.monotonic() - self._empty_since.setdefault(name, time.monotonic())
            if mine:
                self._break(name, waiting, Broken(reason="; ".join(dict.fromkeys(refusals))))
            elif waited > self._patience_s and not any(one.name == name for one in self._flights):
                why = f"no host of class {case.host_class} has been in the fleet for {self._patience_s:g} s"
                self._break(name, waiting, Broken(reason=why))

    def _break(self, name: str, waiting: deque[tuple[str, int]], broken: Broken) -> None:
        """A case that cannot go on."""
        self.done.broken[name] = broken
        self.watch.broke(name, broken.reason)
        left = [one for one in waiting if one[0] != name]
        waiting.clear()
        waiting.extend(left)

    def _fill(self, hosts: Sequence[FleetHost], waiting: deque[tuple[str, int]], phase: str) -> None:
        """Give every free host a pair, while there are any, and then of those that are likely to be asked for next."""
        busy = Counter(flight.address for flight in self._flights)
        for host in self.rng.sample(hosts, len(hosts)):
            for _ in range(host.slots - busy[host.address]):
                # The first few alone: the pairs of a case are to be spread over the whole phase.
                suiting = (one for one in waiting if self._able(host, one[0]))
                able = [*itertools.islice(suiting, AHEAD * len(hosts))]
                early = not able
                if early:
                    able = [(name, 0) for name, left in self._ahead.items() if left > 0 and self._able(host, name)]
                if not able:
                    break
                chosen = min(able, key=lambda one: self._had[one[0], host.address])
                if early:
                    self._ahead[chosen[0]] -= 1
                else:
                    waiting.remove(chosen)
                self._give(host, *chosen, phase, early=early)

    def _able(self, host: FleetHost, name: str) -> bool:
        case = self._cases[name]
        fits = host.host_class == case.host_class and (name, host.address) not in self._refused
        return fits and name not in self.done.broken and case.able(host)

    def _give(self, host: FleetHost, name: str, attempt: int, phase: str, *, early: bool) -> None:
        sent = dataclasses.replace(self._cases[name].sent, phase=phase)
        self._publish(sent)
        self._names[host.address] = self._named(host)
        self._had[name, host.address] += 1
        flight = PairFlight(
            name=name,
            phase=phase,
            address=host.address,
            attempt=attempt,
            early=early,
            future=None,
            since=time.monotonic(),
        )
        self._flights.append(flight)
        self._submit(flight, sent)

    def _submit(self, flight: PairFlight, sent: SentPair) -> None:
        flight.since = time.monotonic()
        flight.future = future = self._fleet.client.submit(
            member.measure,
            sent,
            workers=[flight.address],
            allow_other_workers=False,
            resources={SLOT: 1},
            pure=False,
        )
        future.add_done_callback(lambda found: self._answered.put((flight, (found, sent))))

    def _named(self, host: FleetHost) -> str:
        """What a host is called: its name, and its address where workers of one name share a machine."""
        alike = [one for one in self._fleet.hosts() if one.name == host.name]
        return host.name if host.name and len(alike) == 1 else f"{host.name}@{host.address.split('://')[-1]}"

    def _landed(self, flight: PairFlight, found: tuple[Any, SentPair], waiting: deque[tuple[str, int]]) -> None:
        """An answer is there; one of a flight that was given away again counts for nothing, an early one later."""
        if flight not in self._flights or found[0] is not flight.future:
            return
        if not flight.early:
            self._taken(flight, found, waiting)
            return
        self._flights.remove(flight)
        if found[0].status == "finished":  # whatever else became of it, another one is measured in its turn
            self._arrived.append((flight, found))

    def _taken(self, flight: PairFlight, found: tuple[Any, SentPair], waiting: deque[tuple[str, int]]) -> None:
        """Take an answer."""
        future, sent = found
        if future.status in ("cancelled", "lost"):
            self._forgotten(flight, waiting)
        elif future.status == "error":
            self._failed(flight, future.exception(), waiting)
        else:
            try:
                answer = future.result(timeout=FETCH_S)
            except TimeoutError:  # its host left between the end of the work and the fetching of it
                self._again(flight, waiting, "is gone")
            else:
                self._answer(flight, answer, sent, waiting)

    def _answer(self, flight: PairFlight, answer: PairAnswer, sent: SentPair, waiting: deque[tuple[str, int]]) -> None:
        """What a host said."""
        name = flight.name
        if answer.missing and flight.attempt < MOST_ATTEMPTS:
            flight.attempt += 1
            if why := self._send(answer.missing, flight.address):
                self._refuse(flight, why, waiting)
            else:
                self._submit(flight, sent)
        elif answer.missing or answer.refused:
            self._refuse(flight, answer.refused or "it does not keep what it is sent", waiting)
        else:
            self._flights.remove(flight)
            if answer.broken is not None and name not in self.done.broken:
                self._break(name, waiting, answer.broken)
            elif answer.pair is not None and name not in self.done.broken:
                found = self._fleet.our_time(flight.address, answer.pair)
                pair = dataclasses.replace(found, host=self._names[flight.address])
                self.done.pairs[name].append(pair)
                self.watch.paired(name, pair)

    def _forgotten(self, flight: PairFlight, waiting: deque[tuple[str, int]]) -> None:
        """A scheduler that was started anew, or that let go of a task."""
        if not self._revived(waiting):
            self._again(flight, waiting, "forgot it")

    def _failed(self, flight: PairFlight, error: BaseException | None, waiting: deque[tuple[str, int]]) -> None:
        """A task that raised: its worker was killed, or something of ours is wrong there."""
        kind = type(error).__name__
        if kind == "KilledWorker":
            self._again(flight, waiting, "was killed")
        elif kind in ("FutureCancelledError", "CancelledError"):
            self._forgotten(flight, waiting)
        elif isinstance(error, HarnessError | OSError):
            self._refuse(flight, " ".join(str(error).split()), waiting)
        else:
            raise error or HarnessError("a host of the fleet failed and did not say why")

    def _again(self, flight: PairFlight, waiting: deque[tuple[str, int]], why: str) -> None:
        """Have a pair measured again, on whichever host is free; its case breaks where that was tried often."""
        self._cancel(flight)
        self._flights.remove(flight)
        if flight.early:
            return
        where = self._names[flight.address]
        if flight.attempt >= MOST_ATTEMPTS:
            reason = f"its pairs were given to hosts {flight.attempt + 1} times: {where} {why}"
            self._break(flight.name, waiting, Broken(reason=reason))
            return
        self._say(f"{where} {why}: a pair of {flight.name} is measured again")
        self._repeated += 1
        waiting.appendleft((flight.name, flight.attempt + 1))

    def _refuse(self, flight: PairFlight, why: str, waiting: deque[tuple[str, int]]) -> None:
        """A host that cannot measure a case gets no more of its pairs; another one measures this one."""
        self._flights.remove(flight)
        where = self._names[flight.address]
        self._refused[flight.name, flight.address] = f"{where}: {why}"
        self._say(f"{where} cannot measure {flight.name}: {why}")
        waiting.appendleft((flight.name, flight.attempt))

    def _cancel(self, flight: PairFlight) -> None:
        future, flight.future = flight.future, None
        if future is not None:
            with contextlib.suppress(Exception):  # its connection is gone, and so is the task
                future.cancel(force=True)

    def _publish(self, sent: SentPair) -> None:
        """Put what a pair needs into the depot, each entry once; else it is sent to whoever lacks it."""
        for entry in sent.entries if sent.depot else ():
            if entry not in self._put:
                self._put.add(entry)
                try:
                    member.place(sent.depot, entry[0]).put(self._cache(entry[0]), entry[1])
                except StoreError as error:
                    self._say(f"{error} It goes through the scheduler.")

    def _send(self, entries: Sequence[SideEntry], address: str) -> str:
        """Put entries into the cache of a host, through the scheduler; why it does not take one, or nothing.

        Raises:
            UsageError: one is too large for that.
            StoreError: one is not in the cache of this host any more.
        """
        for entry in entries:
            data = transfer.packed(self._cache(entry[0]), entry[1])
            if why := self._fleet.ask(member.receive, [address], entry=entry, data=data).get(address, ""):
                return str(why)
        return ""
