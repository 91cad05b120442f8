"""The gate's rule on simulated pairs: false alarms, power, coverage of intervals, truth of the detectable effect.

Nothing is measured: the log-ratios of pairs are drawn from noise like that of real hosts, so that the truth is known
and thousands of gates are cheap. What real pairs do is for recordings to say (see rules.py).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping

import numpy as np

from harness.gate.model import GateSettings
from harness.report.ratios import interval
from harness.stats import estimate, paired, scan, strength
from harness.stats.rule import CONFIRM_PAIRS, SCREEN_PAIRS

MARGIN = GateSettings().max_slowdown
"""The gate's own, where nothing is asked for."""

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def normal(spread: float) -> Draw:
    """Normal noise."""
    return lambda rng, shape: rng.normal(0, spread, shape)


def heavy(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Student's t with 3 degrees of freedom, scaled to a standard deviation of 2.9%."""
    return rng.standard_t(3, shape) / math.sqrt(3) * 0.029


def outliers(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Normal with 1.8%, and one pair in ten is off by a further 8%."""
    return rng.normal(0, 0.018, shape) + (rng.random(shape) < 0.1) * rng.normal(0, 0.08, shape)


def neighbours(correlation: float) -> Draw:
    """Normal with 2.9%: what makes one of two places slower than the other goes together from pair to pair."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        found = rng.normal(0, 0.029, shape)
        for place in range(1, shape[-1]):
            found[..., place] *= math.sqrt(1 - correlation**2)
            found[..., place] += correlation * found[..., place - 1]
        return found

    return draw


def stretches(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Normal with 1.8%; a fifth of the time, for 4 pairs on average, somebody makes one of two places slower by 6%."""
    found = rng.normal(0, 0.018, shape)
    for row in found.reshape(-1, shape[-1]):
        side = rng.choice((-1, 1)) if rng.random() < 0.2 else 0
        for place in range(shape[-1]):
            row[place] += 0.06 * side
            if rng.random() < (1 / 4 if side else 1 / 16):
                side = 0 if side else rng.choice((-1, 1))
    return found


def unequal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Normal; cases spread by 0.5% to 8%, and in every one a pair in twenty by four times as much."""
    spread = np.exp(rng.uniform(math.log(0.005), math.log(0.08), (*shape[:-1], 1)))
    return rng.normal(0, 1, shape) * spread * np.where(rng.random(shape) < 0.05, 4, 1)


def assigned(draw: Draw) -> Draw:
    """The same where chance says in every pair which side takes which place, as `harness.measure.pairs` does."""
    return lambda rng, shape: draw(rng, shape) * rng.choice((-1, 1), shape)


UNLIKE: dict[str, Draw] = {
    "places correlate by 0.4": assigned(neighbours(0.4)),
    "places correlate by 0.8": assigned(neighbours(0.8)),
    "stretches": assigned(stretches),
    "unequal cases": unequal,
    "(by 0.4, sides stay in place)": neighbours(0.4),
    "(stretches, sides stay in place)": stretches,
}
"""Hosts on which pairs are not independent; in brackets what would become of a gate that draws no places."""

NOISE: dict[str, Draw] = {
    "normal 1.4%": normal(0.014),
    "normal 2.9%": normal(0.029),
    "t3 2.9%": heavy,
    "outliers": outliers,
}


FEW = ((2, 5, 1), (3, 3, 1), (4, 4, 1), (6, 6, 1), (3, 6, 3), (5, 5, 3), (6, 3, 3))
"""Processes of both sides, and how many times as wide the first one spreads; two against five follow an early stop."""


def gate(
    rng: np.random.Generator, draw: Draw, cases: int, effect: float, margin: float = MARGIN
) -> tuple[bool, int, int]:
    """One whole gate in which case 0 alone is slower by `effect`, of which `margin` is allowed.

    Returns:
        Whether that was confirmed as slower, how many other cases were confirmed as anything, how many were flagged.
    """
    truth = np.zeros(cases)
    truth[0] = math.log1p(effect)
    pairs = draw(rng, (cases, SCREEN_PAIRS)) + truth[:, None]
    screened = {index: paired.screen(pairs[index].tolist(), margin=margin) for index in range(cases)}
    flagged = [index for index in screened if screened[index].flagged]
    fresh = {str(i): (draw(rng, (CONFIRM_PAIRS,)) + truth[i]).tolist() for i in flagged}
    confirmed = paired.confirm(
        fresh,
        directions={str(i): screened[i].direction for i in flagged},
        margin=margin,
        planned=CONFIRM_PAIRS,
    )
    alarms = {name for name, found in confirmed.items() if found.significant}
    hit = bool(effect) and "0" in alarms and confirmed["0"].direction == "slower"
    return hit, len(alarms - ({"0"} if effect else set())), len(flagged)


def gates(cases: int, repeats: int, noise: Mapping[str, Draw] = NOISE) -> None:
    """Print false alarms and power."""
    wide = max(map(len, noise))
    print(f"{'noise':<{wide}} {'true':>5} {'cases':>5}  any false alarm  per case  seen   flagged")
    for name, draw in noise.items():
        for effect in (0.0, 0.03, 0.05):
            rng = np.random.default_rng(7)
            seen = [gate(rng, draw, cases, effect) for _ in range(repeats)]
            hits, alarms, flagged = np.array(seen, dtype=float).T
            power = f"{hits.mean():.3f}" if effect else "     "
            print(
                f"{name:<{wide}} {effect:>+5.0%} {cases:>5}  {(alarms > 0).mean():>15.4f}  "
                f"{alarms.mean() / cases:.5f}  {power}  {flagged.mean():.1f}",
                flush=True,
            )


def coverage(repeats: int) -> None:
    """Print how often the 95% interval of the ratio holds the truth, and how wide it is."""
    print("95% interval of the ratio: coverage, median full width")
    for name, draw in NOISE.items():
        parts = []
        for n in (6, 8, 20):
            rng = np.random.default_rng(8)
            found = [paired.ratio_interval(row.tolist()) for row in draw(rng, (repeats, n))]
            held = np.mean([i.low <= 1 <= i.high for i in found])
            parts.append(f"n={n}: {held:.3f} {np.median([i.high - i.low for i in found]):.3f}")
        print(f"{name:<12} " + "   ".join(parts), flush=True)


def ratios(repeats: int) -> None:
    """Print how often the interval of the ratio of two cases, each with processes of its own, holds the truth.

    Beside it the interval that earlier versions gave: about the ratio of the medians, with the means' error.
    """
    print("95% interval of the ratio of two cases: coverage (about the medians, with the means' error)")
    for name, draw in NOISE.items():
        parts = []
        for n in (5, 10, 20):
            sides = np.exp(draw(np.random.default_rng(12), (repeats, 2, n)))
            held = [_held(*(_latency(side.tolist()) for side in pair)) for pair in sides]
            now, before = np.mean(held, axis=0)
            parts.append(f"n={n}: {now:.3f} ({before:.3f})")
        print(f"{name:<12} " + "   ".join(parts), flush=True)
    print("few processes, x3: the first side spreads three times as wide")
    for name, draw in NOISE.items():
        parts = []
        for m, n, wider in FEW:
            rng = np.random.default_rng(12)
            over, under = np.exp(wider * draw(rng, (repeats, m))), np.exp(draw(rng, (repeats, n)))
            held = [_held(_latency(a.tolist()), _latency(b.tolist()))[0] for a, b in zip(over, under, strict=True)]
            parts.append(f"{m} against {n}{'' if wider == 1 else ' x3'}: {np.mean(held):.3f}")
        print(f"{name:<12} " + "   ".join(parts), flush=True)


def _latency(medians: list[float]) -> dict[str, float]:
    """What is stored of a case whose processes have these medians."""
    low, high = estimate.across(medians)
    middle = float(np.median(medians))
    return {"median_s": middle, "ci95_low_s": low, "ci95_high_s": high, "processes": len(medians)}


def _held(over: dict[str, float], under: dict[str, float]) -> tuple[bool, bool]:
    """Whether the interval holds 1, and whether one of its width about the ratio of the medians would."""
    low, high = interval(over, under) or (0.0, math.inf)
    reach = math.sqrt(high / low)
    return low <= 1 <= high, 1 / reach <= over["median_s"] / under["median_s"] <= reach


def detectable(repeats: int) -> None:
    """Print the power of the rule at the effect that it calls detectable (asked: 80%), without a margin."""
    print("power at the effect that was called detectable (asked .80), its median")
    for name, draw in NOISE.items():
        rng = np.random.default_rng(9)
        hits, effects = [], []
        for _ in range(repeats):
            effect = paired.detectable(draw(rng, (SCREEN_PAIRS,)).tolist())
            effects.append(effect)
            hits.append(gate(rng, draw, 1, effect, margin=0.0)[0])
        print(f"{name:<12} {np.mean(hits):.3f}  {np.median(effects):.4f}", flush=True)


def drifting(rng: np.random.Generator, phi: float, shape: tuple[int, int]) -> np.ndarray:
    """Rows of latencies whose neighbours correlate by phi."""
    noise = rng.normal(0, 0.02, shape)
    for index in range(1, shape[1]):
        noise[:, index] += phi * noise[:, index - 1]
    return np.exp(noise)


def history(repeats: int) -> None:
    """Print what the scan of stored history does on series without and with a change, 2% noise."""
    print("history, each series alone: share with a finding / share not judged")
    for n in (20, 50, 100):
        parts = []
        for phi in (0.0, 0.3, 0.7):
            rows = drifting(np.random.default_rng(10), phi, (repeats, n)).tolist()
            found = [scan.scan({"x": row})["x"] for row in rows]
            alarms, unjudged = (
                np.mean([bool(x) for x in xs]) for xs in zip(*[(f.changes, f.abstained) for f in found], strict=True)
            )
            parts.append(f"lag-1 correlation {phi}: {alarms:.3f} / {unjudged:.3f}")
        print(f"n={n:<4} " + "   ".join(parts), flush=True)
    print("history of 50 points alone, share in which a change was found within one point of the truth")
    for effect in (0.03, 0.05, 0.1):
        parts = []
        for after in (3, 5, 10, 25):
            rows = drifting(np.random.default_rng(11), 0.0, (repeats, 50))
            rows[:, 50 - after :] *= 1 + effect
            hits = [
                any(abs(c.index - (50 - after)) <= 1 for c in scan.scan({"x": row})["x"].changes)
                for row in rows.tolist()
            ]
            parts.append(f"{after} after: {np.mean(hits):.2f}")
        print(f"{effect:+.0%}  " + "   ".join(parts), flush=True)
    print(f"(a change needs {strength.FEWEST_AFTER} points before and after, a series {scan.fewest()})")


def main() -> None:
    """Run every simulation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--gates", type=int, default=2000)
    parser.add_argument("--only", choices=["gates", "unlike", "coverage", "ratios", "detectable", "history"])
    arguments = parser.parse_args()
    if arguments.only in (None, "gates"):
        gates(arguments.cases, arguments.gates)
        gates(1, arguments.gates * 5)
    if arguments.only in (None, "unlike"):
        gates(arguments.cases, arguments.gates, UNLIKE)
    if arguments.only in (None, "coverage"):
        coverage(arguments.gates * 5)
    if arguments.only in (None, "ratios"):
        ratios(arguments.gates * 5)
    if arguments.only in (None, "detectable"):
        detectable(arguments.gates)
    if arguments.only in (None, "history"):
        history(min(arguments.gates, 400))


if __name__ == "__main__":
    main()
