"""The same recordings judged by this gate's rule and by its peers' rules: false alarms and detection, side by side.

A recording is a JSON list with one entry per case:

    {"case": "resnet50/fp32/cpu-t1-b1", "truth": 1.05, "pairs": [[[base burst, ...], [head burst, ...]], ...]}

`truth` is the real ratio head / base (1 where nothing changed), and every pair holds two fresh processes that ran
alongside each other; a burst is the mean time of one inference in nanoseconds.

Gates are drawn from the recordings at random: a gate without change takes its cases from those whose truth is 1, and
sides are swapped at random there, because it does not matter which was called head. Every rule sees the processes
that its tool would have started (asv two, the others one, this gate one per pair). Peers compare with a result that
was stored earlier: `apart` takes base and head from different pairs; `together` grants them side-by-side processes.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.stats import paired
from harness.stats.rule import CONFIRM_PAIRS, SCREEN_PAIRS

Bursts = Sequence[float]
Judge = Callable[[Bursts, Bursts, np.random.Generator], str]
"""Base and head samples -> `slower`, `faster` or nothing."""

GATE = 60
SLOWER, FASTER, SAME = "slower", "faster", ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One case: its true ratio, and bursts of base and head per pair."""

    case: str
    truth: float
    pairs: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How a peer decides.

    Attributes:
        processes: fresh processes per side that the tool starts by default.
        bursts: samples that it takes in each of them; None takes all that were recorded.
    """

    name: str
    judge: Judge
    processes: int = 1
    bursts: int | None = None


def load(path: Path) -> list[Recording]:
    """Recordings of a file.

    Raises:
        ValueError: if an entry has no pair, a burst is not finite and above zero, or the truth is no ratio.
    """
    found = []
    for entry in json.loads(path.read_text()):
        pairs = tuple((tuple(map(float, base)), tuple(map(float, head))) for base, head in entry["pairs"])
        bursts = [burst for pair in pairs for side in pair for burst in side]
        sides = [side for pair in pairs for side in pair]
        truth = float(entry["truth"])
        good = pairs and all(sides) and all(math.isfinite(b) and b > 0 for b in bursts)
        if not (good and math.isfinite(truth) and truth > 0):
            raise ValueError(f"{path}: {entry['case']}: pairs, bursts above zero and a truth above zero are needed")
        found.append(Recording(case=entry["case"], truth=truth, pairs=pairs))
    return found


# --- peers ---------------------------------------------------------------------------------------


def asv(base: Bursts, head: Bursts, _: np.random.Generator) -> str:
    """`asv continuous` (asv 0.6.6), by its own code, with its factor of 1.1.

    The statistics are those it stores (asv_runner.statistics.compute_stats: median and 99% interval); a result is worse
    where the samples differ (Mann-Whitney below 0.002 where so many samples can reach it, else disjoint intervals) and
    the ratio of medians exceeds the factor (asv/commands/compare.py, _is_result_better). It runs two rounds of at most
    five samples of 10 ms each by default (asv_runner/benchmarks/time.py).
    """
    from asv.commands.compare import _is_result_better
    from asv_runner.statistics import compute_stats  # type: ignore[import-untyped]

    was, now = ([burst / 1e9 for burst in side] for side in (base, head))
    (value, seen), (other, also) = compute_stats(was, 1), compute_stats(now, 1)
    first, second = (seen, was), (also, now)
    if _is_result_better(value, other, first, second, 1.1):
        return SLOWER
    return FASTER if _is_result_better(other, value, second, first, 1.1) else SAME


def pytest_benchmark(base: Bursts, head: Bursts, _: np.random.Generator) -> str:
    """`pytest --benchmark-compare --benchmark-compare-fail=min:5%` (pytest-benchmark 5.3.1).

    PercentageRegressionCheck: fails where the minimum grew by more than 5%; it never reports improvements.
    """
    return SLOWER if min(head) / min(base) * 100 - 100 > 5 else SAME


def google_benchmark(base: Bursts, head: Bursts, _: np.random.Generator) -> str:
    """`compare.py benchmarks` of google/benchmark (tools/gbench/report.py, calc_utest and print_utest).

    Two-sided Mann-Whitney U over the repetitions by scipy; below 0.05 the difference is shown as significant, its
    direction by the means. The tool prints and leaves the exit code alone; it recommends nine repetitions or more.
    """
    from scipy.stats import mannwhitneyu

    if mannwhitneyu(base, head, alternative="two-sided").pvalue >= 0.05:
        return SAME
    return SLOWER if statistics.fmean(head) > statistics.fmean(base) else FASTER


def criterion(base: Bursts, head: Bursts, rng: np.random.Generator) -> str:
    """criterion.rs, comparison with the stored run (src/analysis/compare.rs, src/stats, defaults of src/lib.rs).

    Welch's t of the two samples beside its distribution when both are resampled from their union; where the two-tailed
    p is below 0.05, the bootstrapped 95% interval of the relative change of the means must lie beyond 1%. The released
    tool draws 100,000 resamples; 2,000 here.
    """
    resamples = 2000
    was, now = np.asarray(base), np.asarray(head)

    def t(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        error = first.var(axis=-1, ddof=1) / first.shape[-1] + second.var(axis=-1, ddof=1) / second.shape[-1]
        return np.asarray((first.mean(axis=-1) - second.mean(axis=-1)) / np.sqrt(np.maximum(error, 1e-300)))

    union = np.concatenate([now, was])
    drawn = union[rng.integers(0, len(union), (resamples, len(union)))]
    hits = int((t(drawn[:, : len(now)], drawn[:, len(now) :]) < t(now, was)).sum())
    if 2 * min(hits, resamples - hits) / resamples >= 0.05:
        return SAME
    means = [side[rng.integers(0, len(side), (resamples, len(side)))].mean(axis=1) for side in (now, was)]
    low, high = np.percentile(means[0] / means[1] - 1, [2.5, 97.5])
    if low > 0.01:
        return SLOWER
    return FASTER if high < -0.01 else SAME


PEERS = (
    Rule(name="asv continuous, factor 1.1", judge=asv, processes=2, bursts=5),
    Rule(name="pytest-benchmark min:5%", judge=pytest_benchmark),
    Rule(name="google/benchmark U test 0.05", judge=google_benchmark),
    Rule(name="criterion.rs 0.05, noise 1%", judge=criterion),
)


# --- drawing gates -------------------------------------------------------------------------------


def swapped(recording: Recording, rng: np.random.Generator) -> Recording:
    """The recording, its sides exchanged half of the time where nothing changed."""
    if recording.truth != 1 or rng.random() < 0.5:
        return recording
    pairs = tuple((head, base) for base, head in recording.pairs)
    return Recording(case=recording.case, truth=1.0, pairs=pairs)


def by_peer(rule: Rule, recording: Recording, rng: np.random.Generator, *, apart: bool) -> str:
    """What a peer says of one case, from as many of its processes as the tool starts."""
    needed = rule.processes * (2 if apart else 1)
    if len(recording.pairs) < needed:
        raise ValueError(f"{recording.case}: {len(recording.pairs)} pairs, {needed} are needed for {rule.name}")
    chosen = rng.permutation(len(recording.pairs))[:needed]
    bases, heads = (chosen[: rule.processes], chosen[rule.processes :]) if apart else (chosen, chosen)
    base = [burst for index in bases for burst in recording.pairs[index][0][: rule.bursts]]
    head = [burst for index in heads for burst in recording.pairs[index][1][: rule.bursts]]
    return rule.judge(base, head, rng)


def number(pair: tuple[Bursts, Bursts]) -> float:
    """The one number of a pair: the median of its bursts' log-ratios."""
    base, head = pair
    return statistics.median(math.log(h / b) for b, h in zip(base, head, strict=True))


def by_us(recordings: Sequence[Recording], rng: np.random.Generator) -> list[str]:
    """What this gate says of every case of a gate: screened on some pairs, confirmed on others."""
    numbers: list[list[float]] = []
    for recording in recordings:
        if len(recording.pairs) < SCREEN_PAIRS + CONFIRM_PAIRS:
            raise ValueError(
                f"{recording.case}: {len(recording.pairs)} pairs, {SCREEN_PAIRS + CONFIRM_PAIRS} are needed"
            )
        order = rng.permutation(len(recording.pairs))
        numbers.append([number(recording.pairs[index]) for index in order[: SCREEN_PAIRS + CONFIRM_PAIRS]])
    screened = [paired.screen(values[:SCREEN_PAIRS]) for values in numbers]
    flagged = {str(i): found.direction for i, found in enumerate(screened) if found.flagged}
    fresh = {name: numbers[int(name)][SCREEN_PAIRS:] for name in flagged}
    confirmed = paired.confirm(fresh, directions=flagged)
    return [
        confirmed[str(i)].direction if str(i) in confirmed and confirmed[str(i)].significant else SAME
        for i in range(len(recordings))
    ]


Gate = Callable[[Sequence[Recording], np.random.Generator], list[str]]


def judges() -> Mapping[str, Gate]:
    """Every rule, as something that judges all cases of a gate."""

    def peer(rule: Rule, *, apart: bool) -> Gate:
        return lambda recordings, rng: [by_peer(rule, one, rng, apart=apart) for one in recordings]

    return {
        "harness gate": by_us,
        **{f"{rule.name}, together": peer(rule, apart=False) for rule in PEERS},
        **{f"{rule.name}, apart": peer(rule, apart=True) for rule in PEERS},
    }


def rates(
    gate: Gate, still: Sequence[Recording], moved: Sequence[Recording], *, gates: int, seed: int
) -> tuple[float, float, dict[float, float]]:
    """How a rule does on gates drawn from recordings.

    Args:
        gate: the rule.
        still: recordings of cases without change.
        moved: recordings of cases that are slower.
        gates: how many gates of each kind to draw.
        seed: of the draws; all rules with the same seed see the same cases.

    Returns:
        Share of unchanged cases called slower, share of gates of 60 unchanged cases with any such, and for every true
        ratio the share of gates in which a slower case (for this gate's rule among 59 unchanged ones) was called so.
    """
    alarms = any_alarm = 0
    for index in range(gates):
        rng = np.random.default_rng([seed, index])
        cases = [swapped(still[i], rng) for i in rng.integers(0, len(still), GATE)]
        found = gate(cases, rng).count(SLOWER)
        alarms, any_alarm = alarms + found, any_alarm + bool(found)
    power: dict[float, float] = {}
    for truth in sorted({one.truth for one in moved}):
        slower = [one for one in moved if one.truth == truth]
        seen = 0
        for index in range(gates):
            rng = np.random.default_rng([seed, index, 1])
            cases = [slower[int(rng.integers(len(slower)))]]
            if gate is by_us:  # peers judge every case on its own
                cases += [swapped(still[i], rng) for i in rng.integers(0, len(still), GATE - 1)]
            seen += gate(cases, rng)[0] == SLOWER
        power[truth] = seen / gates
    return alarms / gates / GATE, any_alarm / gates, power


def spreads(recordings: Sequence[Recording]) -> str:
    """Standard deviation between pairs of the recordings, as it was seen."""
    seen = [statistics.stdev(number(pair) for pair in one.pairs) for one in recordings if len(one.pairs) > 1]
    return f"{100 * min(seen):.1f} to {100 * max(seen):.1f}%, median {100 * statistics.median(seen):.1f}%"


def main() -> None:
    """Judge a file of recordings by every rule and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path, nargs="+")
    parser.add_argument("--gates", type=int, default=300, help="gates drawn per rule and truth")
    parser.add_argument("--seed", type=int, default=20)
    arguments = parser.parse_args()
    recordings = [one for path in arguments.recordings for one in load(path)]
    still = [one for one in recordings if one.truth == 1]
    moved = [one for one in recordings if one.truth > 1]
    if not still:
        raise SystemExit("no recording with truth 1: without unchanged cases there are no false alarms to count")
    pairs = sum(len(one.pairs) for one in recordings)
    truths = sorted({one.truth for one in moved})
    print(f"{len(still)} unchanged and {len(moved)} slower cases, {pairs} pairs; spread between pairs {spreads(still)}")
    print(f"gates of {GATE} cases, {arguments.gates} drawn; 'slower' counts as alarm\n")
    head = [f"seen at {100 * (truth - 1):+.1f}%" for truth in truths]
    print("| rule | false alarm per case | per gate | " + " | ".join(head) + (" |" if head else ""))
    print("| --- |" + " ---: |" * (2 + len(head)))
    for name, gate in judges().items():
        case, whole, power = rates(gate, still, moved, gates=arguments.gates, seed=arguments.seed)
        cells = [f"{100 * case:.2f}%", f"{100 * whole:.1f}%", *(f"{power[truth]:.2f}" for truth in truths)]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
