"""How often the interval of a case holds its long-run median on a host that drifts: at least 92% is what is asked.

    python benchmarks/coverage.py                                 # simulated hosts
    python benchmarks/coverage.py --record FILE --minutes 20      # real processes, here
    python benchmarks/coverage.py --replay FILE ...

A sweep of 60 cases takes its processes in rounds, or case by case, on a host whose pace wanders (an Ornstein-Uhlenbeck
process of 4%) and that has a neighbour a fifth of the time, who makes it slower by a quarter for a minute on average.
The long-run median is over all time. Recordings hold many rounds of the self-test's networks; sweeps of five processes
are drawn from them, rounds apart as in a sweep of many cases, or one after the other.
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
from dataclasses import dataclass
from pathlib import Path

from common import host
from hosts import dice_of, median_of

from harness.gate.selftest import selftest
from harness.measure import coordinator
from harness.measure.pacing import Pace
from harness.measure.rounds import ORDERS, turns
from harness.stats import estimate

PROCESSES = 5
PROCESS_S = 4.0
"""What a process of a sweep takes: three seconds of inference and a start."""

SPREAD = 0.02
"""Standard deviation of a process about the host's pace."""

WANDER, SLOW, BUSY, STRETCH_S = 0.04, 1.25, 0.2, 60.0
"""Standard deviation of the pace; a neighbour's factor, share of the time, and mean stretch."""

CORRELATION_S = {"2 minutes": 120.0, "20 minutes": 1200.0}
"""After so long the wandering pace remembers 1/e of itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """Of every sweep the share of cases whose interval held the long-run median, and how wide it was (high / low)."""

    shares: Sequence[float]
    widths: Sequence[float]

    def told(self) -> str:
        """The share with twice its standard error over sweeps, since the cases of a sweep share its host."""
        share = statistics.fmean(self.shares)
        error = 2 * statistics.stdev(self.shares) / math.sqrt(len(self.shares)) if len(self.shares) > 1 else math.nan
        return f"{share:.1%} ± {error:.1%} | {statistics.median(self.widths) - 1:.1%}"


def path(dice: random.Random, steps: int, correlation_s: float) -> list[float]:
    """Logarithms of the host's pace, one per process."""
    keep = math.exp(-PROCESS_S / correlation_s)
    leave = PROCESS_S / STRETCH_S
    come = leave * BUSY / (1 - BUSY)
    level, busy, found = dice.gauss(0, WANDER), dice.random() < BUSY, []
    for _ in range(steps):
        level = keep * level + math.sqrt(1 - keep**2) * dice.gauss(0, WANDER)
        busy = dice.random() >= leave if busy else dice.random() < come
        found.append(level + (math.log(SLOW) if busy else 0.0))
    return found


def simulated(order: str, correlation_s: float, *, cases: int, sweeps: int, seed: int) -> Covered:
    """Sweeps at times far apart."""
    dice = dice_of(f"{seed}/{order}/{correlation_s}")
    long_run = statistics.median(
        one + dice.gauss(0, SPREAD) for _ in range(4000) for one in path(dice, 10, correlation_s)
    )
    names = [str(number) for number in range(cases)]
    shares, widths = [], []
    for number in range(sweeps):
        paces = path(dice, PROCESSES * cases, correlation_s)
        times: dict[str, list[float]] = {name: [] for name in names}
        for turn, pace in zip(turns(names, processes=PROCESSES, seed=str(number), order=order), paces, strict=True):
            times[turn.case].append(math.exp(pace + dice.gauss(0, SPREAD)))
        intervals = [estimate.across(of_case) for of_case in times.values()]
        shares.append(statistics.fmean(low <= math.exp(long_run) <= high for low, high in intervals))
        widths += [high / low for low, high in intervals]
    return Covered(shares=shares, widths=widths)


def record(kept: Path, minutes: float, seconds: float) -> None:
    """Rounds of the self-test's networks until the time is over."""
    pace = Pace(budget_s=seconds, ci_width=0.02)
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="harness-coverage-") as folder:
        works = selftest.workloads(Path(folder))
        end, number = time.monotonic() + 60 * minutes, 0
        while time.monotonic() < end:
            for turn in turns(list(works), processes=1, seed=f"coverage/{number}"):
                timed = coordinator.time_process(works[turn.case], pace)
                found.setdefault(turn.case, []).append(median_of(timed.samples))
            number += 1
    kept.write_text(json.dumps({"host": host(), "cases": found}), encoding="utf-8")
    print(f"{number} rounds of {len(works)} cases")


def replayed(cases: Mapping[str, Sequence[float]], apart: int) -> Covered:
    """Every sweep of five processes that lie so many rounds apart; the long-run median is of all processes."""
    shares, widths = [], []
    rounds = min(map(len, cases.values()))
    for start in range(rounds - (PROCESSES - 1) * apart):
        held = []
        for times in cases.values():
            low, high = estimate.across([times[start + apart * number] for number in range(PROCESSES)])
            held.append(low <= statistics.median(times) <= high)
            widths.append(high / low)
        shares.append(statistics.fmean(held))
    return Covered(shares=shares, widths=widths)


def replay(files: Sequence[Path]) -> None:
    """Print what the recordings say."""
    print("| recording | rounds apart | interval holds the long-run median (overlapping sweeps) | its width |")
    print("| --- | ---: | ---: | ---: |")
    for file in files:
        content = json.loads(file.read_text(encoding="utf-8"))
        rounds = min(map(len, content["cases"].values()))
        for apart in (1, 2, 4, 8):
            if (PROCESSES - 1) * apart < rounds // 2:
                print(f"| {file.stem}, {rounds} rounds | {apart} | {replayed(content['cases'], apart).told()} |")


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
    print("| the pace remembers itself for | order | interval holds the long-run median | its width |")
    print("| --- | --- | ---: | ---: |")
    for name, correlation_s in CORRELATION_S.items():
        for order in ORDERS:
            found = simulated(order, correlation_s, cases=asked.cases, sweeps=asked.sweeps, seed=asked.seed)
            print(f"| {name} | {order} | {found.told()} |", flush=True)


if __name__ == "__main__":
    main()
