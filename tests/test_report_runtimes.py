"""A run of several runtimes and hosts: whatever the report says of a row is the row's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.records import HostInfo, RuntimeInfo
from harness.report import histories, pairs, sides
from harness.report.data import Data, load
from harness.store.asv import results as asv
from harness.store.history import history
from harness.store.rows import to_row
from tests import outcomes
from tests.report_stores import measured, pages, run, site, write

OLD = RuntimeInfo(name="onnxruntime", version="1.20.0", package="onnxruntime")
NEW = RuntimeInfo(name="onnxruntime", version="1.31.1", package="onnxruntime-gpu")
FAR = HostInfo(fingerprint="f" * 12, facts={"name": "far", "cpu": "Another CPU", "cores_logical": 8})


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two runs of three cases: one case of each runtime beside the coordinator, one on another host."""
    found = [
        measured(outcomes.case(name="old"), 5.0, runtime=OLD),
        measured(outcomes.case(name="new"), 4.0, runtime=NEW),
        measured(outcomes.case(name="far"), 3.0, runtime=NEW, host=FAR),
    ]
    for day in range(2):
        write(tmp_path / "results", run(day, versions={"onnxruntime": "9.9.9"}), found)
    return tmp_path / "results"


def lines(data: Data, kind: str) -> dict[str, list[str]]:
    """The cases of each side of a kind."""
    return {side.key: sorted({*sides.rows(data, side)["case"]}) for side in sides.of_kind(data, kind)}


def test_rows_belong_to_what_measured_them(results: Path) -> None:
    """Runtimes and hosts to compare are those of the rows; the coordinator's own package measured nothing."""
    data = load(results)
    old, new, far = (f"digits_cnn/fp32/{name}-t1-b1" for name in ("old", "new", "far"))
    assert {"onnxruntime 1.20.0": [old], "onnxruntime-gpu 1.31.1": [far, new]} == lines(data, "runtime")
    assert {"f" * 12: [far], "0123456789ab": [new, old]} == lines(data, "host")
    assert ("onnxruntime-gpu 1.31.1, onnxruntime 1.20.0", {"0123456789ab", "f" * 12}) == (
        data.runs[0].runtime,
        {*data.runs[0].hosts},
    )
    assert "far · Another CPU · ffffff" == data.host("f" * 12)
    assert data.runs[0].id == data.newest_run("f" * 12)


def test_series_follow_the_row(results: Path) -> None:
    """A series has the runtime and the host that measured, in the report and in the history alike."""
    expected = {
        ("digits_cnn/fp32/far-t1-b1", "onnxruntime-gpu 1.31.1", "f" * 12),
        ("digits_cnn/fp32/new-t1-b1", "onnxruntime-gpu 1.31.1", "0123456789ab"),
        ("digits_cnn/fp32/old-t1-b1", "onnxruntime 1.20.0", "0123456789ab"),
    }
    charted = histories.collect(load(results), {})
    assert expected == {(group[0].case, group[0].runtime, group[0].fingerprint) for group in charted.values()}
    found = history(results, repo=None, metrics=["latency"]).series
    assert {("1.31.1+gpu", "f" * 12), ("1.31.1+gpu", "0123456789ab"), ("1.20.0", "0123456789ab")} == {
        (one.runtime, one.host) for one in found
    }
    assert {2} == {len(one.points) for one in found}


def test_the_pair_of_runs_is_matched_row_by_row(results: Path) -> None:
    """Two runs are set against each other on each host and runtime."""
    data = load(results)
    newest = [side.key for side in sides.of_kind(data, "run")]
    found = pairs.compared(data, pairs.asked(data, (newest[1], newest[0]))).moved
    assert 3 == len(found)
    assert (found["runtime"] == found["runtime_before"]).all()
    assert (found["fingerprint"] == found["fingerprint_before"]).all()


def test_values_of_asv_are_not_counted_twice(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asv's files of such a run hold what the samples hold: a file for each runtime and host, none of them news."""
    monkeypatch.setenv("HOME", str(tmp_path))
    of = run(1, versions={"python": "3.11.9", "onnxruntime": "9.9.9"})
    rows = [
        to_row(of, measured(outcomes.case(name="old"), 5.0, runtime=OLD)),
        to_row(of, measured(outcomes.case(name="far"), 3.0, runtime=NEW, host=FAR)),
    ]
    written = asv.write(results, of, rows)
    names = [path.name.split("-py3.11-")[1] for path in written if path.name.startswith("00000001")]
    assert ["onnxruntime-gpu1.31.1", "onnxruntime1.20.0"] == sorted(name.split("-digits")[0] for name in names)
    assert not load(results).asv.series


def test_the_site_says_so(results: Path, tmp_path: Path) -> None:
    """Each case's page names its own host; the first page lists both hosts."""
    site(results, tmp_path / "site")
    found = pages(tmp_path / "site")
    (far,) = (text for path, text in found.items() if path.startswith("cases/") and "far-t1-b1</h1>" in text)
    assert "Another CPU" in far
    assert "A CPU" not in far.replace("Another CPU", "")
    assert "far · Another CPU · ffffff" in found["index.html"]
