"""Specs and results as JSON: for the cache, and between processes. Standard library only.

Two kinds of readers rely on it. The cache's keys are digests of what `model_to_json`, `recipe_to_json` and
`steps_to_json` write: another text there is another artifact. And a gate reads cases and artifacts that the code of
another commit wrote (`harness.gate.contender_build`), and is read by it: what is written there has a version, `WIRE`.

Across versions, a key that a reader does not know is dropped, and a key that a writer did not send is the default.

Versions:
    1: as the first gate wrote it. Inputs and outputs of a reference are their names, and their arrays lie in
       `feeds/<i>.npy` and `outputs/<i>.npy` in that order, with the examples on axis 0.
    2: whoever asks says which version it reads, and is answered in that one.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar

from harness.records import (
    Artifact,
    Budget,
    Built,
    Case,
    DataSpec,
    FrameworkEnv,
    InputSpec,
    MetricLimit,
    ModelSpec,
    Recipe,
    Reference,
    Refusal,
    Status,
    Step,
    Target,
    ValueEntry,
    Weights,
    WeightsSpec,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.records import Json

T = TypeVar("T")

WIRE = 2
"""Version of what `case_to_json` and `built_to_json` write; any older one is still written for a reader that asks."""

VALUES = 2
"""The version from which on a reference may say more than names, and a case how it is fed."""

ENTRIES = ("feeds", "answers", "labels", "before")
"""The fields of a reference that say where values lie."""


def model_to_json(model: ModelSpec) -> dict[str, Json]:
    """Everything of a model that a build depends on; its variants and its budget are left behind."""
    return {
        "name": model.name,
        "source": model.source,
        "id": model.id,
        "task": model.task,
        "weights": dataclasses.asdict(model.weights),
        "inputs": [{"name": one.name, "dtype": one.dtype, "shape": list(one.shape)} for one in model.inputs],
        "dims": dict(model.dims),
        "data": {**_fields(model.data), "options": dict(model.data.options)},
        "options": dict(model.options),
        **({"outputs": dict(model.outputs)} if model.outputs else {}),
        **({"framework_env": _fields(model.framework_env)} if model.framework_env != FrameworkEnv() else {}),
    }


def model_from_json(content: Mapping[str, Any]) -> ModelSpec:
    """The inverse of `model_to_json`."""
    return ModelSpec(
        name=content["name"],
        source=content["source"],
        id=content["id"],
        task=content["task"],
        weights=_known(WeightsSpec, content["weights"]),
        inputs=tuple(
            InputSpec(name=one["name"], dtype=one["dtype"], shape=tuple(one["shape"])) for one in content["inputs"]
        ),
        dims=content["dims"],
        data=_known(DataSpec, content["data"]),
        options=content["options"],
        outputs=content.get("outputs", {}),
        framework_env=_framework_env(content.get("framework_env", {})),
    )


def _framework_env(content: Mapping[str, Any]) -> FrameworkEnv:
    found = _known(FrameworkEnv, content)
    return dataclasses.replace(found, packages=tuple(found.packages))


def recipe_to_json(recipe: Recipe) -> dict[str, Json]:
    """A recipe with its steps."""
    return {
        "name": recipe.name,
        "precision": recipe.precision,
        "optimization": recipe.optimization,
        "steps": steps_to_json(recipe.steps),
    }


def recipe_from_json(content: Mapping[str, Any]) -> Recipe:
    """The inverse of `recipe_to_json`."""
    return Recipe(
        name=content["name"],
        precision=content["precision"],
        optimization=content["optimization"],
        steps=steps_from_json(content["steps"]),
    )


def steps_to_json(steps: tuple[Step, ...]) -> list[dict[str, Json]]:
    """Steps in order."""
    return [{"kind": step.kind, "options": dict(step.options)} for step in steps]


def steps_from_json(content: list[dict[str, Any]]) -> tuple[Step, ...]:
    """The inverse of `steps_to_json`."""
    return tuple(Step(kind=step["kind"], options=step["options"]) for step in content)


def weights_to_json(weights: Weights) -> dict[str, Json]:
    """Kind, digest and reason."""
    return dataclasses.asdict(weights)


def reference_to_json(reference: Reference) -> dict[str, Json]:
    """Every field, tuples as lists."""
    return {
        **_fields(reference),
        "inputs": list(reference.inputs),
        "outputs": list(reference.outputs),
        "random": list(reference.random),
        "batch_axes": dict(reference.batch_axes),
        "notes": list(reference.notes),
        **{name: [entry_to_json(one) for one in getattr(reference, name)] for name in ENTRIES},
    }


def reference_from_json(content: Mapping[str, Any]) -> Reference:
    """The inverse of `reference_to_json`; keys that are not fields are ignored.

    Earlier versions named no files: examples lay on axis 0 in place of the batch axis, and labels in one array.
    """
    inputs, outputs = tuple(content["inputs"]), tuple(content["outputs"])
    if "feeds" not in content:
        content = {
            **content,
            "feeds": [{"name": name, "concatenated": f"feeds/{place}.npy"} for place, name in enumerate(inputs)],
            "answers": [{"name": name, "concatenated": f"outputs/{place}.npy"} for place, name in enumerate(outputs)],
            "labels": [{"name": "", "stacked": "labels.npy"}] if content["labelled"] else [],
        }
    entries = {name: tuple(entry_from_json(one) for one in content.get(name, ())) for name in ENTRIES}
    notes, random = tuple(content.get("notes") or ()), tuple(content.get("random") or ())
    known = {**content, **entries, "inputs": inputs, "outputs": outputs, "notes": notes, "random": random}
    return _known(Reference, known)


def entry_to_json(entry: ValueEntry) -> dict[str, Json]:
    """The name, and what is given of the rest."""
    return entry.to_json()


def entry_from_json(content: Mapping[str, Any]) -> ValueEntry:
    """The inverse of `entry_to_json`."""
    return ValueEntry.from_json(content)


def case_to_json(case: Case, version: int = WIRE) -> dict[str, Any]:
    """Model with its budget and how it is fed, recipe and target, as a reader of this version knows them.

    The model's other variants are left behind.
    """
    fed = {"timed_inputs": case.model.timed_inputs} if version >= VALUES else {}
    return {
        "model": model_to_json(case.model),
        "budget": dataclasses.asdict(case.model.budget),
        **fed,
        "recipe": recipe_to_json(case.recipe),
        "target": {
            **_fields(case.target),
            "provider_options": dict(case.target.provider_options),
            "session_config": dict(case.target.session_config),
            "limits": dict(case.target.limits),
        },
    }


def _budget(content: Mapping[str, Any]) -> Budget:
    limits = {name: _known(MetricLimit, limit) for name, limit in content.get("metrics", {}).items()}
    return dataclasses.replace(_known(Budget, content), metrics=limits)


def case_from_json(content: Mapping[str, Any]) -> Case:
    """The inverse of `case_to_json`, also of what another version wrote."""
    model = model_from_json(content["model"])
    return Case(
        model=dataclasses.replace(
            model,
            budget=_budget(content.get("budget", {})),
            timed_inputs=content.get("timed_inputs", model.timed_inputs),
        ),
        recipe=recipe_from_json(content["recipe"]),
        target=_known(Target, content["target"]),
    )


def built_to_json(built: Built, version: int = WIRE) -> dict[str, Any]:
    """An artifact or a refusal, as a reader of this version knows it."""
    if isinstance(built, Refusal):
        return {"status": built.status.value, "reason": built.reason}
    return {
        **_fields(built),
        "weights": weights_to_json(built.weights),
        "reference": _reference_as(version, reference_to_json(built.reference)),
        "operators": dict(built.operators),
        "fusion": dict(built.fusion),
        "steps": steps_to_json(built.steps),
        "notes": list(built.notes),
    }


def built_from_json(content: Mapping[str, Any]) -> Built:
    """The inverse of `built_to_json`, also of what another version wrote."""
    if "status" in content:
        return Refusal(status=Status(content["status"]), reason=content["reason"])
    known = {
        **content,
        "weights": _known(Weights, content["weights"]),
        "reference": reference_from_json(content["reference"]),
        "steps": steps_from_json(content.get("steps", [])),
        "notes": tuple(content.get("notes", ())),
    }
    return _known(Artifact, known)


def _fields(record: Any) -> dict[str, Any]:
    return {one.name: getattr(record, one.name) for one in dataclasses.fields(record)}


def _reference_as(version: int, content: dict[str, Any]) -> dict[str, Any]:
    """A reference as a reader of this version knows it."""
    if version >= VALUES:
        return content

    def names(entries: list[Any]) -> list[str]:
        return [one if isinstance(one, str) else one["name"] for one in entries]

    kept = ("digest", "origin", "examples", "labelled")
    return {
        **{key: content[key] for key in kept},
        "inputs": names(content["inputs"]),
        "outputs": names(content["outputs"]),
    }


def _known(kind: type[T], content: Mapping[str, Any]) -> T:
    """A record of those keys that it has.

    Raises:
        KeyError: one that it needs is missing.
    """
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]  # every kind here is a dataclass
    missing = dataclasses.MISSING
    for one in fields:
        if one.name not in content and one.default is missing and one.default_factory is missing:
            raise KeyError(one.name)
    names = {one.name for one in fields}
    return kind(**{key: value for key, value in content.items() if key in names})
