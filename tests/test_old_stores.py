"""Stores that earlier versions wrote stay readable: every reader, on a store as it was and with columns missing."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.errors import NewerSchema, StoreError
from harness.gate.history.judge import judge
from harness.gate.model import Verdict
from harness.report import choice, plot
from harness.report.data import load
from harness.report.site import SiteRequest, build
from harness.store import query, samples
from harness.store.absent import REQUIRED
from harness.store.asv import files as asv_files
from harness.store.asv import results as asv
from harness.store.asv.merge import merge
from harness.store.columns import COLUMNS
from harness.store.history import history
from harness.store.imports import recognize
from harness.store.rows import to_row
from tests import outcomes
from tests.old_stores import DROPPED, V1, copy, rewrite, with_more, without
from tests.test_store_samples import newer

RUNS = ("20261128T060807Z-a32f1a", "20261128T060811Z-0b813c")
COMMITS = ("41a3e41eb5d4ec17cb055651375fda529208de44", "479b7e661bfad7df1543084f9523fd6f52468e29")
FP32 = "tiny/fp32/cpu-t1-b1"
MEDIANS = {RUNS[0]: 6.204e-06, RUNS[1]: 6.2395e-06}
CASES = 8


def as_it_was(results: Path) -> None:
    """The store as it was written."""


def fewer_columns(results: Path) -> None:
    """Every file lacks columns that this version knows."""
    for path in (results / "samples").iterdir():
        rewrite(path, lambda table: without(table, *DROPPED))


def one_with_fewer(results: Path) -> None:
    """One file lacks columns that the other has."""
    rewrite(results / "samples" / f"{RUNS[0]}.parquet", lambda table: without(table, *DROPPED))


def more_columns(results: Path) -> None:
    """One file is of a later version, which added a column and a field."""
    path = results / "samples" / f"{RUNS[1]}.parquet"
    path.write_bytes(samples.encode(samples.read(path)))
    rewrite(path, with_more)


@pytest.fixture(scope="module", params=[as_it_was, fewer_columns, one_with_fewer, more_columns])
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of the first format, in several states; only to be read."""
    results = copy(tmp_path_factory.mktemp("old") / "results")
    edit: Callable[[Path], None] = request.param
    edit(results)
    return results


@pytest.fixture
def store(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """It, read from an empty folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return kept


@pytest.fixture
def written(store: Path, tmp_path: Path) -> Path:
    """A copy of it that may be changed."""
    return Path(shutil.copytree(store, tmp_path / "results"))


def test_samples(store: Path) -> None:
    """A file is read whole: every column of today, null where it has none, and every field of a struct."""
    for run in RUNS:
        rows = samples.read(store / "samples" / f"{run}.parquet")
        assert CASES == len(rows)
        assert [list(COLUMNS)] * CASES == [list(row) for row in rows]
        row = next(row for row in rows if row["case"] == FP32)
        assert (MEDIANS[run], None, None) == (row["latency"]["median_s"], row["measured_by"], row["metrics"])
        assert [*COLUMNS["latency"]] == [*row["latency"]]
        assert [*COLUMNS["processes"][0]] == [*row["processes"][0]]
        assert len(row["processes"][0]["samples_ns"]) > 100


def test_query(store: Path) -> None:
    """Rows are those of the files, without samples."""
    found = query.query(store, all_runs=True)
    assert (2 * CASES, ()) == (len(found.rows), found.problems)
    expected = {
        (row["run"], row["case"]): {name: row[name] for name in query.LIGHT}
        for run in RUNS
        for row in samples.read(store / "samples" / f"{run}.parquet")
    }
    assert expected == {(row["run"], row["case"]): row for row in found.rows}
    newest = query.rows(store, models=["tiny"])
    assert {RUNS[1]} == {row["run"] for row in newest}


def test_expressions(store: Path) -> None:
    """What DuckDB is asked for may be a field that no file has; whole rows of chosen cases come with their samples."""
    select = {
        "filename": "filename",
        "case": '"case"',
        "run": "run",
        "package": "measured_by.package",
        "p90": "latency.p90_s",
    }
    found = query.table(store, select, ("case", "filename"))
    assert ((), 2 * CASES) == (found.problems, len(found.frame))
    assert found.frame["package"].isna().all()
    keys = found.frame[found.frame["case"] == FP32]
    rows = [*query.pick(keys, ("case", "measured_by", "processes"))]
    assert len(keys) == len(rows) > 0
    for row in rows:
        assert (FP32, None) == (row["case"], row["measured_by"])
        assert [*COLUMNS["processes"][0]] == [*row["processes"][0]]


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_results_verb(store: Path, form: str) -> None:
    """`harness results` shows all of it in every form."""
    done = CliRunner().invoke(app, ["results", "--results", str(store), "--format", form])
    assert (0, "") == (done.exit_code, done.stderr)
    if form == "json":
        assert CASES == len(json.loads(done.stdout))
    else:
        assert "int8-static" in done.stdout


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_history_verb(store: Path, form: str) -> None:
    """`harness history` shows the series in every form."""
    done = CliRunner().invoke(app, ["history", "--results", str(store), "--format", form])
    assert (0, "") == (done.exit_code, done.stderr)
    assert "tiny/int8-static/cpu-t1-b1" in done.stdout


def test_history(store: Path) -> None:
    """Both commits stand in one series, each measurement once though it is in asv's files as well."""
    found = history(store, repo=None, cases=[FP32], metrics=["latency"])
    (series,) = found.series
    assert ((), "1.31.1+gpu", "2bcc905dfd9b") == (found.problems, series.runtime, series.host)
    assert [*COMMITS] == [point.commit for point in series.points]
    assert [*MEDIANS.values()] == [point.value for point in series.points]
    assert {"samples"} == {point.source for point in series.points}


def test_gate_history(store: Path) -> None:
    """`gate --history` judges every series; the model that always failed is a failure."""
    found = judge(store, repo=None)
    assert () == tuple(note for note in found.notes if "left out" in note)
    verdicts = {case.name: case.verdict for case in found.cases}
    assert Verdict.FAILED == verdicts["broken/fp32/cpu-t1-b1"]
    assert {f.metric for case in found.cases if case.name.startswith(FP32) for f in case.findings} >= {
        "latency",
        "size",
    }


def test_report(store: Path, tmp_path: Path) -> None:
    """The site has a page for every case, the comparison of both runs, and leaves nothing out."""
    site = tmp_path / "site"
    built = build(SiteRequest(results=store, out=site, compare=(RUNS, (COMMITS[0], COMMITS[1]))))
    assert () == built.problems
    index = " ".join(built.index.read_text(encoding="utf-8").split())
    assert re.search(r">\s*fp32\s*<", index)
    assert CASES == len([path for path in (site / "cases").iterdir() if path.suffix == ".html"])


def test_compare(store: Path) -> None:
    """The two runs are set against each other, case by case."""
    moved = choice.moved(load(store), choice.PlotRequest(results=store, compare=RUNS))
    assert ["tiny/fp32/cpu-t1-b1", "tiny/int8-static/cpu-t1-b1"] == sorted(moved["case"])


def test_plot(store: Path) -> None:
    """Every kind of chart that this store has numbers for is drawn, of what was read once."""
    every = choice.PlotRequest(results=store, models=["tiny"], targets=["cpu*"])
    one = replace(every, variants=["fp32"])
    data = load(store)
    for kind in ("fidelity", "size", "spread", "timeline", "coverage", "history", "ratios"):
        found = plot.KINDS[kind](data, one if kind in ("timeline", "history") else every)
        assert found is not None, kind
        assert found["data"], kind
    assert plot.plot("latency", every)["data"]


def test_import(store: Path, tmp_path: Path) -> None:
    """It is imported into another folder as it is, and a second time changes nothing."""
    here = tmp_path / "here"
    (done,) = merge(here, [recognize.read(store)])
    assert ([], [], 2) == (done.problems, done.conflicts, done.runs)
    (again,) = merge(here, [recognize.read(store)])
    assert (0, 0, []) == (again.added, again.runs, again.conflicts)
    assert [s.case for s in history(store, repo=None).series] == [s.case for s in history(here, repo=None).series]


def test_import_on_top(written: Path, tmp_path: Path) -> None:
    """A run that this version wrote anew from the same numbers is the same run, not a conflict."""
    here = copy(tmp_path / "here")
    path = here / "samples" / f"{RUNS[0]}.parquet"
    path.write_bytes(samples.encode(samples.read(written / "samples" / path.name)))
    (done,) = merge(here, [recognize.read(here / ".." / written.name)])
    assert [] == [one.what for one in done.conflicts if RUNS[0] in one.what]


def test_asv_files(written: Path, tmp_path: Path) -> None:
    """A new run of the same commit is merged into asv's files of then, whose other values stay."""
    described = json.loads((V1 / "bench" / "machine.json").read_text(encoding="utf-8"))
    machines = {"bench": {name: value for name, value in described.items() if name != "version"}, "version": 1}
    (tmp_path / ".asv-machine.json").write_text(json.dumps(machines), encoding="utf-8")
    (row,) = (row for row in query.rows(written) if row["case"] == FP32)
    of = outcomes.run(
        commit=row["commit"], commit_time=row["commit_time"], fingerprint=row["fingerprint"], host=row["host"],
        versions=row["versions"],
    )  # fmt: skip
    case = outcomes.case("tiny", "fp16")
    outcome = outcomes.measured(case)
    files = asv.write(written, of, [{**to_row(of, outcome), "weights": row["weights"]}])
    (path,) = (path for path in files if "-tiny-" in path.name)
    found = asv_files.read(path).benchmarks
    # A file holds one version of a benchmark: latencies of one input make way for those of many, the rest stays.
    assert {outcome.latency.median_s if outcome.latency else None} == {*found["sweep.track_latency"]["result"]} - {None}
    assert {row["artifact"]["bytes"], 123_456} <= {*found["sweep.track_artifact_size"]["result"]}


def test_any_column_may_be_absent(tmp_path: Path) -> None:
    """Whichever column a file lacks, beside those that say what a row is, is null, whoever reads it."""
    results = copy(tmp_path / "results")
    path = results / "samples" / f"{RUNS[0]}.parquet"
    names = [name for name in samples_columns(path) if name not in REQUIRED]
    rewrite(path, lambda table: without(table, *names))
    nulls = dict.fromkeys(COLUMNS)
    rows = samples.read(path)
    assert [nulls | {name: row[name] for name in REQUIRED} for row in rows] == rows
    assert {RUNS[0]} == {row["run"] for row in rows}
    found = query.query(results, all_runs=True)
    assert () == found.problems
    assert sorted(row["case"] for row in rows) == sorted(row["case"] for row in found.rows if row["started_at"] is None)


def samples_columns(path: Path) -> list[str]:
    """The columns of a Parquet file."""
    import pyarrow.parquet as pq

    names: list[str] = pq.read_schema(path).names
    return names


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda table: without(table, "case"), "it has no column case"),
        (lambda table: renamed(table, "latency", "latensy"), "it has a column latensy.* and lacks "),
    ],
)
def test_what_no_version_wrote(tmp_path: Path, edit: Callable[[Any], Any], said: str) -> None:
    """A column that a row cannot do without, or a strange one in place of a known one: damaged, not merely old."""
    results = copy(tmp_path / "results")
    path = results / "samples" / f"{RUNS[0]}.parquet"
    rewrite(path, edit)
    with pytest.raises(StoreError, match=said):
        samples.read(path)
    for problems in (query.query(results, all_runs=True).problems, query.table(results, {"run": "run"}).problems):
        assert [True] == [bool(re.search(f"{RUNS[0]}.*damaged.*{said}", str(problem))) for problem in problems]


def renamed(table: Any, old: str, new: str) -> Any:
    """A table with one column renamed."""
    names = [new if name == old else name for name in table.schema.names]
    return table.rename_columns(names).replace_schema_metadata(table.schema.metadata)


@pytest.mark.parametrize("kept", [fewer_columns, more_columns], indirect=True)
def test_a_newer_store_is_refused(written: Path, tmp_path: Path) -> None:
    """A higher version is not guessed at: every reader leaves the file out and says what to do."""
    path = newer(written / "samples" / f"{RUNS[1]}.parquet")
    sentence = f"{path.name} has schema version 99; this harness reads versions up to 1: update onnx-harness"
    with pytest.raises(NewerSchema, match=re.escape(sentence)):
        samples.read(path)
    with pytest.raises(NewerSchema, match=re.escape(sentence)):
        query.rows(written)
    for problems in (
        query.query(written).problems,
        history(written, repo=None).problems,
        build(SiteRequest(results=written, out=tmp_path / "site")).problems,
        merge(tmp_path / "here", [recognize.read(written)])[0].problems,
    ):
        assert [True] == [sentence in str(problem) for problem in problems]
    assert any(sentence in note for note in judge(written, repo=None).notes)


def test_the_fixture_is_what_was_written() -> None:
    """The store in the repository lacks the columns that were added since, and stays small."""
    for path in (V1 / "samples").iterdir():
        assert not {"measured_by", "metrics"} & {*samples_columns(path)}
    assert sum(path.stat().st_size for path in V1.rglob("*") if path.is_file()) < 200_000
