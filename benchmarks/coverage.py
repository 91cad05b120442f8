"""How often the interval of a case holds its long-run median on a host that drifts: at least 92% is what is asked.

    python benchmarks/coverage.py                                 # simulated hosts
    python benchmarks/coverage.py --record FILE --minutes 20      # real processes, here
    python benchmarks/coverage.py --replay FILE ...

A sweep of 60 cases takes its processes in rounds, or case by case, on a host whose pace wanders (an Ornstein-Uhlenbeck
process of 4%) and that has a neighbour a fifth of the time, who makes it slower by a quarter for a minute on average;
a calm one's pace wanders by 0.3%, one of two levels is slower by 15% for ten minutes on average, 40% of the time, and
one jumps now and then to a new level (steps of Student's t with 3 degrees of freedom). The long-run median is over all
time. Three intervals: that which knows the processes of its case alone; that which is stored of the first sweep of a
host (`harness.stats.slow_drift`); and that of a host whose pace on six earlier days is stored.
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
from harness.stats.slow_drift import PaceMoment

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
    """A host: after `memory_s` its pace remembers 1/e of itself; the rest as the constants say.

    Attributes:
        jumps: whether the pace stays and jumps, with heavy tails, in place of wandering.
    """

    memory_s: float
    wander: float = WANDER
    busy: float = BUSY
    slow: float = SLOW
    stretch_s: float = STRETCH_S
    jumps: bool = False


DRIFTS = {
    "2 minutes": Drifting(memory_s=120.0),
    "20 minutes": Drifting(memory_s=1200.0),
    "20 minutes, no neighbour": Drifting(memory_s=1200.0, busy=0.0),
    "1 hour, no neighbour": Drifting(memory_s=3600.0, busy=0.0),
    "two levels, 10 minutes": Drifting(memory_s=120.0, wander=0.003, busy=0.4, slow=1.15, stretch_s=600.0),
    "jumps every 10 minutes": Drifting(memory_s=600.0, busy=0.0, jumps=True),
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


Intervals = tuple[Covered, Covered, Covered]
"""That which knows the processes alone, and those that are stored: of a new host, and of one with earlier days."""

DAYS = 6
"""Earlier days that are stored."""


def path(dice: random.Random, steps: int, drifting: Drifting) -> list[float]:
    """Logarithms of the host's pace, one per process."""
    keep = math.exp(-PROCESS_S / drifting.memory_s)
    leave = PROCESS_S / drifting.stretch_s
    come = leave * drifting.busy / (1 - drifting.busy)
    level, busy, found = _level(dice, drifting), dice.random() < drifting.busy, []
    for _ in range(steps):
        if not drifting.jumps:
            level = keep * level + math.sqrt(1 - keep**2) * dice.gauss(0, drifting.wander)
        elif dice.random() >= keep:
            level = _level(dice, drifting)
        busy = dice.random() >= leave if busy else dice.random() < come
        found.append(level + (math.log(drifting.slow) if busy else 0.0))
    return found


def _level(dice: random.Random, drifting: Drifting) -> float:
    """A pace at any time; where it jumps, of Student's t with 3 degrees of freedom and half that spread."""
    normal = dice.gauss(0, drifting.wander)
    return normal / 2 / math.sqrt(dice.gammavariate(1.5, 2) / 3) if drifting.jumps else normal


def day(dice: random.Random, drifting: Drifting, cases: int) -> float:
    """The pace that the reference workload shows over a whole sweep of another day."""
    paces = path(dice, PROCESSES * cases, drifting)
    return statistics.median(dice.gauss(pace, REFERENCE) for pace in paces)


def simulated(order: str, drifting: Drifting, *, cases: int, sweeps: int, seed: int) -> Intervals:
    """Sweeps at times far apart."""
    dice = dice_of(f"{seed}/{order}/{drifting}")
    long_run = statistics.median(dice.gauss(one, SPREAD) for _ in range(4000) for one in path(dice, 10, drifting))
    truths = [math.exp(long_run)] * cases
    names = [str(number) for number in range(cases)]
    found = Covered(), Covered(), Covered()
    for number in range(sweeps):
        paces = path(dice, PROCESSES * cases, drifting)
        times: dict[str, list[float]] = {name: [] for name in names}
        moments: list[PaceMoment] = []
        for turn, pace in zip(turns(names, processes=PROCESSES, seed=str(number), order=order), paces, strict=True):
            times[turn.case].append(math.exp(dice.gauss(pace, SPREAD)))
            moments.append(PaceMoment(case=turn.case, round=turn.process, log_pace=dice.gauss(pace, REFERENCE)))
        level = statistics.median(one.log_pace for one in moments)
        days = [day(dice, drifting, cases) for _ in range(DAYS)]
        take(found, times, moments, truths, [one - level for one in days] if order == "round" else None)
    return found


def take(
    found: Intervals,
    times: Mapping[str, Sequence[float]],
    moments: Sequence[PaceMoment],
    truths: Sequence[float],
    days: Sequence[float] | None,
) -> None:
    """Count one sweep; without `days` nothing but the processes is known of it, as case after case."""
    beside: dict[str, list[float]] = {name: [] for name in times}
    for one in moments:
        beside[one.case].append(math.exp(one.log_pace))
    here = 0.0 if days is None else slow_drift.half_width(moments)
    long = max(here, slow_drift.over_days(0.0, days or ()))
    for counted, drift in zip(found, (0.0, here, long), strict=True):
        intervals = [estimate.across(one, drift=drift, paces=beside[name]) for name, one in times.items()]
        counted.plus(intervals, truths)


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


def replayed(cases: Mapping[str, Sequence[float]], paces: Mapping[str, Sequence[float]], apart: int) -> Intervals:
    """Every sweep of five processes that lie so many rounds apart; the long-run median is of all processes.

    What no recording of an hour has are other days.
    """
    truths = [statistics.median(times) for times in cases.values()]
    found = Covered(), Covered(), Covered()
    rounds = min(map(len, cases.values()))
    for start in range(rounds - (PROCESSES - 1) * apart):
        places = [start + apart * number for number in range(PROCESSES)]
        moments = [
            PaceMoment(case=name, round=number, log_pace=math.log(times[place]))
            for number, place in enumerate(places)
            for name, times in paces.items()
        ]
        take(found, {name: [times[one] for one in places] for name, times in cases.items()}, moments, truths, ())
    return found


def replay(files: Sequence[Path]) -> None:
    """Print what the recordings say."""
    print(
        "| recording | rounds apart | processes alone: holds (overlapping sweeps) | width | as stored: holds | width |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for file in files:
        content = json.loads(file.read_text(encoding="utf-8"))
        rounds = min(map(len, content["cases"].values()))
        for apart in (1, 2, 4, 8):
            if (PROCESSES - 1) * apart < rounds // 2:
                alone, stored, _ = replayed(content["cases"], content["paces"], apart)
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
    columns = ("processes alone", "first sweep of a host", f"{DAYS} earlier days are stored")
    print("| the pace remembers itself for | order |" + "".join(f" {one}: holds | width |" for one in columns))
    print("| --- | --- |" + " ---: | ---: |" * len(columns))
    for name, drifting in DRIFTS.items():
        for order in ORDERS:
            found = simulated(order, drifting, cases=asked.cases, sweeps=asked.sweeps, seed=asked.seed)
            print(f"| {name} | {order} |" + "".join(f" {one.told()} |" for one in found), flush=True)


if __name__ == "__main__":
    main()
