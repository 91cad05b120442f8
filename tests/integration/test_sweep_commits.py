"""`harness sweep` in a git checkout: what is booked on a commit, and what asv makes of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import asv_server
from tests.conftest import Project
from tests.test_provenance import git
from tests.waiting import children, hold, workers


@pytest.fixture
def committed(built_project: Project) -> Project:
    """The small project as a git checkout with one commit, and asv's configuration."""
    project = built_project
    configuration = {
        "version": 1,
        "project": "small",
        "repo": ".",
        "branches": ["main"],
        "results_dir": "results",
        "html_dir": "html",
        "benchmark_dir": "benchmarks",
    }
    (project.root / "asv.conf.json").write_text(json.dumps(configuration), encoding="utf-8")
    (project.root / ".gitignore").write_text("cache/\nhtml/\nhome/\n", encoding="utf-8")
    git(project.root, "init")
    git(project.root, "add", ".")
    git(project.root, "commit", "-m", "Start")
    return project


SWEEP = ("sweep", "--variants", "fp32", "--processes", "1")


def asv(project: Project, *arguments: str) -> str:
    """Run asv with a home of its own."""
    (project.root / "home").mkdir(exist_ok=True)
    code, out = asv_server.run(project.root, os.environ | {"HOME": str(project.root / "home")}, arguments)
    assert 0 == code, out
    return out


def booked(project: Project) -> None:
    """Sweep a clean commit."""
    out = project.run(*SWEEP)
    assert "asv: " in out
    assert "not written" not in out


def test_clean_commits_are_booked_and_a_dirty_tree_is_not(committed: Project) -> None:
    """A recipe changes between two commits: asv shows both, compares them and makes its pages.

    The second sweep is still clean, because results do not count; an edit makes the third one dirty.
    """
    zoo = committed.root / "model_zoo.yaml"
    text = zoo.read_text(encoding="utf-8")
    booked(committed)
    zoo.write_text(text.replace("optimization: disabled", "optimization: all"), encoding="utf-8")
    git(committed.root, "commit", "-am", "Optimize when loading")
    booked(committed)
    (row,) = json.loads(committed.run("results", "--format", "json"))
    assert 40 == len(row["commit"])
    shown = asv(committed, "show", row["commit"][:8])
    assert "sweep.track_latency" in shown
    assert "tiny" in shown
    assert "sweep.track_latency" in asv(committed, "compare", "HEAD~1", "HEAD", "--factor", "1.000001")
    asv(committed, "publish")
    assert (committed.root / "html/index.html").exists()
    graphs = {p.stem for p in committed.root.glob("html/graphs/**/sweep.track_*.json")}
    assert {"sweep.track_latency", "sweep.track_artifact_size", "sweep.track_fidelity_loss"} <= graphs

    before = sorted(p for p in committed.root.glob("results/**/*.json"))
    stamps = [p.stat().st_mtime_ns for p in before]
    (committed.root / "notes.txt").write_text("", encoding="utf-8")
    out = committed.run(*SWEEP)
    assert "asv files not written: the working tree differs from the commit (notes.txt)" in out
    assert stamps == [p.stat().st_mtime_ns for p in before]


Moment = Callable[[Project, subprocess.Popen[str]], object]


def planned(project: Project, sweep: subprocess.Popen[str]) -> object:
    """The plan is shown."""
    del project
    assert sweep.stdout is not None
    return sweep.stdout.readline()


def building(project: Project, sweep: subprocess.Popen[str]) -> object:
    """A child process runs."""
    del project
    return children(sweep.pid)


def trying(project: Project, sweep: subprocess.Popen[str]) -> object:
    """A worker runs: the first one tries the target."""
    del project
    return workers(sweep.pid)


def evaluated(project: Project, sweep: subprocess.Popen[str]) -> object:
    """The first case has been evaluated, and is timed next."""
    del sweep
    return list(project.root.glob("cache/evaluations/*.json"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds children through /proc")
@pytest.mark.parametrize(
    ("moment", "start"),
    [
        (planned, "built_project"),
        (building, "project"),
        (trying, "built_project"),
        (evaluated, "built_project"),
    ],
)
def test_ctrl_c_at_any_moment_leaves_nothing_broken(request: pytest.FixtureRequest, moment: Moment, start: str) -> None:
    """Exit code 130, no traceback, and the next sweep is complete; that of later ones resumes."""
    project: Project = request.getfixturevalue(start)
    sweep = project.start("sweep", "--time-per-case", "3", "--variants", "fp32")
    if moment is planned:
        assert moment(project, sweep)
    else:
        hold(sweep, lambda: moment(project, sweep))
    sweep.send_signal(signal.SIGINT)
    sweep.send_signal(signal.SIGCONT)
    out, err = sweep.communicate(timeout=300)
    assert 130 == sweep.returncode, (out, err)
    assert "Traceback" not in out + err
    assert not list(Path(project.root).glob("results/samples/*.parquet"))
    project.run("sweep", "--variants", "fp32", "--processes", "1")
    stored = json.loads(project.run("results", "--format", "json"))
    assert {"fp32": "measured"} == {row["variant"]: row["status"] for row in stored}
