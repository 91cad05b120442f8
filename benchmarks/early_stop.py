"""What it saves to stop cases that cannot be the fastest, and how often it stops the one that really is.

    python benchmarks/early_stop.py                       # 60 cases, simulated, and the recorded processes
    python benchmarks/early_stop.py --live --models minilm   # the shipped zoo, with and without, on this host

Simulated sweeps go through the product's order of processes (`harness.measure.rounds`) and its rule
(`harness.flow.early_stop`). The noise of a process is log-normal; a share of processes meets a slow minute of its own
that nothing else sees; the host's pace wanders from process to process, and doubles or halves now and then, wherever a
round stands; the reference workload sees the pace with noise of its own, and is disturbed at times. A quarter of the
builds is outside its budget, however fast.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import ROOT, host
from hosts import HOSTS, Noise, SimulatedHost, dice_of

from harness import confirmation
from harness.build.cache import default_root
from harness.flow import early_stop, plan, preview
from harness.flow.early_stop import RoundTime
from harness.flow.sweep import sweep
from harness.measure.rounds import turns
from harness.stats import binomial, estimate

PROCESSES = 5
TIME_PER_CASE_S = 15.0
BASELINE = "default"
HISTORY = ROOT / "results" / "two-cores"
LATENCY = "sweep.track_latency"


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One case: its true time in seconds, and whether it is inside its budget."""

    group: str
    variant: str
    true_s: float
    inside: bool

    @property
    def id(self) -> str:
        """Of the case."""
        return f"{self.group}/{self.variant}"


@dataclass(slots=True)
class Ran:
    """What became of one simulated sweep.

    Attributes:
        processes: how many ran.
        seconds: they, and the confirmation of every choice, took, by the figures that a sweep's estimate uses.
        groups, stopped, missed: models and targets; those whose best build stopped; those where it was no candidate.
        false: cases that stopped with a sentence that claims too much.
        why: the sentence of every case that stopped.
    """

    processes: int = 0
    seconds: float = 0.0
    groups: int = 0
    stopped: int = 0
    missed: int = 0
    false: int = 0
    why: dict[str, str] = field(default_factory=dict)


def builds(dice: random.Random, groups: int, each: int) -> list[Build]:
    """Models with a baseline of 1 s (the scale is nobody's business) and builds from a sixth to four times of it."""
    found = []
    for number in range(groups):
        name = f"m{number}/cpu-t1-b1"
        found.append(Build(group=name, variant=BASELINE, true_s=1.0, inside=True))
        for other in range(1, each):
            true_s = math.exp(dice.uniform(math.log(1 / 6), math.log(4)))
            found.append(Build(group=name, variant=f"v{other}", true_s=true_s, inside=dice.random() < 0.75))
    return found


def row_of(build: Build, medians: Sequence[float]) -> dict[str, Any]:
    """As much of a stored row as the rules read."""
    typical = statistics.median(medians)
    low, high = estimate.across(medians) if len(medians) > 1 else (typical, typical)
    return {
        "case": build.id,
        "model": build.group.split("/")[0],
        "target": build.group.split("/")[1],
        "variant": build.variant,
        "baseline": BASELINE,
        "status": "measured",
        "crashes": None,
        "latency": {"median_s": typical, "ci95_low_s": low, "ci95_high_s": high},
        "budget": {"fidelity_db": 30.0},
        "fidelity": {"centred_sqnr_db": 40.0 if build.inside else 20.0},
    }


Rule = Callable[..., Mapping[str, str]]
"""As `early_stop.stops`: who is stopped, and why."""


def simulated(
    dice: random.Random, given: Sequence[Build], noise: Noise, *, early: bool, rule: Rule = early_stop.stops
) -> Ran:
    """One sweep, in which a rule says who is stopped and why."""
    by_id = {one.id: one for one in given}
    times: dict[str, dict[int, RoundTime]] = {name: {} for name in by_id}
    rows: dict[str, dict[str, Any]] = {}
    stopped: dict[str, str] = {}
    members: dict[str, list[str]] = {}
    for one in given:
        members.setdefault(one.group, []).append(one.id)
    ran = Ran(groups=len(members), why=stopped)
    machine = SimulatedHost(noise, dice)
    for turn in turns(
        list(by_id), processes=PROCESSES, seed=str(dice.random()), going=lambda name: name not in stopped
    ):
        build = by_id[turn.case]
        times[turn.case][turn.process] = early_stop.round_time(machine.process(turn.case, build.true_s))
        ran.processes += 1
        rows[turn.case] = row_of(build, [one.median_ns / 1e9 for one in times[turn.case].values()])
        if early:
            judge(stopped, [rows[name] for name in members[build.group] if name in rows], times, rule)
    process_s = preview.START_UP_S + TIME_PER_CASE_S / PROCESSES
    ran.seconds = ran.processes * process_s
    for names in members.values():
        best = min((by_id[name] for name in names if by_id[name].inside), key=lambda one: one.true_s)
        inside = sorted(
            (rows[name] for name in names if by_id[name].inside and name not in stopped),
            key=lambda row: row["latency"]["median_s"],
        )
        compete, cut = confirmation.candidates(inside)
        blocks = len({*(row["case"] for row in compete), f"{best.group}/{BASELINE}"})
        ran.seconds += confirmation.BLOCKS * blocks * preview.MEMBER_S
        ran.stopped += best.id in stopped
        ran.missed += best.id not in {row["case"] for row in [*compete, *cut]}
    for name, sentence in stopped.items():
        claimed, rival = sentence.split("at least ")[1].split("x ")
        truth = by_id[name].true_s / by_id[f"{by_id[name].group}/{rival}"].true_s
        ran.false += truth < float(claimed)
    return ran


def judge(
    stopped: dict[str, str],
    group: Sequence[Mapping[str, Any]],
    times: Mapping[str, Mapping[int, RoundTime]],
    rule: Rule,
) -> None:
    """What a sweep does after every process."""
    complete = {row["case"] for row in group if len(times[row["case"]]) == PROCESSES}
    stopped.update(rule(group, times, planned=PROCESSES, stopped=set(stopped), over=complete))


def simulate(sweeps: int, groups: int, each: int, seed: int) -> None:
    """Print the table."""
    print(f"{groups * each} cases ({groups} models x {each} builds), {PROCESSES} processes, {sweeps} sweeps each")
    print("| host | processes run | time to an answer | best stopped (95%) | best no candidate | claims too much |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, noise in HOSTS.items():
        pairs = []
        for number in range(sweeps):
            given = builds(dice_of(f"{seed}/{number}"), groups, each)
            pairs.append(
                [simulated(dice_of(f"{seed}/{number}/{name}"), given, noise, early=early) for early in (False, True)]
            )
        fixed, early_ones = ([pair[side] for pair in pairs] for side in (0, 1))
        stopped, of = sum(one.stopped for one in early_ones), sum(one.groups for one in early_ones)
        low, high = binomial.interval(stopped, of)
        print(
            f"| {name} | {share(early_ones, fixed, 'processes'):.0%} | {share(early_ones, fixed, 'seconds'):.0%} |"
            f" {stopped} of {of} [{low:.2%}, {high:.2%}] |"
            f" {sum(one.missed for one in early_ones)}, fixed plan {sum(one.missed for one in fixed)} |"
            f" {sum(one.false for one in early_ones)} of {sum(len(one.why) for one in early_ones)} |",
            flush=True,
        )


def share(some: Sequence[Ran], others: Sequence[Ran], name: str) -> float:
    """The sum of an attribute against that of others."""
    return sum(getattr(one, name) for one in some) / sum(getattr(one, name) for one in others)


def recorded(folder: Path) -> None:
    """Processes of real runs, as they were stored for asv: every build counts as inside, and nothing knows the pace."""
    groups = stops = ended = ran = planned = 0
    for path in sorted(folder.glob("*-*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        row = dict(zip(content["result_columns"], content["results"].get(LATENCY) or (), strict=False))
        found: dict[str, dict[str, list[float]]] = {}
        cases = itertools.product(*row.get("params") or ())
        for (model, variant, *target), samples in zip(cases, row.get("samples") or (), strict=False):
            if samples and len(samples) == PROCESSES:
                found.setdefault(f"{model}/{'-'.join(target)}", {})[variant] = samples
        for group, variants in found.items():
            given = [Build(group=group, variant=name, true_s=0.0, inside=True) for name in variants]
            times = {
                f"{group}/{name}": {number: RoundTime(median_ns=one) for number, one in enumerate(samples)}
                for name, samples in variants.items()
            }
            early = stopped_of_recorded(given, times)
            best = min(variants, key=lambda name: statistics.median(variants[name]))
            groups, stops, ended = groups + 1, stops + len(early), ended + (f"{group}/{best}" in early)
            planned += PROCESSES * len(given)
            ran += PROCESSES * len(given) - sum(PROCESSES - after for after in early.values())
    if groups:
        print(
            f"recorded: {groups} models and targets, {ran} of {planned} processes ({ran / planned:.0%}), {stops} cases "
            f"stop, the best of all processes in {ended}"
        )


def stopped_of_recorded(given: Sequence[Build], times: Mapping[str, Mapping[int, RoundTime]]) -> dict[str, int]:
    """Case -> after how many rounds it stops."""
    found: dict[str, int] = {}
    for after in range(early_stop.ROUNDS, PROCESSES):
        so_far = {name: {k: one for k, one in rounds.items() if k < after} for name, rounds in times.items()}
        rows = [row_of(one, [process.median_ns for process in so_far[one.id].values()]) for one in given]
        new: Collection[str] = early_stop.stops(rows, so_far, planned=PROCESSES, stopped=(), over=set(found))
        found |= dict.fromkeys(new, after)
    return found


class Silent:
    """Nobody looks on."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


def live(models: Sequence[str], threads: int, seconds: float) -> None:
    """The shipped zoo: one sweep with every process, one that stops early, in the same run."""
    took: dict[bool, float] = {}
    for early in (False, True):
        with tempfile.TemporaryDirectory(prefix="harness-early-") as folder:
            request = preview.SweepRequest(
                zoo=ROOT / "model_zoo.yaml",
                results=Path(folder),
                cache=default_root(),
                selection=plan.Selection(models=tuple(models), targets=("cpu",), threads=(threads,), batch=(1,)),
                time_per_case=seconds,
                early_stop=early,
            )
            ahead = preview.preview(request)
            if ahead.missing:
                raise SystemExit(f"build first: harness build {','.join(models)} ({len(ahead.missing)} missing)")
            start = time.perf_counter()
            swept = sweep(request, Silent())
            took[early] = time.perf_counter() - start
        rows = [row for row in swept.rows if row["latency"]]
        ran = sum(row["latency"]["processes"] for row in rows)
        choices = {(row["model"], row["target"]): row["choice"] for row in rows if row["choice"]}
        print(f"{'early stop' if early else 'fixed plan'}: {ran} processes of {len(rows)} cases with numbers")
        for (model, target), choice in choices.items():
            print(f"  {model} on {target}: {choice['best']}, {choice['state']}")
    print(f"time to a confirmed answer, early stop / fixed plan: {took[True] / took[False]:.2f}")


def main() -> None:
    """Simulate and replay, or run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=200)
    parser.add_argument("--groups", type=int, default=10)
    parser.add_argument("--builds", type=int, default=6, help="of each group")
    parser.add_argument("--seed", type=int, default=12)
    parser.add_argument("--recorded", type=Path, default=HISTORY, help="folder of asv's result files")
    parser.add_argument("--live", action="store_true", help="sweep the shipped zoo twice instead")
    parser.add_argument("--models", nargs="+", default=["digits_cnn", "minilm"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--time-per-case", type=float, default=5.0)
    asked = parser.parse_args()
    if asked.live:
        print(host(), flush=True)
        live(asked.models, asked.threads, asked.time_per_case)
        return
    simulate(asked.sweeps, asked.groups, asked.builds, asked.seed)
    recorded(asked.recorded)


if __name__ == "__main__":
    main()
