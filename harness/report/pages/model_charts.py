"""The charts of a model's page, each with the table that says the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from harness.report import links, words
from harness.report.figures import model as figures
from harness.report.figures.base import records
from harness.report.palette import Mark
from harness.report.parts import Cell, Chart, Table, num, text
from harness.store.rows import Row

if TYPE_CHECKING:
    import pandas as pd

Column = tuple[str, Callable[[Row], Cell]]

WHAT: Final = {
    "accuracy": "Task metric on labelled data.",
    "fidelity": "Fidelity is closeness to the fp32 framework's outputs; it needs no labels and is no accuracy.",
}


def charts(frame: pd.DataFrame, rows: Sequence[Row], marks: Mapping[str, Mark], name: str) -> list[Chart]:
    """The charts of one model.

    Args:
        frame: `rows` as `harness.report.pages.model.table` makes it.
        rows: of one model; their places are what filters know them by.
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
            note=f"{WHAT[by]} Up and left is better; the dotted line is the Pareto front of a setting.",
            figure=figures.pareto(numbers, marks, by),
            table=_table(rows, f"{by.capitalize()} and latency", (LATENCY, ACCURACY if by == "accuracy" else FIDELITY)),
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
            table=_table(rows, "Latency", (LATENCY, *SPREAD)),
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
                    table=_table(rows, f"{title} scaling", (LATENCY, RATE)),
                )
            )
    found += [
        Chart(
            id=f"footprint-{key}".replace("_", "-"),
            title=title,
            figure=figures.footprint(numbers, marks, key),
            table=_table(rows, title, ((f"{title.lower()}#", _part(key, unit)),)),
            small=True,
        )
        for key, (title, unit) in figures.PARTS.items()
    ]
    return [*found, *_raw(rows, name)]


def _raw(rows: Sequence[Row], name: str) -> list[Chart]:
    return [
        Chart(
            id=f"raw-{kind}",
            title=title,
            note="Quantiles of all samples of the newest run of each case, drawn up to the largest 95th percentile; "
            "a double click shows all.",
            source=f"../data/raw/{links.slug(name)}.js",
            ask=f"Show the {kind}",
            table=_table(rows, title, (LATENCY, *SPREAD)),
        )
        for kind, title in (("violin", "Raw distribution"), ("ecdf", "Raw distribution, cumulative"))
    ]


def _table(rows: Sequence[Row], caption: str, columns: Sequence[Column]) -> Table:
    shown = [place for place, row in enumerate(rows) if row["latency"]]
    return Table(
        columns=("variant", "target", *(heading for heading, _ in columns)),
        rows=[
            [
                text(rows[at]["variant"]),
                text(rows[at]["target"], kind="nowrap"),
                *(cell(rows[at]) for _, cell in columns),
            ]
            for at in shown
        ],
        at=shown,
        caption=caption,
    )


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


def _part(key: str, unit: str) -> Callable[[Row], Cell]:
    def cell(row: Row) -> Cell:
        value = (row["artifact"] or {}).get("bytes") if key == "artifact_bytes" else row[key]
        return num(words.number(value, unit), value)

    return cell


LATENCY: Final[Column] = ("median [95% interval]#", _latency)
ACCURACY: Final[Column] = ("accuracy#", _accuracy)
FIDELITY: Final[Column] = ("fidelity#", _fidelity)
RATE: Final[Column] = ("examples#", _rate)
SPREAD: Final[tuple[Column, ...]] = (
    ("min#", _percentile("min_s")),
    ("p90#", _percentile("p90_s")),
    ("p95#", _percentile("p95_s")),
    ("p99#", _percentile("p99_s")),
    ("samples#", _count("n")),
    ("processes#", _count("processes")),
)
