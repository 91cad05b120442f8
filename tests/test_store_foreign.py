"""Files of pytest-benchmark and optimum-benchmark, as results that asv and harness read."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.store.asv import files as asv_files
from harness.store.asv.merge import merge
from harness.store.history import history
from harness.store.imports import recognize
from harness.store.imports.base import Booked, Value, book, condensed, tables
from tests.histories import git, repository, snapshot

COMMIT = "1" * 40
BOOKED = Booked(commit=COMMIT, time=1_769_850_000_000)

TESTS = """
import pytest
def test_plain(benchmark):
    benchmark(sum, range(100))
@pytest.mark.parametrize("n", [10, 20])
def test_many(benchmark, n):
    benchmark(sum, range(n))
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """What pytest-benchmark itself writes in a clean repository, and the commit."""
    root = tmp_path_factory.mktemp("project")
    (root / "tests").mkdir()
    (root / "tests" / "test_speed.py").write_text(TESTS)
    (root / ".gitignore").write_text("*.json\n__pycache__\n")
    repository(root, 1)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "tests")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--benchmark-json=out.json"]
    quick = ["--benchmark-max-time=0.01", "--benchmark-min-rounds=3", "--benchmark-warmup=off"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    subprocess.run(
        [*command, *quick, "--rootdir", str(root), "tests"], cwd=root, check=True, capture_output=True, env=environment
    )
    return root / "out.json", git(root, "rev-parse", "HEAD")


def edited(path: Path, source: Path, **changes: Any) -> Path:
    """A copy of an exported file with its commit_info changed."""
    content = json.loads(source.read_text())
    content["commit_info"] |= changes
    path.write_text(json.dumps(content))
    return path


def test_pytest_benchmark(tmp_path: Path, exported: tuple[Path, str]) -> None:
    """Median, samples, commit and parameters arrive, once."""
    source, commit = exported
    (done,) = merge(tmp_path, [recognize.read(source)])
    assert (3, []) == (done.added, done.problems)
    found = history(tmp_path, repo=source.parent).series
    assert [f"tests.test_speed.test_{name}" for name in ("many(10)", "many(20)", "plain")] == [s.case for s in found]
    assert {("pytest", "seconds")} == {(series.metric, series.unit) for series in found}
    (point,) = found[-1].points
    (stats,) = [one["stats"] for one in json.loads(source.read_text())["benchmarks"] if one["name"] == "test_plain"]
    assert (commit, 1) == (point.commit, point.position)
    assert statistics.median(stats["data"]) == point.value
    assert min(len(stats["data"]), 101) == point.n
    assert point.low is not None
    assert point.high is not None
    assert point.low <= stats["median"] <= point.high
    after = snapshot(tmp_path)
    merge(tmp_path, [recognize.read(source)])
    assert after == snapshot(tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id": "unversioned"}, "names no commit"),
        ({"dirty": True}, "with changes"),
        ({"time": None}, "does not say when"),
    ],
)
def test_pytest_benchmark_needs_a_commit(
    tmp_path: Path, exported: tuple[Path, str], changes: dict[str, Any], said: str
) -> None:
    """Numbers of no commit, or of a changed tree, are booked only where it is asked for."""
    path = edited(tmp_path / "x.json", exported[0], **changes)
    (problem,) = recognize.read(path).problems
    assert said in str(problem)
    assert "--commit" in str(problem)
    assert [COMMIT] == [file.commit for file in recognize.read(path, BOOKED).files]


def test_pytest_benchmark_without_samples(tmp_path: Path, exported: tuple[Path, str]) -> None:
    """What `--benchmark-save` keeps has no samples: a value without an interval, and none is made up."""
    content = json.loads(exported[0].read_text())
    for one in content["benchmarks"]:
        del one["stats"]["data"]
    path = tmp_path / "x.json"
    path.write_text(json.dumps(content))
    merge(tmp_path / "results", [recognize.read(path)])
    points = [point for series in history(tmp_path / "results", repo=None).series for point in series.points]
    assert [(None, 1)] * 3 == [(point.low, point.n) for point in points]


@pytest.mark.parametrize("date", [10**30, -(10**30), 1.5e300])
def test_numbers_that_no_file_of_asv_has(tmp_path: Path, exported: tuple[Path, str], date: float) -> None:
    """A date that is none is not known, and of samples there are at most as many as anybody takes."""
    merge(tmp_path, [recognize.read(exported[0])])
    (path,) = (one for one in tmp_path.glob("*/*.json") if one.name != "machine.json")
    content = json.loads(path.read_text())
    place = content["result_columns"].index("stats_repeat")
    for columns in content["results"].values():
        columns[place] = [10**25 for _ in columns[0]]
    path.write_text(json.dumps({**content, "date": date}))
    found = history(tmp_path, repo=None)
    assert () == found.problems
    points = [point for series in found.series for point in series.points]
    assert [(None, 10**9)] * 3 == [(point.commit_time, point.n) for point in points]


def test_pytest_benchmark_of_another_shape(tmp_path: Path, exported: tuple[Path, str]) -> None:
    """A file without what it must have is named, as is one without benchmarks."""
    content = json.loads(exported[0].read_text())
    path = tmp_path / "x.json"
    path.write_text(json.dumps({**content, "benchmarks": [{"name": "x"}]}))
    assert "KeyError" in str(*recognize.read(path).problems)
    path.write_text(json.dumps({**content, "benchmarks": []}))
    assert "no benchmark" in str(*recognize.read(path).problems)


def test_asv_shows_what_was_imported(tmp_path: Path, exported: tuple[Path, str]) -> None:
    """`asv publish` draws it and `asv show` prints it."""
    source, _ = exported
    merge(tmp_path / "results", [recognize.read(source)])
    configuration = {"version": 1, "project": "x", "repo": str(source.parent), "branches": ["main"]}
    (tmp_path / "asv.conf.json").write_text(
        json.dumps({**configuration, "results_dir": "results", "html_dir": "html", "benchmark_dir": "benchmarks"})
    )
    (machine,) = [path.parent.name for path in (tmp_path / "results").glob("*/machine.json")]
    asv = [sys.executable, "-m", "asv"]
    done = subprocess.run([*asv, "publish"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
    assert 3 == len([path for path in (tmp_path / "html" / "graphs").rglob("pytest*.json") if machine in str(path)]) + 1
    shown = subprocess.run(
        [*asv, "show", "main", "--machine", machine], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "pytest.tests.test_speed.test_plain" in shown.stdout


def run_of(**changes: Any) -> dict[str, Any]:
    """A benchmark.json in the shape of optimum-benchmark 0.5."""
    latency = {"unit": "s", "values": [0.2, 0.1, 0.3], "count": 3, "total": 0.6, "mean": 0.2, "p50": 0.2, "stdev": 0.08}
    memory = {"unit": "MB", "max_ram": 500.5, "max_global_vram": None, "max_process_vram": None}
    throughput = {"unit": "samples/s", "value": 5.0}
    config = {
        "name": "bert",
        "backend": {
            "name": "onnxruntime",
            "version": "1.20.0",
            "model": "bert-base-uncased",
            "device": "cpu",
            "ports": {"80/tcp": 4711},
        },
        "scenario": {"name": "inference", "input_shapes": {"batch_size": 4}},
        "environment": {
            "cpu": " A CPU", "cpu_count": 8, "cpu_ram_mb": 33164.89, "machine": "x86_64", "platform": "Linux-5.15",
            "python_version": "3.10.14", "gpu": None,
        },
    }  # fmt: skip
    nothing = {"memory": None, "latency": None, "throughput": None, "energy": None, "efficiency": None}
    report = {
        "load": {**nothing, "latency": {**latency, "values": [1.5]}},
        "forward": {**nothing, "memory": memory, "latency": latency, "throughput": throughput},
    }
    return {"config": config | changes, "report": report}


def test_optimum_benchmark(tmp_path: Path) -> None:
    """Latency of every phase in seconds, memory in bytes, and what is not there is not made up."""
    path = tmp_path / "benchmark.json"
    path.write_text(json.dumps(run_of()))
    incoming = recognize.read(path, BOOKED)
    assert "larger is better" in incoming.notes[0]
    (done,) = merge(tmp_path / "results", [incoming])
    assert (3, []) == (done.added, done.problems)
    found = history(tmp_path / "results", repo=None).series
    assert {
        ("optimum.forward.latency", "seconds"): 0.2,
        ("optimum.forward.memory.max_ram", "bytes"): 500.5e6,
        ("optimum.load.latency", "seconds"): 1.5,
    } == {(series.metric, series.unit): series.points[0].value for series in found}
    assert {"1.20.0"} == {series.runtime for series in found}
    assert {"bert-base-uncased/onnxruntime/cpu/4/bert"} == {series.case.rpartition("-")[0] for series in found}


def test_optimum_benchmark_by_halves(tmp_path: Path) -> None:
    """A report needs its settings beside it; a folder with all three files is one run."""
    run = run_of()
    (tmp_path / "benchmark_report.json").write_text(json.dumps(run["report"]))
    assert "without its settings" in str(*recognize.read(tmp_path / "benchmark_report.json", BOOKED).problems)
    (tmp_path / "benchmark_config.json").write_text(json.dumps(run["config"]))
    assert 1 == len(recognize.read(tmp_path / "benchmark_report.json", BOOKED).files)
    (tmp_path / "benchmark.json").write_text(json.dumps(run))
    whole = recognize.read(tmp_path, BOOKED)
    assert (1, ()) == (len(whole.files), whole.problems)


def test_optimum_benchmark_needs_a_commit(tmp_path: Path) -> None:
    """It never names the commit of what it measured."""
    path = tmp_path / "benchmark.json"
    path.write_text(json.dumps(run_of()))
    assert "--commit" in str(*recognize.read(path).problems)


def test_other_settings_are_other_series(tmp_path: Path) -> None:
    """Two runs that differ in a setting only share a file, never a series; a port is not a setting."""
    for number, scenario in enumerate(({"a": 1}, {"a": 2})):
        (tmp_path / f"{number}.json").write_text(json.dumps(run_of(scenario=scenario)))
    moved = run_of(scenario={"a": 1})
    moved["config"]["backend"]["ports"] = {}
    (tmp_path / "2.json").write_text(json.dumps(moved))
    done = merge(tmp_path / "results", [recognize.read(tmp_path / f"{number}.json", BOOKED) for number in range(3)])
    assert [(3, 0), (3, 0), (0, 3)] == [(one.added, one.same) for one in done]
    assert 6 == len(history(tmp_path / "results", repo=None).series)


def test_a_failed_run_is_told(tmp_path: Path) -> None:
    """A report of nothing is not a result."""
    run = run_of()
    run["report"] = {"load": {"latency": None}}
    (tmp_path / "benchmark.json").write_text(json.dumps(run))
    assert "holds no number" in str(*recognize.read(tmp_path / "benchmark.json", BOOKED).problems)


def test_many_samples_keep_their_quartiles() -> None:
    """At most 101 are kept, with the median and the quartiles of all."""
    samples = [float(value * value) for value in range(1000)]
    kept = condensed(samples)
    assert 101 == len(kept)
    assert (min(samples), max(samples)) == (kept[0], kept[-1])
    assert statistics.quantiles(samples, method="inclusive") == pytest.approx(
        statistics.quantiles(kept, method="inclusive")
    )


def test_two_values_for_one_place() -> None:
    """Which of them would be right?"""
    value = Value(benchmark="pytest.x", unit="seconds", meaning="", at={"param": "1"}, value=1.0)
    with pytest.raises(ValueError, match="two values"):
        tables([value, value])


def test_gaps_in_a_grid_are_na() -> None:
    """Places that nobody measured hold NaN and no samples."""
    at = [{"a": "1", "b": "1"}, {"a": "2", "b": "2"}]
    found, _ = tables([Value(benchmark="x", unit="s", meaning="", at=one, value=1.0, samples=[1.0, 1.0]) for one in at])
    assert [False, True, True, False] == [value != value for value in found["x"]["result"]]  # noqa: PLR0124  (only NaN differs from itself)
    assert [None, None] == [asv_files.at(found["x"], "samples", place) for place in (1, 2)]


def test_the_commit_must_be_known(tmp_path: Path) -> None:
    """A revision of this clone, and nothing else."""
    (commit,) = repository(tmp_path, 1)
    assert commit == book("main", tmp_path).commit
    with pytest.raises(UsageError, match="knows no such commit"):
        book("nothing", tmp_path)
