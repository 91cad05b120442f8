"""harness from Python: frames of what is stored, compared and judged."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import pandas as pd
import pytest

import harness
from harness.errors import HarnessError, StoreError, UsageError
from harness.gate.outputs import as_json
from tests import report_stores, reports

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history of four days in which int8-static gets slower on the last."""
    folder = tmp_path_factory.mktemp("api") / "results"
    report_stores.history(folder, days=4, slower_from=3)
    return folder


def test_importing_harness_imports_no_library() -> None:
    """And no other part of harness: whoever imports a module of it pays for that module."""
    code = "import sys, harness; print(sorted(m for m in sys.modules if m.partition('.')[0] in %r))"
    names = {"harness", "pandas", "numpy", "pyarrow", "duckdb", "typer", "pydantic", "yaml"}
    out = subprocess.run([sys.executable, "-c", code % names], capture_output=True, text=True, check=True).stdout
    assert "['harness']" == out.strip()


def test_results_are_one_line_per_case(stored: Path) -> None:
    """With times in seconds, the speed-up against the baseline, and the build to ship."""
    found: Any = harness.results(stored).set_index("case")
    assert 4 == len(found)
    row = found.loc["digits_cnn/int8-static/cpu-t1-b1"]
    assert 0.0075 == pytest.approx(row["latency_median_s"], rel=0.02)
    assert found.loc["digits_cnn/fp32/cpu-t1-b1", "latency_median_s"] / row["latency_median_s"] == row["speedup"]
    assert "inside" == row["inside"]
    assert {"int8-static"} == {*found[found["ship"]]["variant"]}
    assert 4 * 4 == len(harness.results(stored, all_runs=True))


def test_a_name_that_is_not_stored_is_said(stored: Path) -> None:
    """A model that is mistyped, and a folder."""
    assert 4 == len(harness.results(stored, models=["digits*"]))
    with pytest.raises(UsageError, match=r"did you mean.*digits_cnn"):
        harness.results(stored, models="digits_cn")
    with pytest.raises(UsageError, match="nothing: no such case in"):
        harness.history("nothing", stored, repo=None)
    with pytest.raises(StoreError, match="is not a folder"):
        harness.results(stored / "nowhere")


def test_a_damaged_file_is_a_warning(stored: Path, tmp_path: Path) -> None:
    """What can be read is there."""
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples/bad.parquet").write_bytes(b"no parquet")
    for good in sorted((stored / "samples").iterdir())[:1]:
        (tmp_path / "samples" / good.name).write_bytes(good.read_bytes())
    with pytest.warns(harness.LeftOutWarning, match="bad.parquet"):
        found = harness.results(tmp_path)
    assert 4 == len(found)
    assert "bad.parquet" in found.attrs["notes"][0]


def test_nothing_stored_is_an_empty_frame(tmp_path: Path) -> None:
    """With its columns, so that code that uses it runs."""
    assert {"case", "latency_median_s", "ship"} <= {*harness.results(tmp_path).columns}
    assert {"case", "value", "commit"} <= {*harness.history(folder=tmp_path, repo=None).columns}


def test_two_runs_are_compared_as_the_page_does(stored: Path) -> None:
    """The case that got slower comes first, with an interval."""
    runs = sorted(harness.results(stored, all_runs=True)["run"].unique())
    found = harness.compare(runs[0], runs[-1], stored, repo=None)
    assert ["slower", "slower", "same", "same"] == found["verdict"].tolist()
    assert found["ratio"][0] == pytest.approx(1.5, rel=0.02)
    assert found["low"][0] < 1.5 < found["high"][0]
    assert {"median_s_before", "median_s", "quality"} <= {*found.columns}
    with pytest.raises(UsageError, match="no run, commit, runtime or host"):
        harness.compare("nothing", runs[0], stored, repo=None)


def test_history_is_one_line_per_point(stored: Path) -> None:
    """In the order of time, with numbers as numbers."""
    found = harness.history("digits_cnn/int8-static/cpu-t1-b1", stored, metric="latency", repo=None)
    assert 4 == len(found)
    assert found["value"][3] > 1.4 * found["value"][0]
    assert "Float64" == found["value"].dtype
    assert {"seconds"} == {*found["unit"]}
    assert 8 == len(harness.history("digits_cnn/int8", stored, metric="latency", repo=None))


def test_every_column_has_a_type_that_holds_what_is_absent(stored: Path, tmp_path: Path) -> None:
    """In all four frames alike, so that they can be joined, and NA is NA in each."""
    runs = sorted(harness.results(stored, all_runs=True)["run"].unique())
    path = tmp_path / "gate.json"
    path.write_text(as_json.render(reports.mixed()), encoding="utf-8")
    frames = [
        harness.results(stored),
        harness.compare(runs[0], runs[-1], stored, repo=None),
        harness.history("digits_cnn", stored, repo=None),
        harness.gate(report=path),
    ]
    found = {str(kind) for frame in frames for kind in frame.dtypes}
    assert {"string", "Float64", "Int64", "boolean"} == found


def test_names_of_a_history_that_are_mistyped_are_guessed(stored: Path) -> None:
    """Cases and metrics; in a notebook, completion offers the functions before one is used."""
    with pytest.raises(UsageError, match=r"did you mean 'latency'\?"):
        harness.history("digits_cnn", stored, metric="latncy", repo=None)
    with pytest.raises(UsageError, match=r"did you mean 'digits_cnn'\?"):
        harness.history("digits_cn_", stored, repo=None)
    assert {"results", "compare", "history", "gate"} <= {*dir(harness)}


def test_a_report_of_a_gate_is_read(tmp_path: Path) -> None:
    """One line per finding; the verdict of the whole stands beside the frame."""
    path = tmp_path / "gate.json"
    path.write_text(as_json.render(reports.mixed()), encoding="utf-8")
    found = harness.gate(report=path)
    assert "regression" == found.attrs["verdict"]
    assert 1 == found.attrs["exit_code"]
    slower = found[(found["case"] == reports.CASE) & (found["metric"] == "latency")].iloc[0]
    assert ("regression", 1.048) == (slower["verdict"], slower["ratio"])
    assert {case["name"] for case in json.loads(path.read_text(encoding="utf-8"))["cases"]} == {*found["case"]}
    with pytest.raises(UsageError, match="omit the sides"):
        harness.gate("main", report=path)


def test_a_gate_is_run(tmp_path: Path) -> None:
    """With what was asked for, and its numbers are kept."""
    with (
        mock.patch("harness.gate.gate.gate", return_value=reports.mixed()) as run,
        mock.patch("harness.gate.outputs.delivery.keep") as keep,
    ):
        found = harness.gate("main", models="resnet50", zoo=tmp_path / "model_zoo.yaml", folder=tmp_path)
    request = run.call_args[0][0]
    assert ("main", ("resnet50",)) == (request.base, request.selection.models)
    assert "regression" == found.attrs["verdict"]
    keep.assert_called_once()


def test_the_package_of_the_gate_can_be_called_too() -> None:
    """`import harness.gate` puts a module where the function was."""
    package = sys.modules["harness.gate"]
    assert isinstance(package, ModuleType)
    with pytest.raises(HarnessError, match="omit the sides"):
        package("main", report="gate.json")  # type: ignore[operator]  # its class has __call__


def test_the_notebook_runs(stored: Path, tmp_path: Path) -> None:
    """Every code cell of docs/python.ipynb, in order, beside a results folder; its outputs are not kept."""
    notebook = json.loads((ROOT / "docs/python.ipynb").read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) > 4
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells)
    (tmp_path / "results").symlink_to(stored)
    (tmp_path / "gate.json").write_text(as_json.render(reports.mixed()), encoding="utf-8")
    names: dict[str, object] = {}
    with contextlib.chdir(tmp_path):
        for cell in cells:
            exec("".join(cell["source"]), names)  # noqa: S102  (what a reader runs)
    assert isinstance(names["table"], pd.DataFrame)
