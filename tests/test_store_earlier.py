"""Earlier runs on which a choice may rest, and that every way out of a store names the same builds to ship."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

import harness
from harness.export import choose
from harness.report import data
from harness.report.pages import model, ship
from harness.report.palette import marks
from harness.store import earlier, query
from tests import outcomes, report_stores
from tests.conftest import Project
from tests.report_stores import measured

MEDIANS = {"fp32": 8.0, "int8-static": 2.0, "fp16": 4.0}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three variants, and five days later one of two, in which neither is the build that was named."""
    folder = tmp_path_factory.mktemp("earlier") / "results"
    cases = {name: outcomes.case("m", name) for name in MEDIANS}
    report_stores.write(folder, report_stores.run(0), [measured(cases[name], ms) for name, ms in MEDIANS.items()])
    report_stores.write(folder, report_stores.run(5), [measured(cases["fp32"], 7.0), measured(cases["fp16"], 3.5)])
    return folder


def test_runs_of_which_a_newer_one_tried_everything_decide_nothing() -> None:
    """However often a part was measured since, what only the whole run tried still stands."""
    runs = [("e", "ab"), ("d", "bc"), ("c", "ab"), ("b", "abc"), ("a", "c")]
    assert ["e", "d", "b"] == earlier.deciding((run, frozenset(tried)) for run, tried in runs)


def test_rows_of_earlier_runs_stand_beside_the_newest(stored: Path) -> None:
    """The newest of each case are what they were; the earlier run's others are there to compare with."""
    found = query.query(stored)
    first, last = report_stores.run(0).id, report_stores.run(5).id
    assert [("fp16", last), ("fp32", last), ("int8-static", first)] == [(r["variant"], r["run"]) for r in found.rows]
    assert {("fp16", first), ("fp32", first)} == {(r["variant"], r["run"]) for r in found.among[3:]}
    known = data.load(stored)
    assert {(r["run"], r["case"]) for r in found.among} == {(r["run"], r["case"]) for r in known.among}
    assert 3 == len(known.latest)


def test_a_newer_run_of_everything_is_all_that_is_read(stored: Path, tmp_path: Path) -> None:
    """Nothing is added where the newest run has every case, and nothing where all runs are asked for."""
    for path in (stored / "samples").iterdir():
        (tmp_path / "samples").mkdir(exist_ok=True)
        (tmp_path / "samples" / path.name).write_bytes(path.read_bytes())
    every = [measured(outcomes.case("m", name), ms) for name, ms in MEDIANS.items()]
    report_stores.write(tmp_path, report_stores.run(9), every)
    found = query.query(tmp_path)
    assert found.rows == found.among
    assert {report_stores.run(9).id} == {row["run"] for row in found.rows}
    assert 8 == len(query.query(tmp_path, all_runs=True).among)
    known = data.load(tmp_path)
    assert known.latest == known.among


def test_every_way_out_names_the_same_build(stored: Path) -> None:
    """A small later sweep takes neither the choice nor a speed-up: in terminal, Markdown, CSV, frame, export, page."""
    project = Project(stored.parent)
    out = project.run("results")
    (chosen,) = [line for line in out.splitlines() if line.startswith("m/")]
    assert ["m/int8-static/cpu-t1-b1", "2.00", "ms", "4.00x"] == chosen.split()[:4]
    apart = "chosen in the run of 2026-01-01 10:00; not compared: fp16, fp32 (run of 2026-01-06 10:00)"
    assert f"note m/int8-static/cpu-t1-b1: {apart}\n" in out
    shipped = json.loads(project.run("results", "--columns", "variant,ship", "--format", "json"))
    assert {"fp16": False, "fp32": False, "int8-static": True} == {one["variant"]: one["ship"] for one in shipped}
    held = csv.DictReader(io.StringIO(project.run("results", "--columns", "variant,speed-up", "--format", "csv")))
    assert {"fp32": 1.0, "fp16": 2.0, "int8-static": 4.0} == {
        row["variant"]: pytest.approx(float(row["speed-up"])) for row in held
    }
    assert "| m | cpu-t1-b1 | int8-static |" in project.run("results", "--format", "markdown")
    frame = harness.results(stored).set_index("variant")
    assert ["int8-static"] == [*frame.index[frame["ship"]]]
    assert 0 == frame["speedup"].isna().sum()
    every = harness.results(stored, all_runs=True)
    assert ["int8-static"] == [*every.loc[every["ship"], "variant"]]
    assert "int8-static" == choose.choose(stored, "m").row["variant"]
    known = data.load(stored)
    (line,) = ship.ship(known).rows
    assert "int8-static" == line[2].text
    assert line[4].text.startswith("4.00x")
    assert "chosen in the run of 2026-01-01 10:00; apart: fp16, fp32 (run of 2026-01-06 10:00)" == line[-1].text
    recent = [row for row in known.among if row["run"] == report_stores.run(5).id]
    page = model.page(known, "m", known.latest, recent, marks([*MEDIANS]), {}, {})
    lines = {row[0].text: row for row in page.context["everything"].rows}
    assert {"int8-static"} == {name for name, row in lines.items() if "best" in row[0].kind}
    assert {"fp32": "1.00x", "fp16": "2.00x", "int8-static": "4.00x"} == {
        name: row[6].text.partition(" ")[0] for name, row in lines.items()
    }


def test_a_selection_takes_its_choice_from_everything(stored: Path) -> None:
    """Rows of one variant have the same speed-up and the same choice as the whole table."""
    out = Project(stored.parent).run("results", "--variants", "fp16")
    assert "2.00x" in out
    assert "m/int8-static/cpu-t1-b1" in out.splitlines()[-1]
