"""Values that only asv's files hold."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.report import histories
from harness.report.data import load
from harness.report.pages import values as page
from harness.store import history
from harness.store.asv import results as asv
from harness.store.rows import to_row
from tests import report_stores
from tests.report_stores import matrix, measured, pages, run


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh clone: asv's files of three commits, and no samples. int8-static gets half as slow again at the last."""
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "results"
    for day in range(3):
        of = run(day)
        found = [measured(case, 5.0 * (1.5 if day == 2 and case.recipe.name != "fp32" else 1.0)) for case in matrix()]
        asv.write(folder, of, [to_row(of, replace(outcome, started_at=of.started_at)) for outcome in found])
    return folder


def test_every_series_of_the_history_is_there(results: Path) -> None:
    """The same values in the same order as `harness.store.history`, with asv's intervals."""
    found = load(results)
    series = [one for group in histories.collect(found, found.positions).values() for one in group]
    reference = history.history(results, repo=None).series
    assert {(one.case, one.metric): [point.value for point in one.points] for one in reference} == {
        (one.case, one.metric): one.numbers.tolist() for one in series
    }
    latency = next(one for one in series if one.metric == "latency")
    ends = next(one for one in reference if (one.case, one.metric) == (latency.case, "latency")).points
    assert 0.99 == latency.confidence
    assert latency.low is not None
    assert [point.low for point in ends] == pytest.approx(latency.low.tolist(), nan_ok=True)


def test_what_the_samples_hold_too_is_no_second_series(results: Path) -> None:
    """A sweep writes to both places; it is drawn once."""
    of = run(2)
    report_stores.write(results, of, [measured(case, 5.0) for case in matrix()])
    found = load(results)
    assert {run(0).commit, run(1).commit} == {commit.hash for commit in found.asv.commits}
    assert 1 == len(found.runs)


def test_a_site_of_values_alone(results: Path, tmp_path: Path) -> None:
    """The first page names what got slower, the history has a chart for each series, every link leads somewhere."""
    report_stores.site(results, tmp_path / "site")
    found = pages(tmp_path / "site")
    slower = [line for line in found["index.html"].splitlines() if "worse: intervals apart" in line]
    charts = [name for name in found if name.startswith("data/series/")]
    assert 4 == len(charts)
    assert ["digits_cnn/int8-static/cpu-t1-b1", "digits_cnn/int8-static/cpu-t2-b1"] == [
        re.findall(r">(digits_cnn/[^<]*)</a>", line)[0] for line in slower
    ]
    for name in charts:
        one: dict[str, Any] = json.loads(f"[{found[name][16:].strip().removesuffix(');')}]")[2]
        assert 3 == len(one["metrics"]["latency"]["figure"]["data"][-1]["y"])
        assert "" == one["page"]
    targets = re.findall(r'href="([^"#]+)', found["index.html"])
    assert {"history.html", "compare.html"} <= set(targets)
    for target in targets:
        assert target.startswith("data:") or (tmp_path / "site" / target).exists(), target


def test_verdicts(results: Path) -> None:
    """Intervals that touch tell nothing; without an interval or an earlier value neither."""
    found = load(results)
    one = next(
        one for group in histories.collect(found, found.positions).values() for one in group if one.metric == "latency"
    )
    numbers, at = one.numbers.copy(), one.at
    numbers[-2:] = 1.0, 1.2

    def judged(low: list[float], high: list[float]) -> str:
        import numpy as np

        return page.judged(replace(one, numbers=numbers, low=np.array(low), high=np.array(high)))[0]

    assert "worse" == judged([1, 0.9, 1.15], [1, 1.1, 1.3])
    assert "overlap" == judged([1, 0.9, 1.05], [1, 1.1, 1.3])
    assert "overlap" == judged([1, float("nan"), 1.15], [1, float("nan"), 1.3])
    assert ("alone", None) == page.judged(replace(one, numbers=numbers[:1], at=at[:1]))


def test_what_is_lost_of_the_samples_is_shown_from_asvs_files(results: Path) -> None:
    """Cases, another runtime or other weights of the same commit whose Parquet is gone; the rest only once."""
    of = run(2)
    report_stores.write(results, of, [measured(case, 5.0) for case in matrix()[:3]])
    found = load(results)
    lost = {key.case for key, points in found.asv.series.items() for point in points if point.commit == of.commit}
    assert {matrix()[3].id} == lost
    report_stores.write(results, replace(of, versions={"onnxruntime": "1.2.3"}), [measured(c, 5.0) for c in matrix()])
    assert {case.id for case in matrix()} == {
        key.case
        for key, points in load(results).asv.series.items()
        for point in points
        if point.commit == of.commit and key.metric == "latency"
    }


def test_files_that_the_samples_cover_are_not_read_whole(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A history of thousands of files would take long."""
    from harness.store.asv import files as asv_files

    for day in range(3):
        report_stores.write(results, run(day), [measured(case, 5.0) for case in matrix()])
    monkeypatch.setattr(asv_files, "read", lambda path: pytest.fail(f"{path} was read"))
    assert not load(results).asv.series


def test_two_commits_of_asv_alone_can_be_compared(results: Path, tmp_path: Path) -> None:
    """The page offers the newest two, with the table and asv's intervals."""
    report_stores.site(results, tmp_path / "site")
    made = pages(tmp_path / "site")
    assert "00000002" in made["compare.html"]
    (script,) = (content for name, content in made.items() if name.startswith("data/compare/"))
    html = json.loads(f"[{script[16:].strip().removesuffix(');')}]")[2]["html"]
    assert "<b>2</b> slower" in html
    assert "change [98% interval]" in html
    assert "+50.0% [" in html


def test_every_part_of_an_output_is_listed() -> None:
    """Where there are several; the dead one is marked."""
    from harness.report.pages.case import parts_table

    whole = {"output": "y", "part": "", "centred_sqnr_db": 28.2, "max_abs": 9.0, "unmatched": 0, "status": ""}
    dead = {"output": "y", "part": "channel 4", "centred_sqnr_db": -12.5, "max_abs": None, "status": "dead"}
    assert parts_table({"fidelity_parts": [whole]}) is None
    assert parts_table({}) is None
    found = parts_table({"fidelity_parts": [whole, dead]})
    assert found is not None
    assert [("all of it", "28.2 dB", ""), ("channel 4", "-12.5 dB", "dead")] == [
        (line[1].text, line[2].text, line[6].text) for line in found.rows
    ]
