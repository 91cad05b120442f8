"""The nouns of history: points, the series they form, and what two points must share to stand in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Final, NamedTuple

from harness.errors import StoreError

FOREIGN = ("pytest.", "optimum.")
"""How the benchmarks begin that `harness import` makes of other tools' files."""


class Key(NamedTuple):
    """What the points of one series have in common; the fields are those of `Series`."""

    case: str
    metric: str
    unit: str
    host: str
    runtime: str
    weights: str
    environment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One value of a series.

    Attributes:
        commit: the full hash; None for a run outside git.
        commit_time: of the commit, in milliseconds since the epoch.
        value: in the series' unit; larger is worse. None where the case failed.
        status: as in the run, or `failed`; asv's files know only `measured` and `failed`.
        low, high: the interval of the value, where there is one.
        confidence: of that interval: 0.95 from samples, 0.99 from asv's files.
        n: worker processes (or asv's samples) behind the value; 1 where the value is deterministic.
        dirty: the working tree differed from the commit.
        started_at: of the run, ISO 8601 in UTC; empty where asv's file does not tell.
        source: `samples` (Parquet) or `asv`.
        run: the sweep's id; None in asv's files.
        position: place of the commit in git's order, oldest 0; None for a commit that this clone does not have.
        reference_ns: what the reference workload took in the same processes, the median; None where it was not asked
            for, or not timed.
    """

    commit: str | None
    commit_time: int | None
    value: float | None
    status: str
    low: float | None
    high: float | None
    confidence: float | None
    n: int
    dirty: bool
    started_at: str
    source: str
    run: str | None
    position: int | None
    reference_ns: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The history of one metric of one case on one host, runtime and set of weights.

    Attributes:
        case: harness's case id, such as `resnet50/int8-static/cpu-t2-b1`; of an imported benchmark its name and
            parameters.
        metric: such as `latency`, or `pytest`, or `optimum.forward.latency`.
        unit: as asv has it: `seconds`, `bytes`, ...
        host: the host's fingerprint; asv's name of the machine where there is none.
        runtime: version and flavour of onnxruntime, such as `1.31.1+gpu`.
        weights: such as `resnet50-seeded-5e6f7a8b`; what asv's environment asked for where it says no more.
        environment: asv's name of it; a sweep's and asv's own never share a series.
        points: in git's order; commits that this clone does not have by time, after the others. A commit that was
            measured several times has several points, in order of their runs. A tuple, or columns that read like one
            (`harness.store.point_columns`).
    """

    case: str
    metric: str
    unit: str
    host: str
    runtime: str
    weights: str
    environment: str
    points: Sequence[Point]

    @property
    def key(self) -> Key:
        """What tells this series from every other."""
        return Key(self.case, self.metric, self.unit, self.host, self.runtime, self.weights, self.environment)


POINT_FIELDS: Final = tuple(field.name for field in fields(Point))
SERIES_FIELDS: Final = tuple(field.name for field in fields(Series) if field.name != "points")
"""The columns of a table that has a line for each point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Series in natural order of case, then by metric as harness lists them.

    Attributes:
        problems: files, or benchmarks of files, that were left out and why, one error each.
        notes: what else a reader has to know: runs from the future.
    """

    series: tuple[Series, ...]
    problems: tuple[StoreError, ...] = ()
    notes: tuple[str, ...] = ()


def when(point: Point) -> float:
    """When a point's commit was made, else when it was measured; milliseconds since the epoch."""
    return float(point.commit_time) if point.commit_time is not None else epoch_ms(point.started_at)


def epoch_ms(text: str) -> float:
    """ISO 8601 as milliseconds since the epoch, UTC where it names no zone; 0 for what is not a time."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000


def iso(milliseconds: object) -> str:
    """Milliseconds since the epoch as ISO 8601 in UTC; empty for what is not a time."""
    if not isinstance(milliseconds, (int, float)):
        return ""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return ""
