"""harness.flow.sweep: the decisions between its steps; the whole flow is tested in tests/integration."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from harness.errors import WorkerError, WorkerRefusal
from harness.flow import sweep
from harness.measure import coordinator
from harness.records import Artifact, Case, Reference, Refusal, Status, Target, Weights
from tests import outcomes

REFERENCE = Reference(digest="r", origin="o", inputs=("x",), outputs=("y",), examples=2, labelled=False)
ARTIFACT = Artifact(
    digest="a",
    model="m",
    variant="v",
    weights=Weights(kind="file", digest="w"),
    reference=REFERENCE,
    bytes=1,
    nodes=1,
    operators={},
)
ROW: dict[str, Any] = {"status": "measured", "artifact": {"digest": "a"}, "reference": {"digest": "r"}}


@pytest.mark.parametrize(
    ("change", "valid"),
    [
        ({}, True),
        ({"status": "failed"}, False),
        ({"artifact": {"digest": "other"}}, False),
        ({"artifact": None}, False),
        ({"reference": {"digest": "other"}}, False),
    ],
)
def test_a_row_of_an_interrupted_sweep_stands_while_nothing_changed(change: dict[str, Any], valid: bool) -> None:
    """Failures are tried again; another artifact or other evaluation data make another number."""
    assert valid is sweep.still_valid(ROW | change, ARTIFACT)


def test_a_refusal_stands_while_it_is_the_same() -> None:
    """What was skipped stays skipped; what can be built now is measured."""
    skipped = Refusal(status=Status.SKIPPED, reason="")
    assert sweep.still_valid({"status": "skipped"}, skipped)
    assert not sweep.still_valid({"status": "unsupported"}, skipped)
    assert not sweep.still_valid({"status": "skipped"}, ARTIFACT)


def cases(*providers: str) -> list[Case]:
    """A case per provider."""
    case = outcomes.case()
    return [
        dataclasses.replace(case, target=Target(name=provider.lower(), provider=provider)) for provider in providers
    ]


def test_only_a_missing_provider_makes_a_target_unusable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that cannot start at all is a failure of every case, not an excuse for it."""

    def floor(target: Target) -> tuple[float, dict[str, Any]]:
        if target.provider == "Missing":
            raise WorkerRefusal("provider", "not in this build")
        if target.provider == "Broken":
            raise WorkerError("the worker could not be started")
        return 5e-6, {}

    monkeypatch.setattr(coordinator, "floor", floor)
    unusable, floors = sweep.try_targets(cases("Fine", "Missing", "Broken"))
    assert {"missing": "not in this build"} == unusable
    assert {"fine": 5e-6} == floors


def test_recipes_are_built_once_per_model() -> None:
    """However many targets measure them."""
    two = cases("A", "B")
    assert [(two[0].model, [two[0].recipe])] == sweep.by_model(two)
