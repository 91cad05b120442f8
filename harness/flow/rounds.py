"""The processes of a sweep, round by round: which come next, and what each makes of its case."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from harness import confirmation
from harness.confirmation import ConfirmedChoice
from harness.flow import early_stop
from harness.flow.confirm import ConfirmJob, confirm_jobs
from harness.flow.execute import Job, conclude, verdict, why_not
from harness.flow.long_run import wider
from harness.flow.progress import ProcessOutcome, Progress, done, process_of
from harness.measure.coordinator import utc_now
from harness.measure.rounds import turns
from harness.records import Artifact, Case, ProcessSamples, Refusal
from harness.store.days import Day
from harness.store.journal import Journal
from harness.store.rows import plain, runtime_of
from harness.store.standing import has_numbers, noted

Row = Mapping[str, Any]


class RoundWatcher(Protocol):
    """Somebody who looks on while rounds are measured."""

    def round(self, number: int, of: int) -> None:
        """A round begins."""

    def sharpened(self, row: Row) -> None:
        """One more process of a case is stored, and more are to come."""

    def finished(self, row: Row) -> None:
        """The last process of a case is stored."""

    def stopped(self, row: Row) -> None:
        """A case gets no further process, since it cannot be the fastest; the row's `stopped` says why."""

    def reopened(self, row: Row) -> None:
        """A case that had stopped goes on: what it was slower than has dropped out."""


class SweepRounds:
    """The cases of one run, from what an interrupted sweep left of it to the last process.

    Attributes:
        rows: the newest row of every case that has one, without samples, by case id.
        failures: cases whose numbers stand although they failed after them, and why they failed.
    """

    def __init__(self, jobs: Sequence[Job], journal: Journal, watch: RoundWatcher) -> None:
        """Nothing is measured yet.

        Args:
            jobs: one for every case of the plan, in its order.
            journal: holds what is stored of the run, and takes what follows.
            watch: hears of every round and every row.
        """
        self._jobs = {job.case.id: job for job in jobs}
        self._groups: dict[tuple[str, str], list[str]] = {}
        for name, job in self._jobs.items():
            self._groups.setdefault(compared_by(job.case), []).append(name)
        self._journal = journal
        self._watch = watch
        stored = journal.rows
        self.rows: dict[str, Row] = {
            name: stored[name] for name, job in self._jobs.items() if name in stored and still_valid(stored[name], job)
        }
        self._over = {name for name, row in self.rows.items() if self._complete(row)}
        self.failures: dict[str, str] = {}
        self._timed_before = {name for name, row in self.rows.items() if has_numbers(row)}
        for name, job in self._jobs.items():
            if name not in self.rows and isinstance(job.built, Refusal):
                self._stand(name, job.built.reason)
        self._given = {name: done(row) for name, row in self.rows.items()}
        self._reopened: set[str] = set()
        self._times: dict[str, dict[int, early_stop.RoundTime]] = {name: {} for name in self._jobs}
        for name in self.rows:
            self._remember(name)
        for name in [name for name, row in self.rows.items() if row["stopped"]]:
            if name not in self._stops(self._jobs[name].case):
                self._over.discard(name)

    def todo(self) -> list[Case]:
        """The cases that are not complete."""
        return [job.case for name, job in self._jobs.items() if name not in self._over]

    def complete(self) -> list[Row]:
        """The rows of those that are."""
        return [self.rows[name] for name in self._jobs if name in self._over]

    def begun(self) -> list[Row]:
        """The rows of cases that have processes behind them and to come."""
        return [row for name, row in self.rows.items() if name not in self._over]

    def jobs(self) -> Iterator[Job]:
        """Every process that is still to run, each decided when it is asked for.

        Where a case goes on that had stopped, what it missed is left to another call.
        """
        if not self._jobs:
            return
        settings = next(iter(self._jobs.values())).settings
        number = None
        for turn in turns(
            list(self._jobs),
            processes=settings.processes,
            seed=self._journal.run.id,
            order=settings.order,
            done={name: done(row) for name, row in self.rows.items()},
            going=lambda name: name not in self._over,
        ):
            if settings.order == "round" and turn.process != number:
                number = turn.process
                self._watch.round(number + 1, settings.processes)
            process = self._given.get(turn.case, 0)  # the turn's, unless the case had stopped for some rounds
            self._given[turn.case] = process + 1
            yield replace(self._jobs[turn.case], process=process, host_class=self._host_class(turn.case))

    def take(self, found: ProcessOutcome) -> None:
        """Judge a case anew with one more process, and store it.

        Where several run at once, one may come to its end after its case was over: that is stored, and the
        watcher hears of it only where the case goes on.

        Raises:
            StoreError: if it cannot be written.
        """
        name = found.case.id
        job, planned, late = self._jobs[name], self._jobs[name].settings.processes, name in self._over
        known = Progress.of_row(self._journal.whole(name)) if name in self.rows else Progress()
        progress = known.judged_anew(found, planned, stopped=late)
        try:
            outcome = conclude(job, progress)
        except Exception as error:  # noqa: BLE001 # an evaluation that is made again may fail, and ends this case alone
            lost = replace(found, ends=verdict(error), reason=f"its outputs: {why_not(error, job.case)}")
            progress = known.judged_anew(lost, planned, stopped=late)
            outcome = conclude(job, progress)
        # What an earlier session showed stands, also where the processes of this one crash too often.
        failed = progress.ends is not None or (name in self._timed_before and progress.lost(planned))
        if not failed or not self._stand(name, outcome.reason):
            self.rows[name] = self._journal.append(outcome)
        if found.samples is not None:
            self._times[name][found.process] = early_stop.round_time(found.samples)
        if progress.over(planned) and not late:
            self._over.add(name)
            self._watch.finished(self.rows[name])
        elif not late:
            self._watch.sharpened(self.rows[name])
        self._judge_others(found.case)

    def widen(self, days: Sequence[Day] = ()) -> None:
        """Let the intervals of all cases hold the long-run median where the host drifts.

        Doing it again changes nothing. What one case after the other took has no rounds to tell it by.

        Args:
            days: the reference workload on earlier days, see `harness.store.days`.

        Raises:
            StoreError: if a row cannot be written.
        """
        settings = next((job.settings for job in self._jobs.values()), None)
        if settings is None or settings.order != "round":
            return
        for name, row in wider(self.rows, self._times, days, ci_width=settings.ci_width).items():
            self.rows[name] = self._journal.put({**self._journal.whole(name), **row})

    def choices(self) -> Iterator[ConfirmJob]:
        """The choices that are still to be confirmed."""
        rows = [self.rows[name] for name in self._jobs if name in self.rows]
        return confirm_jobs(rows, self._jobs, blocks=confirmation.BLOCKS, seed=self._journal.run.id)

    def choose(self, job: ConfirmJob, found: ConfirmedChoice) -> None:
        """Store a choice with every row that had part in it.

        Raises:
            StoreError: if it cannot be written.
        """
        for case in job.cases:
            self.rows[case] = self._journal.put(self._journal.whole(case) | {"choice": plain(found)})

    def _stand(self, name: str, reason: str) -> bool:
        """Keep the numbers that are stored of a case, with a note of why it goes on no further.

        What failed today, such as a build or a runtime that is gone, says nothing about what was timed before.

        Returns:
            Whether there are any.
        """
        row = self._journal.rows.get(name)
        if row is None or not has_numbers(row):
            return False
        failure = {"run_started_at": utc_now(), "reason": reason}
        self.rows[name] = self._journal.put(noted(self._journal.whole(name), failure))
        self.failures[name] = reason
        self._over.add(name)
        return True

    def _judge_others(self, case: Case) -> None:
        """Stop cases of the same model and target, or let them go on, as what is known by now says."""
        found = self._stops(case)
        for name in self._group(case):
            row = self.rows[name]
            if name in found and name not in self._over:
                self._over.add(name)
                self.rows[name] = self._journal.put(self._journal.whole(name) | {"stopped": found[name]})
                self._watch.stopped(self.rows[name])
            elif name in found and name == case.id and row["stopped"]:  # one more process of it came after it stopped
                self.rows[name] = self._journal.put(self._journal.whole(name) | {"stopped": found[name]})
            elif row["stopped"] and name in self._over and name not in found:
                self._over.discard(name)
                self._reopened.add(name)
                self.rows[name] = self._journal.put(self._journal.whole(name) | {"stopped": None})
                self._watch.reopened(self.rows[name])

    def _stops(self, case: Case) -> dict[str, str]:
        settings = self._jobs[case.id].settings
        if not settings.early_stop or settings.order != "round":
            return {}
        group = self._group(case)
        stopped = {name for name in group if name in self._over and self.rows[name]["stopped"]}
        return early_stop.stops(
            [self.rows[name] for name in group],
            self._times,
            planned=settings.processes,
            stopped=stopped,
            over=(self._over - stopped) | self._reopened,
        )

    def _group(self, case: Case) -> list[str]:
        """The cases of the same model and target that have a row."""
        return [name for name in self._groups[compared_by(case)] if name in self.rows]

    def _host_class(self, name: str) -> str:
        """The class of hosts that cases which this one is compared with were timed on; empty where none was."""
        group = sorted(self._group(self._jobs[name].case), key=lambda other: other != name)
        return next((self.rows[one]["fingerprint"] for one in group if self.rows[one]["latency"]), "")

    def _remember(self, name: str) -> None:
        """What a stored case took, round by round; its processes that crashed left gaps."""
        whole = self._journal.whole(name)
        lost = {one["process"] - 1 for one in whole["crashes"] or ()}
        kept: list[ProcessSamples] = [process_of(one) for one in whole["processes"] or ()]
        numbers = (number for number in range(len(kept) + len(lost)) if number not in lost)
        self._times[name] = {number: early_stop.round_time(one) for number, one in zip(numbers, kept, strict=True)}

    def _complete(self, row: Row) -> bool:
        planned = self._jobs[row["case"]].settings.processes
        return not row["latency"] or bool(row["stopped"]) or done(row) >= planned


def compared_by(case: Case) -> tuple[str, str]:
    """What cases that are compared with each other have in common: their model and their target."""
    return case.model.name, case.target.label


def still_valid(row: Row, job: Job) -> bool:
    """Whether a row of an interrupted sweep may stand: nothing failed, and artifact, data and runtime are the same."""
    if row["status"] == "failed":
        return False
    if not isinstance(job.built, Artifact):
        return bool(row["status"] == job.built.status)
    if row.get("measured_by") and job.runtime is not None and runtime_of(row).label != job.runtime.label:
        return False
    same = (row.get("artifact") or {}).get("digest") == job.built.digest
    return bool(same and (row.get("reference") or {}).get("digest") == job.built.reference.digest)
