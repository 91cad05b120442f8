"""How a gate decides on 1, 2 and 4 hosts: false alarms, power, and pairs and time per host against one host's.

    python benchmarks/gate_hosts.py                          # pairs are drawn: normal noise of 3% to 5%
    python benchmarks/gate_hosts.py --replay recording.json  # and pairs of a recording that gate_power.py kept

The gate's own schedule, its dispatch to hosts and its rule decide, on simulated hosts in simulated time. Pairs last
1.5 s, give or take a tenth. Gates have ten cases, none changed or one of them slower; or one case alone, where hosts
wait for each other most at the looks.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import heapq
import math
import queue
import random
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import host

from harness.build.cache import Cache
from harness.fleet.model import FleetHost
from harness.gate.fleet.model import PairAnswer, SentPair
from harness.gate.fleet.rounds import FleetRounds, PlacedCase
from harness.gate.model import GateSettings
from harness.gate.selftest import recording
from harness.gate.timing import phases
from harness.gate.timing.rounds import Measured, scheduled
from harness.records import HostInfo, Pair, SideSamples
from harness.stats import binomial, sequential

PAIR_S, GIVE_OR_TAKE = 1.5, 0.1
SLOW = 0.05
NOISE = (0.03, 0.04, 0.04, 0.05)
"""Standard deviation of the log-ratios, of the cases in turn."""

SETTINGS = GateSettings(metrics=("latency",))
Draw = Callable[[str, str], float]
"""The log-ratio of a pair, by case and host."""


class NobodyWatches:
    """Looks away."""

    def phase(self, name: str, cases: Sequence[str], pairs: int) -> None:
        """A phase begins."""

    def tick(self) -> None:
        """Never called."""

    def paired(self, case: str, pair: Pair) -> None:
        """A pair is done."""

    def broke(self, case: str, reason: str) -> None:
        """A case cannot go on."""


@dataclass(slots=True)
class SimulatedTime:
    """Answers arrive in the order in which hosts are done, and the clock stands where the last one did.

    A pair that nobody waits for any more is measured to its end all the same, before the next one of its host.

    Attributes:
        now: in seconds.
        busy: until when, by the address of the host.
    """

    dice: random.Random
    now: float = 0.0
    coming: list[tuple[float, int, Any]] = field(default_factory=list)
    count: int = 0
    busy: dict[str, float] = field(default_factory=dict)

    def put(self, item: Any) -> None:
        """A host begins a pair, and will have measured it some time later."""
        self.count += 1
        last = PAIR_S * math.exp(self.dice.gauss(0, GIVE_OR_TAKE))
        where = item[0].address
        self.busy[where] = max(self.now, self.busy.get(where, 0.0)) + last
        heapq.heappush(self.coming, (self.busy[where], self.count, item))

    def get(self, *, timeout: float) -> Any:
        """What is done next."""
        del timeout
        if not self.coming:
            raise queue.Empty
        self.now, _, item = heapq.heappop(self.coming)
        return item


@dataclass(slots=True)
class SimulatedPair:
    """What Dask gives for a task whose answer is known."""

    answer: PairAnswer
    status: str = "finished"

    def result(self, timeout: float | None = None) -> PairAnswer:  # noqa: ARG002  # as Dask has it
        """The answer."""
        return self.answer

    def add_done_callback(self, call: Callable[[Any], None]) -> None:
        """Tell at once: the answer arrives in simulated time."""
        call(self)

    def cancel(self, *, force: bool) -> None:
        """Nothing runs."""


class SimulatedFleet:
    """Hosts whose pairs are drawn; it stands for its own client."""

    def __init__(self, hosts: Sequence[FleetHost], draw: Draw) -> None:
        """All of them are there all the time."""
        self.there, self.client, self.address, self._draw = list(hosts), self, "tcp://simulated", draw
        self._class = {one.address: one.host_class for one in hosts}

    def hosts(self) -> list[FleetHost]:
        """Who is there."""
        return self.there

    def revive(self, *_: object) -> bool:
        """It was never gone."""
        return False

    def our_time(self, _address: str, pair: Pair) -> Pair:
        """All clocks agree."""
        return pair

    def submit(self, _call: object, sent: SentPair, *, workers: Sequence[str], **_: Any) -> SimulatedPair:
        """Measure one."""
        value = self._draw(sent.depot, workers[0])  # the place of what nothing is fetched from names the case
        pair = Pair(phase=sent.phase, log_ratio=value, base=SIDE, head=SIDE, started_at="")
        return SimulatedPair(PairAnswer(pair=pair))


SIDE = SideSamples(session_ns=1, first_inference_ns=1, bursts_ns=(1.0,), peak_rss_bytes=1)


class NamedPair(SentPair):
    """A pair of a case of which nothing has to be sent."""

    @property
    def entries(self) -> tuple[Any, ...]:
        """None."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """One gate: the cases that it calls slower, its pairs on the busiest host, all of them, and its seconds."""

    slower: frozenset[str]
    busiest: int
    pairs: int
    seconds: float


def hosts(classes: Mapping[str, int]) -> list[FleetHost]:
    """So many hosts of each class."""
    return [
        FleetHost(address=f"{name}-{k}", name=f"{name}-{k}", slots=1, host=HostInfo(fingerprint=name, facts={}))
        for name, count in classes.items()
        for k in range(count)
    ]


def gate(names: Sequence[str], there: Sequence[FleetHost], draw: Draw, dice: random.Random) -> Decided:
    """One gate; `name@class` is a case of one class, any other of the only one that there is."""
    time = SimulatedTime(dice)
    cases = {
        name: PlacedCase(
            sent=NamedPair(sides=(), phase="", bursts=1, burst_s=1.0, depot=name),
            host_class=name.rpartition("@")[2] if "@" in name else there[0].host_class,
        )
        for name in names
    }
    fleet: Any = SimulatedFleet(there, draw)
    schedule = FleetRounds(
        fleet,
        cases,
        SETTINGS,
        NobodyWatches(),
        cache=lambda _: Cache(Path()),
        clock=lambda: time.now,
        rng=dice,
        answers=time,
    )
    done = scheduled(schedule, SETTINGS, phases.chooser(SETTINGS))
    return Decided(slower=confirmed_slower(done), **cost(done), seconds=time.now)


def confirmed_slower(done: Measured) -> frozenset[str]:
    """The regressions."""
    family = phases.confirmed(done, SETTINGS)
    return frozenset(name for (name, _), one in family.items() if one.significant and one.direction == "slower")


def cost(done: Measured) -> dict[str, int]:
    """Pairs, and those of the busiest host."""
    by_host = Counter(pair.host for pairs in done.pairs.values() for pair in pairs)
    return {"pairs": by_host.total(), "busiest": max(by_host.values())}


def drawn(dice: random.Random, slow: Sequence[str] = (), *, unequal: float = 1.0) -> Draw:
    """Normal noise; `unequal` times as much of it on every other host."""
    effect = math.log1p(SLOW)

    def draw(case: str, where: str) -> float:
        number = int("".join(filter(str.isdigit, case.split("@", maxsplit=1)[0])) or 0)
        spread = NOISE[number % len(NOISE)] * (unequal if int(where.rpartition("-")[2]) % 2 else 1.0)
        return dice.gauss(effect if case in slow else 0.0, spread)

    return draw


def replayed(recorded: recording.Recording, dice: random.Random, slow: Sequence[str] = ()) -> Draw:
    """Pairs of recorded series, none of them twice in one case as long as they last; one series for each case.

    Where nothing changed, one sign for all pairs of a case: which side was called head does not matter there.
    """
    stock: dict[str, list[float]] = {}

    def draw(case: str, where: str) -> float:
        del where
        if not stock.get(case):
            same = [one for one in recorded if (one.truth > 1) == (case in slow)]
            values = list(dice.choice(same).log_ratios)
            sign = -1 if case not in slow and dice.random() < 0.5 else 1
            stock[case] = [sign * value for value in dice.sample(values, len(values))]
        return stock[case].pop()

    return draw


def share(hits: int, gates: int) -> str:
    """A share with its exact 95% interval."""
    low, high = binomial.interval(hits, gates)
    return f"{hits / gates:.1%} ({low:.1%} to {high:.1%})"


def over_hosts(gates: int, cases: int, seed: int, make: Callable[[random.Random, Sequence[str]], Draw]) -> None:
    """The table of one kind of noise."""
    names = [f"m{number}" for number in range(cases)]
    print(
        f"| hosts | any false alarm, {cases} unchanged | seen, one {SLOW:+.0%} | pairs | of the busiest host, x hosts "
        "/ one host's | time x hosts / one host's |"
    )
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    first: tuple[float, float] | None = None
    for count in (1, 2, 4):
        there = hosts({"a": count})
        found = []
        for slow in ((), ("m0",)):
            dice = random.Random(f"{seed}/{slow}")  # noqa: S311  (the same figures each time)
            found.append([gate(names, there, make(dice, slow), dice) for _ in range(gates)])
        alarms = sum(bool(one.slower) for one in found[0])
        seen = sum("m0" in one.slower for one in found[1])
        every = [*found[0], *found[1]]
        busiest, seconds = (statistics.fmean(getattr(one, name) for one in every) for name in ("busiest", "seconds"))
        first = first or (busiest, seconds)
        pairs = statistics.fmean(one.pairs for one in every)
        print(
            f"| {count} | {share(alarms, gates)} | {share(seen, gates)} | {pairs:.0f} | "
            f"{busiest * count / first[0]:.2f} | {seconds * count / first[1]:.2f} |",
            flush=True,
        )


def over_classes(gates: int, seed: int) -> None:
    """A regression on one class of hosts alone: what verdicts per class say, and what all pairs together would."""
    dice = random.Random(seed)  # noqa: S311  (the same figures each time)
    there = hosts({"a": 2, "b": 2})
    names = ["m0@a", "m0@b"]
    apart = [gate(names, there, drawn(dice, ["m0@b"]), dice).slower for _ in range(gates)]

    def mixed(case: str, where: str) -> float:
        return drawn(dice, ["m0"] if where.startswith("b") else ())(case, where)

    # As if the classes were one: every pair of either class in one test.
    alike = [dataclasses.replace(one, host=HostInfo(fingerprint="one", facts={})) for one in there]
    together = [gate(["m0"], alike, mixed, dice).slower for _ in range(gates)]
    print(
        f"{SLOW:+.0%} on class b alone: b named and a not {share(sum(one == {'m0@b'} for one in apart), gates)}, "
        f"a named {share(sum('m0@a' in one for one in apart), gates)}; "
        f"both classes in one test see it {share(sum(bool(one) for one in together), gates)}"
    )


def levels(draws: int, seed: int) -> None:
    """The level that three looks hold with hosts as strata, whatever their noise: nothing changed."""
    print("| hosts | noise of every other host | p <= .05 | p <= .025 |")
    print("| ---: | ---: | ---: | ---: |")
    planned = SETTINGS.confirm_pairs
    for count, unequal in ((1, 1.0), (2, 1.0), (2, 5.0), (4, 1.0), (4, 5.0), (10, 5.0)):
        dice = random.Random(f"{seed}/{count}/{unequal}")  # noqa: S311  (the same figures each time)
        where = [str(k % count) for k in range(planned)]
        ps = []
        for _ in range(draws):
            values = [dice.gauss(0, unequal if k % count % 2 else 1.0) for k in range(planned)]
            ps.append(sequential.signed_rank_p(values, planned=planned, hosts=where))
        print(
            f"| {count} | {unequal:g} x | "
            + " | ".join(share(sum(p <= at for p in ps), draws) for at in (0.05, 0.025))
            + " |",
            flush=True,
        )


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gates", type=int, default=400, help="for each number of hosts, with and without a change")
    parser.add_argument("--cases", type=int, nargs="+", default=[10, 1], help="of a gate")
    parser.add_argument("--draws", type=int, default=20_000, help="confirmations to find out the level with")
    parser.add_argument("--replay", type=Path, nargs="+", help="recordings to take pairs from, beside drawn ones")
    parser.add_argument("--seed", type=int, default=18)
    asked = parser.parse_args()
    print(host(), flush=True)
    for cases in asked.cases:
        print(f"\nnormal noise, {cases} to a gate, {asked.gates} gates each\n")
        over_hosts(asked.gates, cases, asked.seed, drawn)
        if asked.replay:
            recorded = recording.read(asked.replay)
            print(f"\nrecorded pairs ({len(recorded)} series), {cases} to a gate, {asked.gates} gates each\n")
            over_hosts(asked.gates, cases, asked.seed, functools.partial(replayed, recorded))
    print("\nevery other host has three times the noise, one case\n")
    over_hosts(asked.gates, 1, asked.seed, lambda dice, slow: drawn(dice, slow, unequal=3.0))
    print()
    over_classes(asked.gates, asked.seed)
    print()
    levels(asked.draws, asked.seed)


if __name__ == "__main__":
    main()
