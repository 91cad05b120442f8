"""What copying inputs to a device and outputs back takes, timed by the worker between bursts, apart from inference.

Only a worker whose inputs and outputs lie on a device has something to copy; of every other one nothing is asked
twice. The copies are of the batches that inferences rotate through, and take a small part of a case's time.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from harness.errors import WorkerRefusal
from harness.measure.bursts import durations_of
from harness.runtimes.client import Client

FEATURE = "transfer"
AT_A_TIME, ENOUGH = 3, 200
"""Copies between two bursts, and how many say all."""

SHARE, LEAST = 0.1, 9
"""The share of the seconds of inference that copies may take, and how many are made all the same."""

DEADLINE_S = 60.0


class TransferTimes:
    """Of one process.

    Args:
        worker: has opened something and run it.
        budget_s: seconds of inference that its case has.
    """

    def __init__(self, worker: Client, budget_s: float) -> None:
        self._worker = worker
        self._asked = FEATURE in (worker.hello.get("features") or ())
        self._most_ns = budget_s * SHARE * 1e9
        self._taken: list[tuple[int, Sequence[int]]] = []
        self._problem = ""

    def take(self, done: int) -> None:
        """Let some be timed, after so many inferences.

        Raises:
            WorkerError: the worker died, hung or answered nonsense.
        """
        spent = [ns for _, durations in self._taken for ns in durations]
        if not self._asked or len(spent) >= ENOUGH or (len(spent) >= LEAST and sum(spent) >= self._most_ns):
            return
        try:
            reply = self._worker.ask(FEATURE, DEADLINE_S, n=AT_A_TIME)
        except WorkerRefusal as error:
            self._asked, self._problem = False, str(error)
            return
        durations = durations_of(reply, 0, AT_A_TIME)
        self._asked = bool(durations)
        self._taken.append((done, durations))

    def median_ns(self, warmup: int) -> int | None:
        """Of those after so many inferences, or of all where there are none; None where nothing is copied."""
        every = [ns for _, durations in self._taken for ns in durations]
        warm = [ns for done, durations in self._taken if done > warmup for ns in durations]
        return round(statistics.median(warm or every)) if every else None

    def notes(self) -> tuple[str, ...]:
        """Why it is not known, where a device has something to copy."""
        return (f"what copies to the device and back take is not known: {self._problem}",) if self._problem else ()
