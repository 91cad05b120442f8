"""harness.records.wire: cases and artifacts between processes of different versions."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from harness.records import Budget, Refusal, Status, Step, Target, ValueEntry, wire
from tests import outcomes


def through(content: Any) -> Any:
    """What arrives at the other process."""
    return json.loads(json.dumps(content))


def test_case_comes_back() -> None:
    """Everything but the model's other variants."""
    case = outcomes.case(intra_threads=4, session_config={"session.intra_op.allow_spinning": "0"})
    model = dataclasses.replace(case.model, recipes={}, budget=Budget(latency_s=0.1), outputs={"scores": "logits"})
    case = dataclasses.replace(case, model=model)
    assert case == wire.case_from_json(through(wire.case_to_json(case)))


@pytest.mark.parametrize("version", range(1, wire.WIRE + 1))
def test_built_comes_back(version: int) -> None:
    """An artifact and a refusal, in every version that is still written."""
    artifact = dataclasses.replace(outcomes.artifact(outcomes.case()), steps=(Step(kind="export"),), notes=("a note",))
    reference = dataclasses.replace(
        artifact.reference,
        feeds=(ValueEntry(name="x", concatenated="feeds/0.npy"),),
        answers=(ValueEntry(name="y", concatenated="outputs/0.npy"),),
        labels=(ValueEntry(name="", stacked="labels.npy"),),
    )
    artifact = dataclasses.replace(artifact, reference=reference)
    refusal = Refusal(status=Status.SKIPPED, reason="no MatMul")
    assert refusal == wire.built_from_json(through(wire.built_to_json(refusal, version)))
    assert artifact == wire.built_from_json(through(wire.built_to_json(artifact, version)))


def test_version_1_says_nothing_new() -> None:
    """Its readers know the names of inputs and outputs, nothing else of a reference, and not how a case is fed."""
    reference = wire.built_to_json(outcomes.artifact(outcomes.case()), 1)["reference"]
    assert {"digest", "origin", "inputs", "outputs", "examples", "labelled"} == reference.keys()
    assert all(isinstance(name, str) for name in (*reference["inputs"], *reference["outputs"]))
    assert {"model", "budget", "recipe", "target"} == wire.case_to_json(outcomes.case(), 1).keys()


def test_unknown_keys_are_dropped() -> None:
    """What a later version adds to any record does not keep this one from reading the rest."""
    case, artifact = outcomes.case(), outcomes.artifact(outcomes.case())
    sent = through(wire.case_to_json(case))
    for part in (sent, sent["model"], sent["model"]["weights"], sent["model"]["data"], sent["budget"], sent["target"]):
        part["later"] = 1
    assert case.id == wire.case_from_json(sent).id
    sent = through(wire.built_to_json(artifact))
    for part in (sent, sent["weights"], sent["reference"]):
        part["later"] = 1
    assert artifact == wire.built_from_json(sent)


def test_missing_keys_are_the_default() -> None:
    """What an earlier version did not send is what it was before there was a choice."""
    case, artifact = outcomes.case(), outcomes.artifact(outcomes.case())
    sent = through(wire.case_to_json(case))
    sent["target"] = {"name": "cpu", "provider": "CPUExecutionProvider"}
    del sent["budget"]
    found = wire.case_from_json(sent)
    assert Target(name="cpu", provider="CPUExecutionProvider") == found.target
    assert Budget() == found.model.budget
    sent = through(wire.built_to_json(artifact))
    for key in ("fusion", "seconds", "steps", "notes"):
        del sent[key]
    expected = dataclasses.replace(artifact, fusion={}, seconds=0.0, steps=(), notes=())
    assert expected == wire.built_from_json(sent)


def test_what_is_needed_is_missing() -> None:
    """Without it there is no record, and the key is named."""
    sent = through(wire.built_to_json(outcomes.artifact(outcomes.case())))
    del sent["digest"]
    with pytest.raises(KeyError, match="digest"):
        wire.built_from_json(sent)
