"""Warnings that travel with a case's numbers, each with its remedy."""

from __future__ import annotations

from harness import runtime_spec
from harness.measure import coordinator
from harness.records import Evaluation, Latency, ProcessSamples, Target
from harness.stats import estimate
from harness.units import seconds

WIDE_SPREAD = 0.10
"""Between-process spread of the median from which the case says so."""

COARSE = 0.01
"""Step of the clock, as a share of the median, from which the case says so."""

WRONG_DB = 3.0
"""Fidelity below which a float32 file computes something else: half of what comes out is not the reference's.
bfloat16, by which some runtimes compute it, leaves 20 dB and more of the networks that were tried."""


def wrong_answers(target: Target, evaluation: Evaluation | None) -> str:
    """Why a case of another runtime has no number although it was timed; empty where its answers are the reference's.

    Those of onnxruntime are what the file says, however far a recipe has changed it. Another runtime reads or converts
    the file by itself, and a number of what it made of it would be of another network.
    """
    foreign = runtime_spec.other(target.runtime) or runtime_spec.language(target.runtime)
    if evaluation is None or evaluation.fidelity is None or not foreign or evaluation.precision != "float32":
        return ""
    found, worst = evaluation.fidelity.centred_sqnr_db, evaluation.fidelity.worst
    if found is None or found >= WRONG_DB:
        return ""
    where = f" ({worst})" if worst else ""
    return f"{target.runtime} answers otherwise than the reference: fidelity {found:.1f} dB{where}"


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
    step = estimate.tick([estimate.in_order(p.samples_ns) for p in processes]) / 1e9
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
    return estimate.spread([max(estimate.median(p.samples_ns), 1) for p in processes])
