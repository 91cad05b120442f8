"""Successive halving (Jamieson and Talwalkar, 2016): every candidate gets one process, the fastest get more.

The processes are a sweep's own, in its rounds and its random order, and are kept in a journal as a sweep's are: a race
that was interrupted goes on where it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness import budget
from harness.flow.execute import Job
from harness.flow.executors import JobWatcher, LocalExecutor
from harness.flow.rounds import SweepRounds
from harness.store.journal import Journal
from harness.tune.model import TimedBuild, TuneCandidate

Row = Mapping[str, Any]

RUNGS = (1, 3)
"""Processes of a candidate by the end of each rung."""

KEPT = 1 / 3
"""The share that goes on to the next rung."""

FEWEST, MOST = 2, 4
"""So many go on at least, and at most."""

PROCESS_S = 0.5
"""Seconds of inference of one process, warm-up included."""

NOT_TIMED = "not timed"
"""How the reason of a candidate begins that no time was left for."""

NEAR = 1.25
"""Whoever takes this many times as long as the fastest does not go on: no setting makes up for that."""

CLOSE = 1.05
"""Whoever is within this factor of the last that goes on goes on as well: so little is noise after one process."""


GoingOn = Callable[[Sequence[TuneCandidate], Mapping[str, Row]], list[TuneCandidate]]
"""Who goes on to the next rung, of who is left and by the rows so far."""


class RaceWatcher(JobWatcher):
    """Who looks on while candidates are timed; does nothing by itself."""

    def started(self, case: Any) -> None:
        """A process of a case is about to be measured."""

    def preparing(self, text: str) -> None:
        """Something else that takes a while."""

    def tick(self) -> None:
        """No worker is timing at this moment."""

    def round(self, number: int, of: int) -> None:
        """A round begins."""

    def sharpened(self, row: Row) -> None:
        """One more process of a case is stored."""

    def finished(self, row: Row) -> None:
        """The last process of a case on this rung is stored."""

    def stopped(self, row: Row) -> None:
        """Never called: nothing stops early here but by its rung."""

    def reopened(self, row: Row) -> None:
        """Never called."""


def race(
    candidates: Sequence[TuneCandidate],
    jobs: Callable[[TuneCandidate], Job],
    journal: Journal,
    *,
    watch: RaceWatcher,
    out_of_time: Callable[[], bool] = lambda: False,
    process_s: float = PROCESS_S,
    rungs: Sequence[int] | None = None,
    hopeful: GoingOn | None = None,
) -> list[TimedBuild]:
    """Time candidates, the slow ones less and less; the fastest first, those with the most processes before others.

    Args:
        candidates: with ids of their own.
        jobs: what timing one takes.
        journal: holds what was timed before, and takes what follows.
        watch: looks on.
        out_of_time: asked before every process; where it is so, what is known by then decides.
        process_s: seconds of inference of one process.
        rungs: processes by the end of each; `RUNGS` where none are given.
        hopeful: who goes on to the next rung; `going_on` decides where nothing is given.
    """
    left, rows = list(candidates), dict[str, Row]()
    runner = LocalExecutor()
    for processes in rungs or RUNGS:
        settings_of = {one.case.id: _paced(jobs(one), processes, process_s) for one in left}
        rounds = SweepRounds(list(settings_of.values()), journal, watch)
        for job in rounds.jobs():
            if out_of_time():
                break
            for found in runner.run([job], watch):
                rounds.take(found)
        rows |= rounds.rows
        if out_of_time():
            break
        left = (hopeful or going_on)(left, rows)
    timed = [_timed(one, rows.get(one.case.id)) for one in candidates]
    return sorted(timed, key=lambda one: (one.median_s is None, -one.processes, one.example_s or 0.0))


def going_on(left: Sequence[TuneCandidate], rows: Mapping[str, Row]) -> list[TuneCandidate]:
    """Who goes on: the fastest third by the time of one example, who is close to it, and nobody outside the budget.

    Nobody does where one alone is left: there is nothing to tell it apart from.
    """
    times = _times(left, rows)
    ordered = sorted(times.values())
    if not ordered:
        return []
    last = ordered[min(len(ordered), max(FEWEST, math.ceil(len(ordered) * KEPT))) - 1] * CLOSE
    last = min(last, ordered[0] * NEAR)
    found = [one for one in _by_time(left, times) if times[one.case.id] <= last][:MOST]
    return found if len(found) > 1 else []


def better_than(base: TuneCandidate, share: float) -> GoingOn:
    """Who goes on where most changes do nothing: those that take at most this share of the base's time, and the base.

    Args:
        base: a candidate of the race.
        share: such as 0.98.
    """

    def hopeful(left: Sequence[TuneCandidate], rows: Mapping[str, Row]) -> list[TuneCandidate]:
        times = _times(left, rows)
        most = times.get(base.case.id, math.inf) * share
        better = [one for one in _by_time(left, times) if one is not base and times[one.case.id] <= most][:FEWEST]
        return [base, *better] if better else []

    return hopeful


def _times(left: Sequence[TuneCandidate], rows: Mapping[str, Row]) -> dict[str, float]:
    """Case id -> the time of one example, of those that have one and are inside the budget."""
    found = {one.case.id: (rows.get(one.case.id), one.case.target.batch) for one in left}
    return {name: row["latency"]["median_s"] / batch for name, (row, batch) in found.items() if row and fit(row)}


def _by_time(left: Sequence[TuneCandidate], times: Mapping[str, float]) -> list[TuneCandidate]:
    return sorted((one for one in left if one.case.id in times), key=lambda one: times[one.case.id])


def fit(row: Row) -> bool:
    """Whether a row has numbers, is what it claims to be, and keeps its budget."""
    return bool(row.get("latency")) and budget.can_ship(row) and budget.excess(row) == ""


def _paced(job: Job, processes: int, process_s: float) -> Job:
    """A job whose processes have the same time each, however many there are."""
    settings = replace(
        job.settings, processes=processes, time_per_case=processes * process_s, early_stop=False, order="round"
    )
    return replace(job, settings=settings)


def _timed(one: TuneCandidate, row: Row | None) -> TimedBuild:
    if row is None:
        return TimedBuild(candidate=one, reason=f"{NOT_TIMED}: the time was over")
    latency = row.get("latency")
    if not latency:
        return TimedBuild(candidate=one, reason=row.get("reason") or str(row["status"]))
    return TimedBuild(
        candidate=one,
        median_s=latency["median_s"],
        low_s=latency["ci95_low_s"],
        high_s=latency["ci95_high_s"],
        processes=latency["processes"],
        excess=budget.excess(row) if budget.can_ship(row) else budget.remark(row),
        unjudged=budget.unjudged(row),
    )
