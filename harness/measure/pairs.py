"""One pair, or a larger group: fresh processes, alive together, timed in short bursts that take turns.

All of them see the same minutes of the same host, so that most of its noise cancels in their ratios. The order of
everything is random, group by group; a member that waits is at rest, not spinning. A pair is a group of two.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import random
import statistics
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from harness.errors import WorkerError, WorkerRefusal
from harness.measure import cores, energy, idle, memory, usual_bursts
from harness.measure.bursts import OPEN_DEADLINE_S, burst
from harness.measure.coordinator import ClientFactory, Workload, utc_now
from harness.measure.energy import CountersFound, EnergyReadings
from harness.measure.pacing import Pace, is_steady
from harness.measure.scenarios import Driver
from harness.records import Block, Pair, SideSamples
from harness.runtimes.client import Client

SIDES = ("base", "head")
LEAST_BURSTS = 7
LONGEST_S = 0.8
"""Seconds of bursts and of rest per side, past which there are fewer bursts, down to `LEAST_BURSTS`."""

MOST_BURST = 5_000
"""Inferences in one burst, so that the replies of a tiny model stay short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSpec:
    """What is measured together: per member (of a pair `base`, `head`) what to run and how to start its worker.

    Attributes:
        bursts: how many bursts each member runs; fewer where they would take longer than `LONGEST_S`.
        burst_s: seconds that one burst is to last, over both sides on average.
        least_warmup_s, most_warmup_s: bounds of each side's warm-up, in seconds of inference.
        most_spin_s: processor time that one thread may use between two bursts before its side counts as busy for good.
    """

    workloads: Mapping[str, Workload]
    clients: Mapping[str, ClientFactory]
    bursts: int = field(default_factory=usual_bursts.bursts)
    burst_s: float = field(default_factory=usual_bursts.burst_s)
    least_warmup_s: float = 0.06
    most_warmup_s: float = field(default_factory=usual_bursts.most_warmup_s)
    most_spin_s: float = idle.MOST_SPIN_S


PairSpec = GroupSpec


@dataclass(slots=True)
class LiveSide:
    """One live side: its worker, what it said when it opened, how long an inference takes, what it held and took."""

    worker: Client
    drive: Driver
    session_ns: int = 0
    first_ns: int = 0
    typical_ns: float = 1.0
    empty_bytes: int | None = None
    energy: EnergyReadings = field(default_factory=lambda: EnergyReadings(CountersFound(source="not opened")))


def measure_pair(
    spec: PairSpec,
    *,
    phase: str = "screen",
    rng: random.Random | None = None,
    on_burst: Callable[[], None] | None = None,
) -> Pair:
    """Measure one pair, in two fresh processes.

    Args:
        spec: the two sides.
        phase: goes into the pair.
        rng: gives every order; system randomness where none is given.
        on_burst: called while both workers are idle; must return quickly.

    Raises:
        WorkerRefusal: if a side's runtime cannot run it; the text names the side.
        WorkerError: if a side's worker dies, hangs or answers nonsense, times of zero included.
    """
    block = measure_block(spec, rng=rng, on_burst=on_burst)
    base, head = (block.members[role] for role in SIDES)
    return Pair(
        phase=phase,
        log_ratio=log_ratio(base, head),
        base=base,
        head=head,
        started_at=block.started_at,
        order="".join(role[0] for role in block.order),
        pinned=block.pinned,
    )


def log_ratio(base: SideSamples, head: SideSamples) -> float:
    """The median over bursts of log(head / base)."""
    return statistics.median(math.log(h / b) for b, h in zip(base.bursts_ns, head.bursts_ns, strict=True))


def measure_block(
    spec: GroupSpec, *, rng: random.Random | None = None, on_burst: Callable[[], None] | None = None
) -> Block:
    """Measure a group once, every member in a fresh process.

    Burst k of every member has the same number of inferences, on the same inputs.

    Args:
        spec: the members.
        rng: gives every order; system randomness where none is given.
        on_burst: called while all workers are idle; must return quickly.

    Raises:
        WorkerRefusal, WorkerError: as `measure_pair`.
    """
    rng = rng or random.SystemRandom()
    started_at = utc_now()
    spin = any(idle.spins(work.target) for work in spec.workloads.values())
    with started(spec) as sides:
        pinned = pin(spec, sides, rng)
        rotates = all("rotate" in (side.worker.hello.get("features") or ()) for side in sides.values())
        for role in random_order(spec, rng):
            with named(role):
                work = spec.workloads[role]
                open_side(sides[role], work if rotates else dataclasses.replace(work, rotate=1))
                await_rest(sides[role], spec, spin)
        for role in random_order(spec, rng):
            with named(role):
                warm_up(sides[role], spec)
                await_rest(sides[role], spec, spin)
        typical_ns = statistics.fmean(side.typical_ns for side in sides.values())
        n = size(spec, typical_ns)
        means: dict[str, list[float]] = {role: [] for role in sides}
        order: list[str] = []
        for number in range(repeats(spec, n * typical_ns / 1e9 + (idle.SPIN_S if spin else 0.0))):
            for role in random_order(spec, rng):
                with named(role):
                    means[role].append(mean(sides[role], n, spec, at=number * n if rotates else None))
                    await_rest(sides[role], spec, spin)
                order.append(role)
                if on_burst is not None:
                    on_burst()
        members = {role: side_samples(side, means[role], spec.workloads[role]) for role, side in sides.items()}
    return Block(members=members, started_at=started_at, order=tuple(order), pinned=pinned)


@contextlib.contextmanager
def started(spec: GroupSpec) -> Iterator[dict[str, LiveSide]]:
    """All workers, started at the same time since nothing is timed yet; afterwards none is left."""
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(len(spec.workloads)) as pool:
        coming = {role: pool.submit(spec.clients[role]) for role in spec.workloads}
        try:
            sides: dict[str, LiveSide] = {}
            failure: WorkerError | None = None
            for role, future in coming.items():
                try:
                    with named(role):
                        sides[role] = LiveSide(stack.enter_context(future.result()), Driver(spec.workloads[role]))
                except WorkerError as error:
                    failure = failure or error
            if failure is not None:
                raise failure
        except BaseException:
            # Ctrl-C may come while a side is still starting: whatever has started by then, or will have, is ended.
            for future in coming.values():
                future.add_done_callback(end)
            raise
        yield sides


def end(started: Future[contextlib.AbstractContextManager[Client]]) -> None:
    """End a worker at once, if there is one."""
    if not started.cancelled() and started.exception() is None:
        started.result().__exit__(WorkerError, None, None)


def pin(
    spec: GroupSpec,
    sides: Mapping[str, LiveSide],
    rng: random.Random,
    *,
    choose: Callable[..., frozenset[int] | None] = cores.choose_cores,
    hold: Callable[[int, frozenset[int]], bool] = cores.pin,
) -> bool:
    """Hold all members to the same cores, where there are enough; the threads of their sessions inherit it.

    Args:
        spec: the members.
        sides: their live workers.
        rng: chooses among cores.
        choose: finds cores for so many threads, None where there are too few.
        hold: holds a process to cores, and says whether it could.
    """
    if any("cpus" in work.target.limits for work in spec.workloads.values()):
        return True  # all of them started on the same ones, and others would be outside of their limit
    threads = [work.target.intra_threads for work in spec.workloads.values()]
    chosen = choose(max(threads), rng=rng) if min(threads) > 0 else None
    if chosen is None:
        return False
    done = [hold(side.worker.pid, chosen) for side in sides.values()]
    return all(done)


def open_side(side: LiveSide, work: Workload) -> None:
    """Create the session and run it once."""
    side.empty_bytes = memory.held_bytes(side.worker.pid, work.model.parent)
    side.drive = Driver(work)
    counters = energy.found_for(work.target, elsewhere="device" in side.worker.hello)
    side.energy = EnergyReadings(energy.of_single_bursts(counters))
    reply = side.drive.open(side.worker)
    session_ns = reply.get("session_ns")
    if type(session_ns) is not int or session_ns <= 0:
        raise WorkerError(f"the worker says that creating the session took {session_ns!r} ns")
    side.session_ns = session_ns
    side.first_ns = burst(side.worker, 1, OPEN_DEADLINE_S)[0][0]
    side.drive.settle(side.worker)
    side.typical_ns = positive(side.first_ns)


def warm_up(side: LiveSide, spec: GroupSpec) -> None:
    """Run until the last windows agree, within the bounds of warm-up."""
    plan = Pace(budget_s=spec.most_warmup_s, ci_width=0.0)
    medians: list[float] = []
    spent = 0.0
    while True:
        durations, _ = side.drive.burst(side.worker, size(spec, side.typical_ns), deadline(side, spec))
        side.typical_ns = positive(statistics.median(durations))
        medians.append(side.typical_ns)
        spent += sum(durations) / 1e9
        steady = is_steady(plan, medians[-plan.windows :]) and spent >= spec.least_warmup_s
        if steady or spent >= spec.most_warmup_s:
            return


def mean(side: LiveSide, n: int, spec: GroupSpec, *, at: int | None = None) -> float:
    """The mean time of n inferences in one burst, in nanoseconds; `at` is the place in the rotation of inputs."""
    side.energy.start()
    durations, _ = side.drive.burst(side.worker, n, deadline(side, spec), at=at)
    side.energy.take(len(durations), sum(durations) / 1e9 / side.drive.scenario.streams)
    return positive(sum(durations) / len(durations))


def side_samples(side: LiveSide, means: list[float], work: Workload) -> SideSamples:
    """What one side gave."""
    return SideSamples(
        session_ns=side.session_ns,
        first_inference_ns=side.first_ns,
        bursts_ns=tuple(means),
        peak_rss_bytes=side.worker.peak_rss_bytes(),
        model_bytes=memory.added(side.empty_bytes, memory.held_bytes(side.worker.pid, work.model.parent)),
        energy_j=side.energy.each().joules,
    )


def await_rest(side: LiveSide, spec: GroupSpec, spin: bool) -> None:
    """Wait until the side is at rest, so that it takes nothing from the other's burst.

    Raises:
        WorkerError: if it goes on using the processor.
    """
    if spin and not idle.wait_until_idle(side.worker.pid, most_spin_s=spec.most_spin_s):
        raise WorkerError(
            f"the worker goes on using the processor after an inference, for more than {spec.most_spin_s:g} s (or "
            f"waits for it, for more than {idle.MOST_WAIT_S:g} s), beside the other side's: set "
            f"session.intra_op.allow_spinning to 0 in the target's session_config"
        )


def size(spec: GroupSpec, typical_ns: float) -> int:
    """How many inferences of this length fill one burst; at least one."""
    return max(1, min(MOST_BURST, round(spec.burst_s * 1e9 / typical_ns)))


def repeats(spec: GroupSpec, each_s: float) -> int:
    """How many bursts of this length, rest included."""
    return min(spec.bursts, max(LEAST_BURSTS, int(LONGEST_S / each_s)))


def deadline(side: LiveSide, spec: GroupSpec) -> float:
    """Seconds that a burst may take before the worker counts as hung: generous, since a host may stall."""
    return 60.0 + 20.0 * (spec.burst_s + MOST_BURST * 1e-6 + side.first_ns / 1e9)


def random_order(spec: GroupSpec, rng: random.Random) -> list[str]:
    """All members, in random order."""
    return rng.sample(list(spec.workloads), len(spec.workloads))


def positive(duration_ns: float) -> float:
    """A duration that a ratio can be made of.

    Raises:
        WorkerError: if it is zero: the clock is too coarse, or the worker did not run anything.
    """
    if duration_ns <= 0:
        raise WorkerError("the worker answered a duration of 0 ns; no ratio can be made of that")
    return duration_ns


@contextlib.contextmanager
def named(role: str) -> Iterator[None]:
    """Say in the text of a worker's error which side it was."""
    try:
        yield
    except WorkerRefusal as error:
        raise WorkerRefusal(error.kind, f"{role}: {error}") from error
    except WorkerError as error:
        raise WorkerError(f"{role}: {error}") from error
