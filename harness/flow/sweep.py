"""The whole program: zoo -> plan -> build -> measure and evaluate -> store.

Read `sweep` from top to bottom; every line is a package or module. Nothing here prints: what a person sees goes
through a `SweepWatcher`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from harness.build.pipeline import BuildEvent
from harness.flow.execute import Job
from harness.flow.executors import Executor, JobWatcher, LocalExecutor
from harness.flow.preview import Preview, SweepRequest, preview
from harness.flow.session import Session
from harness.records import Artifact, Case, Run
from harness.store.asv import results as asv
from harness.store.files import probe
from harness.store.journal import Journal
from harness.store.rows import runtime_of

Row = Mapping[str, Any]


class SweepWatcher(JobWatcher, Protocol):
    """Somebody who looks on: a console, a test, nobody."""

    def planned(self, preview: Preview) -> None:
        """The plan is known and nothing has happened yet."""

    def building(self, event: BuildEvent) -> None:
        """A build step started or ended."""

    def preparing(self, text: str) -> None:
        """Something else that takes a while, in words: a runtime is being installed."""

    def measuring(self, todo: Sequence[Case], kept: Sequence[Row], problems: Sequence[str]) -> None:
        """Builds are done; `kept` comes from the interrupted sweep that is resumed, `problems` could not be kept."""

    def finished(self, row: Row) -> None:
        """A case is done and stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep leaves behind.

    Attributes:
        rows: every case of the plan, in its order, with the keys of `harness results --format json`.
        samples: the run's Parquet file.
        asv_files: what was written for asv; empty where `why_no_asv` says why.
    """

    run: Run
    rows: tuple[Row, ...]
    samples: Path
    asv_files: tuple[Path, ...]
    why_no_asv: str


def sweep(request: SweepRequest, watch: SweepWatcher, *, executor: Executor | None = None) -> Swept:
    """Build, measure and store every case that was asked for.

    Args:
        request: what a person asked for.
        watch: hears of everything as it happens.
        executor: runs the cases; one after the other in this process where none is given.

    Raises:
        UsageError: if the zoo or the selection is wrong.
        StoreError: if results or cache cannot be written; what was stored before stays.
        KeyboardInterrupt: passed on; everything finished is stored, and the same request resumes.
    """
    ahead = preview(request)
    watch.planned(ahead)
    probe(request.results)
    session = Session.of(ahead, cache=request.cache, results=request.results, say=watch.preparing)
    session.build(on_event=watch.building)
    asv.check(request.results, session.run)
    with Journal.open(request.results, session.run, resume=request.resume) as journal:
        jobs = [session.job(case) for case in session.cases]
        earlier = [(job, row) for job in jobs if (row := journal.rows.get(job.case.id)) is not None]
        kept: dict[str, Row] = {job.case.id: row for job, row in earlier if still_valid(row, job)}
        todo = [job for job in jobs if job.case.id not in kept]
        watch.measuring([job.case for job in todo], list(kept.values()), journal.problems)
        for outcome in (executor or LocalExecutor()).run(todo, watch):
            kept[outcome.case.id] = journal.append(outcome)
            watch.finished(kept[outcome.case.id])
        why_not = session.checkout.why_not_clean
        # Before the run is finished: a damaged asv file then leaves it open, and nothing is measured again.
        asv_files = () if why_not else asv.write(request.results, journal.run, journal.read())
        samples = journal.finish()

    rows = tuple(kept[case.id] for case in session.cases)
    return Swept(run=journal.run, rows=rows, samples=samples, asv_files=asv_files, why_no_asv=why_not)


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
