"""harness.fleet.builders: who builds what, and how it arrives, on a host that is made up and has a cache of its own."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness import zoo as zoos
from harness.build import lookup, pipeline
from harness.build.cache import Cache
from harness.fleet import builders, transfer
from harness.fleet.builders import FleetBuilds
from harness.fleet.model import BuildAnswer, FleetHost
from harness.flow.plan import Selection
from harness.gate.fleet.builds import SideBuilds
from harness.records import Artifact, Built, ModelSpec, Recipe, Refusal, Status
from tests import outcomes, pairs
from tests.conftest import Project

Requests = list[tuple[ModelSpec, list[Recipe]]]


class DoneTask:
    """A task that was done, or failed, when it was given."""

    def __init__(self, status: str, answer: Any = None) -> None:
        self.status, self._answer = status, answer

    def done(self) -> bool:
        """Whether it has come to its end."""
        return self.status != "pending"

    def result(self, timeout: float | None = None) -> Any:  # noqa: ARG002  # as Dask has it
        """The answer."""
        return self._answer


class BuildHosts:
    """Hosts that build in this process, each call with the cache of the builder; it stands for its own client.

    With an answer they give that instead.

    Attributes:
        given: model and host of every build.
    """

    def __init__(
        self,
        cache: Path,
        monkeypatch: pytest.MonkeyPatch,
        *hosts: FleetHost,
        status: str = "",
        answer: BuildAnswer | None = None,
    ) -> None:
        self.there, self.client, self.given = list(hosts), self, list[tuple[str, str]]()
        self._cache, self._monkeypatch, self._status, self._answer = cache, monkeypatch, status, answer

    def hosts(self) -> list[FleetHost]:
        """Who is there; where a task never ends, its host leaves."""
        found = list(self.there)
        if self._status == "pending" and self.given:
            self.there.clear()
        return found

    def submit(self, call: Callable[..., Any], model: ModelSpec, *rest: Any, **options: Any) -> DoneTask:
        """Build at once."""
        assert {"build": 1} == options["resources"]
        self.given.append((model.name, *options["workers"]))
        if self._status:
            return DoneTask(self._status)
        return DoneTask("finished", self._answer or self._with_cache(call, model, *rest))

    def ask(self, call: Callable[..., Any], addresses: Sequence[str], **arguments: Any) -> dict[str, Any]:
        """Send an entry."""
        return {addresses[0]: self._with_cache(call, **arguments)}

    def _with_cache(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        with self._monkeypatch.context() as patched:
            patched.setenv("HARNESS_CACHE", str(self._cache))
            return call(*arguments, **named)


def anything(*_: object) -> bool:
    """Every model can be built elsewhere, also one that is a file of this machine."""
    return True


def host(name: str, **more: Any) -> FleetHost:
    """A host that builds."""
    return FleetHost(address=f"tcp://{name}", name=name, builds=1, **more)


def asked(project: Project) -> Requests:
    """The one model of the small project, with the variants that it is swept in."""
    model = zoos.load(project.root / "model_zoo.yaml").models["tiny"]
    return [(model, [model.recipes[name] for name in ("fp32", "fp32-fused", "int8-static")])]


def builds(
    fleet: BuildHosts,
    cache: Path,
    requests: Requests,
    said: list[str],
    goes: Callable[..., bool] = builders.travels,
    **more: Any,
) -> tuple[Any, Any]:
    """What came of requests, and the events."""
    events: list[pipeline.BuildEvent] = []
    made = FleetBuilds(fleet, say=said.append, look_s=0.0, goes=goes, **more)  # type: ignore[arg-type]
    found = made(Cache(cache), requests, on_event=events.append, surround=pipeline.surrounded)
    return found, events


@pytest.mark.parametrize("depot", [False, True])
def test_what_was_built_elsewhere_arrives(
    project: Project, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, depot: bool
) -> None:
    """Every artifact and reference is in the cache of the sweep, whole, through the scheduler or a depot."""
    fleet, said = BuildHosts(built, monkeypatch, host("one")), list[str]()
    url = f"file://{tmp_path}/depot" if depot else ""
    if depot:
        fleet.ask = None  # type: ignore[method-assign, assignment]  # nobody is asked for what lies there
    requests = asked(project)
    found, events = builds(fleet, tmp_path / "ours", requests, said, goes=anything, depot=url)
    assert {("tiny", name) for name in ("fp32", "fp32-fused", "int8-static")} == set(found)
    assert all(isinstance(one, Artifact) for one in found.values())
    assert all(transfer.has(Cache(tmp_path / "ours"), entry) for entry in builders.entries(found))
    assert {"done"} == {event.state for event in events}
    assert ([("tiny", "tcp://one")], ["tiny is built on one (tcp://one)"]) == (fleet.given, said)


def test_who_builds(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One host for each model, whoever asks; without one, where it is lost or fails, and for files: this machine."""
    local: list[list[str]] = []

    def here(_: Cache, requests: Requests, **__: Any) -> dict[tuple[str, str], Built]:
        local.append([model.name for model, _ in requests])
        return {
            (model.name, one.name): outcomes.artifact(outcomes.case(model.name, one.name))
            for model, recipes in requests
            for one in recipes
        }

    ((model, recipes),) = asked(project)
    said: list[str] = []
    for fleet in (
        BuildHosts(tmp_path, monkeypatch),
        BuildHosts(tmp_path, monkeypatch, host("one", refused="runs harness 99")),
        BuildHosts(tmp_path, monkeypatch, host("one")),  # the model is a file of this machine
    ):
        found, _ = builds(fleet, tmp_path / "ours", [(model, recipes)], said, here=here)
        assert ([], 3) == (fleet.given, len(found))
    assert [["tiny"]] * 3 == local

    model = dataclasses.replace(model, source="torchvision", id="resnet18")  # which can be had anywhere
    for status in ("pending", "error", "lost"):
        fleet = BuildHosts(tmp_path, monkeypatch, host("one"), status=status)
        found, _ = builds(fleet, tmp_path / "ours", [(model, recipes)], said, here=here)
        assert (1, 3) == (len(fleet.given), len(found))
    assert ["tcp://one was to build tiny and did not: it is built here"] * 3 == said[1::2]

    refused = Refusal(status=Status.FAILED, reason="torch is not installed")
    given = {("tiny", "fp32"): refused, ("tiny", "fp32-fused"): Refusal(status=Status.SKIPPED, reason="too large")}
    fleet = BuildHosts(tmp_path, monkeypatch, host("one"), answer=BuildAnswer(built=given))
    found, _ = builds(fleet, tmp_path / "ours", [(model, recipes[:2])], said, here=here)
    assert isinstance(found["tiny", "fp32"], Artifact)
    assert given["tiny", "fp32-fused"] == found["tiny", "fp32-fused"]

    several = [(dataclasses.replace(model, name=f"m{number}"), recipes) for number in range(12)]
    places = []
    for hosts in (("one", "two", "three"), ("three", "one", "two")):
        fleet = BuildHosts(tmp_path, monkeypatch, *map(host, hosts), status="error")
        builds(fleet, tmp_path / "ours", several, said, here=here)
        places.append(sorted(fleet.given))
    assert places[0] == places[1]
    assert 3 == len({address for _, address in places[0]})


def test_the_sides_of_a_gate_are_built_by_who_builds(
    built_project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a gate's side then asks for is in the cache already; what only its own code can make is left to it."""
    root, cache = built_project.root, tmp_path / "ours"
    fleet, said = BuildHosts(root / "cache", monkeypatch, host("one")), list[str]()
    side = pairs.side("base", zoo=root / "model_zoo.yaml", python=sys.executable)
    seen: list[bool] = []

    def contenders(*_: object, **__: object) -> tuple[tuple[()], tuple[()]]:
        ((model, recipes),) = asked(built_project)
        seen.extend(lookup.lookup(Cache(cache), model, one) is not None for one in recipes)
        return (), ()

    elsewhere = FleetBuilds(fleet, say=said.append, goes=anything)  # type: ignore[arg-type]
    made = SideBuilds(fleet=elsewhere, contenders=contenders)
    for one in (side, dataclasses.replace(side, python="/elsewhere/python")):
        assert ((), ()) == made(one, Selection(), cache)
    assert [True] * 6 == seen
    assert [("tiny", "tcp://one")] == fleet.given


def test_what_travels(project: Project) -> None:
    """A model of a framework does, also where harness itself has its code; what names a file of this machine not."""
    ((model, recipes),) = asked(project)
    assert not builders.travels(model, recipes)
    framework = dataclasses.replace(model, source="torchvision", id="resnet18")
    assert builders.travels(framework, recipes)
    own = dataclasses.replace(model.weights, path=str(project.root / "tiny.onnx"))
    assert not builders.travels(dataclasses.replace(framework, weights=own), recipes)
    assert builders.travels(dataclasses.replace(model, source="torch", id="harness.frameworks.digits_cnn:build"), [])
    assert builders.travels(dataclasses.replace(model, source="sklearn", id="sklearn.ensemble:Forest"), [])
    assert not builders.travels(dataclasses.replace(model, source="torch", id="my_nets:build"), [])
