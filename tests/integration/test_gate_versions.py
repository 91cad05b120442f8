"""Gates across versions of harness: an old commit of this repository as the base, and an old gate that builds this one.

`OLD` is a commit before cases travelled with a version and before the packages of the gate: what it sends and reads is
promised for good (`harness.gate.contender_build`).
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

import harness
from harness import jobs
from harness.flow.plan import Selection
from harness.gate.gate import GateRequest, GateSteps, gate
from harness.gate.model import Contender, GateSettings, Match, Verdict
from harness.gate.sides import code, matching
from harness.git import environment as git_environment
from harness.measure.pairs import PairSpec, measure_pair
from harness.records import Pair
from tests import builders
from tests.test_gate_gate import Watch

OLD = "13e1b7ee457f30bb6631c75c535f9b6d0ebdb471"
REPOSITORY = Path(harness.__file__).resolve().parent.parent
CASE = "digits/fp32/cpu-t1-b1"
CHOSEN = Selection(models=("digits",), variants=("fp32",), targets=("cpu",), threads=(1,), batch=(1,))

ZOO = """
version: 1
defaults: {variants: [fp32], targets: [cpu], threads: [1], batch: [1]}
variants:
  fp32: {precision: float32, optimization: disabled, steps: [export]}
targets:
  cpu: {provider: cpu}
data:
  digits: {source: npz, path: digits.npz, calibration: 8, evaluation: 64}
models:
  digits: {source: onnx, id: digits.onnx, task: classification, data: digits}
"""

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="the paths of worktrees are POSIX ones"),
    pytest.mark.long,
]


def git(folder: Path, *arguments: str) -> str:
    """What git says."""
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, env=git_environment()
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of this repository whose commit `old` is `OLD` with a small zoo, and whose working tree is this code."""
    known = subprocess.run(
        ["git", "-C", str(REPOSITORY), "cat-file", "-e", f"{OLD}^{{commit}}"], check=False, env=git_environment()
    )
    if known.returncode:
        pytest.skip("needs this repository's commits: a shallow clone, or no checkout at all, does not have them")
    top = tmp_path_factory.mktemp("versions") / "clone"
    git(REPOSITORY, "clone", "--quiet", "--shared", "--no-checkout", str(REPOSITORY), str(top))
    git(top, "checkout", "--quiet", "--detach", OLD)
    (top / "model_zoo.yaml").write_text(ZOO, encoding="utf-8")
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"], "flatten"),
        helper.make_node("MatMul", ["flat", "w"], ["logits"], "matmul"),
    ]
    ends = [builders.value("image", ["batch", 1, 8, 8])], [builders.value("logits", ["batch", 10])]
    builders.save(top / "digits.onnx", nodes, *ends, weights=[builders.weight("w", 64, 10)])
    dice = np.random.default_rng(0)
    images, labels = dice.random((72, 1, 8, 8), np.float32), dice.integers(10, size=72)
    np.savez(top / "digits.npz", image=images, labels=labels)
    git(top, "add", "digits.onnx", "digits.npz")
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.invalid")
    git(top, *identity, "commit", "--quiet", "--all", "--message", "A small zoo")
    git(top, "tag", "old")
    git(top, "rm", "-r", "--quiet", "harness")
    copied = code.copy_of_harness(top.parent / "copy")
    (copied / "harness").rename(top / "harness")
    return top


def compared_though_same(base: Sequence[Contender], head: Sequence[Contender]) -> tuple[Match, ...]:
    """The matches of both sides; what is the same is compared and measured all the same, or nothing would be tried."""
    return tuple(dataclasses.replace(one, same="") for one in matching.match(base, head))


def short_pair(spec: PairSpec, **more: Any) -> Pair:
    """A pair of a few bursts."""
    return measure_pair(dataclasses.replace(spec, bursts=3, burst_s=0.002, most_warmup_s=0.1), **more)


def test_old_commit_as_base(clone: Path, tmp_path: Path) -> None:
    """The old code builds the base, in its own formats and folders; this code measures, evaluates and judges it."""
    request = GateRequest(
        zoo=clone / "model_zoo.yaml",
        results=tmp_path / "results",
        cache=tmp_path / "cache",
        base="old",
        selection=CHOSEN,
        settings=GateSettings(screen_pairs=6, confirm_pairs=8, detect=2.0),
    )
    report = gate(request, Watch(), steps=GateSteps(match=compared_though_same, measure_pair=short_pair))
    assert report.base is not None
    assert report.head is not None
    assert (git(clone, "rev-parse", "old"), "tree") == (report.base.commit, report.head.kind)
    (case,) = report.cases
    assert CASE == case.name
    assert case.verdict not in (Verdict.FAILED, Verdict.NOT_COMPARABLE), case.reason
    assert len(case.pairs) >= 6
    found = {one.metric: one for one in case.findings}
    assert {"latency", "first_inference", "session_creation", "size", "accuracy", "fidelity"} <= found.keys()
    assert Verdict.PASS is found["accuracy"].verdict
    assert found["accuracy"].base == found["accuracy"].head
    assert found["size"].base is not None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What the gate of the old commit got from this code.

    Attributes:
        top: the folder of its caches, `cache` and `own`.
        said: case, kind of what was built, inputs, examples, cache, steps that were done.
    """

    top: Path
    said: tuple[str, str, list[str], int, str, list[str]]


@pytest.fixture(scope="module")
def answered(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Answered:
    """The gate of the old commit asks this code to build the head."""
    tmp_path = tmp_path_factory.mktemp("answered")
    asked = f"""
import json, sys
from pathlib import Path
from harness.gate import contender_build, nouns
from harness.plan import Selection
assert contender_build.WIRE == 1
zoo = Path({str(clone / "model_zoo.yaml")!r})
side = nouns.Side(
    role="head", asked="working tree", kind="tree", zoo=zoo, python=sys.executable, worker=(), tree=zoo.parent,
    path=(str(zoo.parent),), cache=Path({str(tmp_path / "own")!r}),
)
chosen = Selection(models=("digits",), variants=("fp32",), targets=("cpu",), threads=(1,), batch=(1,))
events = []
found, notes = contender_build.contenders(side, chosen, Path({str(tmp_path / "cache")!r}), on_event=events.append)
one, = found
print(json.dumps([one.case.id, type(one.built).__name__, one.built.reference.inputs, one.built.reference.examples,
                  str(one.cache), [event.step for event in events if event.state == "done"]]))
"""
    old = tmp_path / "old"
    git(clone, "worktree", "add", "--quiet", "--detach", str(old), OLD)
    done = subprocess.run(
        [sys.executable, "-P", "-c", asked],
        capture_output=True,
        text=True,
        check=False,
        cwd=old,
        env=os.environ | {"PYTHONPATH": str(old)},
    )
    assert 0 == done.returncode, done.stderr
    return Answered(top=tmp_path, said=tuple(json.loads(done.stdout.splitlines()[-1])))


def test_old_gate_builds_this_code(answered: Answered) -> None:
    """It reads the answer as it did then."""
    *known, steps = answered.said
    assert [CASE, "Artifact", ["image"], 64, str(answered.top / "own")] == known
    assert {"load", "reference", "export"} <= set(steps)


def test_job_of_version_1(clone: Path, answered: Answered) -> None:
    """A job as the first gates sent it is answered in their format: nothing in it that they did not know."""
    own = answered.top / "own"
    job = {
        "wire": 1,
        "zoo": str(clone / "model_zoo.yaml"),
        "caches": {"shared": str(answered.top / "cache"), "own": str(own)},
        "whole": True,
        "selection": {"models": ["digits"], "variants": [], "targets": ["cpu"], "threads": [1], "batch": None},
        "case": "",
    }
    command = (sys.executable, "-P", "-m", "harness.gate.contender_build")
    with jobs.child(command, job, environment=os.environ | {"PYTHONPATH": str(clone)}) as builder:
        *events, last = list(builder.messages())
        assert 0 == builder.wait(), list(builder.stderr)
    assert {"model", "variant", "step", "state", "seconds", "detail"} == {key for one in events for key in one["event"]}
    answer = last["answer"]
    assert {"wire": 1, "notes": []} == {key: answer[key] for key in ("wire", "notes")}
    (case,) = answer["cases"]
    assert {"case", "built", "cache"} == case.keys()
    assert {"model", "budget", "recipe", "target"} == case["case"].keys()
    reference = case["built"]["reference"]
    assert {"digest", "origin", "inputs", "outputs", "examples", "labelled"} == reference.keys()
    assert ["image"] == reference["inputs"]
    assert str(own) == case["cache"]
    kept = Path(case["cache"]) / "references" / reference["digest"]
    assert kept.is_dir()
