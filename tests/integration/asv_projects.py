"""Small git projects that the real asv runs on, without a network.

Besides existing environments there is `linked`, an environment type of a test plugin: real checkouts and real build
commands like virtualenv's, and the interpreter that runs the tests instead of one to be installed.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx.helper

from harness.measure import coordinator
from tests import asv_server, builders, conftest

SUITE = (Path(__file__).parents[2] / "benchmarks/suite/sweep.py").read_text(encoding="utf-8")

ZOO = (
    conftest.ZOO.partition("  tiny:")[0]
    .replace("variants: [fp32, fp32-fused, int8-static]", "variants: [fp32]")
    .replace("processes: 2", "processes: 1")
)

LINKED = """
import os, sys
from pathlib import Path
from asv import environment

class Linked(environment.Environment):
    tool_name = "linked"

    def __init__(self, conf, python, requirements, tagged_env_vars):
        self._python, self._requirements = python, requirements
        super().__init__(conf, python, requirements, tagged_env_vars)

    def _setup(self):
        folder = Path(self._path, "bin")
        folder.mkdir(parents=True)
        for name, start in (("python", ""), ("pip", "-m pip ")):
            script = folder / name
            script.write_text(f'#!/bin/sh\\nexec {sys.executable} {start}"$@"\\n')
            script.chmod(0o755)

    def run(self, args, **kwargs):
        return self.run_executable("python", args, **kwargs)
"""

CONFIGURATION: Mapping[str, Any] = {
    "version": 1,
    "project": "small",
    "repo": ".",
    "dvcs": "git",
    "branches": ["main"],
    "benchmark_dir": "benchmarks",
    "results_dir": "results",
    "html_dir": "html",
    "env_dir": ".asv/env",
    "environment_type": "linked",
    "build_command": [],
    "install_command": [],
    "uninstall_command": [],
    "plugins": [".harness.asv_plugin", ".linked"],
}

METRICS = (
    "accuracy_drop", "artifact_size", "cold_start", "fidelity_loss", "first_inference", "latency", "model_memory",
    "peak_memory", "session_cpu", "session_creation", "session_peak",
)  # fmt: skip

EXISTING = ("--environment", "existing:same")


@dataclass(frozen=True, slots=True)
class AsvProject:
    """A git checkout with a zoo of .onnx models, asv's configuration, and a home, a cache and results of its own."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def configure(self, **changes: Any) -> None:
        """Write asv.conf.json with these keys changed."""
        (self.root / "asv.conf.json").write_text(json.dumps({**CONFIGURATION, **changes}), encoding="utf-8")

    def zoo(self, *models: str, **defaults: str) -> None:
        """Write a zoo of these .onnx files, named without their ending, with some defaults changed."""
        text = ZOO
        for name, value in defaults.items():
            (old,) = (line for line in text.splitlines() if line.startswith(f"  {name}: "))
            text = text.replace(old, f"  {name}: {value}")
        entries = "".join(f"  {name}: {{source: onnx, id: {name}.onnx}}\n" for name in models)
        (self.root / "model_zoo.yaml").write_text(text + entries, encoding="utf-8")

    def commit(self, message: str, *, date: str | None = None) -> str:
        """Commit everything and return the hash."""
        dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date} if date else {}
        self.git("add", "-A")
        self.git("commit", "--quiet", "--allow-empty", "-m", message, **dates)
        return self.git("rev-parse", "HEAD")

    def git(self, *arguments: str, **variables: str) -> str:
        """Run git and return its output."""
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "init.defaultBranch=main"]
        done = subprocess.run(
            ["git", *identity, *arguments],
            cwd=self.root, env=os.environ | variables, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout.strip()

    def variables(self) -> dict[str, str]:
        """The environment of its processes."""
        variables = {"HOME": str(self.root / "home"), "HARNESS_CACHE": str(self.root / "cache"), "COLUMNS": "200"}
        variables[coordinator.FLOOR_BUDGET] = os.environ[coordinator.FLOOR_BUDGET]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ASV", "HARNESS_"))}
        return inherited | variables | self.environment

    def start(self, module: str, *arguments: str) -> subprocess.Popen[str]:
        """Start the `main` of a module, `asv.main` or `harness.cli`."""
        return subprocess.Popen(
            [sys.executable, "-c", f"from {module} import main; main()", *arguments],
            cwd=self.root,
            env=self.variables(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def asv(self, *arguments: str, code: int = 0) -> str:
        """Run asv, expect this exit code, and return what it printed."""
        found, out = asv_server.run(self.root, self.variables(), arguments)
        assert code == found, f"asv {' '.join(arguments)}:\n{out}"
        return out

    def files(self, commit: str = "") -> list[Path]:
        """Result files, those of one commit where it is given."""
        found = self.root.glob(f"results/*/{commit[:8]}*.json")
        return sorted(path for path in found if path.name != "machine.json")

    def values(self, commit: str, metric: str = "latency") -> dict[str, float | None]:
        """Combination of parameters -> stored value over all of a commit's files, by asv's documented layout."""
        out: dict[str, float | None] = {}
        for path in self.files(commit):
            content = json.loads(path.read_text(encoding="utf-8"))
            if f"sweep.track_{metric}" not in content["results"]:
                continue
            row = content["results"][f"sweep.track_{metric}"]
            points = [" ".join(point).replace("'", "") for point in itertools.product(*row[1])]
            out |= dict(zip(points, row[0] or [None] * len(points), strict=True))
        return out


def create(root: Path, built: Path) -> AsvProject:
    """A project of the models `tiny` and `one`, not yet committed; its cache is a copy of `built`."""
    builders.one_node(root / "one.onnx")
    project = AsvProject(root)
    project.zoo("tiny")
    conftest.take_over(built, root)
    project.configure()
    for name, text in {
        "benchmarks/__init__.py": "",
        "benchmarks/sweep.py": SUITE,
        "linked.py": LINKED,
        ".gitignore": "__pycache__/\ncache/\nhtml/\nhome/\n.asv/\nresults/.lock\n",
    }.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    (root / "home").mkdir()
    (root / "home/.asv-machine.json").write_text(machine(), encoding="utf-8")
    project.git("init", "--quiet")
    return project


@functools.cache
def machine() -> str:
    """What `asv machine --yes` writes of this machine, asked once for all projects."""
    with tempfile.TemporaryDirectory() as folder:
        project = AsvProject(Path(folder))
        (project.root / "home").mkdir()
        project.configure(plugins=[])
        project.asv("machine", "--yes")
        return (project.root / "home/.asv-machine.json").read_text(encoding="utf-8")


def chain(path: Path, length: int) -> Path:
    """A model of this many matrix products in a row, which no optimizer folds: float32 [1, 32] -> [1, 32]."""
    names = ["x", *(f"h{i}" for i in range(1, length)), "y"]
    nodes = [
        onnx.helper.make_node(kind, [names[i] if kind == "MatMul" else f"p{i}", *more], [out], f"{kind}{i}")
        for i in range(length)
        for kind, more, out in (("MatMul", ["w"], f"p{i}"), ("Tanh", [], names[i + 1]))
    ]
    ends = [builders.value("x", [1, 32])], [builders.value("y", [1, 32])]
    return builders.save(path, nodes, *ends, weights=[builders.weight("w", 32, 32)])


def numbers(values: Mapping[str, float | None]) -> dict[str, float]:
    """Those that are neither failed nor n/a."""
    return {name: value for name, value in values.items() if value is not None and not math.isnan(value)}
