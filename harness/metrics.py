"""The numbers that every case has, in one list: name, unit, direction, margin, noise and wording.

asv's benchmarks, a gate's findings, the histories and the tables of report and terminal are made from it. A metric is
added here, together with the column that holds its value (`harness.store.columns`) and, where a worker reports it, with
where its value comes from: `harness.store.rows` of a run, `harness.gate.timing.phases` of a pair.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric of a case. Larger is worse, and no value is negative: asv compares by ratio and looks for increases.

    Attributes:
        name: such as `peak_memory`, in histories, on the command line and behind `sweep.track_` in asv's files.
        unit: `seconds` and `bytes` are scaled for the reader.
        meaning: what the number is, shown on asv's pages.
        column: the stored column that holds it, or what it is computed from, such as `latency.median_s`.
        reads: every stored column that its value or its interval is computed from.
        noisy: whether it differs from process to process; of the others every step is a change.
        option: which of a gate's settings is its margin.
        margin: that setting where nothing else is asked for: the growth that is allowed, as a fraction; points of
            accuracy and decibels of fidelity.
        threshold: by how much it must grow before asv calls it a regression, as a fraction.
        label: what it is called.
        subject: how a gate's sentence about it begins.
        worse, better: the words for a ratio above 1 and for one below.
        title: over a chart of its own; empty where it has none.
        heading: over its column in a table of everything that a worker reports; empty where it is not in there.
        short: over its column in the terminal; empty where it is not in that table, or in one of its own making.
        finest: digits below this are rounding of the arithmetic, not a step; None where every digit counts.
        version: of the meaning. A new one ends every stored series of it, so it changes only with the meaning.
        earlier: versions before that stay readable, each with what its series are called apart by.
    """

    name: str
    unit: str
    meaning: str
    column: str
    reads: tuple[str, ...]
    noisy: bool
    option: str
    margin: float
    threshold: float
    label: str
    subject: str
    worse: str = "larger"
    better: str = "smaller"
    title: str = ""
    heading: str = ""
    short: str = ""
    finest: float | None = None
    version: str = "1"
    earlier: Mapping[str, str] = field(default_factory=dict, hash=False)


LATENCY: Final = Metric(
    name="latency",
    unit="seconds",
    meaning="Steady-state latency of one inference of the whole batch: the median over worker processes of each "
    "process's median. Since version 2 inputs rotate through the evaluation examples.",
    column="latency.median_s",
    reads=("latency.median_s", "latency.ci95_low_s", "latency.ci95_high_s"),
    noisy=True,
    option="max_slowdown",
    margin=0.01,
    threshold=0.05,
    label="latency",
    subject="",
    worse="slower",
    better="faster",
    version="2",
    earlier={"1": "first input only"},
)
ACCURACY_DROP: Final = Metric(
    name="accuracy_drop",
    unit="fraction",
    meaning="Task metric lost against the fp32 reference on labelled data (0.01 = one point of a hundred); "
    "0 where nothing was lost.",
    column="accuracy.drop",
    reads=("accuracy.drop",),
    noisy=False,
    option="max_accuracy_drop",
    margin=0.01,
    threshold=0,
    label="accuracy drop",
    subject="accuracy drop ",
    finest=1e-6,
)
FIDELITY_LOSS: Final = Metric(
    name="fidelity_loss",
    unit="noise to signal",
    meaning="Error against the fp32 reference's outputs, relative to their spread, of the worst output or part of one: "
    "10 ** (-centred SQNR in dB / 20), so that 0.1 is 20 dB and 0.01 is 40 dB. Decibels would be negative, which asv "
    "cannot compare.",
    column="fidelity.centred_sqnr_db",
    reads=("fidelity.max_abs", "fidelity.centred_sqnr_db", "fidelity.worst"),
    noisy=False,
    option="max_fidelity_drop",
    margin=3.0,
    threshold=0.1,
    label="fidelity loss",
    subject="error against the reference ",
    finest=1e-6,
    version="2",  # of the worst part, and of floating-point numbers alone
    earlier={"1": "whole outputs only"},
)
ARTIFACT_SIZE: Final = Metric(
    name="artifact_size",
    unit="bytes",
    meaning="Size of all files of the artifact.",
    column="artifact.bytes",
    reads=("artifact.bytes",),
    noisy=False,
    option="max_size",
    margin=0.01,
    threshold=0,
    label="artifact size",
    subject="artifact ",
    title="Artifact size",
)
PEAK_MEMORY: Final = Metric(
    name="peak_memory",
    unit="bytes",
    meaning="Peak resident memory of the worker process, read from outside; the largest of its processes.",
    column="peak_rss_bytes",
    reads=("peak_rss_bytes",),
    noisy=True,
    option="max_memory",
    margin=0.05,
    threshold=0.05,
    label="peak memory",
    subject="peak memory ",
    title="Peak memory of the worker",
    heading="peak memory",
)
MODEL_MEMORY: Final = Metric(
    name="model_memory",
    unit="bytes",
    meaning="What opening and running the model added to the memory that the worker process holds of its own, without "
    "Python, NumPy and onnxruntime themselves; the median over processes.",
    column="model_bytes",
    reads=("model_bytes",),
    noisy=True,
    option="max_memory",
    margin=0.05,
    threshold=0.05,
    label="model memory",
    subject="memory of the model ",
    title="Memory of the model",
    heading="model memory",
    short="memory",
)
SESSION_CREATION: Final = Metric(
    name="session_creation",
    unit="seconds",
    meaning="Creating the session in a fresh process; the median over processes.",
    column="session_s",
    reads=("session_s",),
    noisy=True,
    option="max_startup",
    margin=0.25,
    threshold=0.5,
    label="session creation",
    subject="session creation ",
    worse="slower",
    better="faster",
    title="Session creation",
    heading="session",
)
FIRST_INFERENCE: Final = Metric(
    name="first_inference",
    unit="seconds",
    meaning="The first inference in a fresh process; the median over processes.",
    column="first_inference_s",
    reads=("first_inference_s",),
    noisy=True,
    option="max_startup",
    margin=0.25,
    threshold=0.5,
    label="first inference",
    subject="first inference ",
    worse="slower",
    better="faster",
    title="First inference",
    heading="first inference",
)
SESSION_CPU: Final = Metric(
    name="session_cpu",
    unit="seconds",
    meaning="Processor time of all threads while the session was created in a fresh process; the median over "
    "processes.",
    column="session_cpu_s",
    reads=("session_cpu_s",),
    noisy=True,
    option="max_startup",
    margin=0.25,
    threshold=0.5,
    label="processor time of session creation",
    subject="processor time of session creation ",
    title="Processor time of session creation",
    heading="session CPU",
)
SESSION_PEAK: Final = Metric(
    name="session_peak",
    unit="bytes",
    meaning="Peak resident memory of the worker process once the session was created, before anything ran; the largest "
    "of its processes.",
    column="session_peak_bytes",
    reads=("session_peak_bytes",),
    noisy=True,
    option="max_memory",
    margin=0.05,
    threshold=0.05,
    label="peak memory of session creation",
    subject="peak memory of session creation ",
    title="Peak memory of session creation",
    heading="session memory",
)
COLD_START: Final = Metric(
    name="cold_start",
    unit="seconds",
    meaning="From the start of a fresh process to its first result: the interpreter, the runtime's libraries, the "
    "session, the inputs and the first inference, with files as the page cache has them; the median over processes.",
    column="cold_start_s",
    reads=("cold_start_s",),
    noisy=True,
    option="max_startup",
    margin=0.25,
    threshold=0.5,
    label="cold start",
    subject="cold start ",
    worse="slower",
    better="faster",
    title="Cold start",
    heading="cold start",
)
EXAMPLE_TIME: Final = Metric(
    name="time_per_example",
    unit="seconds",
    meaning="The inverse of the throughput that a scenario found, multi-stream, offline or server; the median over "
    "processes. Nothing in single-stream, where the latency says it.",
    column="load.example_s",
    reads=("load.example_s",),
    noisy=True,
    option="max_slowdown",
    margin=0.01,
    threshold=0.05,
    label="time per example",
    subject="time per example ",
    worse="slower",
    better="faster",
    title="Time per example under load",
    heading="time per example",
)
COLD_DISK_START: Final = Metric(
    name="cold_disk_start",
    unit="seconds",
    meaning="As cold_start, in a process of its own; before it started, the files of the artifact and of the runtime's "
    "libraries were dropped from the page cache; the median over processes. Only where a sweep was asked for it.",
    column="cold_disk_start_s",
    reads=("cold_disk_start_s",),
    noisy=True,
    option="max_startup",
    margin=0.25,
    threshold=0.5,
    label="cold start from the disk",
    subject="cold start from the disk ",
    worse="slower",
    better="faster",
    title="Cold start from the disk",
    heading="cold disk",
)
MEMORY_GROWTH: Final = Metric(
    name="memory_growth",
    unit="bytes",
    meaning="What a thousand inferences add to the memory that the worker holds of its own, once it is warm: the "
    "median slope between its bursts, 0 below 64 KiB or where it added less than 256 KiB; the median over processes.",
    column="memory_growth_bytes",
    reads=("memory_growth_bytes",),
    noisy=True,
    option="max_memory",
    margin=0.05,
    threshold=0.5,
    label="memory growth per 1000 inferences",
    subject="memory growth per 1000 inferences ",
    title="Memory growth per 1000 inferences",
    heading="growth",
)

ENERGY: Final = Metric(
    name="energy",
    unit="joules",
    meaning="Energy of one inference of the whole batch: what the counters of processors and their memory "
    "(RAPL), or of the GPU (NVML), added up to over the timed samples, whatever else ran there meanwhile; the median "
    "over processes. Nothing where no counter can be read.",
    column="energy.inference_j",
    reads=("energy.inference_j",),
    noisy=True,
    option="max_energy",
    margin=0.05,
    threshold=0.05,
    label="energy per inference",
    subject="energy per inference ",
    title="Energy of one inference",
    heading="energy",
    short="energy",
)
TRANSFER: Final = Metric(
    name="transfer",
    unit="seconds",
    meaning="Copying the inputs of one batch to the device and its outputs back, which is in no latency: the median of "
    "copies between a process's bursts; the median over processes. Nothing where inputs and outputs lie in the host's "
    "memory, so that nothing is copied.",
    column="transfer_s",
    reads=("transfer_s",),
    noisy=True,
    option="max_slowdown",
    margin=0.01,
    threshold=0.25,
    label="transfer",
    subject="transfer ",
    worse="slower",
    better="faster",
    title="Copies to the device and back",
    heading="transfer",
)

METRICS: Final = (
    LATENCY, ACCURACY_DROP, FIDELITY_LOSS, ARTIFACT_SIZE, PEAK_MEMORY, MODEL_MEMORY, SESSION_CREATION, FIRST_INFERENCE,
    SESSION_CPU, SESSION_PEAK, COLD_START, EXAMPLE_TIME, COLD_DISK_START, MEMORY_GROWTH, ENERGY,
    TRANSFER,
)  # fmt: skip
"""Every metric, in the order in which histories and asv's files have them."""

BY_NAME: Final[Mapping[str, Metric]] = {metric.name: metric for metric in METRICS}


def reader(column: str) -> Callable[[Mapping[str, Any]], Any]:
    """What `stored` finds of a column, for who reads it from thousands of rows."""
    names = column.split(".")
    if len(names) > 2:  # noqa: PLR2004  (a column and its field)
        return lambda row: stored(row, column)
    outer, inner = names[0], names[-1]
    if len(names) == 1:
        return lambda row: row.get(outer)
    return lambda row: None if (held := row.get(outer)) is None else held.get(inner)


def stored(row: Mapping[str, Any], column: str) -> Any:
    """A stored value by its column, such as `latency.median_s`; None where a part of the way is absent."""
    name, _, rest = column.partition(".")
    value: Any = row.get(name)
    while rest and value is not None:
        name, _, rest = rest.partition(".")
        value = value.get(name)
    return value
