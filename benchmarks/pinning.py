"""Which cores the two sides of a pair should run on: the same ones in turn, a core each, or wherever the system likes.

Pairs of zoo models with themselves, on one thread, the ways interleaved in random order: whatever differs from 1 is
noise. Needs two cores at least.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import statistics
from collections.abc import Callable, Mapping

from common import host, of_zoo

from harness.gate.selftest import slowing
from harness.measure import cores
from harness.measure import pairs as paired
from harness.measure.pairs import LiveSide, PairSpec

CASES = (
    ("digits_cnn", "int8-static", 32),
    ("digits_cnn", "fp16", 32),
    ("mobilenetv3", "fp16", 1),
    ("mobilenetv3", "int8-static", 1),
)

Pin = Callable[[PairSpec, Mapping[str, LiveSide], random.Random], bool]


def nowhere(spec: PairSpec, sides: Mapping[str, LiveSide], rng: random.Random) -> bool:
    """Let the system place both sides."""
    del spec, sides, rng
    return False


def apart(spec: PairSpec, sides: Mapping[str, LiveSide], rng: random.Random) -> bool:
    """Hold each side to a core of its own."""
    del spec
    chosen = rng.sample(sorted(os.sched_getaffinity(0)), 2)
    done = [cores.pin(side.worker.pid, frozenset({core})) for side, core in zip(sides.values(), chosen, strict=True)]
    return all(done)


WAYS: Mapping[str, Pin] = {"the same core in turn": paired.pin, "unpinned": nowhere, "a core each": apart}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=9, help="of each case and way")
    pairs = parser.parse_args().pairs
    print(host(), flush=True)
    works = of_zoo(CASES)
    rng = random.SystemRandom()
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(pairs):
        todo = [(way, work) for way in WAYS for work in works.values()]
        rng.shuffle(todo)
        for way, work in todo:
            paired.pin = WAYS[way]
            found[way].append(paired.measure_pair(slowing.pair_spec(work, work), rng=rng).log_ratio)
    print(f"{len(works)} cases without a change, {pairs} pairs each way")
    print("| cores | pairs | root mean square of log(head / base) | median size | beyond 5% |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for way, logs in found.items():
        square = math.sqrt(statistics.fmean(value**2 for value in logs))
        middle = statistics.median(abs(value) for value in logs)
        beyond = statistics.fmean(abs(value) > math.log(1.05) for value in logs)
        print(f"| {way} | {len(logs)} | {square:.3f} | {middle:.3f} | {beyond:.0%} |")


if __name__ == "__main__":
    main()
