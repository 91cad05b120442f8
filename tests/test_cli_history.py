"""`harness history`, as a person sees it and as a program reads it."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from harness import shown
from harness.cli import app, history_tables
from harness.errors import UsageError
from harness.layout import print_grid
from harness.store.history import history as read
from harness.store.series import History
from tests.histories import asv_file, repository, store, sweep_of
from tests.outcomes import case, measured, refused

FP32, INT8 = "digits_cnn/fp32/cpu-t1-b1", "digits_cnn/int8-static/cpu-t1-b1"


@pytest.fixture
def commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A clone with three commits; int8-static is ten percent slower on the last, and failed on the second."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    commits = repository(tmp_path)
    int8 = case(variant="int8-static")
    for number, (of, median) in enumerate(zip(commits, (500_000, None, 550_000), strict=True)):
        second = refused(int8) if median is None else measured(int8, (median, median + 100, median - 100))
        store(tmp_path / "results", sweep_of(of, number), measured(), second)
    return commits


def run(*arguments: str) -> str:
    """Standard output of a run that went well."""
    done = CliRunner().invoke(app, ["history", *arguments])
    assert 0 == done.exit_code, done.output
    return done.stdout


def refusal(*arguments: str) -> str:
    """The message of a run that was refused."""
    done = CliRunner().invoke(app, ["history", *arguments])
    assert isinstance(done.exception, UsageError)
    return str(done.exception)


@pytest.mark.usefixtures("commits")
def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    """One line per case: points, last value with its interval, change and a plot; other metrics are named."""
    lines = run().splitlines()
    (int8,) = [line for line in lines if line.startswith(INT8)]
    assert " 3 " in int8
    assert "550 µs [550, 550]" in int8
    assert "+10.0%" in int8
    assert any(plot in int8 for plot in ("▁x█", "_x#"))
    (fp32,) = [line for line in lines if line.startswith(FP32)]
    assert "none" in fp32
    assert "also stored: accuracy_drop" in run()
    assert "" == capsys.readouterr().err


def test_one_case(commits: list[str]) -> None:
    """Every point with its commit and date, oldest first, for all its metrics."""
    text = run(INT8)
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line == f"{INT8}  latency".ljust(len(line)))
    rows = lines[start + 2 : start + 5]
    assert [commit[:8] for commit in commits] == [row.split()[0] for row in rows]
    assert ["500 µs [500, 500]", "failed", "550 µs [550, 550]"] == [
        next(said for said in ("500 µs [500, 500]", "failed", "550 µs [550, 550]") if said in row) for row in rows
    ]
    assert "2026-01-31" in rows[0]
    assert "value [95% interval]" in lines[start + 1]
    assert 1 == sum(line.startswith(f"{INT8}  session_creation") for line in lines)
    assert "the same at every point: accuracy_drop 1.00 points (failed at 1 of 3); fidelity_loss" in text
    assert "plots: bottom to top is 1.10x in all of them" in text
    assert len(lines) < 20
    assert "0.01 (40.0 dB)" in text
    assert "1.00 points" in text
    assert "123 kB" in text


@pytest.mark.usefixtures("commits")
def test_a_narrow_terminal_tells_series_of_one_case_apart() -> None:
    """Cases stand whole above their series, each with its runtime, and no line is wider than the terminal."""
    (one,) = read(Path("results"), repo=None, cases=(FP32,), metrics=("latency",)).series
    shown = [
        replace(one, case=name, runtime=runtime)
        for name in ("digits_cnn/fp16/cpu-t1-b1", "digits_cnn/int8-dynamic/cpu-t1-b1")
        for runtime in ("1.30.0+gpu", "1.31.1+gpu")
    ]
    text = io.StringIO()
    screen = Console(file=text, width=80)
    print_grid(screen, history_tables.listing(shown, blocks=True))
    lines = text.getvalue().splitlines()
    assert 7 == len(lines)
    assert all(len(line) <= 80 for line in lines)
    assert ["digits_cnn/fp16/cpu-t1-b1", "digits_cnn/int8-dynamic/cpu-t1-b1"] == lines[1::3]
    assert ["1.30.0+gpu", "1.31.1+gpu"] * 2 == [line.split()[1] for line in lines[2:4] + lines[5:7]]


@pytest.mark.usefixtures("commits")
@pytest.mark.parametrize("asked", ["digits_cnn/int8", "*int8*", INT8])
def test_cases_by_beginning_and_glob(asked: str) -> None:
    """An exact id, the beginning of one, a glob."""
    found = json.loads(run(asked, "--metric", "latency", "--format", "json"))
    assert [INT8] == [series["case"] for series in found]


def test_json_and_csv_say_the_same(commits: list[str]) -> None:
    """Full hashes, numbers as they are, null and empty for what is not there; standard output holds nothing else."""
    (series,) = json.loads(run(INT8, "--metric", "latency", "--format", "json"))
    assert commits == [point["commit"] for point in series["points"]]
    assert [0.0005, None, 0.00055] == [point["value"] for point in series["points"]]
    rows = list(csv.DictReader(io.StringIO(run(INT8, "--metric", "latency", "--format", "csv"))))
    assert run(INT8, "--metric", "latency", "--json") == run(INT8, "--metric", "latency", "--format", "json")
    lines = run(INT8, "--metric", "latency", "--format", "markdown").splitlines()
    assert f"### {shown.markdown(INT8)}, latency" == lines[0]
    assert "| commit | date | value | n |" == lines[2]
    assert len(rows) == len(lines) - 4
    assert run("--format", "markdown").startswith("| case | metric | runtime | host | points | last | change |")
    assert commits == [row["commit"] for row in rows]
    assert ["0.0005", "", "0.00055"] == [row["value"] for row in rows]


def test_since(commits: list[str]) -> None:
    """From a revision on."""
    (series,) = json.loads(run(FP32, "--metric", "latency", "--since", "HEAD~1", "--format", "json"))
    assert commits[1:] == [point["commit"] for point in series["points"]]


@pytest.mark.usefixtures("commits")
def test_names_that_nobody_knows() -> None:
    """Each is refused with what is near."""
    assert "did you mean 'latency'" in refusal("--metric", "latenzy")
    assert f"did you mean '{INT8}'" in refusal("digits_cnn/int8-statik/cpu-t1-b1")
    assert "did you mean 'digits_cnn'" in refusal("digitz_cnn")
    assert "write '*int8*'" in refusal("int8")
    assert "no such metric" in refusal(FP32, "--metric", "latency,nothing")
    assert "knows no such commit" in refusal("--since", "nothing")
    assert "table, csv, json" in refusal("--format", "xml")


def test_an_empty_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence that says what to run; programs get an empty list."""
    monkeypatch.chdir(tmp_path)
    assert "no history under results; make some with: harness sweep" in run()
    assert [] == json.loads(run("--format", "json"))


@pytest.mark.usefixtures("commits")
def test_nothing_of_what_was_asked() -> None:
    """A metric that exists and has no points is not a mistake."""
    (Path("results") / "samples").rename("elsewhere")
    for path in Path("results").glob("*/*.json"):
        path.unlink()
    assert "no history of peak_memory" in run("--metric", "peak_memory")


@pytest.mark.usefixtures("commits")
def test_what_is_left_out_is_said() -> None:
    """On standard error, and the rest is shown."""
    (Path("results") / "samples" / "x.parquet").write_bytes(b"x")
    done = CliRunner().invoke(app, ["history"])
    assert (0, True, True) == (done.exit_code, "left out: " in done.stderr, "x.parquet" in done.stderr)
    assert FP32 in done.stdout


def test_series_of_one_case_are_told_apart(tmp_path: Path, commits: list[str]) -> None:
    """Where two differ in host, runtime or weights, the lines say in which."""
    store(tmp_path / "results", sweep_of(commits[0], 9, fingerprint="ffffffffffff"), measured())
    lines = [line for line in run().splitlines() if line.startswith(FP32)]
    assert ["0123456789ab", "ffffffffffff"] == [
        next(host for host in ("0123456789ab", "ffffffffffff") if host in line) for line in lines
    ]


def test_commits_that_git_does_not_know(tmp_path: Path, commits: list[str]) -> None:
    """They are named, since their order rests on the clock; changed trees are marked."""
    asv_file(tmp_path / "results", "f" * 40, [0.001], machine="vm")
    store(tmp_path / "results", sweep_of(commits[0], 8, dirty=True), measured())
    text = run(FP32)
    assert "not in this clone, ordered by time: ffffffff" in text
    assert f"{commits[0][:8]} + changes" in text


def test_changes() -> None:
    """Brackets where intervals overlap; worse only where they do not; no division by zero."""
    from harness.cli.history_tables import difference
    from harness.store.history import Point, Series

    def series(*values: tuple[float | None, float | None, float | None]) -> Series:
        points = tuple(
            Point(
                commit=None, commit_time=None, value=value, status="measured", low=low, high=high, confidence=None, n=1,
                dirty=False, started_at="", source="asv", run=None, position=None,
            )
            for value, low, high in values
        )  # fmt: skip
        return Series(
            case="", metric="", unit="fraction", host="", runtime="", weights="", environment="", points=points
        )

    assert ("(+5.0%)", False) == difference(series((1.0, 0.9, 1.1), (1.05, 1.0, 1.1)))
    assert ("+50.0%", True) == difference(series((1.0, 0.9, 1.1), (None, None, None), (1.5, 1.4, 1.6)))
    assert ("-50.0%", False) == difference(series((1.0, 0.9, 1.1), (0.5, 0.4, 0.6)))
    assert ("from 0.00 points", True) == difference(series((0.0, None, None), (0.5, None, None)))
    assert ("none", False) == difference(series((0.5, None, None), (0.5, None, None)))
    assert ("-", False) == difference(series((0.5, None, None), (None, None, None)))
    assert () == History(series=()).problems
