"""Stored rows as series over commits."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.report import histories
from harness.report.data import Data, load
from harness.report.repository import configuration
from harness.store import history
from harness.store.rows import Row
from tests import outcomes, report_stores
from tests.report_stores import measured, run, write


@pytest.fixture
def data(tmp_path: Path) -> Data:
    """Twelve days in which int8-static gets slower on the sixth."""
    report_stores.history(tmp_path / "results", days=12, slower_from=6)
    return load(tmp_path / "results")


def test_values_are_those_of_the_history(data: Data) -> None:
    """Every metric, case and point agrees with `harness.store.history`, in the same order."""
    reference = {
        (one.case, one.metric): [point.value for point in one.points]
        for one in history.history(data.results, repo=None).series
    }
    found = {
        (one.case, one.metric): one.numbers.tolist()
        for group in histories.collect(data, data.positions).values()
        for one in group
    }
    assert reference.keys() == found.keys()
    for key, values in reference.items():
        assert values == pytest.approx(found[key]), key


def test_so_are_those_of_the_first_versions_and_of_no_commit(tmp_path: Path) -> None:
    """A latency of the first input alone is a series of its own; a run without a commit stands where its time is."""

    def first_input_only(row: Row) -> None:
        row["timed_inputs"] = None

    case = outcomes.case()
    write(tmp_path, run(0), [measured(case, 9.0)], first_input_only)
    write(tmp_path, run(1), [measured(case, 5.0)])
    write(tmp_path, run(2, commit=None, commit_time=None), [measured(case, 6.0)])
    write(tmp_path, run(3), [measured(case, 7.0)])
    reference = [
        (one.metric, tuple(point.value for point in one.points)) for one in history.history(tmp_path, repo=None).series
    ]
    found = load(tmp_path)
    series = [one for group in histories.collect(found, found.positions).values() for one in group]
    assert sorted(reference) == sorted((one.metric, tuple(one.numbers.tolist())) for one in series)
    assert {"onnxruntime-gpu 1.31.1": 3, "onnxruntime-gpu 1.31.1 (first input only)": 1} == {
        one.runtime: len(one.numbers) for one in series if one.metric == "latency"
    }


def test_the_change_is_found_where_it_is(data: Data) -> None:
    """Between the fifth and the sixth day, by half, and nowhere else."""
    series = histories.collect(data, data.positions)
    changed = {
        (series[identity][0].case, metric): [change.index for change in scan.changes]
        for (identity, metric), scan in histories.scans(series).items()
        if scan.changes and metric == "latency"
    }
    assert {
        ("digits_cnn/int8-static/cpu-t1-b1", "latency"): [6],
        ("digits_cnn/int8-static/cpu-t2-b1", "latency"): [6],
    } == changed


def test_other_weights_hosts_and_runtimes_are_other_series(tmp_path: Path) -> None:
    """What may not be compared never stands in one series."""
    case = outcomes.case()
    write(tmp_path, run(0), [measured(case, 5.0)])
    write(tmp_path, run(1, fingerprint="f" * 12), [measured(case, 5.0)])
    write(tmp_path, run(2, versions={"onnxruntime": "1.30.0"}), [measured(case, 5.0)])
    write(tmp_path, run(3), [measured(case, 5.0, artifact=outcomes.artifact(case, "other"))])
    found = load(tmp_path)
    assert 4 == len(histories.collect(found, found.positions))


def test_since_git_does_not_know(tmp_path: Path) -> None:
    """A revision that is none, or no repository, is an error and not an empty page."""
    report_stores.history(tmp_path / "results", days=1)
    with pytest.raises(UsageError, match="--since v9"):
        load(tmp_path / "results", since="v9", repo=tmp_path)


def test_configuration(tmp_path: Path) -> None:
    """Asv's own file says where commits are shown; comments are allowed, `#` is not an address."""
    assert ("", "") == configuration(tmp_path)
    file = tmp_path / "asv.conf.json"
    file.write_text(
        '{\n// a comment\n"show_commit_url": "https://example.org/c/", "html_dir": "pages"}', encoding="utf-8"
    )
    assert ("https://example.org/c/", "pages") == configuration(tmp_path)
    file.write_text('{"show_commit_url": "#"}', encoding="utf-8")
    assert ("", "html") == configuration(tmp_path)
    file.write_text("[", encoding="utf-8")
    with pytest.raises(UsageError, match="not a JSON object"):
        configuration(tmp_path)
