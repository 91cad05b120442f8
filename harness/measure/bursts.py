"""Durations that a worker answers with, checked before anything is computed from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.errors import WorkerError
from harness.runtimes.client import Client

OPEN_DEADLINE_S = 300.0
"""For creating a session: TensorRT may build engines, a large model may come from a slow disk."""

MOST_NS = 2**63
"""What a duration in nanoseconds is below, as it is stored: 292 years."""


def burst(worker: Client, n: int, deadline_s: float, *, at: int | None = None) -> tuple[Sequence[int], int | None]:
    """Time n inferences; their durations in nanoseconds, and the preemptions meanwhile.

    Args:
        worker: has opened something.
        n: how many.
        deadline_s: after which the worker counts as hung.
        at: the place in the rotation of inputs to start at; where the last burst ended if none is given.

    Raises:
        WorkerError: also if the durations are not n whole numbers, none negative.
    """
    reply = worker.ask("burst", deadline_s, n=n, **({} if at is None else {"at": at}))
    return durations_of(reply, n, n), reply.get("preempted")


def durations_of(reply: Mapping[str, Any], least: int, most: int) -> Sequence[int]:
    """The durations of a reply.

    Raises:
        WorkerError: they are not from `least` to `most` whole numbers, none negative.
    """
    durations = reply.get("durations_ns")
    if (
        not isinstance(durations, list)
        or not least <= len(durations) <= most
        or not all(is_duration(one) for one in durations)
    ):
        raise WorkerError(
            f"the worker was asked for {most} durations in whole nanoseconds and answered {durations!r:.80}"
        )
    return durations


def is_duration(value: object) -> bool:
    """Whether it is a time in whole nanoseconds that can be stored."""
    return type(value) is int and 0 <= value < MOST_NS
