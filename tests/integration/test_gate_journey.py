"""The whole gate from the command line, in a small git project: real workers, real slow-downs, and bad luck."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import os
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from onnx import helper

from harness.gate.bisect.bisection import BisectCase, bisect, commits, preparer
from harness.gate.model import GateSettings
from harness.measure import usual_bursts
from harness.measure.pairs import PairSpec, measure_pair
from harness.records import Pair
from tests import builders, pairs, repos, slowdowns
from tests.conftest import Project, lend
from tests.test_gate_gate import Watch
from tests.waiting import alive, wait_for, workers

pytestmark = pytest.mark.skipif(os.name != "posix", reason="interpreters are wrapped in shell scripts")

FEW = ("--pairs", "6,6", "--detect", "99%")
PYTHONS = ("--base-python", sys.executable, "--head-python")
QUICK = ("--variants", "fp32", *FEW)
"""As few pairs as can be significant, and no more for a spread that is too wide to see a small change."""

TWICE = """
import onnxruntime

once = onnxruntime.InferenceSession.run_with_iobinding


def twice(self, *arguments):
    once(self, *arguments)
    once(self, *arguments)


onnxruntime.InferenceSession.run_with_iobinding = twice
"""

CRASH = """
import os
import onnxruntime

once = onnxruntime.InferenceSession.run_with_iobinding
runs = [0]


def later(self, *arguments):
    runs[0] += 1
    if runs[0] > 20:
        os._exit(3)
    once(self, *arguments)


onnxruntime.InferenceSession.run_with_iobinding = later
"""


@pytest.fixture
def repository(built_project: Project, copied: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The small project as a git repository with one commit; results are ignored, the copy of harness is there.

    Its gates measure short pairs: what they find is twice as slow, or nothing.
    """
    monkeypatch.setenv(usual_bursts.VARIABLE, "7x2ms")
    project = built_project
    lend(copied, project.root / "cache")
    text = {"model_zoo.yaml": (project.root / "model_zoo.yaml").read_text(encoding="utf-8")}
    repos.repository(project.root, text | {".gitignore": "results/\ncache/\nslow/\n"})
    return project


def interpreter(project: Project, patch: str) -> str:
    """An interpreter whose onnxruntime is patched when it starts."""
    folder = project.root / "slow"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(patch, encoding="utf-8")
    script = folder / "python"
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}:$PYTHONPATH" exec "{sys.executable}" "$@"\n', encoding="utf-8")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return str(script)


def stored(project: Project) -> list[dict[str, Any]]:
    """Every gate that was kept."""
    return [json.loads(path.read_text()) for path in sorted((project.root / "results" / "gates").glob("*.json"))]


@pytest.mark.skipif("HARNESS_TEST_INSTALL" not in os.environ, reason="installs two releases from the package index")
def test_a_bump_of_the_runtime_fails_with_a_sentence(project: Project) -> None:
    """A branch that bumps onnxruntime onto a release that is slower for its model is a regression, named as such."""
    slow = slowdowns.SLOWDOWNS["trees"]
    slow.build(project.root / "trees.onnx")
    zoo = f"version: 1\ndefaults: {{batch: [{slow.shape[0]}]}}\n"
    zoo += "variants:\n  fp32: {precision: float32, steps: [export]}\n"
    zoo += "targets:\n  cpu: {provider: cpu}\nmodels:\n  trees: {source: onnx, id: trees.onnx}\n"
    asks = '[project]\nname = "small"\nversion = "1"\ndependencies = ["onnxruntime=={}"]\n'
    files = {"model_zoo.yaml": zoo, "pyproject.toml": asks.format(slow.base), ".gitignore": "cache/\nresults/\n"}
    repos.repository(project.root, files)
    repos.git(project.root, "checkout", "--quiet", "-b", "bump")
    repos.commit(project.root, {"pyproject.toml": asks.format(slow.head)})
    out = project.run("gate", "--base", "main", code=1)
    assert "Regression: 1 of 1 case got worse." in out
    assert f", onnxruntime {slow.base}); head: working tree (" in out
    assert f"regression  trees/fp32/cpu-t1-b{slow.shape[0]}: " in out
    assert "% slower (95% interval " in out


@pytest.mark.long
def test_slower_interpreter_fails(repository: Project) -> None:
    """A runtime that does everything twice is a regression, with a sentence, exit code 1, and every pair's numbers."""
    slow = interpreter(repository, TWICE)
    out = repository.run(
        "gate",
        *PYTHONS,
        slow,
        *QUICK,
        "--remeasure-same",
        "--json-file",
        "out.json",
        code=1,
    )
    assert "Regression: 1 of 1 case got worse" in out
    report = json.loads((repository.root / "out.json").read_text())
    (case,) = report["cases"]
    phases = [pair["phase"] for pair in case["pairs"]]
    assert 6 == phases.count("confirm")
    assert phases.count("screen") >= 6
    latency = case["findings"][0]
    assert ("latency", "regression") == (latency["metric"], latency["verdict"])
    assert latency["ratio"] > 1
    assert 7 == len(case["pairs"][0]["base"]["bursts_ns"])
    assert (7, 0.002) == (report["settings"]["bursts"], report["settings"]["burst_s"])


def test_crashing_side_fails_its_case(repository: Project) -> None:
    """A worker of one side that dies fails the case, names the side, and ends with exit code 4."""
    out = repository.run(
        "gate",
        *PYTHONS,
        interpreter(repository, CRASH),
        *QUICK,
        "--remeasure-same",
        code=4,
    )
    assert "head: the worker died" in " ".join(out.split())


def test_ctrl_c_gives_a_partial_verdict(repository: Project) -> None:
    """Ctrl-C while pairs are measured: what there is, inconclusive, exit code 3."""
    process = repository.start(
        "gate",
        "--base",
        "HEAD",
        "--variants",
        "fp32",
        "--remeasure-same",
        "--pairs",
        "200,200",
        "--json-file",
        "out.json",
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("screening"):
            break
    # Both sides of a pair live.
    wait_for(lambda: 2 == len(workers(process.pid)), alive(process))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert 3 == process.returncode, out + err
    assert "Ctrl-C" in out
    report = json.loads((repository.root / "out.json").read_text())
    assert ("Ctrl-C", "inconclusive") == (report["interrupted"], report["verdict"])


def test_two_gates_without_time_at_once(repository: Project) -> None:
    """Two gates of one project share cache and results; nothing is decided in no time, which fails unless allowed."""
    arguments = ("gate", "--base", "HEAD", *QUICK, "--remeasure-same", "--time-limit", "0.001s")
    started = [repository.start(*arguments, *more) for more in ((), ("--allow-inconclusive",))]
    said = [process.communicate(timeout=300) for process in started]
    assert [3, 0] == [process.returncode for process in started], said
    assert all("stopped by time limit" in " ".join(out.split()) for out, _ in said)
    assert ["inconclusive"] * 2 == [report["verdict"] for report in stored(repository)]


def test_results_that_cannot_be_kept(repository: Project) -> None:
    """A results folder that cannot be one is found out before anything is measured."""
    (repository.root / "taken").write_text("a file")
    err = repository.error("gate", "--base", "HEAD", *QUICK, "--results", "taken")
    assert "taken" in err
    assert "--results" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing to compare with"),
        (("--base", "no-such-branch"), "'no-such-branch' is not a commit, branch or tag"),
        (("--base", "HEAD", "--pairs", "2,3"), "2 screening pairs can never be significant; give at least"),
        (("--base", "HEAD", "--pairs", "8,3"), "3 confirming pairs can never be significant; give at least 6"),
        (("--base", "HEAD", "--pairs", "1,2,3"), "expected two numbers"),
        (("--base", "HEAD", "--time-limit", "soon"), "expected a duration above 0"),
        (("--base", "HEAD", "--time-limit", "0m"), "expected a duration above 0"),
        (("--base", "HEAD", "--max-slowdown", "x"), "--max-slowdown x"),
        (("--base", "HEAD", "--detect", "1%"), "changes up to 1% are never flagged"),
        (("--history", "--base", "HEAD"), "omit --base and --head"),
        (("--base", "HEAD", "--models", "nothing"), "nothing"),
        (("--base", "HEAD", "--reason", "why not"), "--reason goes with --accept CASE"),
        (
            ("--base", "tiny/fp32/cpu-t1", "--head", "tiny/int8-static/cpu-t1", "--models", "tiny"),
            "names both cases: omit --models",
        ),
    ],
)
def test_wrong_usage(repository: Project, arguments: tuple[str, ...], said: str) -> None:
    """Whatever cannot be is exit code 2 with a message that says what would be valid."""
    assert said in " ".join(repository.error("gate", *arguments).split())


def identities(path: Path, count: int) -> None:
    """A model of that many nodes that any optimization takes out, and that cost their launch where there is none."""
    names = ["x", *(f"t{i}" for i in range(1, count)), "y"]
    nodes = [helper.make_node("Identity", [a], [b], f"n{b}") for a, b in itertools.pairwise(names)]
    ends = [builders.value("x", ["batch", 4])], [builders.value("y", ["batch", 4])]
    builders.save(path, nodes, *ends)


class Measured:
    """Measures the first pair of two optimizations in real workers, shortly, and repeats it with a little noise."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, ...], Pair] = {}
        self.count = 0

    def __call__(self, spec: PairSpec, *, phase: str, on_burst: Callable[[], None], rng: object = None) -> Pair:
        """One pair."""
        del rng
        key = tuple(spec.workloads[side].optimization for side in ("base", "head"))
        if key not in self.known:
            short = dataclasses.replace(spec, bursts=3, burst_s=0.002, most_warmup_s=0.1)
            self.known[key] = measure_pair(short, on_burst=on_burst)
        self.count += 1
        found = self.known[key]
        noise = math.log(pairs.wobble(self.count, 1.0))
        return dataclasses.replace(found, phase=phase, log_ratio=found.log_ratio + noise)


@pytest.mark.long
def test_bisect_finds_the_commit(repository: Project) -> None:
    """Of four commits, one of which has a broken zoo and one of which switches optimization off, that one is named."""
    root = repository.root
    identities(root / "chain.onnx", 400)
    fast = "version: 1\nvariants:\n  plain: {precision: float32, optimization: all, steps: [export]}\n"
    fast += "targets:\n  cpu: {provider: cpu}\nmodels:\n  chain: {source: onnx, id: chain.onnx}\n"
    slow = fast.replace("optimization: all", "optimization: disabled")
    good = repos.commit(root, {"model_zoo.yaml": fast})
    for files in ({"model_zoo.yaml": "version: 1\nmodels: 3\n"}, {"model_zoo.yaml": fast}):
        last = repos.commit(root, files)
    # Nothing of what is compared has changed there, so that nothing is measured.
    out = repository.run("bisect", "chain/plain/cpu-t1", "--good", good, "--bad", last, *FEW, code=3)
    assert "is not shown to be slower than" in out
    culprit = repos.commit(root, {"model_zoo.yaml": slow})
    zoo = root / "model_zoo.yaml"
    place = BisectCase(zoo=zoo, cache=root / "cache", case="chain/plain/cpu-t1")
    settings = GateSettings(screen_pairs=6, confirm_pairs=8, detect=1.99)
    measured = Measured()
    found = bisect(
        commits(good, "HEAD", zoo), preparer(place, settings, Watch(), pair=measured), watch=lambda step: None
    )
    assert found.after is not None
    assert f"commit:{culprit}" == found.after.asked
    assert found.confirmed
    assert found.change is not None
    assert "as slow (95% interval" in found.change.sentence
    assert {("all", "disabled"), ("all", "all")} >= set(measured.known)
    assert "skipped" in {step.said for step in found.steps}
