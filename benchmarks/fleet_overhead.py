"""What a fleet adds to each process: one worker and two of Dask on this machine, whose hosts wait instead of measuring.

    python benchmarks/fleet_overhead.py

Forty quick cases are given away by the executor of a sweep, to one worker and to two, in turns. A host that waits needs
no processor, so that the ratio is that of a machine which has the cores. Then what a task costs that does nothing:
Dask's own, one after the other, and one of the executor.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from common import host

from harness.fleet import engine, executor, local, simulate
from harness.fleet.model import SLOT, FleetAnswer, SentJob
from harness.flow.execute import Job
from harness.flow.progress import ProcessOutcome
from harness.records import Case
from harness.zoo import FleetSpec

CASES, QUICK_S = 40, 0.5
PORT = 8799


class Nobody:
    """Looks away."""

    def started(self, case: Case) -> None:
        """A process was given away."""

    def preparing(self, text: str) -> None:
        """Something is said."""

    def tick(self) -> None:
        """Time passes."""


def waiting(seconds: float) -> Callable[[SentJob], FleetAnswer]:
    """What a host does instead of measuring."""

    def wait(sent: SentJob) -> FleetAnswer:
        from distributed import get_worker

        time.sleep(seconds)
        found = ProcessOutcome(case=sent.job.case, process=sent.job.process, started_at="")
        return FleetAnswer(address=get_worker().address, outcome=found)

    return wait


def jobs(count: int) -> list[Job]:
    """The first process of so many cases of one class of hosts."""
    asked = simulate.SimulatedSweep(hosts=1, cases=count)
    return simulate.some_jobs(asked, groups=-(-count // simulate.VARIANTS))


@contextmanager
def fleet(workers: int, folder: Path) -> Iterator[engine.Fleet]:
    """A scheduler and workers on this machine."""
    with ExitStack() as stack:
        spec = FleetSpec(scheduler=stack.enter_context(local.scheduler(PORT + workers)))
        for number in range(workers):
            name = f"w{number}"
            stack.enter_context(local.worker(spec, name=name, cache=folder / name, slot=name))
        found = stack.enter_context(engine.Fleet(spec))
        found.client.wait_for_workers(workers, timeout=300)
        found.hosts()
        yield found


def took(there: engine.Fleet, wanted: Sequence[Job], seconds: float) -> tuple[float, float]:
    """Seconds that a sweep's executor takes for these jobs, and of a processor of this process."""
    stands_in = SimpleNamespace(measure=waiting(seconds))
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(executor, "member", stands_in):
        made = executor.FleetExecutor(there, Path(folder))
        began, worked = time.perf_counter(), time.process_time()
        count = sum(1 for _ in made.run(wanted, Nobody()))
        spent = time.perf_counter() - began, time.process_time() - worked
    if count != len(wanted):
        raise SystemExit(f"{count} of {len(wanted)} answers")
    return spent


def empty_task(client: Any) -> float:
    """Seconds that a task of Dask takes that does nothing, from submitting it to its answer."""
    began = time.perf_counter()
    client.submit(int, pure=False, resources={SLOT: 1}).result()
    return time.perf_counter() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5, help="of one worker and two")
    parser.add_argument("--tasks", type=int, default=200, help="that do nothing, of each kind")
    asked = parser.parse_args()
    print(host(), flush=True)
    with tempfile.TemporaryDirectory() as at, fleet(1, Path(at)) as one, fleet(2, Path(at)) as two:
        ratios = []
        for _ in range(asked.turns):
            alone, both = (took(there, jobs(CASES), QUICK_S)[0] for there in (one, two))
            ratios.append(alone / both)
            print(
                f"{CASES} cases of {QUICK_S:g} s: {alone:.1f} s on one worker, {both:.1f} s on two: {alone / both:.2f}",
                flush=True,
            )
        print(f"two workers are {statistics.median(ratios):.2f} times as fast as one (median of {asked.turns})")
        dask = statistics.median(empty_task(one.client) for _ in range(asked.tasks))
        wall, worked = (spent / asked.tasks for spent in took(one, jobs(asked.tasks), 0.0))
        own = f"{dask * 1e3:.1f} ms of Dask's own (median of {asked.tasks})"
        ours = f"{wall * 1e3:.1f} ms by the executor of a sweep, {worked * 1e3:.1f} ms of it of a processor here"
        print(f"a task that does nothing: {own}, {ours}")


if __name__ == "__main__":
    main()
