"""A history run by asv, commit by commit: the regressions page, changing zoos, renamed models, odd clocks."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from tests.integration import asv_projects
from tests.integration.asv_projects import EXISTING, AsvProject, chain, numbers


@pytest.fixture
def project(tmp_path: Path, built: Path) -> AsvProject:
    """A project without a commit."""
    return asv_projects.create(tmp_path, built)


@pytest.mark.long
def test_the_regressions_page_names_the_commit_that_slowed_a_model(project: AsvProject) -> None:
    """Four commits, the third of which gives a model eighty times the nodes: asv names that one, and no other.

    Its processor time is looked at, since a starved machine answers as late as it likes.
    """
    project.environment.update(HARNESS_PROCESSES="1", HARNESS_TIME_PER_CASE="0.05")
    chain(project.root / "chain.onnx", 10)
    project.zoo("chain")
    project.configure(
        regressions_thresholds={r"sweep\.track_session_cpu": 1.0, r"sweep\.track_artifact_size": 0},
        regressions_first_commits={r"sweep\.track_(?!session_cpu|artifact_size)": None},
    )
    commits = []
    for number in range(4):
        if number == 2:
            chain(project.root / "chain.onnx", 800)
        (project.root / "notes.txt").write_text(str(number), encoding="utf-8")
        commits.append(project.commit(f"Commit {number}", date=f"2026-01-{number + 1:02} 12:00:00 +0000"))
    project.asv("run", "main", "--bench", "track_session_cpu", "--bench", "artifact_size")
    project.asv("publish")
    found = json.loads((project.root / "html/regressions.json").read_text(encoding="utf-8"))["regressions"]
    index = json.loads((project.root / "html/index.json").read_text(encoding="utf-8"))
    hashes = {int(revision): commit for revision, commit in index["revision_to_hash"].items()}
    named = {entry[0].partition("(")[0]: [hashes[jump[1]] for jump in entry[6]] for entry in found}
    assert {"sweep.track_session_cpu": [commits[2]], "sweep.track_artifact_size": [commits[2]]} == named


def test_every_commit_is_measured_by_its_own_zoo(project: AsvProject) -> None:
    """No zoo, then one model, then that model under a second name beside a new one: nothing stands in another's place.

    asv names a combination in all commits by its number on the axes of one of them. The last commit is dated before its
    parent: both are measured and drawn all the same.
    """
    zoo = project.root / "model_zoo.yaml"
    text = zoo.read_text(encoding="utf-8")
    zoo.unlink()
    without = project.commit("No zoo", date="2026-05-01 11:00:00 +0000")
    zoo.write_text(text, encoding="utf-8")
    first = project.commit("One model", date="2026-05-01 12:00:00 +0000")
    (project.root / "tiny.onnx").rename(project.root / "renamed.onnx")
    project.zoo("one", "renamed")
    second = project.commit("Rename it", date="2020-05-01 12:00:00 +0000")
    out = project.asv("run", "main", "--bench", "track_artifact_size", "--show-stderr")
    sizes = {name: (project.root / f"{name}.onnx").stat().st_size for name in ("one", "renamed")}
    assert {"tiny fp32 cpu 1 1": sizes["renamed"]} == numbers(project.values(first, "artifact_size"))
    assert {f"{name} fp32 cpu 1 1": size for name, size in sizes.items()} == numbers(
        project.values(second, "artifact_size")
    )
    values = project.values(without, "artifact_size")
    assert values
    assert all(value is not None and math.isnan(value) for value in values.values())
    assert "n/a: this commit has no model_zoo.yaml" in out
    assert "n/a: this commit's zoo has no model 'tiny'" in out
    project.asv("publish")
    graphs = project.root.glob("html/graphs/**/branch-main/**/sweep.track_artifact_size.json")
    index = json.loads((project.root / "html/index.json").read_text(encoding="utf-8"))
    hashes = {int(revision): commit for revision, commit in index["revision_to_hash"].items()}
    points = [point for graph in graphs for point in json.loads(graph.read_text(encoding="utf-8"))]
    sized = {hashes[revision] for revision, values in points if any(isinstance(one, float | int) for one in values)}
    assert {first, second} == sized, points


def test_a_commit_that_does_not_build_fails_alone_and_loses_nothing(project: AsvProject) -> None:
    """Its cases are failed and asv exits with 2; its neighbours have numbers; a number stored before is kept."""
    project.configure(build_command=["python build.py"])
    (project.root / "build.py").write_text("", encoding="utf-8")
    good = project.commit("Builds")
    (project.root / "build.py").write_text("raise SystemExit('it does not compile')", encoding="utf-8")
    bad = project.commit("Does not build")
    (project.root / "build.py").write_text("", encoding="utf-8")
    project.commit("Builds again")
    project.asv("run", "main", "--bench", "track_artifact_size", code=2)
    assert {"tiny fp32 cpu 1 1": None} == project.values(bad, "artifact_size")
    before = numbers(project.values(good, "artifact_size"))
    assert before

    project.configure(build_command=["python -c 'raise SystemExit(3)'"])
    project.asv("run", f"{good}^!", "--bench", "track_artifact_size", code=1)  # nothing can even be discovered
    assert before == project.values(good, "artifact_size")
    project.asv("publish")


def test_commits_that_nobody_knows(project: AsvProject) -> None:
    """A run refuses to measure one, leaves one out of a list, and publishes what it does know."""
    commit = project.commit("Start")
    unknown = "0123456789abcdef0123456789abcdef01234567"
    assert unknown in project.asv("run", *EXISTING, "--set-commit-hash", unknown, code=1)
    assert [] == project.files()
    (project.root / "hashes").write_text(f"{unknown}\n{commit}\n", encoding="utf-8")
    out = project.asv("run", "HASHFILE:hashes", "--bench", "track_artifact_size")
    assert f"Unknown commit hash {unknown}" in out
    (file,) = project.files(commit)
    foreign = file.with_name(file.name.replace(commit[:8], unknown[:8]))
    foreign.write_text(file.read_text(encoding="utf-8").replace(commit, unknown), encoding="utf-8")
    project.asv("publish")
    assert list(project.root.glob("html/graphs/**/sweep.track_artifact_size.json"))
