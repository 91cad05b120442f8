"""harness.runtime_spec and harness.runtimes.clients: a target's runtime, as it is written and as it is started."""

from __future__ import annotations

import dataclasses
import pickle
import sys
from pathlib import Path

import pytest

from harness import runtime_spec, zoo
from harness.errors import UsageError
from harness.records import Target
from harness.runtimes.clients import client_factory, own_package
from tests.conftest import Project

CPU = Target(name="cpu", provider="CPUExecutionProvider")


def of(runtime: str) -> Target:
    """A target with this runtime."""
    return dataclasses.replace(CPU, runtime=runtime)


@pytest.mark.parametrize(
    "text",
    [
        "onnxruntime",
        "current",
        "onnxruntime==1.23.0",
        "onnxruntime-openvino",
        "ort_nightly>=1.24",
        "a/b.whl",
        "venv/bin/python",
    ],
)
def test_what_may_be_a_runtime(text: str) -> None:
    """Builds, wheels and paths, whether they are there or not."""
    assert "" == runtime_spec.problem(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [("onnxrutime==1.0", "did you mean 'onnxruntime'?"), ("torch", "expected `current`"), ("", "expected `current`")],
)
def test_what_cannot_be_a_runtime(text: str, words: str) -> None:
    """The sentence names what can."""
    assert words in runtime_spec.problem(text)


def test_a_zoo_names_runtimes(project: Project) -> None:
    """Paths are taken from the zoo's folder; the own runtime has one name; a mistake is named by its place."""
    path = project.root / "model_zoo.yaml"
    text = path.read_text(encoding="utf-8")
    more = (
        "  old: {provider: cpu, runtime: onnxruntime==1.23.0}\n"
        "  here: {provider: cpu, runtime: venv/bin/python}\n"
        "  same: {provider: cpu, runtime: current}\n"
    )
    path.write_text(text.replace("models:\n", f"{more}models:\n"), encoding="utf-8")
    targets = zoo.load(path).targets
    assert "onnxruntime==1.23.0" == targets["old"].runtime
    assert str(project.root / "venv/bin/python") == targets["here"].runtime
    assert "onnxruntime" == targets["same"].runtime == targets["cpu"].runtime
    path.write_text(text.replace("{provider: cpu}", "{provider: cpu, runtime: onxruntime}"), encoding="utf-8")
    with pytest.raises(UsageError, match=r"targets\.cpu\.runtime: 'onxruntime' is not a runtime.*did you mean"):
        zoo.load(path)


def test_the_own_runtime_needs_no_cache(tmp_path: Path) -> None:
    """Both of its names; the worker says which package it came from, and the starter can be sent away."""
    start = pickle.loads(pickle.dumps(client_factory(CPU, tmp_path)))  # noqa: S301  (our own bytes)
    assert start == client_factory(of("current"), tmp_path)
    assert [] == list(tmp_path.iterdir())
    with start() as worker:
        assert (own_package(), "", "python") == (worker.runtime.package, worker.runtime.digest, worker.runtime.language)
        assert worker.runtime.version == worker.hello["runtime"]["version"]


def test_an_interpreter_is_a_runtime_of_its_own(tmp_path: Path) -> None:
    """With a digest that tells it from another one, and the package that is installed there."""
    start = client_factory(of(sys.executable), tmp_path)
    assert start.digest
    with start() as worker:
        assert (start.package, start.digest) == (worker.runtime.package, worker.runtime.digest)


def test_nothing_is_installed_for_a_look(tmp_path: Path) -> None:
    """What is not in the cache is said, and not made."""
    with pytest.raises(UsageError, match=r"onnxruntime==1\.23\.0 is not in the cache yet; a sweep installs it"):
        client_factory(of("onnxruntime==1.23.0"), tmp_path, install=False)
    assert [] == list(tmp_path.iterdir())
