"""Specs and results as JSON, for the pipe to the build child and for the cache. Standard library only."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from harness.records import DataSpec, InputSpec, ModelSpec, Recipe, Reference, Step, ValueEntry, Weights, WeightsSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.records import Json

ENTRIES = ("feeds", "answers", "labels")
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
    }


def model_from_json(content: Mapping[str, Any]) -> ModelSpec:
    """The inverse of `model_to_json`."""
    return ModelSpec(
        name=content["name"],
        source=content["source"],
        id=content["id"],
        task=content["task"],
        weights=WeightsSpec(**content["weights"]),
        inputs=tuple(
            InputSpec(name=one["name"], dtype=one["dtype"], shape=tuple(one["shape"])) for one in content["inputs"]
        ),
        dims=content["dims"],
        data=DataSpec(**content["data"]),
        options=content["options"],
    )


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
        "batch_axes": dict(reference.batch_axes),
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
    fields = {one.name: content[one.name] for one in dataclasses.fields(Reference) if one.name in content}
    entries = {name: tuple(entry_from_json(one) for one in content.get(name, ())) for name in ENTRIES}
    return Reference(**{**fields, **entries, "inputs": inputs, "outputs": outputs})


def entry_to_json(entry: ValueEntry) -> dict[str, Json]:
    """The name, and what is given of the rest."""
    return entry.to_json()


def entry_from_json(content: Mapping[str, Any]) -> ValueEntry:
    """The inverse of `entry_to_json`."""
    return ValueEntry.from_json(content)


def _fields(record: Any) -> dict[str, Any]:
    return {one.name: getattr(record, one.name) for one in dataclasses.fields(record)}
