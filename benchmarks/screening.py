"""The gate's whole schedule on simulated pairs: screening that goes on where the spread is wide, then confirming.

Nothing is measured and nothing changed: log-ratios are drawn from normal noise of a known spread, and go through the
very code that a gate runs (`harness.gate.timing`). What it counts are false alarms.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from dataclasses import dataclass

from harness.gate.model import GateSettings, Pair, SideSamples
from harness.gate.timing import findings, phases
from harness.gate.timing.rounds import Measured, measure
from harness.measure.pairs import PairSpec

SPREADS = (0.014, 0.029, 0.06)
SEED = 20


class Nobody:
    """A watcher that does not look."""

    def phase(self, name: str, cases: object, pairs: int) -> None:
        """Ignore it."""

    def tick(self) -> None:
        """Ignore it."""

    def paired(self, case: str, pair: Pair) -> None:
        """Ignore it."""

    def broke(self, case: str, reason: str) -> None:
        """Ignore it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What became of simulated gates without a change.

    Attributes:
        slower: share of cases that were confirmed as slower.
        either: share of cases that were confirmed as slower or faster.
        any_slower: share of gates with a case confirmed as slower.
        any_either: the same for either direction.
        pairs: screening pairs of a case, on average.
        flagged: share of cases that went into confirmation.
        unclear: share of cases whose latency ended inconclusive.
    """

    slower: float
    either: float
    any_slower: float
    any_either: float
    pairs: float
    flagged: float
    unclear: float


def simulated(cases: int, spread: float, gates: int, *, settings: GateSettings | None = None, seed: int = SEED) -> Told:
    """Gates of so many cases, none of which changed.

    Args:
        cases: of each gate.
        spread: standard deviation of the log-ratios between pairs.
        gates: how many.
        settings: of the gate.
        seed: of the draws.
    """
    settings = settings or GateSettings()
    draw = random.Random(seed)  # noqa: S311  (the same seed gives the same gates)
    samples = SideSamples(session_ns=1, first_inference_ns=1, bursts_ns=(1.0,))
    names = [str(index) for index in range(cases)]
    specs = {name: PairSpec(workloads={}, clients={}) for name in names}

    def pair(_: PairSpec, *, phase: str, **others: object) -> Pair:
        del others
        return Pair(phase=phase, log_ratio=draw.gauss(0, spread), base=samples, head=samples, started_at="")

    slower = either = any_slower = any_either = pairs = flagged = unclear = 0
    for _ in range(gates):
        done: Measured = measure(specs, settings, phases.chooser(settings), Nobody(), pair=pair, rng=draw)
        family = phases.confirmed(done, settings)
        alarms = [one.direction for one in family.values() if one.significant]
        slower, either = slower + alarms.count("slower"), either + len(alarms)
        any_slower, any_either = any_slower + ("slower" in alarms), any_either + bool(alarms)
        pairs += sum(len(phases.of_phase(found, "screen")) for found in done.pairs.values())
        flagged += len(done.flagged)
        unclear += sum(
            findings.latency(name, done, family, settings).verdict == "inconclusive"
            for name in names
            if name not in done.flagged
        )
    whole = gates * cases
    return Told(
        slower=slower / whole,
        either=either / whole,
        any_slower=any_slower / gates,
        any_either=any_either / gates,
        pairs=pairs / whole,
        flagged=flagged / whole,
        unclear=unclear / whole,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gates", type=int, default=200, help="gates of 60 cases; of one case twenty times as many")
    parser.add_argument("--spreads", type=float, nargs="+", default=SPREADS)
    parser.add_argument("--cases", type=int, nargs="+", default=[1, 60])
    parser.add_argument("--seed", type=int, default=SEED)
    arguments = parser.parse_args()
    print("| spread | cases | slower, per case | per gate | either, per case | per gate | screening pairs | flagged |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for spread in arguments.spreads:
        for cases in arguments.cases:
            gates = arguments.gates * (1 if cases > 1 else 20)
            began = time.perf_counter()
            found = simulated(cases, spread, gates, seed=arguments.seed)
            rates = [found.slower, found.any_slower, found.either, found.any_either]
            cells = [f"{100 * rate:.2f}%" for rate in rates]
            took = math.ceil(time.perf_counter() - began)
            print(
                f"| {spread:.1%} | {cases} | {' | '.join(cells)} | {found.pairs:.1f} | {found.flagged:.0%} |"
                f"  {gates} gates, {took} s, {found.unclear:.1%} unclear",
                flush=True,
            )


if __name__ == "__main__":
    main()
