"""A model's page: what its charts and tables are filtered by, and what their lines mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.report.data import load
from harness.report.downsample import spread
from harness.report.figures import model as model_figures
from harness.report.figures.pareto import limit, pareto
from harness.report.pages import insides, model
from harness.report.pages.model import charts, grid
from harness.report.palette import marks
from harness.report.parts import Page
from harness.report.rows import ordered, picked
from harness.store.rows import Row, to_row
from tests import outcomes, report_stores
from tests.report_stores import measured, run, write

LOOK = marks([])


def frame(*rows: Row) -> pd.DataFrame:
    """Rows as the charts take them."""
    return model.table(rows, [(model.NEWEST,)] * len(rows))


def row(variant: str = "fp32", median_ms: float = 5.0, **changes: Any) -> Row:
    """A stored row without a budget, with some of its entries changed."""
    found = to_row(run(), measured(outcomes.case("m", variant), median_ms))
    found["budget"] = dict.fromkeys(found["budget"])
    for name, value in changes.items():
        found[name] = found[name] | value
    return found


def page(results: Path, name: str = "digits_cnn") -> Page:
    """The page of a model."""
    data = load(results)
    rows = data.rows[data.rows["model"] == name]
    latest = [one for one in data.latest if one["model"] == name]
    return model.page(data, name, latest, ordered(picked(rows)), LOOK, {}, {})


@pytest.mark.parametrize(
    ("by", "budget", "said"),
    [
        ("fidelity", {"fidelity_db": 30.0}, "budget: at least 30 dB"),
        ("accuracy", {"accuracy_drop": 0.02}, "budget: at least 96 %"),
        ("accuracy", {"accuracy_share": 0.5}, "budget: at least 49 %"),
    ],
)
def test_the_budget_is_a_line_in_its_own_unit(by: str, budget: dict[str, float], said: str) -> None:
    """Decibels on the chart of fidelity, percentages on that of accuracy, from a drop or a share."""
    found = pareto(frame(row(budget=budget)), LOOK, by)["layout"]
    assert [said] == [one["text"] for one in found["annotations"]]
    assert [float(said.split()[-2])] == [shape["y0"] for shape in found["shapes"]]
    assert [[0]] == found["meta"]["lines"]


def test_the_stricter_of_two_budgets_is_drawn() -> None:
    """A drop and a share that are both set hold both."""
    (one,) = frame(row(budget={"accuracy_drop": 0.5, "accuracy_share": 0.9})).to_dict("records")
    assert 88.2 == limit({str(key): value for key, value in one.items()}, "accuracy")


def test_every_budget_has_its_rows() -> None:
    """Runs with different budgets have a line each, which the filters show with their rows."""
    rows = [row(budget={"fidelity_db": 30.0}), row("fp16", budget={"fidelity_db": 20.0})]
    found = pareto(frame(*rows), LOOK, "fidelity")["layout"]
    assert [(30.0, [0]), (20.0, [1])] == [
        (shape["y0"], of) for shape, of in zip(found["shapes"], found["meta"]["lines"], strict=True)
    ]


def test_bit_equal_outputs_are_not_given_decibels() -> None:
    """They lie on a line that says what they are."""
    exact = row("fp32-fused", 3.0, fidelity={"max_abs": 0.0, "centred_sqnr_db": None})
    found = pareto(frame(row(), exact), LOOK, "fidelity")["layout"]
    assert ["exact: bit-equal outputs"] == [one["text"] for one in found["annotations"]]
    assert [[1]] == found["meta"]["lines"]


def test_notes_say_which_budget_there_is(tmp_path: Path) -> None:
    """The line is explained where it is drawn, and its absence where it is not."""
    write(tmp_path / "results", run(), [measured(case, 5.0) for case in report_stores.matrix()])
    notes = {chart.id: chart.note for chart in page(tmp_path / "results").context["charts"]}
    assert "The dashed line is the budget." in notes["pareto-accuracy"]
    assert "The model's budget is one of accuracy." in notes["pareto-fidelity"]


def test_fusion_follows_the_filters() -> None:
    """Each build has a section of its own, known by the page's rows that were measured on it."""
    fused = {"before": {"Erf": 2}, "after": {"Gelu": 2}, "patterns": {"gelu": 2}}
    lost = {"before": {"Erf": 2}, "after": {"Erf": 2}, "patterns": {"gelu": 0}}
    rows = [
        row("fp32-fused") | {"fusion": fused},
        row("fp32"),
        row("fp32-fused", artifact={"digest": "feedc0de"}) | {"fusion": lost},
        row("fp32-fused") | {"fusion": fused},
    ]
    found = insides.fusion(rows, range(4))
    assert [("fp32-fused", [0, 3]), ("fp32-fused", [2])] == [(one["variant"], one["rows"]) for one in found]
    assert "feedc0de" == found[1]["digest"]
    assert 2 == len({one["chart"].id for one in found})


def test_tables_without_numbers_follow_every_filter(tmp_path: Path) -> None:
    """Refused cases are rows of the page like all others: threads, batch and run choose among them too."""
    from harness.records import Status

    found = [outcomes.refused(case, Status.FAILED, "it broke") for case in report_stores.matrix()]
    write(tmp_path / "results", run(), found)
    table = page(tmp_path / "results").context["without"]
    (row,) = table.rows  # one reason is said once
    assert [[0, 1, 2, 3]] == [sorted(group) for group in table.groups]
    assert ["failed", "it broke"] == [cell.text for cell in row[:2]]
    assert [0, 1, 2, 3] == sorted(part.at for part in row[2].parts)
    assert {"fp32/cpu-t1-b1", "fp32/cpu-t2-b1", "int8-static/cpu-t1-b1", "int8-static/cpu-t2-b1"} == {
        part.text for part in row[2].parts
    }


def test_filters_of_one_value_are_still_there(tmp_path: Path) -> None:
    """The page shows which target, threads, batch and host its numbers are of."""
    write(tmp_path / "results", run(), [measured(outcomes.case(), 5.0)])
    target, threads, batch, run_, host = page(tmp_path / "results").facets
    assert ["cpu", "1", "1"] == [value for facet in (target, threads, batch) for value in dict(facet.values)]
    assert "newest" == run_.chosen
    assert "0123456789ab" == host.chosen


def test_startup_has_intervals_where_processes_were_read() -> None:
    """Session creation of three processes is drawn with its interval; one process says nothing of the next."""
    processes = [{"session_ns": n * 1_000_000, "first_inference_ns": 2_000_000} for n in (9, 10, 11)]
    known = model.intervals(processes)
    low, high = known["session_s"]
    assert low < min(0.009, high)
    assert high > 0.011
    assert (0.002, 0.002) == pytest.approx(known["first_inference_s"])
    assert {} == model.intervals(processes[:1])
    found = frame(row() | {"session_s": 0.010}).assign(session_s_low=low, session_s_high=high)
    bars = model_figures.footprint(found, LOOK, "session_s")["data"][0]["error_x"]
    assert pytest.approx([(0.010 - low) * 1e3, (high - 0.010) * 1e3], rel=1e-4) == [
        bars["arrayminus"][0],
        bars["array"][0],
    ]
    cells = grid([row()], [known], [None]).columns["session creation#"]
    assert " to " in cells[0].text


def test_tables_under_charts_take_columns_of_one_grid() -> None:
    """Every column that a chart's table asks for is there, with a cell for each row that has a latency."""
    rows = [row(), row("int8-static"), row("fp16") | {"latency": None}]
    spreads = [spread([{"samples_ns": [1, 2, 3]}]), None, None]
    found = grid(rows, [{}] * 3, spreads)
    asked = {name for chart in charts(frame(*rows), LOOK, "m", spreads) if chart.pick for name in chart.pick.columns}
    assert asked
    assert asked <= found.columns.keys()
    assert [0, 1] == list(found.at)
    assert {2} == {len(cells) for cells in found.columns.values()}


def test_examples_per_second_of_a_scenario_are_those_that_it_found() -> None:
    """A latency that requests wait in is not the inverse of a throughput; and no line joins two scenarios."""
    shared = {
        "variant": "fp32", "target": "t", "target_name": "cpu", "intra_threads": 1, "inter_threads": 1,
        "fingerprint": "f", "weights_digest": "w", "sets": ("newest",), "row": "r", "status": "measured", "reason": "",
        "latency_median_s": 0.01, "latency_ci95_low_s": 0.008, "latency_ci95_high_s": 0.02, "run": "r", "model": "m",
        "case": "m/fp32/t",
    }  # fmt: skip
    rows = [
        {**shared, "batch": 1, "scenario": None, "load_example_s": None},
        {**shared, "batch": 4, "scenario": None, "load_example_s": None},
        {**shared, "batch": 1, "scenario": "multi2", "load_example_s": 0.05},
    ]
    drawn = model_figures.scaling(rows, marks(["fp32"]), "batch")
    assert drawn is not None
    assert [([1, 4], [100.0, 400.0]), ([1], [20.0])] == [(one["x"], one["y"]) for one in drawn["data"]]
    assert [25.0, 0.0] == [drawn["data"][place]["error_y"]["array"][0] for place in (0, 1)]
    assert "(cpu, 1 threads)" in drawn["data"][0]["text"][0]
    assert "20.0 examples per second (cpu, 1 threads, multi2)" in drawn["data"][1]["text"][0]
    of_load = {"load": {"example_s": 0.05}, "latency": {"median_s": 0.01}, "batch": 1}
    alone = {"load": None, "latency": {"median_s": 0.01}, "batch": 4}
    assert ["20.0 per second", "400 per second"] == [
        model.TABLE_COLUMNS[model.RATE](row).text for row in (of_load, alone)
    ]
