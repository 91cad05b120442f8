"""harness.flow.session: what cases share is done once, and each target has a worker of its own runtime."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import zoo
from harness.build import pipeline
from harness.errors import WorkerError, WorkerRefusal
from harness.flow import plan as planning
from harness.flow import session as sessions
from harness.flow.preview import SweepSettings
from harness.flow.session import Session, TriedTargets
from harness.records import Case, RuntimeInfo, Status, Target
from tests import outcomes
from tests.conftest import Project

SETTINGS = SweepSettings(processes=1, time_per_case=0.1, ci_width=0.1)
RUNTIME = RuntimeInfo(name="onnxruntime", version="1.0", providers=("A", "B"), package="onnxruntime-gpu")


def cases(*providers: str, **target: Any) -> list[Case]:
    """A case per provider."""
    case = outcomes.case()
    return [
        dataclasses.replace(case, target=Target(name=provider.lower(), provider=provider, **target))
        for provider in providers
    ]


def test_only_a_missing_provider_makes_a_target_unusable(tmp_path: Path) -> None:
    """A worker that cannot start at all is a failure of every case, not an excuse for it."""

    def floor(target: Target, *, client: Any) -> tuple[float, RuntimeInfo]:
        if target.provider == "Missing":
            raise WorkerRefusal("provider", "not in this build")
        if target.provider == "Broken":
            raise WorkerError("the worker could not be started")
        assert callable(client)
        return 5e-6, RUNTIME

    found = sessions.try_targets(cases("Fine", "Missing", "Broken"), tmp_path, floor=floor)
    assert {"missing": "not in this build"} == found.unusable
    assert {"fine": 5e-6} == found.floors
    assert {"fine": RUNTIME} == found.runtimes
    assert {"fine", "missing", "broken"} == set(found.clients)
    assert found == TriedTargets.from_json(json.loads(json.dumps(found.to_json())))


def test_a_target_that_cannot_be_used_names_the_runtime_that_said_so(tmp_path: Path) -> None:
    """Not the one beside harness, which nobody asked."""

    def floor(target: Target, *, client: Any) -> tuple[float, RuntimeInfo]:
        assert target.plugin
        client()
        raise WorkerRefusal("provider", "the plugin offers no such device")

    def starter(*_: object, **__: object) -> Any:
        return lambda: SimpleNamespace(runtime=RUNTIME)

    found = sessions.try_targets(cases("A", plugin="some-plugin"), tmp_path, floor=floor, starter=starter)
    assert ({"a": "the plugin offers no such device"}, {"a": RUNTIME}) == (found.unusable, found.runtimes)


def test_a_runtime_that_cannot_be_had_is_its_targets_trouble_alone(tmp_path: Path) -> None:
    """The other target is tried all the same."""
    lost = cases("CPUExecutionProvider", runtime="/nowhere/python")
    own = Target(name="own", provider="CPUExecutionProvider")
    found = sessions.try_targets([*lost, dataclasses.replace(lost[0], target=own)], tmp_path)
    assert "there is no such file" in found.absent["cpuexecutionprovider"]
    assert {"own"} == set(found.floors) == set(found.clients)


def test_a_runtime_of_decoders_is_tried_without_a_file(tmp_path: Path) -> None:
    """One node is not a decoder: that its worker starts is enough, and no floor is known."""

    @contextlib.contextmanager
    def started() -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(runtime=RUNTIME)

    def floor(*_: object, **__: object) -> tuple[float, RuntimeInfo]:
        pytest.fail("a decoder is not one node")

    def starter(*_: object, **__: object) -> Any:
        return started

    found = sessions.try_targets(cases("cpu", runtime="genai==0.18.0"), tmp_path, floor=floor, starter=starter)
    assert ({"cpu": RUNTIME}, {}, {}) == (found.runtimes, found.floors, found.unusable)


def test_recipes_are_built_once_per_model() -> None:
    """However many targets measure them."""
    two = cases("A", "B")
    assert [(two[0].model, [two[0].recipe])] == planning.by_model(two)


def test_targets_of_two_runtimes_stand_in_one_session(project: Project) -> None:
    """Each outcome says what measured it: the runtime beside harness, or that of an interpreter."""
    path = project.root / "model_zoo.yaml"
    text = path.read_text(encoding="utf-8")
    more = (
        f"  other: {{provider: cpu, runtime: {sys.executable}}}\n  lost: {{provider: cpu, runtime: nowhere/python}}\n"
    )
    path.write_text(text.replace("models:\n", f"{more}models:\n"), encoding="utf-8")
    the_zoo = zoo.load(path)
    selection = planning.Selection(variants=("fp32",), targets=("cpu", "other", "lost"))
    plan = planning.plan(the_zoo, selection)
    shared = Session(
        zoo=the_zoo, cases=plan.cases, settings=SETTINGS, cache=project.root / "cache", results=project.root / "results"
    )
    found = {case.target.name: shared.measure(case) for case in shared.cases}
    assert {"cpu": Status.MEASURED, "other": Status.MEASURED, "lost": Status.FAILED} == {
        name: outcome.status for name, outcome in found.items()
    }
    seen = {name: outcome.runtime for name, outcome in found.items()}
    assert seen["cpu"] is not None
    assert seen["other"] is not None
    assert seen["lost"] is None
    assert "" == seen["cpu"].digest != seen["other"].digest
    assert seen["cpu"].label == seen["other"].label
    assert "nowhere/python: there is no such file" in found["lost"].reason
    assert shared.run.fingerprint == getattr(found["cpu"].host, "fingerprint", None)
    assert {"cpu", "other"} == set(shared.run.floor_s)


def test_everything_is_done_once(project: Project) -> None:
    """Builds and trials that one case needed serve the next."""
    the_zoo = zoo.load(project.root / "model_zoo.yaml")
    plan = planning.plan(the_zoo, planning.Selection(variants=("fp32", "fp32-fused")))
    built: list[list[str]] = []
    tried: list[int] = []

    def build(cache: Any, requests: Any, *, on_event: Any, surround: Any) -> Any:
        built.append([recipe.name for _, recipes in requests for recipe in recipes])
        return pipeline.build(cache, requests, on_event=on_event, surround=surround)

    def attempt(of: Any, cache: Path) -> TriedTargets:
        tried.append(len(of))
        return TriedTargets(floors={"cpu": 1e-6})

    shared = Session(
        zoo=the_zoo,
        cases=plan.cases,
        settings=SETTINGS,
        cache=project.root / "cache",
        results=project.root / "results",
        attempt=attempt,
        builds=build,
    )
    first = shared.job(plan.cases[0])
    shared.build()
    assert [["fp32"], ["fp32-fused"]] == built
    assert first == shared.job(plan.cases[0])
    assert shared.run is shared.run
    assert [2] == tried
    assert 1e-6 == first.floor_s
