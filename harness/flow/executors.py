"""Who runs the jobs of a sweep: this process, or a pool of others that share nothing with it but folders."""

from __future__ import annotations

import concurrent.futures as cf
from collections.abc import Iterable, Iterator
from typing import Protocol

from harness.confirmation import ConfirmedChoice
from harness.errors import HarnessError
from harness.flow.confirm import ConfirmJob, confirm_choice
from harness.flow.execute import Job, time_once
from harness.flow.progress import ProcessOutcome
from harness.measure import host_lock
from harness.records import Case


class JobWatcher(Protocol):
    """Somebody who looks on while jobs run."""

    def started(self, case: Case) -> None:
        """A process of a case is about to be measured."""

    def preparing(self, text: str) -> None:
        """Something else that takes a while, in words."""

    def tick(self) -> None:
        """Some time has passed, and no worker of this process is timing at this moment."""


class Executor(Protocol):
    """Runs jobs. A job can be pickled; what it names on the disk must be within reach of whoever runs it."""

    def run(self, jobs: Iterable[Job], watch: JobWatcher) -> Iterator[ProcessOutcome]:
        """Run one process for every job and yield outcomes as they finish, in whatever order.

        The jobs come from a generator that decides as late as it can, so they are not taken before they can run.
        """

    def confirm(self, job: ConfirmJob, watch: JobWatcher) -> ConfirmedChoice:
        """Confirm one choice, on a host that jobs run on."""


class LocalExecutor:
    """One job after the other in this process, while nobody else measures on this host."""

    def run(self, jobs: Iterable[Job], watch: JobWatcher) -> Iterator[ProcessOutcome]:
        """See `Executor`; the order is that of the jobs."""
        for job in jobs:
            with host_lock.alone(watch.preparing):
                watch.started(job.case)
                found = time_once(job, on_burst=watch.tick)
            yield found

    def confirm(self, job: ConfirmJob, watch: JobWatcher) -> ConfirmedChoice:
        """See `Executor`."""
        with host_lock.alone(watch.preparing):
            return confirm_choice(job, on_burst=watch.tick)


class PoolExecutor:
    """Jobs in the processes of a pool from `concurrent.futures`, or of anything with its interface."""

    def __init__(self, pool: cf.Executor, *, width: int = 1) -> None:
        """Use a pool, which stays the caller's.

        Args:
            pool: where jobs are submitted.
            width: jobs in flight at once. More than one per host would disturb each other's timing.
        """
        self.pool = pool
        self.width = width

    def run(self, jobs: Iterable[Job], watch: JobWatcher) -> Iterator[ProcessOutcome]:
        """See `Executor`; nothing ticks, since the workers are not this process's.

        Raises:
            HarnessError: if the pool itself breaks.
        """
        waiting = iter(jobs)
        flying: set[cf.Future[ProcessOutcome]] = set()
        try:
            while True:
                while len(flying) < self.width and (job := next(waiting, None)) is not None:
                    flying.add(self.pool.submit(time_once, job))
                    watch.started(job.case)
                if not flying:
                    return
                done, flying = cf.wait(flying, return_when=cf.FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except cf.BrokenExecutor as error:
            raise HarnessError(
                f"A process that measures has ended ({error}). What was finished is stored: run the command again to "
                f"go on."
            ) from error
        finally:
            for future in flying:
                future.cancel()

    def confirm(self, job: ConfirmJob, watch: JobWatcher) -> ConfirmedChoice:  # noqa: ARG002  (nothing ticks)
        """See `Executor`.

        Raises:
            HarnessError: if the pool itself breaks.
        """
        try:
            return self.pool.submit(confirm_choice, job).result()
        except cf.BrokenExecutor as error:
            raise HarnessError(f"A process that measures has ended ({error}): run the command again.") from error
