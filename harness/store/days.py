"""How fast the reference workload was on earlier days, by host, runtime and case.

Run as a module it is the child that reads the store: a database and data frames have no place in a process that
measures, whose memory is bounded.
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Final

from harness import jobs
from harness.errors import StoreError
from harness.processes import OutOfTime
from harness.store import stored_files
from harness.store.clock import limit
from harness.store.rows import runtime_of

COMMAND: Final = (sys.executable, "-P", "-m", "harness.store.days")

NEWEST = 30
"""Days that are looked at: what was before tells of another time."""

SELECT = {
    "day": "run_started_at[:10]",
    "host": "fingerprint",
    "case": '"case"',
    "name": "measured_by.name",
    "version": "measured_by.version",
    "package": "measured_by.package",
    "pace": "pace.median_s",
}


@dataclass(frozen=True, slots=True, order=True)
class Beside:
    """What the reference workload was timed beside: its time may differ from case to case, and between runtimes."""

    host: str
    case: str
    name: str
    version: str
    package: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Beside:
        """Of a stored row."""
        by = runtime_of(row)
        return cls(row["fingerprint"], row["case"], by.name, by.version, by.package)


Day = Mapping[Beside, float]
"""Logarithms of its time in seconds, of the last run of the day that has the case."""


def earlier(results: Path, before: str) -> Sequence[Day]:
    """The newest days before one, oldest first; none where the store cannot be read.

    Args:
        results: the results folder.
        before: a time as ISO 8601 in UTC; its own day does not count, since runs of one day know of the same drift.
    """
    from harness.store import query

    try:
        found, _ = query.arrow_table(results, SELECT)
    except StoreError:
        return ()
    days: dict[str, dict[Beside, float]] = {}
    last = min(before, limit())[:10]
    columns = [found[name].to_pylist() for name in SELECT] if found is not None else []
    for day, host, case, name, version, package, pace in zip(*columns, strict=True):
        if isinstance(name, str) and isinstance(pace, float) and pace > 0 and day < last:
            days.setdefault(day, {})[Beside(host, case, name, version or "", package or "")] = math.log(pace)
    return [days[day] for day in sorted(days)[-NEWEST:]]


def read_apart(results: Path, before: str) -> Sequence[Day]:
    """As `earlier`, read by a child; none either where there is nothing yet, or the child comes to no answer."""
    try:
        if not stored_files.finished_files(results):
            return ()
        job = {"results": str(results.absolute()), "before": before}
        with jobs.child(COMMAND, job, environment=os.environ) as child:
            said = next(iter(child.messages()), {})
    except (StoreError, OSError, OutOfTime):
        return ()
    return [{Beside(*key): pace for *key, pace in day} for day in said.get("days", ())]


def main() -> None:
    """Answer one job."""
    channel = jobs.private_channel()
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=jobs.leave_with_parent, daemon=True).start()
    days = earlier(Path(job["results"]), job["before"])
    jobs.send(channel, days=[[[*astuple(beside), pace] for beside, pace in day.items()] for day in days])


if __name__ == "__main__":
    main()
