"""Damaged files, several writers at once, environments that cannot be made: nothing is lost, nothing torn."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests import builders, conftest
from tests.integration import asv_projects
from tests.integration.asv_projects import EXISTING, AsvProject, numbers

RUN = ("run", *EXISTING, "--set-commit-hash", "HEAD")
SIZE = ("--bench", "track_artifact_size")


@pytest.fixture
def project(tmp_path: Path, built: Path) -> AsvProject:
    """A project with one commit."""
    project = asv_projects.create(tmp_path, built)
    project.commit("Start")
    return project


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory, built: Path) -> AsvProject:
    """A project whose one commit was measured; only to be copied."""
    project = asv_projects.create(tmp_path_factory.mktemp("measured"), built)
    project.commit("Start")
    project.asv(*RUN, *SIZE)
    return project


@pytest.fixture
def measured(tmp_path: Path, once: AsvProject) -> AsvProject:
    """A project whose one commit was measured."""
    shutil.copytree(once.root, tmp_path, dirs_exist_ok=True)
    conftest.resolve_again(once.root, tmp_path)
    return AsvProject(tmp_path)


def test_a_result_file_cut_in_half_is_left_alone(measured: AsvProject) -> None:
    """A run says which file and stops before it measures; asv publish leaves it out and shows the other commit."""
    project = measured
    first = project.git("rev-parse", "HEAD")
    second = project.commit("Second")
    (known,) = project.files(first)
    file = known.with_name(known.name.replace(first[:8], second[:8]))
    file.write_text(known.read_text(encoding="utf-8").replace(first, second), encoding="utf-8")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    out = project.asv(*RUN, *SIZE, code=1)
    assert f"{file} is damaged".replace(str(project.root) + "/", "") in out.replace(str(project.root) + "/", "")
    assert whole[: len(whole) // 2] == file.read_bytes()
    project.asv("publish")
    (graph,) = project.root.glob("html/graphs/**/branch-main/**/sweep.track_artifact_size.json")
    assert 1 == len(json.loads(graph.read_text(encoding="utf-8")))
    assert numbers(project.values(first, "artifact_size"))


def test_a_damaged_list_of_benchmarks_is_named(measured: AsvProject) -> None:
    """By itself asv would replace it, with what other commits and sweeps added to the axes gone."""
    project = measured
    path = project.root / "results/benchmarks.json"
    path.write_text(path.read_text(encoding="utf-8")[:100], encoding="utf-8")
    assert "benchmarks.json is damaged" in project.asv(*RUN, *SIZE, code=1)
    assert 100 == path.stat().st_size


def test_a_missing_machine_file_is_written_again(measured: AsvProject) -> None:
    """Without it asv publish shows nothing of the machine; the next run brings everything back."""
    project = measured
    (machine,) = project.root.glob("results/*/machine.json")
    machine.unlink()
    assert "Skipping results: could not load" in project.asv("publish")
    project.commit("Second")
    project.asv(*RUN, *SIZE)
    assert machine.exists()
    assert "Skipping" not in project.asv("publish")


@pytest.mark.skipif(os.name != "posix", reason="the small project's environment is a shell script")
def test_two_asv_runs_and_a_sweep_at_the_same_moment(project: AsvProject) -> None:
    """Each writes cases of the same commit; afterwards every one of them is there, and asv publishes them all."""
    builders.conv_only(project.root / "conv.onnx")
    project.zoo("tiny", "one", "conv")
    commit = project.commit("Three models")
    writers = [
        project.start("asv.main", *RUN, "--bench", r"artifact_size\('tiny'"),
        project.start("asv.main", *RUN, "--bench", r"artifact_size\('one'"),
        project.start("harness.cli", "sweep", "--models", "conv"),
    ]
    outs = [writer.communicate(timeout=300)[0] for writer in writers]
    assert [0, 0, 0] == [writer.returncode for writer in writers], "\n".join(outs)
    for path in project.root.glob("results/**/*.json"):
        json.loads(path.read_text(encoding="utf-8"))
    everything = {f"{model} fp32 cpu 1 1" for model in ("tiny", "one", "conv")}
    assert everything == set(numbers(project.values(commit, "artifact_size")))
    assert {"conv fp32 cpu 1 1"} == set(numbers(project.values(commit, "latency")))
    listed = json.loads((project.root / "results/benchmarks.json").read_text(encoding="utf-8"))
    assert {"'tiny'", "'one'", "'conv'"} <= set(listed["sweep.track_artifact_size"]["params"][0])
    project.asv("publish")
    assert [] == list(project.root.glob("results/**/.*.tmp"))


@pytest.mark.skipif(os.name != "posix", reason="the small project's environment is a shell script")
def test_two_asv_runs_take_turns_in_one_environment(project: AsvProject) -> None:
    """Two commits with different models, one environment folder: neither measures the other's checkout."""
    first = project.git("rev-parse", "HEAD")
    project.zoo("one")
    second = project.commit("Another model")
    writers = [project.start("asv.main", "run", f"{commit}^!", *SIZE) for commit in (first, second)]
    outs = [writer.communicate(timeout=300)[0] for writer in writers]
    assert [0, 0] == [writer.returncode for writer in writers], "\n".join(outs)
    for commit, model in ((first, "tiny"), (second, "one")):
        size = (project.root / f"{model}.onnx").stat().st_size
        assert {f"{model} fp32 cpu 1 1": size} == numbers(project.values(commit, "artifact_size"))
    assert any("Waiting for another asv" in out for out in outs)


def test_an_environment_that_cannot_be_installed_changes_nothing(measured: AsvProject) -> None:
    """The run stops with exit code 1; what was stored before is as it was, and the machine is still known."""
    project = measured
    before = {path: path.read_bytes() for path in project.files()}
    project.configure(environment_type="virtualenv", matrix={"req": {"no-such-package-anywhere": ["1"]}})
    project.environment.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(project.root / "home"))
    out = project.asv("run", "HEAD^!", code=1)
    assert "Failure creating environment" in out
    assert before == {path: path.read_bytes() for path in project.files()}


def test_a_suite_without_the_plugin_says_so(project: AsvProject) -> None:
    """Without it, the number that asv gives a combination could mean another case: nothing is measured."""
    project.configure(plugins=[".linked"])
    assert "harness.asv_plugin" in project.asv(*RUN, *SIZE, code=1)
    assert [] == project.files()


def test_another_onnxruntime_in_the_same_environment_gets_a_file_of_its_own(measured: AsvProject) -> None:
    """A file that says another version is not mixed with: both stay."""
    project = measured
    commit = project.git("rev-parse", "HEAD")
    (file,) = project.files(commit)
    content = json.loads(file.read_text(encoding="utf-8"))
    content["params"]["onnxruntime"] = "1.0.0"
    file.write_text(json.dumps(content), encoding="utf-8")
    before = file.read_bytes()
    project.asv(*RUN, *SIZE)
    assert before == file.read_bytes()
    assert 2 == len(project.files(commit))
