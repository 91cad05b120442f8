"""`asv run` on small projects: values, what is n/a and what failed, one measurement for all metrics, asv's options."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

from tests import builders
from tests.integration import asv_projects
from tests.integration.asv_projects import EXISTING, METRICS, AsvProject, numbers

TINY = "tiny fp32 cpu 1 1"


@pytest.fixture
def project(tmp_path: Path, built: Path) -> AsvProject:
    """A project with one commit."""
    project = asv_projects.create(tmp_path, built)
    project.commit("Start")
    return project


def test_all_metrics_of_a_commit_are_stored_published_and_compared(project: AsvProject) -> None:
    """A commit in an environment of its own, a second one with another recipe, then asv's pages and its comparison.

    All metrics are reported; of the processes that asv would start for them, one starts.
    """
    project.zoo("tiny", processes="2")
    project.commit("Two processes")
    out = project.asv("run", "HEAD^!", "--verbose")
    assert 1 == len(re.findall(r"benchmark\.py run \S+ sweep\.track_\w+-0 ", out)), out
    first = project.git("rev-parse", "HEAD")
    for metric in set(METRICS) - {"accuracy_drop"}:
        assert [TINY] == list(numbers(project.values(first, metric))), (metric, out)
    assert math.isnan(project.values(first, "accuracy_drop")[TINY] or 0)  # random data has no labels
    assert (project.root / "tiny.onnx").stat().st_size == project.values(first, "artifact_size")[TINY]

    (file,) = project.files(first)
    content = json.loads(file.read_text(encoding="utf-8"))
    row = dict(zip(content["result_columns"], content["results"]["sweep.track_latency"], strict=False))
    assert 2 == len(row["samples"][0])  # one median per process
    assert pytest.approx(sum(row["samples"][0]) / 2) == row["result"][0]
    assert {"python", "onnxruntime", "host", "weights"} <= content["params"].keys()
    assert "seeded" == content["params"]["weights"]
    assert content["params"]["host"] in file.name

    project.zoo("tiny", variants="[fp32, fp32-fused]")
    second = project.commit("Add a recipe")
    project.asv("run", "HEAD^!")
    assert {TINY, "tiny fp32-fused cpu 1 1"} == set(numbers(project.values(second)))
    assert "sweep.track_latency('tiny', 'fp32', 'cpu', 1, 1)" in project.asv("compare", first, second)
    project.asv("publish")
    graphs = {path.stem for path in project.root.glob("html/graphs/**/sweep.track_*.json")}
    graphs.discard("sweep.track_memory_growth")  # known where a process had time for readings enough
    graphs.discard("sweep.track_energy")  # known where a counter can be read
    assert {f"sweep.track_{metric}" for metric in METRICS if metric != "accuracy_drop"} == graphs
    index = json.loads((project.root / "html/index.json").read_text(encoding="utf-8"))
    assert 1 == len(index["params"]["host"])
    (weights,) = index["params"]["weights"]
    assert "tiny-file" == weights  # as a sweep of it would say


def test_what_cannot_run_is_not_applicable_and_what_breaks_failed(project: AsvProject) -> None:
    """A missing provider and a recipe without sense are n/a with the reason; a broken model is failed: exit code 2."""
    builders.truncated(project.root / "broken.onnx")
    builders.conv_only(project.root / "conv.onnx")
    project.zoo("tiny", "broken", "conv", targets="[cpu, qnn]", variants="[fp32, int4-weights]")
    commit = project.commit("Break one")
    asked = ("'fp32', 'cpu'", "'conv', .*'cpu'", "'tiny', 'fp32', 'qnn'")
    out = project.asv("run", "HEAD^!", "--show-stderr", *(f"--bench={pattern}" for pattern in asked), code=2)
    for metric in ("latency", "artifact_size"):
        values = project.values(commit, metric)
        assert values["broken fp32 cpu 1 1"] is None
        assert math.isnan(values["tiny fp32 qnn 1 1"] or 0)
        assert math.isnan(values["conv int4-weights cpu 1 1"] or 0)
        assert numbers(values).keys() >= {TINY, "conv fp32 cpu 1 1"}
    assert "n/a: tiny/fp32/qnn-t1-b1 is unsupported: " in out
    assert "n/a: conv/int4-weights/cpu-t1-b1 is skipped: " in out
    assert "broken/fp32/cpu-t1-b1 is failed: " in out


def test_quick_is_quick_and_not_saved(project: AsvProject) -> None:
    """One process per case, and nothing in the history that was measured so."""
    project.zoo("tiny", processes="50", time_per_case="500")
    project.commit("Slow")
    out = project.asv("run", "--quick", *EXISTING, "--set-commit-hash", "HEAD")
    assert "--quick: numbers of sweep.* are not saved" in out
    assert [] == project.files()


def test_bench_selects_cases_and_skip_existing_knows_them(project: AsvProject) -> None:
    """What --bench leaves out is not stored; --skip-existing then measures it, and only it."""
    project.zoo("tiny", "one")
    commit = project.commit("Two models")
    run = ("run", *EXISTING, "--set-commit-hash", "HEAD")
    project.asv(*run, "--bench", r"\('tiny'")
    before = project.values(commit)
    assert [TINY] == list(before)
    project.asv(*run, "--bench", "'one'", "--skip-existing")
    after = project.values(commit)
    assert {TINY, "one fp32 cpu 1 1"} == set(numbers(after))
    assert before[TINY] == after[TINY]
    stamp = project.files(commit)[0].stat().st_mtime_ns
    project.asv(*run, "--skip-existing")
    assert stamp == project.files(commit)[0].stat().st_mtime_ns


def test_rounds_measure_anew_and_interleave(project: AsvProject) -> None:
    """Two rounds over two commits: four samples each, none handed out twice."""
    project.zoo("tiny", batch="[512]", processes="2")  # long enough that two medians are hardly the same nanosecond
    first = project.commit("Large batches")
    second = project.commit("Nothing")
    rounds = ("--interleave-rounds", "--attribute", "rounds=2", "--bench", "track_latency", "--verbose")
    out = project.asv("run", f"{first}^..{second}", *rounds)
    assert 4 == len(re.findall(r"benchmark\.py run \S+ sweep\.track_latency-0 ", out)), out
    for commit in (first, second):
        content = json.loads(project.files(commit)[0].read_text(encoding="utf-8"))
        row = dict(zip(content["result_columns"], content["results"]["sweep.track_latency"], strict=False))
        samples = row["samples"][0]
        assert 4 == len(samples), row
        assert samples[:2] != samples[2:], row


def test_parallel_environments_that_share_a_folder(project: AsvProject) -> None:
    """Two weights policies, one environment folder, built in parallel: each has its own file and its own params."""
    project.configure(matrix={"env_nobuild": {"HARNESS_WEIGHTS": ["seeded", "pretrained"]}})
    first = project.git("rev-parse", "HEAD")
    project.zoo("one")
    second = project.commit("Another model")
    project.asv("run", "main", "--parallel", "2", "--bench", "track_artifact_size")
    for commit, model in ((first, "tiny"), (second, "one")):
        contents = [json.loads(path.read_text(encoding="utf-8")) for path in project.files(commit)]
        assert ["pretrained", "seeded"] == sorted(content["params"]["weights"] for content in contents)
        size = (project.root / f"{model}.onnx").stat().st_size
        assert {f"{model} fp32 cpu 1 1": size} == numbers(project.values(commit, "artifact_size"))


def test_asv_check_passes(project: AsvProject) -> None:
    """In an environment of asv's own; what `harness init` writes is checked in an existing one."""
    assert "No problems found" in project.asv("check")
