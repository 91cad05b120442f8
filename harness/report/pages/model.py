"""A model's page: what each variant costs and gains, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from harness.metrics import METRICS, stored
from harness.report import links, palette, wording
from harness.report.data import Data
from harness.report.downsample import OUTLIER, Spread
from harness.report.figures import model as figures
from harness.report.figures import samples as raw
from harness.report.figures.base import Record, records
from harness.report.figures.pareto import limit
from harness.report.pages import insides
from harness.report.pages.ship import comparable
from harness.report.pages.tables import cases_table, reasons_table
from harness.report.palette import SeriesStyle
from harness.report.parts import Cell, Chart, Facet, Grid, Page, Pick, Table, num, text
from harness.stats.estimate import across
from harness.store import frames, query
from harness.store.rows import Row

if TYPE_CHECKING:
    import pandas as pd


NEWEST = "newest"
"""The choice of runs that takes the newest row of each case."""


FRAME_COLUMNS: Final = (
    "case", "model", "variant", "target", "target_name", "status", "reason", "intra_threads", "inter_threads", "batch",
    "scenario", "fingerprint", "run", "latency_median_s", "latency_ci95_low_s", "latency_ci95_high_s", "session_s",
    "first_inference_s", "peak_rss_bytes", "model_bytes", "artifact_bytes", "weights_kind", "weights_digest",
    "fidelity_centred_sqnr_db", "fidelity_max_abs", "accuracy_metric", "accuracy_value", "accuracy_reference",
    "budget_accuracy_drop", "budget_accuracy_share", "budget_fidelity_db",
    "session_cpu_s", "session_peak_bytes", "cold_start_s", "cold_disk_start_s", "load_example_s", "memory_growth_bytes",
    "energy_inference_j", "transfer_s",
)  # fmt: skip
"""What the charts read, of the columns of `harness.store.frames.frame`."""


COLUMN_OF: Final = {metric.column.replace(".", "_"): metric.column for metric in METRICS if metric.title}
"""Column of a frame that a chart shows -> the stored one."""

WHERE_KNOWN: Final = frozenset(FRAME_COLUMNS[-8:])
"""Those that have a chart only where a row says something of them."""

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
    marks: Mapping[str, SeriesStyle],
    startups: Mapping[tuple[str, str], Intervals],
    spreads: Mapping[tuple[str, str], Spread],
) -> Page:
    """A model's page.

    Args:
        data: what is stored.
        name: of the model.
        latest: its newest rows, one per case and host.
        recent: its rows of the recent runs, which overlap with `latest`.
        marks: a mark for every variant.
        startups: (run, case) -> what `intervals` says, where its processes were read.
        spreads: (run, case) -> where its samples lie, of the same.
    """
    rows, sets = merged(sorted(latest, key=_place), sorted(recent, key=_place))
    known = [startups.get((row["run"], row["case"]), {}) for row in rows]
    samples = [spreads.get((row["run"], row["case"])) for row in rows]
    frame = table(rows, sets)
    for column in STARTUP:
        frame[f"{column}_low"] = [of.get(column, (None, None))[0] for of in known]
        frame[f"{column}_high"] = [of.get(column, (None, None))[1] for of in known]
    at = list(range(len(rows)))
    by_run = {chosen: _groups(rows, sets, chosen, data.among) for chosen in sorted({s for of in sets for s in of})}
    groups = [group for some in by_run.values() for group in some]
    everything = cases_table(rows, at, groups, root="../", newest=by_run.get(NEWEST, []))
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
            "charts": charts(frame, marks, name, samples),
            "grid": grid(rows, known, samples),
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
    """Rows as the charts take them: `FRAME_COLUMNS`, `row` and `sets`."""
    frame = frames.frame(rows, FRAME_COLUMNS)
    frame["row"] = range(len(rows))
    frame["sets"] = list(sets)
    return frame


def _groups(rows: Sequence[Row], sets: Sequence[tuple[str, ...]], chosen: str, among: Sequence[Row]) -> list[list[Row]]:
    """Rows that may be set against each other; beside the newest those of earlier runs on which a choice may rest."""
    own = [row for row, of in zip(rows, sets, strict=True) if chosen in of]
    if chosen == NEWEST:
        there = {(row["run"], row["case"]): row for row in rows}
        known = {(row["run"], row["case"]) for row in own}
        keys = [((row["run"], row["case"]), row) for row in among]
        own += [there.get(key, row) for key, row in keys if key not in known]
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
    return reasons_table([row for row, _ in rows], "../", [place for _, place in rows])


WHAT: Final = {
    "accuracy": "Task metric on labelled data.",
    "fidelity": "Fidelity is closeness to the fp32 framework's outputs; it needs no labels and is not accuracy.",
}


STARTUP_NOTE: Final = (
    "Median of a case's processes, in its newest run with a 95% interval; each of them stands on the case's page."
)
OF_PROCESSES: Final = {
    "peak_rss_bytes": "The largest of a case's processes.",
    "model_bytes": "What opening and running the model added to its worker; the median of a case's processes.",
    "session_s": STARTUP_NOTE,
    "first_inference_s": STARTUP_NOTE,
}


def charts(
    frame: pd.DataFrame, marks: Mapping[str, SeriesStyle], name: str, samples: Sequence[Spread | None]
) -> list[Chart]:
    """The charts of one model; their tables take columns of `grid`.

    Args:
        frame: rows of one model as `harness.report.pages.model.table` makes it.
        marks: a mark for every variant.
        name: of the model.
        samples: of each row where its samples lie, as far as that is known.
    """
    measured = frame[frame["latency_median_s"].notna()]
    if measured.empty:
        return []
    numbers = records(measured)
    found = [
        Chart(
            id=f"pareto-{by}",
            title=f"{by.capitalize()} against latency",
            note=f"{WHAT[by]} Up and left is better; the dotted line is the Pareto front. {_budget(numbers, by)}",
            figure=figures.pareto(numbers, marks, by),
            pick=_pick(f"{by.capitalize()} and latency", LATENCY, ACCURACY if by == "accuracy" else FIDELITY),
        )
        for by, column in (("accuracy", "accuracy_value"), ("fidelity", "fidelity_max_abs"))
        if measured[column].notna().any()
    ]
    found.append(
        Chart(
            id="latency",
            title="Latency of each variant",
            note="Medians with 95% intervals across processes.",
            figure=figures.latency(numbers, marks),
            pick=_pick("Latency", LATENCY, *SPREAD),
        )
    )
    for by, title in (("intra_threads", "Threads"), ("batch", "Batch")):
        scaled = figures.scaling(numbers, marks, by)
        if scaled is not None:
            found.append(
                Chart(
                    id=f"scaling-{by.removeprefix('intra_')}",
                    title=f"{title} scaling",
                    note=f"Examples per second; higher is better. The filter of {title.lower()} does not apply here.",
                    figure=scaled,
                    pick=_pick(f"{title} scaling", LATENCY, RATE),
                )
            )
    found += [
        Chart(
            id=f"footprint-{key}".replace("_", "-"),
            title=title,
            note=OF_PROCESSES.get(key, ""),
            figure=figures.footprint(numbers, marks, key),
            pick=_pick(title, _heading(title)),
            small=True,
        )
        for key, (title, _) in figures.PARTS.items()
        if key not in WHERE_KNOWN or any(row[key] is not None for row in numbers)
    ]
    return [*found, *_raw(name, numbers, marks, samples)]


def _budget(numbers: Sequence[Record], by: str) -> str:
    """Which budget the chart's line shows, or why there is none."""
    there = {name for name in WHAT if any(limit(row, name) is not None for row in numbers)}
    if by in there:
        decides = "" if by == "accuracy" or "accuracy" not in there else ", for cases without labels"
        return f"The dashed line is the budget{decides}."
    return "The model's budget is one of accuracy." if there == {"accuracy"} else f"The zoo sets no {by} budget here."


def _raw(
    name: str, numbers: Sequence[Record], marks: Mapping[str, SeriesStyle], samples: Sequence[Spread | None]
) -> list[Chart]:
    """What lies behind the medians, of the newest run of each case."""
    import pandas as pd

    known = [
        {name: row[name] for name in ("case", "variant", "row")} | asdict(found)
        for row in numbers
        if (found := samples[row["row"]]) is not None
    ]
    if not known:
        return []
    return [
        Chart(
            id="raw-spread",
            title="Where the samples lie",
            note="All samples of the newest run of each case. Bar: the middle half; line: 5% to 95%; mark: the median. "
            f"At the right: how many took more than {OUTLIER:g} medians, and the slowest.",
            figure=raw.spread(pd.DataFrame(known), marks),
            wide=True,
            pick=_pick("Where the samples lie", LATENCY, "5%#", "25%#", "75%#", "95%#", OVER, "slowest#", "samples#"),
        ),
        Chart(
            id="raw-ecdf",
            title="Samples, cumulative",
            note="The share of the samples that took at most so long, of the newest run of each case. Drawn up to the "
            "largest 95th percentile; a double click shows all.",
            source=f"../data/raw/{links.slug(name)}.js",
            ask="Show the cumulative chart",
            wide=True,
            pick=_pick("Samples, cumulative", LATENCY, *SPREAD),
        ),
    ]


def grid(
    rows: Sequence[Row], known: Sequence[Mapping[str, tuple[float, float]]], samples: Sequence[Spread | None]
) -> Grid:
    """What the tables under the charts say of each row that has a latency.

    Args:
        rows: of one model.
        known: of each row the intervals of what `figures.PARTS` shows, as far as they are known.
        samples: of each row where its samples lie, as far as that is known.
    """
    shown = [place for place, row in enumerate(rows) if row["latency"]]
    columns = {heading: [cell(rows[at]) for at in shown] for heading, cell in TABLE_COLUMNS.items()}
    for key, (title, unit) in figures.PARTS.items():
        columns[_heading(title)] = [_part(rows[at], key, unit, known[at].get(key)) for at in shown]
    for heading, part in SPREAD_PARTS.items():
        columns[heading] = [_of_spread(samples[at], part) for at in shown]
    return Grid(columns=columns, at=shown)


def _of_spread(found: Spread | None, part: str) -> Cell:
    if found is None:
        return num(wording.NONE, None)
    value = getattr(found, part)
    return num(f"{value:,}" if part == "outliers" else wording.number(value, "seconds"), value)


def _heading(title: str) -> str:
    return f"{title.lower()}#"


def _pick(caption: str, *columns: str) -> Pick:
    return Pick(columns=("variant", "target", *columns), caption=caption)


def _latency(row: Row) -> Cell:
    return num(wording.latency(row), row["latency"]["median_s"])


def _accuracy(row: Row) -> Cell:
    return num(wording.accuracy(row), (row["accuracy"] or {}).get("value"))


def _fidelity(row: Row) -> Cell:
    return num(wording.fidelity(row), (row["fidelity"] or {}).get("centred_sqnr_db"))


def _rate(row: Row) -> Cell:
    """What a scenario found; without one, the batch by the median."""
    each = stored(row, "load.example_s") or row["latency"]["median_s"] / row["batch"]
    rate = 1 / each if each else None
    return num(wording.NONE if rate is None else f"{wording.digits(rate)} per second", rate)


def _percentile(key: str) -> Callable[[Row], Cell]:
    return lambda row: num(wording.number(row["latency"][key], "seconds"), row["latency"][key])


def _count(key: str) -> Callable[[Row], Cell]:
    return lambda row: num(f"{row['latency'][key]:,}", row["latency"][key])


def _part(row: Row, key: str, unit: str, ends: tuple[float, float] | None) -> Cell:
    value = stored(row, COLUMN_OF[key])
    shown = wording.number(value, unit)
    return num(f"{shown} [{wording.interval(*ends, unit)}]" if ends else shown, value)


LATENCY: Final = "median [95% interval]#"
ACCURACY: Final = "accuracy#"
FIDELITY: Final = "fidelity#"
RATE: Final = "examples#"
SPREAD: Final = ("min#", "p90 ≤#", "p95 ≤#", "p99 ≤#", "samples#", "processes#")
OVER: Final = f"over {OUTLIER:g}x median#"
SPREAD_PARTS: Final = {
    "5%#": "low", "25%#": "first", "75%#": "third", "95%#": "high", OVER: "outliers", "slowest#": "largest"
}  # fmt: skip
TABLE_COLUMNS: Final[Mapping[str, Callable[[Row], Cell]]] = {
    "variant": lambda row: text(row["variant"]),
    "target": lambda row: text(row["target"]),
    LATENCY: _latency,
    ACCURACY: _accuracy,
    FIDELITY: _fidelity,
    RATE: _rate,
    "min#": _percentile("min_s"),
    "p90 ≤#": _percentile("p90_s"),
    "p95 ≤#": _percentile("p95_s"),
    "p99 ≤#": _percentile("p99_s"),
    "samples#": _count("n"),
    "processes#": _count("processes"),
}
