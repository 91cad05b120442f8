"""The benchmarks that a sweep's numbers become in the history, under the names that asv's suite uses as well.

Every one is larger-is-worse and never negative: asv compares by ratio and looks only for increases.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from harness.metrics import (
    ACCURACY_DROP,
    FIDELITY_LOSS,
    FIRST_INFERENCE,
    LATENCY,
    METRICS,
    SESSION_CREATION,
    Metric,
    stored,
)
from harness.providers import short_name
from harness.records import Status
from harness.records.case_id import size, threads
from harness.store.rows import Row

PARAMETERS = ("model", "variant", "provider", "threads", "batch")

PREFIX = "sweep.track_"

QUANTILES = 101


@dataclass(frozen=True, slots=True, kw_only=True)
class AsvBenchmark:
    """One metric as asv has it.

    Attributes:
        metric: what it is of.
        value: row -> the number, None where the case has none.
        samples: row -> the values that asv computes its statistics from; None for a metric that has just one value.
    """

    metric: Metric
    value: Callable[[Row], float | None]
    samples: Callable[[Row], list[float]] | None = None

    @property
    def name(self) -> str:
        """Such as `sweep.track_latency`."""
        return f"{PREFIX}{self.metric.name}"

    @property
    def unit(self) -> str:
        """As asv formats it."""
        return self.metric.unit

    @property
    def meaning(self) -> str:
        """What the number is."""
        return self.metric.meaning

    @property
    def version(self) -> str:
        """Of the meaning."""
        return self.metric.version

    def told_apart(self, version: str) -> str:
        """What follows an environment's name in series of this version of the metric; empty for the present one.

        Raises:
            KeyError: numbers of that version cannot be read any more.
        """
        return "" if version == self.version else f" ({self.metric.earlier[version]})"

    @property
    def type(self) -> str:
        """The kind of benchmark, as asv has it."""
        return "time" if self.unit == "seconds" else "track"


def parameters(row: Row) -> tuple[str, ...]:
    """A case's place on the axes `PARAMETERS`, each value as the `repr` that asv stores."""
    return tuple(repr(value) for value in place(row))


def place(row: Row) -> tuple[str | int, ...]:
    """A case's place on the axes `PARAMETERS`.

    `provider` is the provider's short name. A target with a name of its own appears by it (`cpu-nospin`), with the
    provider before it where the name does not begin with it (`cpu:mine`): two targets never share a series.
    `threads` is the number of intra-op threads, with `-i4` after it where four inter-op threads count; `batch` has how
    requests arrive behind it where that is not single-stream: `1-multi4`.
    """
    short = short_name(row["provider"])
    target = row["target_name"]
    provider = target if target == short or target.startswith(f"{short}-") else f"{short}:{target}"
    intra, inter = row["intra_threads"], row["inter_threads"]
    # A number where it is one: the `repr` of it is a parameter in asv's files.
    batch = size(row["batch"], row.get("scenario") or "")
    return row["model"], row["variant"], provider, intra if inter == 1 else threads(intra, inter), batch


def latency_samples(row: Row) -> list[float]:
    """What asv's statistics of the latency are computed from, in seconds; their median is `latency.median_s`.

    One value per process, its median: samples of one process agree with each other more than with the next
    process, so pooling them would give intervals that are far too narrow (and a rank test over thousands of samples
    is quadratic in asv). From a single process there is only its own spread: its quantiles in steps of 1%, which
    keep median and quartiles as they are. Every sample is in the run's Parquet file.
    """
    processes = [process["samples_ns"] for process in row["processes"] if process["samples_ns"]]
    if len(processes) != 1:
        return [statistics.median(process) / 1e9 for process in processes]
    ordered = [ns / 1e9 for ns in sorted(processes[0])]
    if len(ordered) <= QUANTILES:
        return ordered
    return [_quantile(ordered, step / (QUANTILES - 1)) for step in range(QUANTILES)]


def nullable(value: Callable[[Row], float | None], row: Row) -> float | None:
    """A metric's value as asv keeps it: None where the case failed, NaN where it has no such number."""
    if row["status"] == Status.FAILED:
        return None
    found = value(row) if Status(row["status"]).has_numbers else None
    return float("nan") if found is None else found


def _quantile(ordered: list[float], q: float) -> float:
    """Linear interpolation between order statistics, as asv does it."""
    position = (len(ordered) - 1) * q
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def _accuracy_drop(row: Row) -> float | None:
    drop = stored(row, ACCURACY_DROP.column)
    return None if drop is None else max(drop, 0.0)


def _fidelity_loss(row: Row) -> float | None:
    if stored(row, "fidelity.max_abs") == 0:
        return 0.0  # the outputs are the reference's own, so there is no finite ratio
    decibels = stored(row, FIDELITY_LOSS.column)
    return None if decibels is None else 10 ** (-decibels / 20)


def _column(metric: Metric) -> Callable[[Row], float | None]:
    return lambda row: stored(row, metric.column)


def _of_processes(name: str) -> Callable[[Row], list[float]]:
    """What each process took, in seconds, from a field in nanoseconds."""
    return lambda row: [process[name] / 1e9 for process in row["processes"]]


COMPUTED: Final[Mapping[str, Callable[[Row], float | None]]] = {
    ACCURACY_DROP.name: _accuracy_drop,
    FIDELITY_LOSS.name: _fidelity_loss,
}
"""Metrics whose value is not simply that of their column."""

SAMPLES: Final[Mapping[str, Callable[[Row], list[float]]]] = {
    LATENCY.name: latency_samples,
    SESSION_CREATION.name: _of_processes("session_ns"),
    FIRST_INFERENCE.name: _of_processes("first_inference_ns"),
}

BENCHMARKS: Final = tuple(
    AsvBenchmark(metric=metric, value=COMPUTED.get(metric.name) or _column(metric), samples=SAMPLES.get(metric.name))
    for metric in METRICS
)

SHORT: Final[Mapping[str, str]] = {benchmark.name: benchmark.metric.name for benchmark in BENCHMARKS}
"""asv's name of a metric -> its name for people, such as `latency`."""
