"""`harness init` in an empty repository, then the commands that it prints, up to a chart."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests import builders
from tests.conftest import Project
from tests.integration.asv_projects import AsvProject

QUICK = {"HARNESS_TIME_PER_CASE": "0.05", "HARNESS_PROCESSES": "1"}
VARIANTS = ("as-is", "fp32-fused", "int8-dynamic", "int8-static")


@pytest.fixture
def project(tmp_path: Path) -> AsvProject:
    """An empty git repository, and a home of its own."""
    project = AsvProject(tmp_path, QUICK)
    (tmp_path / "home").mkdir()
    project.git("init", "--quiet", "-b", "trunk")
    (tmp_path / ".gitignore").write_text("/home/\n/cache/\n", encoding="utf-8")
    return project


def harness(project: AsvProject, *arguments: str) -> str:
    """Run harness and return what it printed."""
    return Project(project.root).run(*arguments)


def first_chart(project: AsvProject, *arguments: str) -> set[str]:
    """Do what a person does, word for word, and return the latency charts that were published."""
    out = harness(project, "init", *arguments)
    commands = [shlex.split(line) for line in out[out.index("Next:") :].splitlines() if line.startswith("  ")]
    for program, *rest in commands:
        if program == "git":
            project.git(*rest)
            continue
        assert "asv" == program
        if rest != ["preview"]:
            project.asv(*rest)
    assert "" == project.git("status", "--porcelain", "--", ".", ":(exclude)results")
    graphs = project.root.glob("html/graphs/**/sweep.track_latency.json")
    (graph,) = (path for path in graphs if "summary" not in path.parts)
    index = json.loads((project.root / "html/index.json").read_text(encoding="utf-8"))
    models, variants = index["benchmarks"]["sweep.track_latency"]["params"][:2]
    assert [repr(name) for name in VARIANTS] == variants
    ((_, points),) = json.loads(graph.read_text(encoding="utf-8"))
    assert len(VARIANTS) == sum(value is not None for value in points)
    return set(models)


@pytest.mark.long
def test_an_onnx_file_to_a_first_chart(project: AsvProject) -> None:
    """The repository holds one .onnx file and is not a Python package."""
    builders.tiny_conv(project.root / "net.onnx")
    assert {"'net'"} == first_chart(project)
    assert "No problems found" in project.asv("check", "--environment", "existing:same")


@pytest.mark.long
def test_a_torch_model_to_a_first_chart(project: AsvProject) -> None:
    """The repository holds one module with a torch model; a second commit changes it, and that is what is measured."""
    net = project.root / "net.py"
    net.write_text(
        "from torch import nn\n\n\ndef build():\n    return nn.Sequential(nn.Flatten(), nn.Linear(48, 8))\n",
        encoding="utf-8",
    )
    named = ("--model", "net:build", "--input", "image=float32[batch,3,4,4]")
    assert {"'net'"} == first_chart(project, *named)
    first = project.git("rev-parse", "HEAD")
    net.write_text(net.read_text(encoding="utf-8").replace("8)", "8000)"), encoding="utf-8")
    second = project.commit("Make it larger")
    only = r"artifact_size\('net', 'as-is'"
    project.asv("run", "--environment", "existing:same", "--set-commit-hash", "HEAD", "--bench", only)
    sizes = [project.values(commit, "artifact_size")["net as-is cpu 1 1"] for commit in (first, second)]
    assert sizes[0] is not None
    assert sizes[1] is not None
    assert 100 * sizes[0] < sizes[1]


def test_the_example_runs(project: AsvProject) -> None:
    """Nothing is here: what is written is measured without a change."""
    harness(project, "init")
    project.commit("Start")
    out = harness(project, "sweep", "--variants", "fp32", "--time-per-case", "0.05", "--processes", "1")
    assert "tiny/fp32/cpu-t1-b1  measured" in out
