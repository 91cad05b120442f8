"""The benchmarks that a sweep's numbers become in the history, under the names that asv's suite uses as well.

Every one is larger-is-worse and never negative: asv compares by ratio and looks only for increases.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from harness.providers import short_name
from harness.records import Status
from harness.records.case_id import threads
from harness.store.rows import Row

PARAMETERS = ("model", "variant", "provider", "threads", "batch")

QUANTILES = 101


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One benchmark.

    Attributes:
        name: such as `sweep.track_latency`.
        unit: as asv formats it: `seconds` and `bytes` are scaled for the reader.
        meaning: what the number is, shown on asv's page.
        version: of the meaning. A new one ends every stored series of it, so it changes only with the meaning.
        value: row -> the number, None where the case has none.
        samples: row -> the values that asv computes its statistics from; None for a metric that has just one value.
    """

    name: str
    unit: str
    meaning: str
    value: Callable[[Row], float | None]
    samples: Callable[[Row], list[float]] | None = None
    version: str = "1"

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
    `threads` is the number of intra-op threads, with `-i4` after it where four inter-op threads count.
    """
    short = short_name(row["provider"])
    target = row["target_name"]
    provider = target if target == short or target.startswith(f"{short}-") else f"{short}:{target}"
    intra, inter = row["intra_threads"], row["inter_threads"]
    # A number where it is one: the `repr` of it is a parameter in asv's files.
    return row["model"], row["variant"], provider, intra if inter == 1 else threads(intra, inter), row["batch"]


def latency_samples(row: Row) -> list[float]:
    """What asv's statistics of the latency are computed from, in seconds; their median is `latency.median_s`.

    One value per process, its median: samples of one process agree with each other more than with the next
    process, so pooling them would give intervals that are far too narrow (and a rank test over thousands of samples
    is quadratic in asv). From a single process there is only its own spread: its quantiles in steps of 1%, which
    keep median and quartiles as they are. Every sample is in the run's Parquet file.
    """
    processes = [[ns / 1e9 for ns in process["samples_ns"]] for process in row["processes"] if process["samples_ns"]]
    if len(processes) != 1:
        return [statistics.median(process) for process in processes]
    ordered = sorted(processes[0])
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


def _latency(row: Row) -> float | None:
    return row["latency"]["median_s"] if row["latency"] else None


def _accuracy_drop(row: Row) -> float | None:
    return max(row["accuracy"]["drop"], 0.0) if row["accuracy"] else None


def _fidelity_loss(row: Row) -> float | None:
    if not row["fidelity"]:
        return None
    if row["fidelity"]["max_abs"] == 0:
        return 0.0  # the outputs are the reference's own, so there is no finite ratio
    decibels = row["fidelity"]["centred_sqnr_db"]
    return None if decibels is None else 10 ** (-decibels / 20)


METRICS = (
    Metric(
        name="sweep.track_latency",
        unit="seconds",
        meaning="Steady-state latency of one inference of the whole batch: the median over worker processes of each "
        "process's median.",
        value=_latency,
        samples=latency_samples,
    ),
    Metric(
        name="sweep.track_accuracy_drop",
        unit="fraction",
        meaning="Task metric lost against the fp32 reference on labelled data (0.01 = one point of a hundred); "
        "0 where nothing was lost.",
        value=_accuracy_drop,
    ),
    Metric(
        name="sweep.track_fidelity_loss",
        unit="noise to signal",
        meaning="Error against the fp32 reference's outputs, relative to their spread: 10 ** (-centred SQNR in dB / "
        "20), so that 0.1 is 20 dB and 0.01 is 40 dB. Decibels would be negative, which asv cannot compare.",
        value=_fidelity_loss,
    ),
    Metric(
        name="sweep.track_artifact_size",
        unit="bytes",
        meaning="Size of all files of the artifact.",
        value=lambda row: row["artifact"]["bytes"] if row["artifact"] else None,
    ),
    Metric(
        name="sweep.track_peak_memory",
        unit="bytes",
        meaning="Peak resident memory of the worker process, read from outside; the largest of its processes.",
        value=lambda row: row["peak_rss_bytes"],
    ),
    Metric(
        name="sweep.track_session_creation",
        unit="seconds",
        meaning="Creating the session in a fresh process; the median over processes.",
        value=lambda row: row["session_s"],
        samples=lambda row: [process["session_ns"] / 1e9 for process in row["processes"]],
    ),
    Metric(
        name="sweep.track_first_inference",
        unit="seconds",
        meaning="The first inference in a fresh process; the median over processes.",
        value=lambda row: row["first_inference_s"],
        samples=lambda row: [process["first_inference_ns"] / 1e9 for process in row["processes"]],
    ),
)
