"""A month of nights: how often `harness gate --history` turns red though nothing changed, and when it sees a change.

Nothing is measured. Series of latencies grow by one point a night; every night is judged by the very code of the gate
(`harness.stats.scan`, `harness.gate.history.standing`), with the level that the looks before it leave. A month is red
if any of its nights finds a regression. The noise of the nights follows several models, not only the one that the
search reckons with: correlated neighbours, a host that wanders, a host whose pace steps; each as it is, and divided by
a reference workload that sees the same host.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from harness.gate.history.standing import level_changes
from harness.gate.model import GateSettings, Verdict
from harness.stats import binomial, scan, spending

SPREAD = 0.02
"""Standard deviation of a night's latency about its level."""

REFERENCE = 0.01
"""The same of the reference workload."""

NIGHTS = 30

Floats = np.ndarray
Model = Callable[[np.random.Generator, int, int], Floats]


def correlated(phi: float) -> Model:
    """Neighbours correlate by phi, each series on its own."""

    def draw(rng: np.random.Generator, series: int, n: int) -> Floats:
        noise = rng.normal(0, 1, (series, n))
        for place in range(1, n):
            noise[:, place] = phi * noise[:, place - 1] + math.sqrt(1 - phi**2) * noise[:, place]
        return SPREAD * noise

    return draw


def mixed(rng: np.random.Generator, series: int, n: int) -> Floats:
    """Of independent series every tenth, but not the first, has neighbours that correlate by 0.6."""
    odd = np.arange(series) % 10 == 1
    return np.where(odd[:, None], correlated(0.6)(rng, series, n), correlated(0.0)(rng, series, n))


def host(path: Callable[[np.random.Generator, int], Floats], *, divided: bool) -> Model:
    """A pace of the host that all series share, beside independent noise; divided by a reference that shares it too."""

    def draw(rng: np.random.Generator, series: int, n: int) -> Floats:
        pace = path(rng, n)
        seen = pace + rng.normal(0, REFERENCE, (series, n)) if divided else 0.0
        return rng.normal(0, SPREAD, (series, n)) + pace - seen

    return draw


def wandering(rng: np.random.Generator, n: int) -> Floats:
    """A random walk of half a percent a night."""
    return np.cumsum(rng.normal(0, 0.005, n))


def stepping(rng: np.random.Generator, n: int) -> Floats:
    """Every twentieth night on average the pace jumps by about 4% and stays there."""
    return np.cumsum(rng.normal(0, 0.04, n) * (rng.random(n) < 0.05))


MODELS: dict[str, Model] = {
    "independent": correlated(0.0),
    "lag-1 correlation 0.3": correlated(0.3),
    "lag-1 correlation 0.6": correlated(0.6),
    "0.6 in one series of ten": mixed,
    "host wanders, as measured": host(wandering, divided=False),
    "host wanders, divided": host(wandering, divided=True),
    "host steps, as measured": host(stepping, divided=False),
    "host steps, divided": host(stepping, divided=True),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Months:
    """What became of simulated months.

    Attributes:
        months: how many.
        red: of them, those with a night that called an unchanged series slower.
        nights: per month the nights until the changed series was called slower; None where it never was.
        unjudged: share of series that were not judged, over all nights.
    """

    months: int
    red: int
    nights: Sequence[int | None]
    unjudged: float


def simulated(
    draw: Model,
    months: int,
    *,
    series: int = 40,
    before: int = 40,
    effect: float = 0.0,
    seed: int = 20,
    margin: float | None = None,
    paced: bool = True,
) -> Months:
    """Months of nights.

    Args:
        draw: the noise, as logarithms: (series, nights).
        months: how many.
        series: in each.
        before: points that each has when the month begins.
        effect: slow-down of the first series from the month's first night on, as a share; it counts as no false alarm.
        seed: of the draws.
        paced: whether a reference workload divides the host's pace out of the values.
        margin: slow-down that is allowed, as a share; the gate's own where it is not given.
    """
    rng = np.random.default_rng(seed)
    settings = GateSettings() if margin is None else GateSettings(max_slowdown=margin)
    red, found, unjudged, judged = 0, [], 0, 0
    for _ in range(months):
        values = np.exp(draw(rng, series, before + NIGHTS))
        values[0, before:] *= 1 + effect
        spent: list[tuple[float, float]] = [
            (float(day), spending.BUDGET * spending.PART / (1 + spending.PART * NIGHTS)) for day in range(-NIGHTS, 0)
        ]  # as after many months
        alarm, when = False, None
        for night in range(NIGHTS):
            level = spending.level(spent, night)
            spent.append((float(night), level))
            rows = {str(place): values[place, : before + night + 1].tolist() for place in range(series)}
            kinds = dict.fromkeys(rows, "latency")
            scans = scan.scan(rows, any_false=level, kinds=kinds, unpaced=() if paced else list(rows))
            slower = {name for name, one in scans.items() if stands(rows[name], one, settings)}
            unjudged += sum(bool(one.abstained) for one in scans.values())
            judged += len(scans)
            alarm = alarm or bool(slower - ({"0"} if effect else set()))
            if effect and when is None and "0" in slower:
                when = night + 1
            if not effect and alarm:
                break
        red += alarm
        found.append(when)
    return Months(months=months, red=red, nights=found, unjudged=unjudged / judged)


def stands(values: Sequence[float], found: scan.Scan, settings: GateSettings) -> bool:
    """Whether a regression of the series stands."""
    changes = level_changes("latency", values, found.changes, settings)
    return any(one.verdict is Verdict.REGRESSION and not one.cleared for one in changes)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--months", type=int, default=200)
    parser.add_argument("--series", type=int, default=40)
    parser.add_argument("--before", type=int, default=40, help="points that each series has when the month begins")
    parser.add_argument("--effects", type=float, nargs="*", default=[0.05, 0.1])
    parser.add_argument("--models", nargs="+", help="parts of their names")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--margin", type=float, default=GateSettings().max_slowdown, help="slow-down that is allowed")
    arguments = parser.parse_args()
    print(f"{arguments.series} series of {arguments.before} points, then {NIGHTS} nights, {SPREAD:.0%} noise, ", end="")
    print(f"margin {arguments.margin:.1%}")
    print("| noise | months | false red months (95% exact) | not judged | seen in the month, median nights to it |")
    print("| --- | ---: | ---: | ---: | --- |")
    for name, draw in MODELS.items():
        if arguments.models and not any(part in name for part in arguments.models):
            continue
        options: dict[str, Any] = {
            "series": arguments.series,
            "before": arguments.before,
            "seed": arguments.seed,
            "margin": arguments.margin,
        }
        options["paced"] = "as measured" not in name
        quiet = simulated(draw, arguments.months, **options)
        low, high = binomial.interval(quiet.red, quiet.months)
        seen = []
        for effect in arguments.effects:
            one = simulated(draw, max(10, arguments.months // 6), effect=effect, **options)
            nights = [night if night is not None else math.inf for night in one.nights]
            share = statistics.fmean(night < math.inf for night in nights)
            middle = statistics.median(nights)
            seen.append(f"{effect:+.0%}: {share:.0%}" + (f", {middle:.0f}" if middle < math.inf else ""))
        print(
            f"| {name} | {quiet.months} | {quiet.red / quiet.months:.1%} [{low:.1%}, {high:.1%}] |"
            f" {quiet.unjudged:.0%} | {'; '.join(seen)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
