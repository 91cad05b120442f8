"""A model's page: what each variant costs and gains, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from harness.report import links, palette, words
from harness.report.data import Data
from harness.report.pages import insides, model_charts
from harness.report.pages.ship import comparable
from harness.report.pages.tables import cases_table
from harness.report.palette import Mark
from harness.report.parts import Facet, Page, Table, text
from harness.stats.estimate import across
from harness.store import frames, query
from harness.store.rows import Row

if TYPE_CHECKING:
    import pandas as pd

NEWEST = "newest"
"""The choice of runs that takes the newest row of each case."""


COLUMNS: Final = (
    "case", "model", "variant", "target", "target_name", "status", "reason", "intra_threads", "inter_threads", "batch",
    "fingerprint", "run", "latency_median_s", "latency_ci95_low_s", "latency_ci95_high_s", "session_s",
    "first_inference_s", "peak_rss_bytes", "artifact_bytes", "weights_kind", "weights_digest",
    "fidelity_centred_sqnr_db", "fidelity_max_abs", "accuracy_metric", "accuracy_value", "accuracy_reference",
    "budget_accuracy_drop", "budget_accuracy_share", "budget_fidelity_db",
)  # fmt: skip
"""What the charts read, of the columns of `harness.store.frames.frame`."""


Intervals = Mapping[str, tuple[float, float]]
"""Column of a row -> its 95% interval across processes."""

STARTUP: Final = {"session_s": "session_ns", "first_inference_s": "first_inference_ns"}
"""Columns that stand for a number of each process, in nanoseconds."""


def intervals(processes: Sequence[Mapping[str, Any]]) -> Intervals:
    """How well session creation and first inference are known: as for latency, across processes."""
    if len(processes) < 2:  # noqa: PLR2004  (one process says nothing of the next)
        return {}
    return {name: across([max(process[key], 1) / 1e9 for process in processes]) for name, key in STARTUP.items()}


def page(
    data: Data,
    name: str,
    latest: Sequence[Row],
    recent: Sequence[Row],
    marks: Mapping[str, Mark],
    startups: Mapping[tuple[str, str], Intervals],
) -> Page:
    """A model's page.

    Args:
        data: what is stored.
        name: of the model.
        latest: its newest rows, one per case and host.
        recent: its rows of the recent runs, which overlap with `latest`.
        marks: a mark for every variant.
        startups: (run, case) -> what `intervals` says, where its processes were read.
    """
    rows, sets = merged(sorted(latest, key=_place), sorted(recent, key=_place))
    known = [startups.get((row["run"], row["case"]), {}) for row in rows]
    frame = table(rows, sets)
    for column in STARTUP:
        frame[f"{column}_low"] = [of.get(column, (None, None))[0] for of in known]
        frame[f"{column}_high"] = [of.get(column, (None, None))[1] for of in known]
    at = list(range(len(rows)))
    groups = [group for chosen in sorted({s for of in sets for s in of}) for group in _groups(rows, sets, chosen)]
    everything = cases_table(rows, at, groups, root="../")
    path = links.model(name)
    return Page(
        path=path,
        template="model.html.j2",
        title=name,
        facets=_facets(data, rows, sets),
        rows=[
            [row["target_name"], str(row["intra_threads"]), str(row["batch"]), list(of), row["fingerprint"]]
            for row, of in zip(rows, sets, strict=True)
        ],
        context={
            "charts": model_charts.charts(frame, marks, name),
            "grid": model_charts.grid(rows, known),
            "fusion": insides.fusion(rows, at),
            "placement": insides.placement(rows, at),
            "everything": everything,
            "order": rows,
            "weights": _weights(latest),
            "metric": next((row["accuracy"]["metric"] for row in rows if row["accuracy"]), ""),
            "emulated": sum(row["status"] == "emulated" for row in latest),
            "without": _without(rows, at),
        },
    )


def _place(row: Row) -> tuple[Any, ...]:
    return palette.rank(row["variant"]), query.natural(row["target"])


def merged(latest: Sequence[Row], recent: Sequence[Row]) -> tuple[list[Row], list[tuple[str, ...]]]:
    """Rows of both, once each, and for every one the choices of runs that it belongs to."""
    found: dict[tuple[str, str], tuple[Row, list[str]]] = {}
    for row in latest:
        found[row["run"], row["case"]] = (row, [NEWEST])
    runs = {row["run"] for row in recent}
    for row in recent:
        found.setdefault((row["run"], row["case"]), (row, []))
    for (run, _), (_, chosen) in found.items():
        if run in runs:
            chosen.append(run)
    return [row for row, _ in found.values()], [tuple(chosen) for _, chosen in found.values()]


def table(rows: Sequence[Row], sets: Sequence[tuple[str, ...]]) -> pd.DataFrame:
    """Rows as the charts take them: `COLUMNS`, `row` and `sets`."""
    frame = frames.frame(rows, COLUMNS)
    frame["row"] = range(len(rows))
    frame["sets"] = list(sets)
    return frame


def _groups(rows: Sequence[Row], sets: Sequence[tuple[str, ...]], chosen: str) -> list[list[Row]]:
    own = [row for row, of in zip(rows, sets, strict=True) if chosen in of]
    return [group for _, group in comparable(own)]


def _facets(data: Data, rows: Sequence[Row], sets: Sequence[tuple[str, ...]]) -> list[Facet]:
    targets = sorted({row["target_name"] for row in rows}, key=query.natural)
    threads = sorted({row["intra_threads"] for row in rows})
    batches = sorted({row["batch"] for row in rows})
    chosen = {run for of in sets for run in of}
    runs = {run.id: run.label for run in data.runs if run.id in chosen}
    hosts = {host: data.host(host) for host in data.hosts if any(row["fingerprint"] == host for row in rows)}
    return [
        Facet(name="target", label="Target", values={t: t for t in targets}),
        # One setting at first: a variant's points of several would look the same.
        Facet(name="threads", label="Threads", values={str(t): str(t) for t in threads}, chosen=str(threads[0])),
        Facet(name="batch", label="Batch", values={str(b): str(b) for b in batches}, chosen=str(batches[0])),
        Facet(name="run", label="Run", values={NEWEST: "newest of each case"} | runs, chosen=NEWEST, every=False),
        # Never all of them: a chart over several machines would draw their points on top of each other.
        Facet(name="host", label="Host", values=hosts, chosen=next(iter(hosts)), every=False),
    ]


def _weights(latest: Sequence[Row]) -> list[dict[str, str]]:
    found = {
        (row["weights"]["kind"], row["weights"]["digest"]): row["weights"]["reason"] or ""
        for row in latest
        if row["weights"]
    }
    return [{"kind": kind, "digest": digest[:12], "reason": reason} for (kind, digest), reason in found.items()]


def _without(every: Sequence[Row], at: Sequence[int]) -> Table | None:
    rows = [(row, place) for row, place in zip(every, at, strict=True) if row["status"] != "measured"]
    if not rows:
        return None
    return Table(
        columns=("variant", "target", "status", "reason"),
        rows=[
            [
                text(row["variant"], href="../" + links.case(row["case"])),
                text(row["target"]),
                text(row["status"], kind=f"status status-{row['status']}"),
                text(row["reason"] or words.NONE),
            ]
            for row, _ in rows
        ],
        at=[place for _, place in rows],
        caption="Emulated, unsupported, skipped and failed cases",
    )
