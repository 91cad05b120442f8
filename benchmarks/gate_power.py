"""How good the gate is here: false alarms, power against real slow-downs, peers on the same pairs, and the cost.

Records pairs of networks and of zoo models against themselves and against copies with extra nodes that cost a
calibrated share of the time; then plays gates of 60 cases on the pairs by every rule of rules.py. A recording can be
judged again (`--replay`), and recordings of one host can be put together.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from common import ROOT, host, of_zoo

from harness.errors import BuildError
from harness.gate.model import GateSettings
from harness.gate.selftest import recording, resample, selftest, slowing
from harness.gate.selftest.recording import Recording
from harness.measure.coordinator import Workload
from harness.measure.pairs import PairSpec
from harness.records import Pair
from harness.stats import binomial, paired, rule, sequential

ZOO = (
    ("digits_cnn", "fp32-fused", 32),
    ("digits_cnn", "int8-static", 32),
    ("mobilenetv3", "fp32-fused", 1),
    ("mobilenetv3", "int8-static", 1),
    ("minilm", "fp32-fused", 1),
)
"""Model, variant, batch: a batch of one of the smallest takes less time than the extra nodes' own launch."""

UNCHANGED = (
    ("digits_cnn", "fp32", 32),
    ("digits_cnn", "int8-dynamic", 32),
    ("digits_cnn", "fp16", 32),
    ("mobilenetv3", "fp32", 1),
    ("mobilenetv3", "int8-dynamic", 1),
    ("mobilenetv3", "fp16", 1),
    ("minilm", "fp32", 1),
    ("minilm", "int8-dynamic", 1),
)
"""Paired with themselves alone: a rate of false alarms wants more cases than a power does."""

COST_VARIANTS = "fp32,fp32-fused,fp16,int8-dynamic,int8-static"


class Progress:
    """A watcher that prints a line every minute."""

    def __init__(self) -> None:
        """Begin to count."""
        self.total = self.done = 0
        self.said = time.monotonic()

    def phase(self, name: str, cases: Sequence[str], pairs: int) -> None:
        """Count the pairs that are coming."""
        self.total += len(cases) * pairs
        print(f"{name}: {len(cases)} pair specs, {pairs} pairs each", flush=True)

    def tick(self) -> None:
        """Say nothing: the next pair may already be timing."""

    def paired(self, case: str, pair: Pair) -> None:
        """Count, and say so now and then."""
        del case, pair
        self.done += 1
        if time.monotonic() - self.said > 60:
            self.said = time.monotonic()
            print(f"{self.done} of {self.total} pairs", flush=True)

    def broke(self, case: str, reason: str) -> None:
        """Say which case is lost."""
        print(f"{case}: {reason}", flush=True)


def workloads(folder: Path, networks: int, zoo: int) -> dict[str, Workload]:
    """What is slowed down: the self-test's networks, and models of the shipped zoo on one thread."""
    return dict(list(selftest.workloads(folder).items())[:networks]) | of_zoo(ZOO[:zoo])


def record(
    works: Mapping[str, Workload],
    unchanged: Mapping[str, Workload],
    shares: Sequence[float],
    pairs: int,
    minutes: float,
    folder: Path,
) -> Recording:
    """Pair every workload with itself and, unless unchanged, with copies slower by each share, all interleaved."""
    settings = GateSettings(time_limit_s=minutes * 60)
    specs: dict[str, PairSpec] = {}
    truth: dict[str, tuple[str, float, int]] = {}
    for name, work in works.items():
        scratch = folder / name.replace("/", "-")
        specs[name], truth[name] = slowing.pair_spec(work, work), (name, 0.0, 0)
        try:
            one = slowing.nodes_for(work, shares[0], scratch, pairs=9)
        except BuildError as error:  # on a busy host the nodes' cost is not seen; what was calibrated before stays
            print(f"{name} is not slowed down: {error}", flush=True)
            continue
        for share in shares:
            nodes = slowing.scaled(one, share / shares[0])
            key = f"{name} {share:+.0%}"
            specs[key] = slowing.pair_spec(work, slowing.with_nodes(work, nodes, scratch))
            truth[key] = (name, share, nodes)
        print(f"{name}: {one} extra nodes for {shares[0]:.0%}", flush=True)
    for name, work in unchanged.items():
        specs[name], truth[name] = slowing.pair_spec(work, work), (name, 0.0, 0)
    done = selftest.rounds(specs, pairs, settings, Progress(), random.SystemRandom())
    return selftest.recorded(done, truth, settings)


def tell(recorded: Recording) -> None:
    """What was recorded: how much the pairs differ, and what the extra nodes really cost."""
    print("| case | aimed at | pairs | spread between pairs | seen, 95% interval |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for one in recorded:
        seen = paired.ratio_interval(one.log_ratios)
        interval = f"{seen.ratio - 1:+.1%} [{seen.low - 1:+.1%}, {seen.high - 1:+.1%}]" if seen.bounded else "too few"
        spread = f"{paired.spread(one.log_ratios):.1%}" if len(one.pairs) > 1 else "-"
        print(f"| {one.case} | {one.truth - 1:+.0%} | {len(one.pairs)} | {spread} | {interval} |")
    print(flush=True)


def bounds(recorded: Recording, wanted: int) -> None:
    """The rate of false alarms of one case, with its exact interval: every recorded pair is used once."""
    settings = GateSettings()
    dice = random.Random(0)  # noqa: S311  (the same recording gives the same figures)
    gates = alarms = 0
    for one in recorded:
        if one.truth == 1:
            for start in range(0, len(one.log_ratios) - wanted + 1, wanted):
                played = resample.play([one.log_ratios[start : start + wanted]], [True], settings, dice)
                gates, alarms = gates + 1, alarms + bool(played.alarms)
    if gates:
        low, high = binomial.interval(alarms, gates)
        print(f"false alarms, no pair used twice: {alarms} of {gates} gates of one case, {low:.1%} to {high:.1%} (95%)")


def settled(values: Sequence[float], settings: GateSettings, *, looks: bool) -> tuple[str, int]:
    """One gate of one case: what it confirms (`slower`, `faster` or nothing), and the pairs that it takes.

    Args:
        values: log-ratios, those for screening first.
        settings: the rule.
        looks: whether confirming may end at a look; else it takes all of its pairs before it is asked.
    """
    first, fresh = values[: settings.screen_pairs], values[settings.screen_pairs :]
    screened = paired.screen(first, margin=settings.max_slowdown)
    if not screened.flagged:
        return "", len(first)
    planned = settings.confirm_pairs if looks else None
    for n in [one.pairs for one in sequential.looks(settings.confirm_pairs)] if looks else [settings.confirm_pairs]:
        found = paired.confirm(
            {"case": fresh[:n]},
            directions={"case": screened.direction},
            margin=settings.max_slowdown,
            family_alpha=settings.family_alpha,
            planned=planned,
        )["case"]
        if found.significant:
            return found.direction, len(first) + n
    return "", len(first) + settings.confirm_pairs


def before_and_after(recorded: Recording, gates: int) -> None:
    """One look at all fresh pairs against three looks, on the same draws of the same pairs, gates of one case."""
    settings = GateSettings()
    print("| true | seen (any alarm, where nothing changed): one look | three looks | pairs: one look | three looks |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for truth in sorted({one.truth for one in recorded}):
        dice = random.Random(0)  # noqa: S311  (the same recording gives the same figures)
        told: dict[bool, list[tuple[str, int]]] = {False: [], True: []}
        same = [one for one in recorded if one.truth == truth]
        for _ in range(gates):
            of_case = dice.choice(same)
            drawn = dice.sample(list(of_case.log_ratios), settings.screen_pairs + settings.confirm_pairs)
            for looks, found in told.items():
                found.append(settled(drawn, settings, looks=looks))
        cells = []
        for found in told.values():
            hits = sum(bool(said) if truth == 1 else said == "slower" for said, _ in found)
            cells.append((hits / gates, sum(n for _, n in found) / gates))
        rates, pairs = zip(*cells, strict=True)
        print(f"| {truth - 1:+.0%} | {rates[0]:.1%} | {rates[1]:.1%} | {pairs[0]:.1f} | {pairs[1]:.1f} |", flush=True)


def judge(recorded: Recording, gates: int, folder: Path) -> None:
    """Play gates on the series that are long enough for one, by every rule."""
    wanted = rule.SCREEN_PAIRS + rule.CONFIRM_PAIRS
    whole = tuple(one for one in recorded if len(one.pairs) >= wanted)
    if len(whole) < len(recorded):
        print(f"{len(recorded) - len(whole)} of {len(recorded)} series have fewer than {wanted} pairs and are left out")
    if not any(one.truth == 1 for one in whole):
        raise SystemExit(f"no series without a change has {wanted} pairs: record more (--pairs, --minutes)")
    bounds(whole, wanted)
    before_and_after(whole, gates)
    kept = folder / "whole.json"
    recording.write(whole, kept)
    rules = Path(__file__).with_name("rules.py")
    subprocess.run([sys.executable, str(rules), str(kept), "--gates", str(gates)], check=True)


def cost() -> None:
    """The default gate of a small model, everything measured though nothing changed."""
    command = [sys.executable, "-c", "from harness.cli import main; main()", "gate"]
    command += ["--base", sys.executable, "--head", "current", "--models", "digits_cnn", "--variants", COST_VARIANTS]
    command += ["--targets", "cpu", "--threads", "1", "--remeasure-same"]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        done = subprocess.run([*command, "--results", folder], cwd=ROOT, check=False)
        wall = time.perf_counter() - start
        print(f"default gate, digits_cnn, 5 variants, 1 thread: {wall:.0f} s, exit {done.returncode}")


def main() -> None:
    """Record, judge, and measure the cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=28, help="of each pair spec; a gate uses 28 of them")
    parser.add_argument("--slow", type=float, nargs="+", default=[0.05, 0.03], help="true slow-downs, as shares")
    parser.add_argument("--networks", type=int, default=3, help="how many of the self-test's networks")
    parser.add_argument("--zoo", type=int, default=len(ZOO), help="how many cases of the zoo")
    parser.add_argument("--unchanged", type=int, default=len(UNCHANGED), help="how many more, never slowed down")
    parser.add_argument("--minutes", type=float, default=30.0, help="of recording, after calibration")
    parser.add_argument("--gates", type=int, default=300, help="gates drawn per rule and truth")
    parser.add_argument("--record", type=Path, help="keep the recording here")
    parser.add_argument("--replay", type=Path, nargs="+", help="judge these recordings instead")
    parser.add_argument("--only", choices=["rules", "cost"])
    arguments = parser.parse_args()
    print(host(), flush=True)
    if arguments.only != "cost":
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            if arguments.replay:
                recorded = recording.read(arguments.replay)
            else:
                works = workloads(folder, arguments.networks, arguments.zoo)
                extra = of_zoo(UNCHANGED[: arguments.unchanged])
                recorded = record(works, extra, arguments.slow, arguments.pairs, arguments.minutes, folder)
            if arguments.record:
                recording.write(recorded, arguments.record)
            tell(recorded)
            judge(recorded, arguments.gates, folder)
    if arguments.only != "rules":
        cost()


if __name__ == "__main__":
    main()
