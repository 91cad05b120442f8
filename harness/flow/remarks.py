"""Warnings that travel with a case's numbers, each with its remedy."""

from __future__ import annotations

import statistics

from harness.measure import coordinator
from harness.records import Evaluation, Latency, ProcessSamples
from harness.stats import estimate
from harness.units import seconds

WIDE_SPREAD = 0.10
"""Between-process spread of the median from which the case says so."""

COARSE = 0.01
"""Step of the clock, as a share of the median, from which the case says so."""


def of_samples(processes: tuple[ProcessSamples, ...], latency: Latency, floor_s: float | None) -> tuple[str, ...]:
    """What the samples of a case's processes say about themselves."""
    notes = []
    unsteady = sum(not p.steady for p in processes)
    if unsteady:
        notes.append(
            f"{unsteady} of {len(processes)} processes reached no steady state while warming up: "
            "give more time (--time-per-case) or quieten the host"
        )
    wide = spread(processes)
    if wide is not None and wide > WIDE_SPREAD:
        notes.append(f"medians differ by {wide:.0%} between processes: quieten the host or raise --processes")
    if floor_s is not None and latency.median_s < coordinator.NEAR_FLOOR * floor_s:
        notes.append(
            f"median is {latency.median_s / floor_s:.1f} times the measurement floor ({seconds(floor_s)}): "
            "a good part of it is the call itself; a larger batch shows the model better"
        )
    step = estimate.tick([sorted(p.samples_ns) for p in processes]) / 1e9
    if step > COARSE * latency.median_s:
        notes.append(
            f"samples come in steps of {seconds(step)}, {step / latency.median_s:.0%} of the median: the clock is too "
            "coarse for this case; a larger batch shows it better"
        )
    return tuple(notes)


def of_evaluation(evaluation: Evaluation) -> tuple[str, ...]:
    """How outputs were read, where the zoo does not say it, and what could not be compared."""
    notes = [one.note for one in evaluation.metrics if one.note]
    if evaluation.fidelity is not None and evaluation.fidelity.reason:
        notes.append(f"no fidelity: {evaluation.fidelity.reason}")
    return tuple(dict.fromkeys(notes))


def spread(processes: tuple[ProcessSamples, ...]) -> float | None:
    """Relative range of the processes' medians; None for a single process."""
    if len(processes) < 2:  # noqa: PLR2004
        return None
    return estimate.spread([max(statistics.median(p.samples_ns), 1) for p in processes])
