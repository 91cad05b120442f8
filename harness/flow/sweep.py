"""The whole program: zoo -> plan -> build -> measure and evaluate -> store.

Read `sweep` from top to bottom; every line is a package or module. Nothing here prints: what a person sees goes
through a `SweepWatcher`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from harness.build.pipeline import BuildEvent
from harness.flow.executors import Executor, JobWatcher, LocalExecutor
from harness.flow.preview import Preview, SweepRequest, preview
from harness.flow.rounds import SweepRounds
from harness.flow.session import BuildAll, Session, TryTargets
from harness.records import Case, HostInfo, Run
from harness.store import days
from harness.store.asv import results as asv
from harness.store.files import probe
from harness.store.journal import Journal

Row = Mapping[str, Any]


class SweepWatcher(JobWatcher, Protocol):
    """Somebody who looks on: a console, a test, nobody."""

    def planned(self, preview: Preview) -> None:
        """The plan is known and nothing has happened yet."""

    def building(self, event: BuildEvent) -> None:
        """A build step started or ended."""

    def confirming(self, number: int, of: int, text: str) -> None:
        """A choice is about to be confirmed, counted from 1, in words."""

    def measuring(
        self, todo: Sequence[Case], kept: Sequence[Row], begun: Sequence[Row], problems: Sequence[str]
    ) -> None:
        """Builds are done.

        Args:
            todo: the cases that have processes to run.
            kept: rows of the interrupted sweep that is resumed which are complete.
            begun: those that have processes to come.
            problems: what could not be kept.
        """

    def round(self, number: int, of: int) -> None:
        """A round begins, counted from 1: one process of every case."""

    def sharpened(self, row: Row) -> None:
        """One more process of a case is stored, and more are to come."""

    def finished(self, row: Row) -> None:
        """The last process of a case is stored."""

    def stopped(self, row: Row) -> None:
        """A case gets no further process, since it cannot be the fastest; the row's `stopped` says why."""

    def reopened(self, row: Row) -> None:
        """A case that had stopped goes on: what it was slower than has dropped out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep leaves behind.

    Attributes:
        rows: every case of the plan, in its order, with the keys of `harness results --format json`.
        samples: the run's Parquet file.
        asv_files: what was written for asv; empty where `why_no_asv` says why.
        failures: cases whose numbers of an interrupted sweep stand although they failed now, and why they failed.
    """

    run: Run
    rows: tuple[Row, ...]
    samples: Path
    asv_files: tuple[Path, ...]
    why_no_asv: str
    failures: Mapping[str, str] = field(default_factory=dict)


def sweep(
    request: SweepRequest,
    watch: SweepWatcher,
    *,
    executor: Executor | None = None,
    attempt: TryTargets | None = None,
    measured_on: HostInfo | None = None,
    builds: BuildAll | None = None,
) -> Swept:
    """Build, measure and store every case that was asked for.

    Args:
        request: what a person asked for.
        watch: hears of everything as it happens.
        executor: runs the cases; one after the other in this process where none is given.
        attempt: tries targets where the executor has its hosts; on this one where it is not given.
        measured_on: the host that stands for the run; this one where it is not given.
        builds: builds what is not built yet; this host does where it is not given.

    Raises:
        UsageError: if the zoo or the selection is wrong.
        StoreError: if results or cache cannot be written; what was stored before stays.
        KeyboardInterrupt: passed on; everything finished is stored, and the same request resumes.
    """
    ahead = preview(request)
    watch.planned(ahead)
    probe(request.results)
    session = Session.of(
        ahead,
        cache=request.cache,
        results=request.results,
        attempt=attempt,
        measured_on=measured_on,
        builds=builds,
        say=watch.preparing,
    )
    session.build(on_event=watch.building)
    asv.check(request.results, session.run)
    with Journal.open(request.results, session.run, resume=request.resume) as journal:
        rounds = SweepRounds([session.job(case) for case in session.cases], journal, watch)
        watch.measuring(rounds.todo(), rounds.complete(), rounds.begun(), journal.problems)
        runner = executor or LocalExecutor()
        while rounds.todo():  # once, unless a case goes on that had stopped early
            for found in runner.run(rounds.jobs(), watch):
                rounds.take(found)
                for said in found.remade:
                    watch.preparing(said)
        rounds.widen(days.read_apart(request.results, journal.run.started_at))
        choices = [*rounds.choices()] if request.confirm else []
        for number, again in enumerate(choices, start=1):
            watch.confirming(number, len(choices), again.text)
            rounds.choose(again, runner.confirm(again, watch))
        why_not = session.checkout.why_not_clean
        # Before the run is finished: a damaged asv file then leaves it open, and nothing is measured again.
        asv_files = () if why_not else asv.write(request.results, journal.run, journal.whole_rows())
        samples = journal.finish()

    rows = tuple(rounds.rows[case.id] for case in session.cases)
    return Swept(
        run=journal.run,
        rows=rows,
        samples=samples,
        asv_files=asv_files,
        why_no_asv=why_not,
        failures=rounds.failures,
    )
