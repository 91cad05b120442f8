"""The jobs of a sweep on the hosts of a fleet: process k of a case is one task, so that a lost host costs a process.

Cases that are compared with each other (those of one model on one target) run on hosts of one class. Dask runs a task
again where a worker is lost; this gives away again what is bound to workers that are gone for good. Whatever runs
twice counts once: an answer is known by its case and process, and the first one stands.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import queue
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.build.cache import Cache
from harness.confirmation import ConfirmedChoice, unconfirmed
from harness.errors import HarnessError, StoreError, UsageError
from harness.fleet import attempts, member, transfer
from harness.fleet.engine import Fleet
from harness.fleet.flights import (
    FETCH_S,
    NOBODY,
    Addressed,
    AnswerQueue,
    Flight,
    Group,
    Waiting,
    awaited,
    crashed,
    entries_of,
    group_of,
    light,
    patience_s,
    title,
    underway,
)
from harness.fleet.model import SLOT, Entry, FleetAnswer, FleetHost, SentJob, classes
from harness.flow.confirm import ConfirmJob
from harness.flow.execute import Job, time_once
from harness.flow.executors import JobWatcher
from harness.flow.progress import ProcessOutcome
from harness.flow.session import TriedTargets
from harness.records import Case, Status
from harness.zoo import HostWish

MOST_ATTEMPTS = 4
"""How often one process is given away again."""

FEW = 8
"""Hosts of a class that are asked one by one where the first has not what a target needs."""

LOOK_S = 0.5
"""How often it is looked who is there, on the coordinator alone."""

SLACK_S = 1800.0
"""What fetching an artifact, installing a runtime and evaluating may take beside the measurement."""


class FleetExecutor:
    """Runs jobs on the hosts of a fleet."""

    def __init__(
        self,
        fleet: Fleet,
        cache: Path,
        *,
        depot: str = "",
        wishes: Mapping[str, HostWish] | None = None,
        only: str = "",
        say: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        answers: AnswerQueue | None = None,
        look_s: float = LOOK_S,
    ) -> None:
        """Nothing is sent yet.

        Args:
            fleet: the hosts; they stay the caller's.
            cache: root of this host's cache.
            depot: where entries lie that all hosts reach, as a URL; they go through the scheduler where there is none.
            wishes: by target's name: the hosts that it wants.
            only: a class of hosts, if no other is to measure.
            say: hears of what was lost and is done again.
            clock: seconds, as time goes on.
            answers: where answers are waited for; a simulation lets its own time pass there.
            look_s: how often it is looked who is there.
        """
        self._fleet, self._cache, self._depot = fleet, Cache(cache), depot
        self._wishes, self._only, self._say = wishes or {}, only, say
        self._shared = transfer.Depot(depot) if depot else None
        self._put: set[Entry] = set()
        self._clock, self._look_s = clock, look_s
        self._class_of: dict[Group, str] = {}
        self._groups: Counter[str] = Counter()
        self._usable: dict[tuple[str, str], bool] = {}
        self._lacking: dict[tuple[str, str], str] = {}
        self._answered: AnswerQueue = queue.Queue() if answers is None else answers
        self._flights: dict[int, Flight] = {}
        self._given_up: list[ProcessOutcome] = []
        self._flying: Counter[str] = Counter()
        self._there: list[FleetHost] = []
        self._slots: Counter[str] = Counter()
        self._able: dict[str, dict[str, Addressed]] = {}
        self._done: set[tuple[str, int]] = set()
        self._repeated = 0
        self._empty_since: dict[str, float] = {}
        self._patience_s = patience_s()
        self._looked = clock()

    def hosts_for(self, target: str) -> list[FleetHost]:
        """The hosts that a target may be measured on now.

        Args:
            target: its name in the zoo.
        """
        wish = self._wishes.get(target, HostWish())
        return [
            one
            for one in self._hosts()
            if one.slots
            and one.suits(wish)
            and self._only in ("", one.host_class)
            and self._usable.get((target, one.host_class), True)
            and (target, one.address) not in self._lacking
        ]

    def at_once(self) -> int:
        """How many processes the hosts that are there measure at the same time."""
        return max(1, sum(self._slots.values()))

    def underway(self) -> str:
        """What runs on how many hosts now, and how much was given away again."""
        return underway(sum(one.future is not None for one in self._flights.values()), self.at_once(), self._repeated)

    def _hosts(self) -> list[FleetHost]:
        """Every worker that is there; what is known of their classes is forgotten where others are there now."""
        found = self._fleet.hosts()
        if found is not self._there and found != self._there:
            self._there = found
            self._slots = Counter({name: sum(one.slots for one in some) for name, some in classes(found).items()})
            self._able.clear()
        return self._there

    def _able_for(self, target: str) -> dict[str, Addressed]:
        """The hosts that a target may be measured on, by class; the same thousand are asked for with every job."""
        self._hosts()
        if target not in self._able:
            self._able[target] = {
                name: Addressed(hosts=some, addresses=frozenset(one.address for one in some))
                for name, some in classes(self.hosts_for(target)).items()
            }
        return self._able[target]

    def try_targets(self, cases: Sequence[Case], cache: Path) -> TriedTargets:  # noqa: ARG002  (each host has its own)
        """What the targets of a sweep can do on the fleet: each is tried on one host of every class.

        A target is unusable where no class can use it; floors and runtimes are kept where only one class can.

        Raises:
            HarnessError: no host of the fleet can measure at all.
        """
        self._require_hosts()
        first = {case.target.name: case for case in reversed(cases)}
        asked = []
        for name, case in first.items():
            for host_class, hosts in classes(self.hosts_for(name)).items():
                there = [one.address for one in hosts]
                asked.append((name, host_class, self._submit(member.attempt, [case], workers=there), there))
        found = [
            (name, host_class, self._one_that_has(first[name], self._result(future, there), there))
            for name, host_class, future, there in asked
        ]
        of_all, usable = attempts.merged(list(first), found)
        self._usable |= usable
        self._able.clear()
        return of_all

    def _one_that_has(self, case: Case, tried: TriedTargets, there: Sequence[str]) -> TriedTargets:
        """What a class can do with a target: where the host that tried it lacks something, others of it may not."""
        name = case.target.name
        for address in there[:FEW] if name in tried.absent and len(there) > 1 else ():
            other: TriedTargets = self._result(self._submit(member.attempt, [case], workers=[address]), [address])
            if name in other.absent:
                self._lacking[name, address] = other.absent[name]
            else:
                tried = other
        return tried

    def run(self, jobs: Iterable[Job], watch: JobWatcher) -> Iterator[ProcessOutcome]:
        """See `harness.flow.executors.Executor`.

        Raises:
            HarnessError: there is no host, or the scheduler is gone for longer than the fleet's patience.
        """
        waiting, coming = Waiting(jobs), deque[Job]()
        try:
            while True:
                self._move_on(waiting, coming, watch)
                yield from self._abandoned()
                for job in waiting.settled:
                    watch.started(job.case)
                    yield time_once(job)
                waiting.settled.clear()
                if not self._flights:
                    if waiting.over:
                        return
                    continue
                try:
                    flight, answer = self._answered.get(timeout=self._look_s)
                except queue.Empty:
                    watch.tick()
                    continue
                outcome = self._taken(flight, answer)
                if outcome is not None:
                    yield outcome
        finally:
            for flight in self._flights.values():
                self._cancel(flight)
            self._flights.clear()
            self._flying.clear()

    def confirm(self, job: ConfirmJob, watch: JobWatcher) -> ConfirmedChoice:  # noqa: ARG002  (nothing ticks)
        """See `harness.flow.executors.Executor`; on a host of the class that its cases ran on."""
        first = next(iter(job.jobs.values()))
        wanted = self._class_of.get(group_of(first.case)) or first.host_class
        entries = tuple(dict.fromkeys(entry for one in job.jobs.values() for entry in entries_of(one)))
        self._publish(entries)
        sent = dataclasses.replace(job, jobs={name: light(one) for name, one in job.jobs.items()})
        why = "no host of its class is left in the fleet"
        for _ in range(MOST_ATTEMPTS):
            hosts = [one for one in self.hosts_for(first.case.target.name) if wanted in ("", one.host_class)]
            if not hosts:
                break
            address = hosts[0].address
            try:
                future = self._submit(member.confirm, sent, entries, self._depot, workers=[address])
                found = self._result(future, [address])
            except HarnessError as error:
                why = str(error)
                self._fleet.revive(self._patience_s, self._say)
                continue
            if isinstance(found, ConfirmedChoice):
                return found
            self._send(found, address)
        return unconfirmed(job.candidates[0], job.baseline, why)

    def _require_hosts(self) -> None:
        """Raises HarnessError: nobody here can measure."""
        end = time.monotonic() + min(self._patience_s, 20.0)
        while not (hosts := self._fleet.hosts()) and time.monotonic() < end:
            time.sleep(self._look_s)
        for one in hosts:
            if one.refused:
                self._say(f"{one.address} {one.refused}")
        if not any(one.slots and not one.refused for one in hosts):
            why = "; ".join(
                f"{one.address} {one.refused or f'lacks the resource {SLOT}: start it with --resources {SLOT}=1'}"
                for one in hosts
            )
            raise UsageError(
                f"no worker at {self._fleet.address} can measure: "
                f"{why or f'there is none; start one with `harness fleet worker {self._fleet.address}`'}"
            )

    def _move_on(self, waiting: Waiting, coming: deque[Job], watch: JobWatcher) -> None:
        """Give away what can be; the scheduler may be lost in every line of it."""
        try:
            if self._clock() - self._looked > self._look_s:
                self._give_away_again()
                self._looked = self._clock()
            self._fill(waiting, coming, watch)
        except (OSError, TimeoutError, RuntimeError):
            if not self._revived():
                raise

    def _fill(self, waiting: Waiting, coming: deque[Job], watch: JobWatcher) -> None:
        """Give away jobs while a host that may take one has nothing to do; each is decided as late as that."""
        free = self._free()
        for job in list(coming):
            if free[self._class_of.get(group_of(job.case), "")] > 0:
                coming.remove(job)
                self._start(job, free, watch)
        while sum(free.values()) > 0 and len(coming) < 2 * sum(free.values()) + 8:
            following = waiting.following()
            if following is None:
                break
            coming.append(following)  # should the scheduler be lost in the next line, it is not
            host_class = self._placed(following)
            if not host_class or free[host_class] > 0:
                self._start(coming.pop(), free, watch)
        if not self._flights and not waiting.settled:  # nobody is there: it waits, so that the wait comes to an end
            left = coming.popleft() if coming else waiting.following()
            if left is not None:
                self._start(left, free, watch)

    def _free(self) -> Counter[str]:
        """Slots without a flight, by class."""
        self._hosts()
        return Counter({name: n for name, slots in self._slots.items() if (n := slots - self._flying[name]) > 0})

    def _start(self, job: Job, free: Counter[str], watch: JobWatcher) -> None:
        watch.started(job.case)
        flight = Flight(job=job, host_class=self._placed(job))
        free[flight.host_class] -= 1
        self._flights[id(flight)] = flight
        self._flying[flight.host_class] += 1
        self._give(flight)

    def _landed(self, flight: Flight) -> None:
        """It is over with, one way or another."""
        del self._flights[id(flight)]
        self._flying[flight.host_class] -= 1

    def _placed(self, job: Job) -> str:
        """The class that a job's group is measured on; of several, the one with the fewest groups for its slots."""
        group = group_of(job.case)
        if group not in self._class_of:
            able = self._able_for(job.case.target.name)
            if not job.host_class and not able:
                return ""
            chosen = job.host_class or min(able, key=lambda name: (self._groups[name] / len(able[name].hosts), name))
            self._class_of[group] = chosen
            self._groups[chosen] += 1
        return self._class_of[group]

    def _give(self, flight: Flight) -> None:
        """Submit a flight to every host of its class that is there; one without hosts waits for them."""
        job = flight.job
        if not flight.host_class:
            self._flying[""] -= 1
            flight.host_class = self._placed(job)
            self._flying[flight.host_class] += 1
        able = self._able_for(job.case.target.name).get(flight.host_class, NOBODY)
        if flight.number and len(able.hosts) > 1:  # not to the same ones, if there are others
            others = [one for one in able.hosts if one.address not in flight.addresses]
            able = Addressed(hosts=others, addresses=frozenset(one.address for one in others)) if others else able
        flight.future, flight.since, flight.addresses = None, self._clock(), able.addresses
        if not able.hosts:
            self._empty_since.setdefault(flight.host_class, self._clock())
            return
        self._empty_since.pop(flight.host_class, None)
        entries = entries_of(job)
        self._publish(entries)
        sent = SentJob(job=light(job), entries=entries, depot=self._depot)
        flight.future = self._submit(member.measure, sent, workers=flight.addresses, name=title(job))
        flight.future.add_done_callback(lambda future, flight=flight: self._answered.put((flight, future)))

    def _taken(self, flight: Flight, future: Any) -> ProcessOutcome | None:
        """What an answer amounts to: an outcome, or nothing where it is another attempt's or has to be asked again."""
        if id(flight) not in self._flights or future is not flight.future:
            return None
        if future.status in ("cancelled", "lost"):
            return None if self._revived() else self._again(flight, "the scheduler forgot it")
        if future.status == "error":
            return self._broken(flight, future.exception())
        try:
            answer = future.result(timeout=FETCH_S)
        except TimeoutError:
            return self._again(flight, "its host is gone")
        return self._told(flight, answer)

    def _told(self, flight: Flight, answer: FleetAnswer) -> ProcessOutcome | None:
        """What a host's answer amounts to: as `_taken`."""
        if why := answer.unfit or self._send(answer.missing, answer.address):
            self._fleet.leave_out(answer.address, why)
            return self._again(flight, f"{answer.address} {why}")
        if answer.lacks:
            self._lacking[flight.job.case.target.name, answer.address] = answer.lacks
            self._able.clear()
            self._say(f"{answer.address} cannot measure {flight.job.case.target.name}: {answer.lacks}")
            self._give(flight)
            return None
        if answer.missing:
            return self._again(flight, "", at=answer.address)
        self._landed(flight)
        key = (flight.job.case.id, flight.job.process)
        if answer.outcome is None or key in self._done:
            return None
        self._done.add(key)
        if answer.evaluation is not None:  # this host then need not make it again to judge the case
            self._cache.put_evaluation(*answer.evaluation)
        found = self._fleet.our_time(answer.address, answer.outcome)
        return dataclasses.replace(found, case=flight.job.case)

    def _broken(self, flight: Flight, error: BaseException | None) -> ProcessOutcome | None:
        """A task that raised: its worker was killed again and again, or something of ours is wrong there."""
        if type(error).__name__ == "KilledWorker":
            self._landed(flight)
            return crashed(flight.job, f"the worker of the fleet that measured it was killed each time: {error}")
        if isinstance(error, HarnessError | OSError):
            self._landed(flight)
            where = ", ".join(sorted(flight.addresses))
            return crashed(flight.job, f"{where}: {' '.join(str(error).split())}")
        if type(error).__name__ in ("FutureCancelledError", "CancelledError"):
            return None if self._revived() else self._again(flight, "the scheduler forgot it")
        raise error or HarnessError("a worker of the fleet failed and did not say why")

    def _again(self, flight: Flight, why: str, at: str = "") -> ProcessOutcome | None:
        """Give a flight away again; its process counts as crashed where that has happened too often."""
        if why:
            self._say(f"{title(flight.job)}: {why}; it is measured again")
            self._repeated += 1
        flight.number += 1
        if flight.number > MOST_ATTEMPTS * 2:
            self._landed(flight)
            return crashed(flight.job, f"it was given to hosts {flight.number} times and came back from none ({why})")
        if at:
            entries = entries_of(flight.job)
            sent = SentJob(job=light(flight.job), entries=entries, depot=self._depot)
            flight.addresses, flight.since = frozenset([at]), self._clock()
            flight.future = self._submit(member.measure, sent, workers=flight.addresses, name=title(flight.job))
            flight.future.add_done_callback(lambda future: self._answered.put((flight, future)))
        else:
            self._give(flight)
        return None

    def _revived(self) -> bool:
        """Connect again where the scheduler was lost, and give everything away anew; whether that was so."""
        if not self._fleet.revive(self._patience_s, self._say):
            return False
        for flight in self._flights.values():
            flight.future, flight.addresses, flight.number = None, frozenset(), flight.number + 1
        return True

    def _give_away_again(self) -> None:
        """Look for flights whose hosts are gone, or that take longer than any host needs."""
        self._revived()
        there = {one.address for one in self._hosts() if not one.refused}
        for flight in list(self._flights.values()):
            age = self._clock() - flight.since
            late = age > SLACK_S and age > SLACK_S + 4 * flight.job.pace.budget_s
            if flight.future is None:
                self._give(flight)
            elif flight.addresses.isdisjoint(there) or late:
                why = "its host takes too long" if late else "its host is gone"
                self._cancel(flight)
                if (given_up := self._again(flight, why)) is not None:
                    self._given_up.append(given_up)

    def _abandoned(self) -> Iterator[ProcessOutcome]:
        """Cases whose class has had no host for too long fail, with that as their reason; what was stored stands."""
        while self._given_up:
            yield self._given_up.pop()
        if not self._empty_since:
            return
        for flight in list(self._flights.values()):
            since = self._empty_since.get(flight.host_class, math.inf)
            if flight.future is None and self._clock() - since > self._patience_s:
                self._landed(flight)
                kind = f"of class {flight.host_class}" if flight.host_class else "that suits the target"
                why = f"no host {kind} has been in the fleet for {self._patience_s:g} s"
                left = [
                    f"{one.address} {one.refused}"
                    for one in self._fleet.hosts()
                    if one.refused and flight.host_class in ("", one.host_class)
                ]
                name = flight.job.case.target.name
                left += [f"{where}: {lack}" for (target, where), lack in self._lacking.items() if target == name]
                why = "; ".join([why, *left[:3]])
                yield dataclasses.replace(crashed(flight.job, why), ends=Status.FAILED)

    def _cancel(self, flight: Flight) -> None:
        future, flight.future = flight.future, None
        if future is not None:
            with contextlib.suppress(Exception):  # its connection is gone, and so is the task
                future.cancel(force=True)

    def _publish(self, entries: Iterable[Entry]) -> None:
        """Put entries into the depot, each once; where that cannot be, they are sent to whoever lacks them."""
        for entry in entries:
            if self._shared is not None and entry not in self._put:
                self._put.add(entry)
                try:
                    self._shared.put(self._cache, entry)
                except StoreError as error:
                    self._say(f"{error} It goes through the scheduler.")

    def _send(self, entries: Iterable[Entry], address: str) -> str:
        """Put entries into the cache of a host, through the scheduler; why it has no room for them, or nothing.

        Raises:
            UsageError: one is too large for that.
        """
        for entry in entries:
            data = transfer.packed(self._cache, entry)
            why, full = self._fleet.ask(member.receive, [address], entry=entry, data=data).get(address, ("", False))
            if full:
                return str(why)
            if why:  # it was damaged on its way, and is asked for again
                self._say(f"{address}: {why}")
        return ""

    def _submit(self, call: Callable[..., Any], *arguments: Any, workers: Collection[str], name: str = "") -> Any:
        """Give a task to any of these workers, by a name that Dask and `Fleet.running` show."""
        more = {"key": f"{name}-{secrets.token_hex(6)}"} if name else {"pure": False}
        return self._fleet.client.submit(
            call, *arguments, workers=list(workers), allow_other_workers=False, resources={SLOT: 1}, **more
        )

    def _result(self, future: Any, addresses: Collection[str]) -> Any:
        """What a task gives.

        Raises:
            HarnessError: the fleet lost it, or none of its hosts is there any more.
        """
        return awaited(future, addresses, self._fleet.hosts, look_s=self._look_s)
