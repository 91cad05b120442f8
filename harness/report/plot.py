"""One chart for a paper or a slide: which kinds there are, and the data that each takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from harness.errors import UsageError
from harness.records import case_id
from harness.report import choice, downsample, histories
from harness.report.choice import PlotRequest
from harness.report.data import Data, load
from harness.report.figures import across, inside, samples
from harness.report.figures import history as lines
from harness.report.figures import model as charts
from harness.report.figures.base import Figure
from harness.report.pages import history, insides, model
from harness.report.palette import marks
from harness.store import query
from harness.store.rows import Row
from harness.suggest import suggest

PAIRED: Final = ("changes", "ratios")
"""Kinds that take two sides."""

OF_VALUES: Final = ("history", *PAIRED)
"""Kinds that need no samples: values of asv's files are enough."""


def plot(kind: str, request: PlotRequest) -> Figure:
    """A figure.

    Args:
        kind: one of `KINDS`.
        request: what to show.

    Raises:
        UsageError: if the kind is not known, or nothing stored fits the request.
        StoreError: if the results cannot be read.
    """
    if kind not in KINDS:
        raise UsageError(f"plot {kind}: no such kind of chart; {suggest(kind, KINDS)}")
    if request.compare is not None and kind not in PAIRED:
        raise UsageError(f"--compare: plot {kind} shows one side; {' and '.join(PAIRED)} show two")
    if request.metric and kind != "history":
        raise UsageError(f"--metric: plot {kind} shows no metric of choice; history does")
    data = load(request.results, repo=request.repo, since=request.since)
    if data.rows.empty and not data.asv.series:
        why = f"; left out: {data.problems[0]}" if data.problems else ""
        raise UsageError(f"no results under {request.results}; make some with: harness sweep{why}")
    if data.rows.empty and kind not in OF_VALUES:
        raise UsageError(
            f"plot {kind}: {request.results} holds values in asv's files and no samples; from those "
            f"{', '.join(OF_VALUES)} can be drawn, the others need a run of: harness sweep"
        )
    found = KINDS[kind](data, request)
    if found is None or not found["data"]:
        raise UsageError(f"plot {kind}: nothing to draw for that choice; {_instead(kind, data, request)}")
    return found


def _instead(kind: str, data: Data, request: PlotRequest) -> str:
    """Which other charts of an artifact's quality there are for a choice: without labels there is no accuracy."""
    for other in {"accuracy": ["fidelity"], "fidelity": ["accuracy"]}.get(kind, ()):
        found = KINDS[other](data, request)
        if found is not None and found["data"]:
            return f"what is stored of it has no {kind}, and can be drawn by: harness plot {other}"
    return "`harness results` lists what is stored"


def _of_model(draw: Callable[[Any, Any], Figure | None]) -> Callable[[Data, PlotRequest], Figure | None]:
    def drawn(data: Data, request: PlotRequest) -> Figure | None:
        rows = _one_model(data, request)
        frame = model.table(rows, [(model.NEWEST,)] * len(rows))
        return draw(frame[frame["latency_median_s"].notna()], marks(data.rows["variant"].cat.categories))

    return drawn


def _one_model(data: Data, request: PlotRequest) -> list[Row]:
    """The rows of a chart whose lines are named by variant and target."""
    rows = choice.rows(data, request)
    models = sorted({row["model"] for row in rows})
    if len(models) > 1:
        raise UsageError(f"this chart shows one model: choose with --models; {suggest('', models)}")
    return rows


def _fusion(data: Data, request: PlotRequest) -> Figure | None:
    import pandas as pd

    rows = {
        (row["model"], row["variant"]): row for row in choice.rows(data, request) if (row["fusion"] or {}).get("before")
    }
    if len(rows) > 1:
        names = ["/".join(key) for key in rows]
        raise UsageError(f"this chart shows one artifact: choose with --models and --variants; {suggest('', names)}")
    for row in rows.values():
        before, after = row["fusion"]["before"], row["fusion"].get("after") or {}
        counts = [(name, before.get(name, 0), after.get(name, 0)) for name in sorted({*before, *after})]
        return inside.fusion(pd.DataFrame(counts, columns=["operator", "before", "after"]))
    return None


def _placement(data: Data, request: PlotRequest) -> Figure | None:
    rows = _one_model(data, request)
    chart = insides.placement(rows, list(range(len(rows))))
    return chart.figure if chart else None


def _coverage(data: Data, request: PlotRequest) -> Figure:
    import pandas as pd

    names = ("case", "model", "variant", "target", "status", "reason")
    return across.coverage(
        pd.DataFrame(
            [{name: row[name] for name in names} | {"host": row["fingerprint"]} for row in choice.rows(data, request)]
        )
    )


def _raw(
    draw: Callable[[Any, Any], Figure], of: Callable[[Sequence[Mapping[str, Any]]], Mapping[str, Any]]
) -> Callable[[Data, PlotRequest], Figure | None]:
    """A chart of samples.

    Args:
        draw: makes it from a frame.
        of: what the frame's line says of a case's processes; empty where there are no samples.
    """

    def drawn(data: Data, request: PlotRequest) -> Figure | None:
        import pandas as pd

        found: list[dict[str, Any]] = []
        for row, processes in _samples(data, _one_model(data, request)):
            if own := of(processes):
                found.append({"case": row["case"], "variant": row["variant"], "row": len(found), **own})
        return draw(pd.DataFrame(found), marks(data.rows["variant"].cat.categories)) if found else None

    return drawn


def _spread(processes: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    found = downsample.spread(processes)
    return {} if found is None else asdict(found)


def _quantiles(processes: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    found = downsample.quantiles(processes)
    return {"quantiles": found} if found else {}


def _timeline(data: Data, request: PlotRequest) -> Figure | None:
    rows = [row for row in choice.rows(data, request) if row["latency"]]
    if len(rows) > 1:
        raise UsageError(f"this chart shows one case: choose with --models, --variants and --targets; {len(rows)} fit")
    return next((samples.timeline(downsample.timeline(processes)) for _, processes in _samples(data, rows)), None)


def _samples(data: Data, rows: Sequence[Row]) -> list[tuple[Row, list[Mapping[str, Any]]]]:
    keys = {(row["run"], row["case"]): row for row in rows}
    index = data.rows.set_index(["run", "case"]).index
    picked = query.pick(data.rows[index.isin(list(keys))], ("case", "run", "processes"))
    found = {(row["run"], row["case"]): row["processes"] or [] for row in picked}
    return [(row, found[key]) for key, row in keys.items() if key in found]


def _history(data: Data, request: PlotRequest) -> Figure:
    series = histories.collect(data, data.positions)
    one = choice.series(request, series)
    variant = case_id.parts(one.case).variant or one.case
    scans = histories.scans(series)
    return lines.history(
        history.points(data, one),
        scans[one.id, one.metric].changes,
        unit=one.unit,
        title=one.title,
        colour=marks({*data.rows["variant"].cat.categories, variant})[variant].colour,
    )


def _changes(data: Data, request: PlotRequest) -> Figure:
    moved = choice.moved(data, request)
    shown = moved[moved["verdict"].isin(["slower", "faster"])]
    if shown.empty:
        raise UsageError(
            f"plot changes: none of {len(moved)} cases changed between the two sides; `harness plot ratios` draws all"
        )
    return across.changes(shown)


KINDS: Mapping[str, Callable[[Data, PlotRequest], Figure | None]] = {
    "accuracy": _of_model(lambda frame, look: charts.pareto(frame, look, "accuracy")),
    "fidelity": _of_model(lambda frame, look: charts.pareto(frame, look, "fidelity")),
    "latency": _of_model(charts.latency),
    "threads": _of_model(lambda frame, look: charts.scaling(frame, look, "intra_threads")),
    "batch": _of_model(lambda frame, look: charts.scaling(frame, look, "batch")),
    "size": _of_model(lambda frame, look: charts.footprint(frame, look, "artifact_bytes")),
    "memory": _of_model(lambda frame, look: charts.footprint(frame, look, "peak_rss_bytes")),
    "session": _of_model(lambda frame, look: charts.footprint(frame, look, "session_s")),
    "first-inference": _of_model(lambda frame, look: charts.footprint(frame, look, "first_inference_s")),
    "spread": _raw(samples.spread, _spread),
    "ecdf": _raw(samples.ecdf, _quantiles),
    "timeline": _timeline,
    "fusion": _fusion,
    "placement": _placement,
    "coverage": _coverage,
    "history": _history,
    "changes": _changes,
    "ratios": lambda data, request: across.ratios(choice.moved(data, request)),
}
"""Kinds of charts."""
