"""How often the interval of a case holds its long-run median on a host that drifts: at least 92% is what is asked.

    python benchmarks/coverage.py                                 # simulated hosts
    python benchmarks/coverage.py --record FILE --minutes 20      # real processes, here
    python benchmarks/coverage.py --replay FILE ...

A sweep of 60 cases takes its processes in rounds, or case by case, on a host whose pace wanders (an Ornstein-Uhlenbeck
process of 4%) and that has a neighbour a fifth of the time, who makes it slower by a quarter for a minute on average;
a calm one's pace wanders by 0.3%. The long-run median is over all time. The interval that knows the processes of its
case alone stands beside the one that is stored, which knows the host's slow drift (`harness.stats.slow_drift`).
Recordings hold many rounds of the self-test's networks with the reference workload; sweeps of five processes are drawn
from them, rounds apart as in a sweep of many cases, or one after the other.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common import host
from hosts import dice_of, median_of

from harness.gate.selftest import selftest
from harness.measure import coordinator
from harness.measure.pacing import Pace
from harness.measure.rounds import ORDERS, turns
from harness.stats import estimate, slow_drift

PROCESSES = 5
PROCESS_S = 4.0
"""What a process of a sweep takes: three seconds of inference and a start."""

SPREAD = 0.02
"""Standard deviation of a process about the host's pace."""

WANDER, SLOW, BUSY, STRETCH_S = 0.04, 1.25, 0.2, 60.0
"""Standard deviation of the pace; a neighbour's factor, share of the time, and mean stretch."""

REFERENCE = 0.01
"""Standard deviation of the reference workload about the host's pace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drifting:
    """A host: after `memory_s` its pace remembers 1/e of itself; `wander` and `busy` as the constants say."""

    memory_s: float
    wander: float = WANDER
    busy: float = BUSY


DRIFTS = {
    "2 minutes": Drifting(memory_s=120.0),
    "20 minutes": Drifting(memory_s=1200.0),
    "20 minutes, no neighbour": Drifting(memory_s=1200.0, busy=0.0),
    "a calm host": Drifting(memory_s=120.0, wander=0.003, busy=0.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """Of every sweep the share of cases whose interval held the long-run median, and how wide it was (high / low)."""

    shares: list[float] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)

    def plus(self, intervals: Sequence[tuple[float, float]], truths: Sequence[float]) -> None:
        """One more sweep: the intervals of its cases, and what they should hold."""
        held = [low <= truth <= high for (low, high), truth in zip(intervals, truths, strict=True)]
        self.shares.append(statistics.fmean(held))
        self.widths.extend(high / low for low, high in intervals)

    def told(self) -> str:
        """The share with twice its standard error over sweeps, since the cases of a sweep share its host."""
        share = statistics.fmean(self.shares)
        error = 2 * statistics.stdev(self.shares) / math.sqrt(len(self.shares)) if len(self.shares) > 1 else math.nan
        return f"{share:.1%} ± {error:.1%} | {statistics.median(self.widths) - 1:.1%}"


Both = tuple[Covered, Covered]
"""The interval that knows the processes alone, and the one that is stored."""


def path(dice: random.Random, steps: int, drifting: Drifting) -> list[float]:
    """Logarithms of the host's pace, one per process."""
    keep = math.exp(-PROCESS_S / drifting.memory_s)
    leave = PROCESS_S / STRETCH_S
    come = leave * drifting.busy / (1 - drifting.busy)
    level, busy, found = dice.gauss(0, drifting.wander), dice.random() < drifting.busy, []
    for _ in range(steps):
        level = keep * level + math.sqrt(1 - keep**2) * dice.gauss(0, drifting.wander)
        busy = dice.random() >= leave if busy else dice.random() < come
        found.append(level + (math.log(SLOW) if busy else 0.0))
    return found


def simulated(order: str, drifting: Drifting, *, cases: int, sweeps: int, seed: int) -> Both:
    """Sweeps at times far apart."""
    dice = dice_of(f"{seed}/{order}/{drifting}")
    long_run = statistics.median(dice.gauss(one, SPREAD) for _ in range(4000) for one in path(dice, 10, drifting))
    truths = [math.exp(long_run)] * cases
    names = [str(number) for number in range(cases)]
    found = Covered(), Covered()
    for number in range(sweeps):
        paces = path(dice, PROCESSES * cases, drifting)
        times: dict[str, list[float]] = {name: [] for name in names}
        reference: dict[str, dict[int, float]] = {name: {} for name in names}
        for turn, pace in zip(turns(names, processes=PROCESSES, seed=str(number), order=order), paces, strict=True):
            times[turn.case].append(math.exp(dice.gauss(pace, SPREAD)))
            reference[turn.case][turn.process] = dice.gauss(pace, REFERENCE)
        drift = slow_drift.variance(list(reference.values())) if order == "round" else 0.0
        found[0].plus([estimate.across(one) for one in times.values()], truths)
        found[1].plus([estimate.across(one, drift=drift) for one in times.values()], truths)
    return found


def record(kept: Path, minutes: float, seconds: float) -> None:
    """Rounds of the self-test's networks until the time is over."""
    pace = Pace(budget_s=seconds, ci_width=0.02)
    found: dict[str, list[float]] = {}
    paces: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="harness-coverage-") as folder:
        works = selftest.workloads(Path(folder))
        end, number = time.monotonic() + 60 * minutes, 0
        while time.monotonic() < end:
            for turn in turns(list(works), processes=1, seed=f"coverage/{number}"):
                timed = coordinator.time_process(works[turn.case], pace)
                found.setdefault(turn.case, []).append(median_of(timed.samples))
                around = (timed.samples.reference_before_ns, timed.samples.reference_after_ns)
                paces.setdefault(turn.case, []).append(statistics.fmean(ns for ns in around if ns))
            number += 1
    kept.write_text(json.dumps({"host": host(), "cases": found, "paces": paces}), encoding="utf-8")
    print(f"{number} rounds of {len(works)} cases")


def replayed(cases: Mapping[str, Sequence[float]], paces: Mapping[str, Sequence[float]], apart: int) -> Both:
    """Every sweep of five processes that lie so many rounds apart; the long-run median is of all processes."""
    truths = [statistics.median(times) for times in cases.values()]
    found = Covered(), Covered()
    rounds = min(map(len, cases.values()))
    for start in range(rounds - (PROCESSES - 1) * apart):
        places = [start + apart * number for number in range(PROCESSES)]
        drift = slow_drift.variance([{one: math.log(times[one]) for one in places} for times in paces.values()])
        drawn = [[times[one] for one in places] for times in cases.values()]
        found[0].plus([estimate.across(one) for one in drawn], truths)
        found[1].plus([estimate.across(one, drift=drift) for one in drawn], truths)
    return found


def replay(files: Sequence[Path]) -> None:
    """Print what the recordings say; those of earlier versions hold no reference workload."""
    print(
        "| recording | rounds apart | processes alone: holds (overlapping sweeps) | width | as stored: holds | width |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for file in files:
        content = json.loads(file.read_text(encoding="utf-8"))
        rounds = min(map(len, content["cases"].values()))
        for apart in (1, 2, 4, 8):
            if (PROCESSES - 1) * apart < rounds // 2:
                alone, stored = replayed(content["cases"], content.get("paces", {}), apart)
                print(f"| {file.stem}, {rounds} rounds | {apart} | {alone.told()} | {stored.told()} |")


def main() -> None:
    """Simulate, record or replay."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=200)
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--seed", type=int, default=12)
    parser.add_argument("--record", type=Path, metavar="FILE", help="measure here, and keep it")
    parser.add_argument("--minutes", type=float, default=20.0, help="of recording")
    parser.add_argument("--seconds", type=float, default=0.5, help="of inference per process of a recording")
    parser.add_argument("--replay", type=Path, nargs="+", metavar="FILE")
    asked = parser.parse_args()
    if asked.record:
        record(asked.record, asked.minutes, asked.seconds)
    if asked.record or asked.replay:
        replay([*([asked.record] if asked.record else []), *(asked.replay or [])])
        return
    print(f"{asked.sweeps} sweeps of {asked.cases} cases and {PROCESSES} processes, {PROCESS_S:g} s each")
    print("| the pace remembers itself for | order | processes alone: holds | width | as stored: holds | width |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for name, drifting in DRIFTS.items():
        for order in ORDERS:
            alone, stored = simulated(order, drifting, cases=asked.cases, sweeps=asked.sweeps, seed=asked.seed)
            print(f"| {name} | {order} | {alone.told()} | {stored.told()} |", flush=True)


if __name__ == "__main__":
    main()
