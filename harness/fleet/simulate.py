"""A sweep on hosts that are made up, in simulated time: how long it takes, and what is lost where hosts fail.

The order of processes is `harness.measure.rounds`'s, and `FleetExecutor` gives them away, places groups on classes of
hosts, asks again for what was lost and counts every answer once, as on a fleet. Made up are what Dask does (a task goes
to a host of those that it may run on, and to another one where its worker dies) and the hosts, which answer after the
time that the process takes.
"""

from __future__ import annotations

import dataclasses
import heapq
import math
import queue
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from harness.fleet.clocks import Noun
from harness.fleet.engine import Fleet
from harness.fleet.executor import FleetExecutor
from harness.fleet.model import FleetAnswer, FleetHost, SentJob
from harness.flow.execute import Job
from harness.flow.preview import SweepSettings
from harness.flow.progress import ProcessOutcome
from harness.measure.rounds import turns
from harness.records import (
    Artifact,
    Case,
    DataSpec,
    HostInfo,
    ModelSpec,
    Recipe,
    Reference,
    Target,
    Weights,
    WeightsSpec,
)

VARIANTS, TARGETS = 5, 4
"""Cases of one group, and groups of one model."""

BACK_S = 5.0
"""After how long a host that failed is a worker again, under another address."""

TIMES_LOST = 3
"""How often Dask runs a task again whose worker died, before it says that it kills workers (`allowed-failures`)."""

OVERHEAD_S = 0.05
"""What sending a task and its answer takes beside the process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedSweep:
    """What is simulated.

    Attributes:
        hosts, classes: how many; the hosts are spread evenly over the classes.
        fail_rate: share of processes that take their host down at some moment.
        durations_s: seconds that processes take, of which each gets one at random.
    """

    hosts: int
    cases: int
    processes: int = 1
    classes: int = 1
    fail_rate: float = 0.0
    durations_s: Sequence[float] = (5.0,)
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """What came of it.

    Attributes:
        makespan_s: simulated seconds from the first task to the last answer.
        bound_s: no placement of these processes on these hosts takes less: their sum over the hosts, or the longest.
        longest_s: of all processes.
        lost_s: host-seconds of processes that were lost with their host.
        failures: hosts that failed.
        answers: processes that came to an end with a number; `crashed` without one.
        missing, twice: processes that have no answer in the end, and that counted more than once.
        tasks: that the scheduler was given, those that it ran again not counted.
        cost_s: processor time of the coordinator for one process, on this machine.
        busy: share of the hosts' time in which they measured something that counted.
    """

    makespan_s: float
    bound_s: float
    longest_s: float
    lost_s: float
    failures: int
    answers: int
    crashed: int
    missing: int
    twice: int
    tasks: int
    cost_s: float
    busy: float

    @property
    def over_bound(self) -> float:
        """The makespan in units of the bound."""
        return self.makespan_s / self.bound_s if self.bound_s else math.nan


def simulate(asked: SimulatedSweep) -> Simulated:
    """Run a sweep in simulated time."""
    draw = random.Random(asked.seed)  # noqa: S311  (what happens on hosts that are made up)
    fleet = _Hosts(asked, draw)
    executor = FleetExecutor(cast("Fleet", fleet), Path(), clock=fleet.now, answers=fleet)
    count: Counter[int] = Counter()
    began = time.process_time()
    counted = bytearray(asked.cases * asked.processes)
    for outcome in executor.run(jobs_of(asked), _Unwatched()):
        count[outcome.samples is None and bool(outcome.reason)] += 1
        counted[place_of(outcome.case) * asked.processes + outcome.process] += 1
    cost = time.process_time() - began
    total = asked.cases * asked.processes
    work = fleet.worked_s
    return Simulated(
        makespan_s=fleet.ended_s,
        bound_s=max(work / asked.hosts, fleet.longest_s),
        longest_s=fleet.longest_s,
        lost_s=fleet.lost_s,
        failures=fleet.failures,
        answers=count[False],
        crashed=count[True],
        missing=counted.count(0),
        twice=total - counted.count(0) - counted.count(1),
        tasks=fleet.tasks,
        cost_s=cost / total if total else 0.0,
        busy=work / (fleet.ended_s * asked.hosts) if fleet.ended_s else 0.0,
    )


def fewest_hosts(
    asked: SimulatedSweep, night_s: float, say: Callable[[int, Simulated], None] = lambda *_: None
) -> tuple[int, Simulated]:
    """How many hosts it takes until the sweep fits a night, to one in a hundred: fewer are too few.

    Args:
        asked: the sweep; its own number of hosts does not count.
        night_s: how long the night is.
        say: hears of every number of hosts that was tried.

    Returns:
        The hosts, and what came of them; a makespan above the night where no number of hosts is enough, since one
        process alone takes longer.
    """
    mean = sum(asked.durations_s) / len(asked.durations_s) + OVERHEAD_S
    below = asked.classes - 1  # is not enough
    hosts = max(asked.classes, math.ceil(asked.cases * asked.processes * mean / night_s))
    best: tuple[int, Simulated] | None = None
    while True:
        found = simulate(replace(asked, hosts=hosts))
        say(hosts, found)
        below = max(below, math.ceil(found.busy * found.makespan_s * hosts / night_s) - 1)  # all of it is work
        if found.makespan_s <= night_s:
            best = hosts, found
        elif found.longest_s > night_s:
            return hosts, found
        else:
            below = hosts
        if best is not None and best[0] - below <= max(1, below // 100):
            return best
        if best is None:
            hosts = max(below + 1, math.ceil(hosts * found.makespan_s / night_s))
        else:
            hosts = (below + best[0]) // 2


class _Unwatched:
    """Nobody looks on."""

    def started(self, case: Case) -> None:
        """A process was given away."""

    def preparing(self, text: str) -> None:
        """Something is said."""

    def tick(self) -> None:
        """Time passes."""


class _SimulatedTask:
    """What Dask gives for a task."""

    __slots__ = ("_answer", "_callback", "address", "allowed", "lost", "sent", "since", "status")

    def __init__(self, sent: SentJob, allowed: Collection[str]) -> None:
        self.sent, self.allowed, self.status = sent, allowed, "pending"
        self.address, self.since, self.lost = "", 0.0, 0
        self._answer: Any = None
        self._callback: Callable[[Any], None] = lambda _: None

    def add_done_callback(self, call: Callable[[Any], None]) -> None:
        self._callback = call

    def result(self, timeout: float | None = None) -> Any:  # noqa: ARG002  # as Dask has it
        return self._answer

    def exception(self) -> Any:
        return self._answer

    def cancel(self, *, force: bool) -> None:  # noqa: ARG002  (Dask's own)
        self.status = "cancelled"

    def finish(self, status: str, answer: Any) -> None:
        if self.status == "pending":
            self.status, self._answer = status, answer
            self._callback(self)


class KilledWorker(Exception):
    """A task whose workers died each time."""


class _Hosts:
    """A scheduler with its hosts: the fleet, its client, and the queue that answers come from, in one time."""

    def __init__(self, asked: SimulatedSweep, draw: random.Random) -> None:
        self.client, self.address = self, "simulated"
        self.worked_s = self.lost_s = self.longest_s = self.ended_s = 0.0
        self.failures = self.tasks = 0
        self._asked, self._draw = asked, draw
        self._time, self._order, self._names = 0.0, 0, 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._answered: deque[Any] = deque()
        self._there: dict[str, FleetHost] = {}
        self._listed: list[FleetHost] | None = None
        self._idle: dict[str, dict[str, None]] = {}
        self._waiting: dict[str, deque[_SimulatedTask]] = {}
        for place in range(asked.hosts):
            self._join(place % asked.classes)

    # --- a fleet ---

    def hosts(self) -> list[FleetHost]:
        if self._listed is None:
            self._listed = list(self._there.values())
        return self._listed

    def revive(self, *_: object) -> bool:
        return False

    def leave_out(self, address: str, why: str) -> None:
        self._listed = None
        self._there[address] = dataclasses.replace(self._there[address], refused=why)

    def our_time(self, _address: str, noun: Noun) -> Noun:
        return noun

    # --- its client ---

    def submit(self, _call: object, sent: SentJob, *, workers: Collection[str], **_: object) -> _SimulatedTask:
        self.tasks += 1
        task = _SimulatedTask(sent, workers)
        self._assign(task)
        return task

    # --- the queue of answers ---

    def put(self, item: Any) -> None:
        self._answered.append(item)

    def get(self, *, timeout: float) -> Any:
        until = self._time + timeout
        while not self._answered:
            if not self._events or self._events[0][0] > until:
                self._time = until
                raise queue.Empty
            self._time, _, happen = heapq.heappop(self._events)
            happen()
        return self._answered.popleft()

    def now(self) -> float:
        return self._time

    # --- what happens ---

    def _join(self, of: int) -> None:
        address = f"host-{self._names}"
        self._names += 1
        host = HostInfo(fingerprint=f"{of:012x}", facts={})
        self._listed = None
        self._there[address] = FleetHost(address=address, slots=1, host=host)
        self._idle.setdefault(host.fingerprint, {})
        self._freed(address)

    def _after(self, seconds: float, happen: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (self._time + seconds, self._order, happen))

    def _assign(self, task: _SimulatedTask) -> None:
        """Give a task to a host that has nothing to do, or let it wait for one."""
        first = next((one for one in task.allowed if one in self._there), None)
        if first is None:  # its hosts are gone: it waits for them, until the executor takes it back
            return
        of = self._there[first].host_class
        idle = self._idle[of]
        chosen = next((address for address in idle if address in task.allowed), None)
        if chosen is None:
            self._waiting.setdefault(of, deque()).append(task)
            return
        del idle[chosen]
        self._run(task, chosen)

    def _run(self, task: _SimulatedTask, address: str) -> None:
        task.address, task.since = address, self._time
        takes = OVERHEAD_S + duration_of(self._asked, task.sent.job)
        if self._draw.random() < self._asked.fail_rate:
            self._after(takes * self._draw.random(), lambda: self._die(task))
        else:
            self._after(takes, lambda: self._done(task, takes))

    def _done(self, task: _SimulatedTask, takes: float) -> None:
        self.worked_s += takes
        self.longest_s = max(self.longest_s, takes)
        self.ended_s = self._time
        job = task.sent.job
        found = ProcessOutcome(case=job.case, process=job.process, started_at="")
        task.finish("finished", FleetAnswer(address=task.address, outcome=found))
        self._freed(task.address)

    def _die(self, task: _SimulatedTask) -> None:
        self.failures += 1
        self.lost_s += self._time - task.since
        self._listed = None
        host = self._there.pop(task.address)
        self._after(BACK_S, lambda: self._join(int(host.host_class, 16)))
        task.lost += 1
        if task.lost > TIMES_LOST:
            self.ended_s = self._time
            task.finish("error", KilledWorker("its workers died each time"))
        else:
            self._assign(task)

    def _freed(self, address: str) -> None:
        of = self._there[address].host_class
        waiting = self._waiting.get(of, ())
        for task in waiting:
            if task.status == "pending" and address in task.allowed:
                waiting.remove(task)  # type: ignore[union-attr]  # a deque where there is one
                self._run(task, address)
                return
        self._idle[of][address] = None


def jobs_of(asked: SimulatedSweep) -> Iterator[Job]:
    """Every process, in the order of a sweep by rounds; a million cases are made as they are needed."""
    settings = SweepSettings(processes=asked.processes, time_per_case=1.0, ci_width=0.02)
    make = _JobMaker(settings)
    for turn in turns([f"{place}" for place in range(asked.cases)], processes=asked.processes, seed=str(asked.seed)):
        yield make.job(int(turn.case), turn.process)


def some_jobs(asked: SimulatedSweep, groups: int = 4) -> list[Job]:
    """The first process of each case of a few groups, planned as in that sweep."""
    make = _JobMaker(SweepSettings(processes=asked.processes, time_per_case=1.0, ci_width=0.02))
    return [make.job(place, 0) for place in range(min(asked.cases, groups * VARIANTS))]


class _JobMaker:
    """Jobs of cases by their number."""

    def __init__(self, settings: SweepSettings) -> None:
        self._settings = settings
        self._recipes = [Recipe(name=f"v{place}", steps=()) for place in range(VARIANTS)]
        self._targets = [
            Target(name="cpu", provider="CPUExecutionProvider", intra_threads=n + 1) for n in range(TARGETS)
        ]
        reference = Reference(digest="r", origin="", inputs=(), outputs=(), examples=1, labelled=False)
        weights = Weights(kind="seeded", digest="w", reason="")
        self._built = Artifact(
            digest="a", model="", variant="", weights=weights, reference=reference, bytes=1, nodes=1, operators={}
        )

    def job(self, place: int, process: int) -> Job:
        rest, variant = divmod(place, VARIANTS)
        number, target = divmod(rest, TARGETS)
        model = ModelSpec(
            name=str(number), source="", id="", task="", weights=WeightsSpec(kind="seeded"), inputs=(), dims={},
            data=DataSpec(name="", source=""),
        )  # fmt: skip
        case = Case(model=model, recipe=self._recipes[variant], target=self._targets[target])
        return Job(case=case, built=self._built, settings=self._settings, cache=Path(), process=process)


def place_of(case: Case) -> int:
    """The number of a case of `jobs_of`."""
    variant, target = int(case.recipe.name[1:]), case.target.intra_threads - 1
    return (int(case.model.name) * TARGETS + target) * VARIANTS + variant


def duration_of(asked: SimulatedSweep, job: Job) -> float:
    """What a process takes: the same whenever and wherever it runs, and for every process of its case."""
    some = asked.durations_s
    return some[(place_of(job.case) * 2_654_435_761 + asked.seed) % 2**32 * len(some) >> 32]
