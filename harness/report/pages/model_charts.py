"""The charts of a model's page, each with the table that says the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from harness.report import links, words
from harness.report.figures import model as figures
from harness.report.figures.base import Record, records
from harness.report.figures.pareto import limit
from harness.report.palette import Mark
from harness.report.parts import Cell, Chart, Grid, Pick, num, text
from harness.store.rows import Row

if TYPE_CHECKING:
    import pandas as pd

WHAT: Final = {
    "accuracy": "Task metric on labelled data.",
    "fidelity": "Fidelity is closeness to the fp32 framework's outputs; it needs no labels and is no accuracy.",
}


STARTUP: Final = (
    "Median of a case's processes, in its newest run with a 95% interval; each of them stands on the case's page."
)
OF_PROCESSES: Final = {
    "peak_rss_bytes": "The largest of a case's processes.",
    "session_s": STARTUP,
    "first_inference_s": STARTUP,
}


def charts(frame: pd.DataFrame, marks: Mapping[str, Mark], name: str) -> list[Chart]:
    """The charts of one model; their tables take columns of `grid`.

    Args:
        frame: rows of one model as `harness.report.pages.model.table` makes it.
        marks: a mark for every variant.
        name: of the model.
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
    ]
    return [*found, *_raw(name)]


def _budget(numbers: Sequence[Record], by: str) -> str:
    """Which budget the chart's line shows, or why there is none."""
    there = {name for name in WHAT if any(limit(row, name) is not None for row in numbers)}
    if by in there:
        decides = "" if by == "accuracy" or "accuracy" not in there else ", for cases without labels"
        return f"The dashed line is the budget{decides}."
    return "The model's budget is one of accuracy." if there == {"accuracy"} else f"The zoo sets no {by} budget here."


def _raw(name: str) -> list[Chart]:
    return [
        Chart(
            id=f"raw-{kind}",
            title=title,
            note=f"Quantiles of all samples of the newest run of each case. {reading}",
            source=f"../data/raw/{links.slug(name)}.js",
            ask=f"Show the {kind}",
            pick=_pick(title, LATENCY, *SPREAD),
        )
        for kind, title, reading in (
            ("violin", "Raw distribution", "Drawn up to the largest 95th percentile; a double click shows all."),
            ("ecdf", "Raw distribution, cumulative", "The share of the samples that took at most so long."),
        )
    ]


def grid(rows: Sequence[Row], known: Sequence[Mapping[str, tuple[float, float]]]) -> Grid:
    """What the tables under the charts say of each row that has a latency.

    Args:
        rows: of one model.
        known: of each row the intervals of what `figures.PARTS` shows, as far as they are known.
    """
    shown = [place for place, row in enumerate(rows) if row["latency"]]
    columns = {heading: [cell(rows[at]) for at in shown] for heading, cell in COLUMNS.items()}
    for key, (title, unit) in figures.PARTS.items():
        columns[_heading(title)] = [_part(rows[at], key, unit, known[at].get(key)) for at in shown]
    return Grid(columns=columns, at=shown)


def _heading(title: str) -> str:
    return f"{title.lower()}#"


def _pick(caption: str, *columns: str) -> Pick:
    return Pick(columns=("variant", "target", *columns), caption=caption)


def _latency(row: Row) -> Cell:
    return num(words.latency(row), row["latency"]["median_s"])


def _accuracy(row: Row) -> Cell:
    return num(words.accuracy(row), (row["accuracy"] or {}).get("value"))


def _fidelity(row: Row) -> Cell:
    return num(words.fidelity(row), (row["fidelity"] or {}).get("centred_sqnr_db"))


def _rate(row: Row) -> Cell:
    median = row["latency"]["median_s"]
    rate = row["batch"] / median if median else None
    return num(words.NONE if rate is None else f"{words.digits(rate)} per second", rate)


def _percentile(key: str) -> Callable[[Row], Cell]:
    return lambda row: num(words.number(row["latency"][key], "seconds"), row["latency"][key])


def _count(key: str) -> Callable[[Row], Cell]:
    return lambda row: num(f"{row['latency'][key]:,}", row["latency"][key])


def _part(row: Row, key: str, unit: str, ends: tuple[float, float] | None) -> Cell:
    value = (row["artifact"] or {}).get("bytes") if key == "artifact_bytes" else row[key]
    shown = words.number(value, unit)
    return num(f"{shown} [{words.interval(*ends, unit)}]" if ends else shown, value)


LATENCY: Final = "median [95% interval]#"
ACCURACY: Final = "accuracy#"
FIDELITY: Final = "fidelity#"
RATE: Final = "examples#"
SPREAD: Final = ("min#", "p90#", "p95#", "p99#", "samples#", "processes#")
COLUMNS: Final[Mapping[str, Callable[[Row], Cell]]] = {
    "variant": lambda row: text(row["variant"]),
    "target": lambda row: text(row["target"]),
    LATENCY: _latency,
    ACCURACY: _accuracy,
    FIDELITY: _fidelity,
    RATE: _rate,
    "min#": _percentile("min_s"),
    "p90#": _percentile("p90_s"),
    "p95#": _percentile("p95_s"),
    "p99#": _percentile("p99_s"),
    "samples#": _count("n"),
    "processes#": _count("processes"),
}
