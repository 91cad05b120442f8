"""What judging and storing a process costs the coordinator: its rounds and journal, on processes that are made up."""

from __future__ import annotations

import contextlib
import random
import tempfile
import time
from array import array
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from harness.flow.execute import Job
from harness.flow.progress import ProcessOutcome
from harness.flow.rounds import SweepRounds
from harness.measure import host
from harness.measure.coordinator import utc_now
from harness.records import ProcessSamples, Run
from harness.store.journal import Journal

INFERENCES = 2000
"""Samples of a process; a small model has many more, a large one fewer."""


class _Unmoved:
    """Nobody hears of a row."""

    def round(self, number: int, of: int) -> None:
        """A round begins."""

    def sharpened(self, row: object) -> None:
        """A process is stored."""

    def finished(self, row: object) -> None:
        """The last one is."""

    def stopped(self, row: object) -> None:
        """A case stops."""

    def reopened(self, row: object) -> None:
        """It goes on."""


def storing_s(jobs: Sequence[Job]) -> float:
    """Seconds of a processor that it takes to judge a case anew with one more process, and to store it.

    Args:
        jobs: one for each of a few cases, two at least; every process of theirs is stored, as in a sweep.
    """
    here, draw = host.here(), random.Random(1)  # noqa: S311  (times that are made up)
    run = Run(
        id="20000101T000000Z-000000", plan="", started_at=utc_now(), commit=None, dirty=False, commit_time=None,
        fingerprint=here.fingerprint, host=here.facts, versions={}, settings=asdict(jobs[0].settings), floor_s={},
    )  # fmt: skip
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        journal = stack.enter_context(Journal.open(folder, run, resume=False))
        rounds, some = SweepRounds(jobs, journal, _Unmoved()), [_samples(draw) for _ in range(5)]
        spent, stored = 0.0, -1  # the first one imports what all of them need
        for job in rounds.jobs():
            timed = some[stored % len(some)]
            found = ProcessOutcome(
                case=job.case, process=job.process, started_at=timed.started_at, samples=timed, host=here
            )
            began = time.process_time()
            rounds.take(found)
            spent = spent + time.process_time() - began if stored >= 0 else 0.0
            stored += 1
        return spent / stored


def _samples(draw: random.Random) -> ProcessSamples:
    times = array("q", (round(draw.gauss(1_000_000, 20_000)) for _ in range(INFERENCES)))
    return ProcessSamples(
        started_at=utc_now(),
        session_ns=10_000_000,
        first_inference_ns=2_000_000,
        warmup_ns=times[:20],
        samples_ns=times,
        steady=True,
        stop="time",
        reference_before_ns=300_000,
        reference_after_ns=300_000,
    )
