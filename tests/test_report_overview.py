"""The first page: what it recommends, what it says of two runs, and what it falls back to."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.records import Status
from harness.report import links
from harness.report.data import load
from harness.report.pages import overview
from harness.report.pages.ship import cost, ship
from harness.store.asv import results as asv
from harness.store.journal import Journal
from harness.store.rows import Row, to_row
from tests import outcomes, report_stores
from tests.report_stores import measured, pages, run, site, write


def index(tmp_path: Path, **more: Any) -> str:
    """The first page as text, runs of white space as one."""
    site(tmp_path / "results", tmp_path / "site", **more)
    return " ".join(pages(tmp_path / "site")["index.html"].split())


def test_faster_cases_are_named_with_what_is_wrong_with_them(tmp_path: Path) -> None:
    """Who wonders why not the fastest one gets the reason in the same line."""

    def worse(row: Row) -> None:
        if row["variant"] == "int8-static":
            row["accuracy"] |= {"drop": 0.5}

    cases = [outcomes.case("m", name) for name in ("fp32", "int8-static", "fp16")]
    found = [measured(case, median) for case, median in zip(cases, (5.0, 2.0, 3.0), strict=True)]
    found[2] = replace(found[2], status=Status.EMULATED, reason="float16 is computed as float32")
    write(tmp_path / "results", run(), found, worse)
    (line,) = ship(load(tmp_path / "results")).rows
    assert "fp32" == line[2].text
    assert "int8-static: top1 drops 50.00%, budget 2.00%; fp16: emulated" == line[7].text


def test_what_is_inside_the_budget_and_not_chosen_says_why(tmp_path: Path) -> None:
    """What is tied has its own column; of what the examples cannot tell the interval is named; nothing is empty."""

    def confirmed(row: Row) -> None:
        if row["variant"] == "fp32":
            row["choice"] = {"state": "not told apart", "best": "fp32", "tied": ["fp16"], "baseline": "fp32"}
        if row["variant"] == "int8-static":
            row["accuracy"] |= {"drop": 0.0, "drop_low": -0.05, "drop_high": 0.05}

    cases = [outcomes.case("m", name) for name in ("fp32", "int8-static", "fp16", "int4")]
    found = [measured(case, median) for case, median in zip(cases, (5.0, 4.8, 4.9, 4.0), strict=True)]
    write(tmp_path / "results", run(), found, confirmed)
    (line,) = ship(load(tmp_path / "results")).rows
    assert ("fp32", "fp16") == (line[2].text, line[6].text)
    first, second = line[7].text.split("; ")
    assert "int4: not the fastest where it was measured side by side" == first
    assert second.startswith("int8-static: ")
    assert "examples cannot tell" in second


def test_the_gain_has_an_interval(tmp_path: Path) -> None:
    """How many times as fast as fp32, with both ends."""
    cases = [outcomes.case("m", name) for name in ("fp32", "int8-static")]
    write(tmp_path / "results", run(), [measured(cases[0], 6.0), measured(cases[1], 3.0)])
    (line,) = ship(load(tmp_path / "results")).rows
    assert re.fullmatch(r"2\.00x \[1\.9\d, 2\.0\d\]", line[4].text)


def test_a_confirmed_choice_has_both_numbers_and_its_state(tmp_path: Path) -> None:
    """The factor of the fresh pairs is shown, the sweep's own in its title; without one it is not confirmed."""
    choice = {
        "state": "not told apart", "best": "int8-static", "tied": ["int8-entropy"], "slower": [], "baseline": "fp32",
        "ratio": 1.9, "low": 1.85, "high": 1.95, "blocks": 12,
    }  # fmt: skip

    def confirm(row: Row) -> None:
        row["choice"] = choice

    cases = [outcomes.case("m", name) for name in ("fp32", "int8-static")]
    found = [measured(cases[0], 6.0), measured(cases[1], 3.0)]
    write(tmp_path / "confirmed", run(), found, confirm)
    write(tmp_path / "plain", run(), found)
    (line,) = ship(load(tmp_path / "confirmed")).rows
    assert "1.90x [1.85, 1.95]" == line[4].text
    assert "1.90x fp32 (95% 1.85 to 1.95, 12 pairs); in the sweep's own processes 2.00x [" in line[4].title
    assert ("int8-entropy", "not told apart from int8-entropy") == (line[6].text, line[9].text)
    (line,) = ship(load(tmp_path / "plain")).rows
    assert "not confirmed" == line[9].text


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"accuracy_drop": 0.02}, "accuracy 97.00% (-1.00), budget -2.00"),
        ({"accuracy_share": 0.99}, "accuracy 97.00% (-1.00), budget 99.0% of fp32's"),
        ({"fidelity_db": 30.0}, "accuracy 97.00% (-1.00); fidelity 40.0 dB, budget 30 dB"),
    ],
)
def test_what_is_lost_stands_beside_what_may_be(limits: dict[str, float], said: str) -> None:
    """In the budget's own unit: points, a share, or decibels where labels do not decide."""
    row = to_row(run(), measured(outcomes.case(), 5.0))
    assert said == cost(row | {"budget": dict.fromkeys(row["budget"]) | limits})


def test_both_runs_are_named(tmp_path: Path) -> None:
    """Commit and time of the two measurements that are set against each other."""
    report_stores.history(tmp_path / "results", days=2)
    found = index(tmp_path)
    assert "<b>0 slower</b>, 0 faster, 4 the same: 2026-01-01 10:00 00000000 → 2026-01-02 10:00 00000001." in found


def test_a_small_later_sweep_does_not_empty_the_page(tmp_path: Path) -> None:
    """Every case is compared with its own previous run: one case measured again leaves the others' change in place."""
    cases = [outcomes.case("m", name) for name in ("fp32", "int8-static", "fp16")]
    write(tmp_path / "results", run(0), [measured(case, 5.0) for case in cases])
    write(tmp_path / "results", run(1), [measured(case, 7.0) for case in cases])
    write(tmp_path / "results", run(2), [measured(cases[0], 7.0)])
    moved = overview.since_the_run_before(load(tmp_path / "results"))
    verdicts = dict(zip(moved["case"].astype(str), moved["verdict"], strict=True))
    assert {cases[0].id: "same", cases[1].id: "slower", cases[2].id: "slower"} == verdicts
    found = index(tmp_path)
    assert "<b>2 slower</b>, 0 faster, 1 the same: " in found
    assert "2026-01-02 10:00 00000001 and 1 earlier run → 2026-01-03 10:00 00000002 and 1 earlier run" in found


def test_other_inputs_are_no_change(tmp_path: Path) -> None:
    """A ratio of rotating inputs to one fixed input would be of the inputs."""

    def fixed(row: Row) -> None:
        row["timed_inputs"]["mode"] = "fixed"

    write(tmp_path, run(0), [measured(outcomes.case(), 5.0)], fixed)
    write(tmp_path, run(1), [measured(outcomes.case(), 9.0)])
    assert overview.since_the_run_before(load(tmp_path)).empty


def test_asv_answers_where_there_is_no_earlier_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One run's samples, and a history in asv's files: the first page counts what that history says."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for day, level in ((0, 5.0), (1, 9.0)):
        of = run(day)
        found = [replace(measured(case, level), started_at=of.started_at) for case in report_stores.matrix()]
        asv.write(tmp_path / "results", of, [to_row(of, outcome) for outcome in found])
    write(tmp_path / "results", run(5), [measured(outcomes.case("other"), 5.0)])
    shown = index(tmp_path)
    assert "<b>4</b> slower than the commit before, by asv's files" in shown
    assert "What asv's files hold of earlier commits stands below" in shown


def test_only_one_host_is_shown_at_a_time(tmp_path: Path) -> None:
    """Matrices of several machines would lie on top of each other; the list of hosts has them all."""
    for host in range(3):
        of = run(host, fingerprint=f"{host:012x}", host={"name": f"host{host}", "cores_logical": 4, "memory_gib": 8})
        write(tmp_path / "results", of, [measured(outcomes.case(), 5.0)])
    (facet,) = overview.overview(load(tmp_path / "results"), {}, {}, "").facets
    assert not facet.every
    assert "000000000002" == facet.chosen
    assert 3 == index(tmp_path).count("8 GiB")


def test_a_cell_of_the_matrix_has_a_sign(tmp_path: Path) -> None:
    """What became of a case does not hang on telling colours apart."""
    cases = report_stores.matrix()
    found = [measured(cases[0], 5.0), outcomes.refused(cases[1], Status.FAILED, "it broke")]
    write(tmp_path / "results", run(), found)
    figure = overview.overview(load(tmp_path / "results"), {}, {}, "").context["coverage"].figure
    assert [["✓", "✗"]] == figure["data"][0]["text"]
    assert "it broke" in figure["data"][0]["hovertext"][0][1]


def test_a_best_case_without_an_interval_ties_with_nothing(tmp_path: Path) -> None:
    """An end that is not finite is absent, and the page is made all the same."""

    def endless(row: Row) -> None:
        row["latency"]["ci95_high_s"] = None

    write(tmp_path / "results", run(), [measured(case, 5.0) for case in report_stores.matrix()], endless)
    assert ["-", "-"] == [line[6].text for line in ship(load(tmp_path / "results")).rows]


def test_rows_of_another_runtime_and_run_are_named_and_not_compared(tmp_path: Path) -> None:
    """int8 of onnxruntime 1.20.0 is not shipped over fp32 of 1.31.1, measured nine days later, however fast it was."""
    cases = [outcomes.case("m", name) for name in ("fp32", "int8-static")]
    write(tmp_path / "results", run(0, versions={"onnxruntime": "1.20.0"}), [measured(cases[1], 1.0)])
    write(tmp_path / "results", run(9, versions={"onnxruntime": "1.31.1"}), [measured(cases[0], 5.0)])
    found = ship(load(tmp_path / "results"))
    (line,) = found.rows
    assert ("fp32", "-", "-") == (line[2].text, line[6].text, line[7].text)
    assert "measured apart, not compared" == found.columns[-1]
    assert "int8-static (onnxruntime 1.20.0, run of 2026-01-01 10:00)" == line[-1].text
    assert "int8-static (onnxruntime 1.20.0, run of 2026-01-01 10:00)" in index(tmp_path)


def test_a_run_of_everything_names_nothing_apart(tmp_path: Path) -> None:
    """Where all was measured together the column is not there."""
    write(tmp_path / "results", run(), [measured(case, 5.0) for case in report_stores.matrix()])
    assert "confirmed" == ship(load(tmp_path / "results")).columns[-1]


def test_targets_are_listed_in_order(tmp_path: Path) -> None:
    """By model and target, whatever weights or variants were measured first."""
    cases = [outcomes.case(name, intra_threads=t) for name in ("b", "a") for t in (10, 2)]
    write(tmp_path / "results", run(), [measured(case, 5.0) for case in cases])
    lines = [(line[0].text, line[1].text) for line in ship(load(tmp_path / "results")).rows]
    assert [("a", "cpu-t2-b1"), ("a", "cpu-t10-b1"), ("b", "cpu-t2-b1"), ("b", "cpu-t10-b1")] == lines


def test_nothing_to_recommend_is_said(tmp_path: Path) -> None:
    """Where nothing was built, the page points to the reasons; a long name does not push the answer aside."""
    write(tmp_path / "results", run(), [outcomes.refused(outcomes.case("x" * 600), Status.FAILED, "it broke")])
    assert "Nothing can be recommended" in index(tmp_path)
    write(tmp_path / "results", run(1), [measured(outcomes.case("x" * 600), 5.0)])
    cell = ship(load(tmp_path / "results")).rows[0][0]
    assert len(cell.text) <= 60
    assert "x" * 600 == cell.title


def test_numbers_stand_where_a_failure_follows(tmp_path: Path) -> None:
    """A later sweep in a broken environment removes no row, and what is shown says that it failed since."""
    one, later = outcomes.run(), outcomes.run(
        id="20260201T000000Z-aaaaaa", started_at="2026-02-01T00:00:00+00:00", commit="f" * 40
    )  # fmt: skip
    for of, outcome in ((one, outcomes.measured()), (later, outcomes.refused(reason="needs timm"))):
        with Journal.open(tmp_path, of, resume=False) as journal:
            journal.append(outcome)
            journal.finish()
    (row,) = load(tmp_path).latest
    assert ("measured", one.id) == (row["status"], row["run"])
    assert row["notes"][-1].endswith("failed since, in the run of 2026-02-01 00:00: needs timm")
    site(tmp_path, tmp_path / "site")
    page = pages(tmp_path / "site")[links.case(row["case"])]
    assert "failed since, in the run of 2026-02-01 00:00: needs timm" in page
    assert one.id in page
