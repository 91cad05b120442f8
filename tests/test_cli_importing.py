"""`harness import` from the command line."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.errors import StoreError, UsageError
from harness.store import run_files
from harness.store.history import history
from tests.conftest import Project
from tests.histories import asv_file, repository, store, sweep_of
from tests.outcomes import measured
from tests.test_store_foreign import run_of


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, without a machine file."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def run(*arguments: str, code: int = 0) -> str:
    """Standard output."""
    done = CliRunner().invoke(app, ["import", *arguments])
    assert code == done.exit_code, done.output
    return done.stdout


def test_it_says_what_it_did() -> None:
    """Values, runs, and what was there already; a dry run says the same beforehand."""
    store(Path("there"), sweep_of("a" * 40), measured())
    assert "there (results): would add 8 values and the samples of 1 run\n" == run("there", "--dry-run")
    assert not Path("results").exists()
    assert "there (results): added 8 values and the samples of 1 run\n" == run("there")
    assert "there (results): added 0 values; 8 values were here already\n" == run("there")


def test_conflicts_are_listed() -> None:
    """With both values and where the other one is kept."""
    asv_file(Path("results"), "a" * 40, [1.0])
    asv_file(Path("there"), "a" * 40, [None])
    text = run("there")
    assert "differs: sweep.track_latency 'digits_cnn', 'fp32', 'cpu', 1, 1: 1 stays, failed put aside" in text
    (aside,) = Path("results/conflicts").rglob("*.asv")
    assert f"kept in {aside}" in text


def test_a_long_list_is_cut() -> None:
    """Eight are listed; the file holds all."""
    axes = (["'m'"], [repr(f"v{number}") for number in range(12)], ["'cpu'"], ["1"], ["1"])
    asv_file(Path("results"), "a" * 40, [1.0] * 12, axes=axes)
    asv_file(Path("there"), "a" * 40, [2.0] * 11 + [math.nan], axes=axes)
    assert "and 3 more that differ" in run("there")


def test_numbers_are_booked_on_a_commit(tmp_path: Path) -> None:
    """A file that names none needs --commit; without it the exit code is 4."""
    (commit,) = repository(tmp_path, 1)
    Path("benchmark.json").write_text(json.dumps(run_of()))
    run("benchmark.json", code=4)
    assert "added 3 values" in run("benchmark.json", "--commit", "main")
    assert {commit} == {point.commit for one in history(Path("results"), repo=None).series for point in one.points}


def test_its_own_folder_is_refused() -> None:
    """Nothing can be added to itself."""
    store(Path("results"), sweep_of("a" * 40), measured())
    done = CliRunner().invoke(app, ["import", "results"])
    assert isinstance(done.exception, UsageError)


def test_exit_codes(project: Project) -> None:
    """The real command: 2 for bad usage, 4 where a source could not be read and the others were."""
    asv_file(project.root / "there", "a" * 40, [1.0])
    assert "not imported: nowhere is not there" in project.error("import", "there", "nowhere", code=4)
    assert 1 == len(list((project.root / "results").glob("vm/a*.json")))
    assert "knows no such commit" in project.error("import", "there", "--commit", "nothing", code=2)


@pytest.mark.parametrize("arguments", [["import"], ["results", "--results"], ["report", "--out"]])
def test_links_in_a_circle_are_said_to_be_such(tmp_path: Path, arguments: list[str]) -> None:
    """Neither an empty store nor an internal error."""
    (tmp_path / "loop").symlink_to("loop")
    found = CliRunner().invoke(app, [*arguments, str(tmp_path / "loop")])
    assert isinstance(found.exception, UsageError)
    assert "loop is a link that leads back to itself" in str(found.exception)


def test_a_file_that_goes_while_it_is_read_is_named(tmp_path: Path) -> None:
    """It costs its own rows: what is imported from elsewhere is still added."""
    with pytest.raises(StoreError, match=r"gone\.parquet went away while it was read"):
        run_files.checked(tmp_path / "gone.parquet", tmp_path)
