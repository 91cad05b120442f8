"""The gate's whole schedule on simulated pairs: screening that goes on where the spread is wide, then confirming.

Nothing is measured: log-ratios are drawn from normal noise of a known spread, and go through the very code that a gate
runs (`harness.gate.timing`). It counts false alarms where nothing changed and, with `--effects`, how often one slower
case is seen and how many pairs that takes.
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
        any_unclear: share of gates with such a case.
        seen: share of gates that confirmed the slower case as slower.
        spent: pairs of the slower case, on average.
        spent_others: pairs of any other case, on average.
    """

    slower: float
    either: float
    any_slower: float
    any_either: float
    pairs: float
    flagged: float
    unclear: float
    any_unclear: float
    seen: float
    spent: float
    spent_others: float


def simulated(
    cases: int,
    spread: float,
    gates: int,
    *,
    effect: float = 0.0,
    settings: GateSettings | None = None,
    seed: int = SEED,
) -> Told:
    """Gates of so many cases, of which at most the first changed.

    Args:
        cases: of each gate.
        spread: standard deviation of the log-ratios between pairs.
        gates: how many.
        effect: true slow-down of the first case, as a share; it counts as no alarm.
        settings: of the gate.
        seed: of the draws.
    """
    settings = settings or GateSettings()
    draw = random.Random(seed)  # noqa: S311  (the same seed gives the same gates)
    samples = SideSamples(session_ns=1, first_inference_ns=1, bursts_ns=(1.0,))
    names = [str(index) for index in range(cases)]
    specs = {name: PairSpec(workloads={}, clients={}) for name in names}
    slowed = {id(specs["0"]): math.log1p(effect)}

    def pair(spec: PairSpec, *, phase: str, **others: object) -> Pair:
        del others
        truth = slowed.get(id(spec), 0.0)
        return Pair(phase=phase, log_ratio=draw.gauss(truth, spread), base=samples, head=samples, started_at="")

    slower = either = any_slower = any_either = pairs = flagged = unclear = any_unclear = seen = spent = others = 0
    for _ in range(gates):
        done: Measured = measure(specs, settings, phases.chooser(settings), Nobody(), pair=pair, rng=draw)
        family = phases.confirmed(done, settings)
        found = {name: one.direction for (name, _), one in family.items() if one.significant}
        seen += bool(effect) and found.get("0") == "slower"
        alarms = [direction for name, direction in found.items() if not (effect and name == "0")]
        spent += len(done.pairs["0"])
        others += sum(len(done.pairs[name]) for name in names[1:])
        slower, either = slower + alarms.count("slower"), either + len(alarms)
        any_slower, any_either = any_slower + ("slower" in alarms), any_either + bool(alarms)
        pairs += sum(len(phases.of_phase(of_case, "screen")) for of_case in done.pairs.values())
        flagged += len(done.flagged)
        doubts = sum(findings.latency(name, done, family, settings).verdict == "inconclusive" for name in names)
        unclear, any_unclear = unclear + doubts, any_unclear + bool(doubts)
    whole = gates * cases
    return Told(
        slower=slower / whole,
        either=either / whole,
        any_slower=any_slower / gates,
        any_either=any_either / gates,
        pairs=pairs / whole,
        flagged=flagged / whole,
        unclear=unclear / whole,
        any_unclear=any_unclear / gates,
        seen=seen / gates,
        spent=spent / gates,
        spent_others=others / max(1, gates * (cases - 1)),
    )


def power(arguments: argparse.Namespace) -> None:
    """Print how often one slower case is seen, and the pairs that it and the others take."""
    print("| spread | cases | true | seen | pairs of the slower case | of any other | false alarms per gate |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for spread in arguments.spreads:
        for cases in arguments.cases:
            for effect in arguments.effects:
                gates = arguments.gates * (1 if cases > 1 else 20)
                found = simulated(cases, spread, gates, effect=effect, seed=arguments.seed)
                others = f"{found.spent_others:.1f}" if cases > 1 else "-"
                print(
                    f"| {spread:.1%} | {cases} | {effect:+.0%} | {found.seen:.3f} | {found.spent:.1f} | {others} |"
                    f" {found.any_either:.1%} | {gates} gates",
                    flush=True,
                )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gates", type=int, default=200, help="gates of 60 cases; of one case twenty times as many")
    parser.add_argument("--spreads", type=float, nargs="+", default=SPREADS)
    parser.add_argument("--cases", type=int, nargs="+", default=[1, 60])
    parser.add_argument("--effects", type=float, nargs="*", default=[], help="of one case, such as 0.05 0.2")
    parser.add_argument("--seed", type=int, default=SEED)
    arguments = parser.parse_args()
    if arguments.effects:
        power(arguments)
        return
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
                f"  {gates} gates, {took} s, inconclusive: {found.unclear:.1%} of cases, {found.any_unclear:.0%} gates",
                flush=True,
            )


if __name__ == "__main__":
    main()
