"""Cases and what was built of them as JSON, between a side's process and this one.

The two may be of different versions: what one does not know it leaves out, what the other did not send is the default.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from harness.records import Artifact, Budget, Built, Case, Refusal, Status, Target, wire

T = TypeVar("T")


def case_to_json(case: Case) -> dict[str, Any]:
    """Model with its budget, recipe and target; the model's other variants are left behind."""
    return {
        "model": wire.model_to_json(case.model),
        "budget": dataclasses.asdict(case.model.budget),
        "recipe": wire.recipe_to_json(case.recipe),
        "target": {
            **_fields(case.target),
            "provider_options": dict(case.target.provider_options),
            "session_config": dict(case.target.session_config),
        },
    }


def case_from_json(content: Mapping[str, Any]) -> Case:
    """The inverse of `case_to_json`."""
    model = wire.model_from_json(content["model"])
    return Case(
        model=dataclasses.replace(model, budget=_known(Budget, content.get("budget", {}))),
        recipe=wire.recipe_from_json(content["recipe"]),
        target=_known(Target, content["target"]),
    )


def built_to_json(built: Built) -> dict[str, Any]:
    """An artifact or a refusal."""
    if isinstance(built, Refusal):
        return {"status": built.status.value, "reason": built.reason}
    return {
        **_fields(built),
        "weights": wire.weights_to_json(built.weights),
        "reference": wire.reference_to_json(built.reference),
        "operators": dict(built.operators),
        "fusion": dict(built.fusion),
        "steps": wire.steps_to_json(built.steps),
        "notes": list(built.notes),
    }


def built_from_json(content: Mapping[str, Any]) -> Built:
    """The inverse of `built_to_json`."""
    if "status" in content:
        return Refusal(status=Status(content["status"]), reason=content["reason"])
    from harness.records import Weights

    return _known(
        Artifact,
        {
            **content,
            "weights": _known(Weights, content["weights"]),
            "reference": wire.reference_from_json(content["reference"]),
            "steps": wire.steps_from_json(content.get("steps", [])),
            "notes": tuple(content.get("notes", ())),
        },
    )


def _fields(record: Any) -> dict[str, Any]:
    return {one.name: getattr(record, one.name) for one in dataclasses.fields(record)}


def _known(kind: type[T], content: Mapping[str, Any]) -> T:
    """A record of those keys that it has."""
    names = {one.name for one in dataclasses.fields(kind)}  # type: ignore[arg-type]  # every kind here is a dataclass
    return kind(**{key: value for key, value in content.items() if key in names})
