"""A fixed small workload beside every measurement: how fast the host was at that moment.

In every process of a case a model with one node and a compute-bound one (a 256 x 256 matrix product) are timed, on one
thread of the CPU, after the first inference and once more after the samples. The case's own model stays open; what is
timed here says nothing of it. It costs about 20 ms each time.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import WorkerError, WorkerRefusal
from harness.records import HostPace, ProcessSamples
from harness.runtimes.client import Client
from harness.units import seconds

FEATURE = "reference"
DEADLINE_S = 60.0

MODELS: tuple[tuple[str, int, int], ...] = (("floor.onnx", 1, 200), ("square.onnx", 256, 15))
"""File, size of every axis of its input `x`, and inferences to time."""

AXES = {"floor.onnx": 1, "square.onnx": 2}

MOVED = 0.10
"""How much slower the slowest moment may be than the fastest before it is said, as a share."""


class ReferenceLost(WorkerError):
    """The worker did not survive the reference workload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceTimes:
    """What the reference workload took, in nanoseconds; None where it was not, or could not be, timed.

    Attributes:
        problem: why it could not; empty where it was not asked for.
    """

    floor_ns: int | None = None
    busy_ns: int | None = None
    problem: str = ""


def take(worker: Client) -> ReferenceTimes:
    """Time it in a worker that has something open; a worker that does not know how to is not asked.

    Raises:
        ReferenceLost: if the worker died of it, hung or answered nonsense.
    """
    if FEATURE not in (worker.hello.get("features") or ()):
        return ReferenceTimes()
    models: list[dict[str, Any]] = [
        {"path": str(Path(__file__).with_name(name)), "shape": [size] * AXES[name], "n": n} for name, size, n in MODELS
    ]
    try:
        reply = worker.ask(FEATURE, DEADLINE_S, models=models)
        floor, busy = (round(statistics.median(durations)) for durations in reply["durations_ns"])
    except WorkerRefusal as error:
        return ReferenceTimes(problem=str(error))
    except WorkerError as error:
        raise ReferenceLost(str(error)) from error
    except (KeyError, TypeError, ValueError) as error:
        return ReferenceTimes(problem=f"the worker's answer to `{FEATURE}` is not the protocol: {error}")
    return ReferenceTimes(floor_ns=floor, busy_ns=busy)


def pace(processes: Sequence[ProcessSamples]) -> HostPace | None:
    """The host's pace over the processes of a case; None where it was never timed."""
    found = [ns / 1e9 for one in processes for ns in (one.reference_before_ns, one.reference_after_ns) if ns]
    if not found:
        return None
    return HostPace(median_s=statistics.median(found), low_s=min(found), high_s=max(found))


def remarks(processes: Sequence[ProcessSamples]) -> tuple[str, ...]:
    """What is to be said of the host's pace: that it moved, or that it is not known everywhere."""
    notes = []
    known = pace(processes)
    if known is not None and known.high_s > (1 + MOVED) * known.low_s:
        notes.append(
            f"the host's pace moved by {known.high_s / known.low_s - 1:.0%} while this case was measured (reference "
            f"workload {seconds(known.low_s)} to {seconds(known.high_s)}): quieten the host and measure again"
        )
    problems = [one.reference_problem for one in processes if one.reference_problem]
    if problems:
        notes.append(
            f"{len(problems)} of {len(processes)} processes have no time of the reference workload ({problems[0]}): "
            "the host's pace is not known there"
        )
    return tuple(notes)
