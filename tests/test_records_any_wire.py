"""harness.records.wire: any case and any artifact comes back, whatever another version added or did not send."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from harness.records import (
    Artifact,
    Budget,
    Case,
    DataSpec,
    InputSpec,
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
    wire,
)

TEXT = st.text(max_size=8)
NAMES = st.text(min_size=1, max_size=8)
COUNTS = st.integers(0, 2**40)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | COUNTS | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
OPTIONS = st.dictionaries(TEXT, JSON, max_size=3)
TEXTS = st.dictionaries(TEXT, TEXT, max_size=3)
SIZES = st.dictionaries(NAMES, COUNTS, max_size=3)


def several(one: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """Up to three of them."""
    return st.lists(one, max_size=3).map(tuple)


STEPS = several(st.builds(Step, kind=NAMES, options=OPTIONS))
MODELS = st.builds(
    ModelSpec,
    name=NAMES,
    source=NAMES,
    id=TEXT,
    task=st.none() | NAMES,
    weights=st.builds(WeightsSpec, kind=NAMES, seed=COUNTS, path=st.none() | TEXT, require=st.booleans()),
    inputs=several(st.builds(InputSpec, name=NAMES, dtype=NAMES, shape=several(COUNTS | NAMES))),
    dims=SIZES,
    data=st.builds(DataSpec, name=NAMES, source=NAMES, calibration=COUNTS, evaluation=COUNTS, options=OPTIONS),
    options=OPTIONS,
    budget=st.builds(
        Budget,
        accuracy_drop=st.none() | NUMBERS,
        accuracy_share=st.none() | NUMBERS,
        fidelity_db=st.none() | NUMBERS,
        latency_s=st.none() | NUMBERS,
        size_bytes=st.none() | COUNTS,
        structure=st.sampled_from(["report", "fail"]),
    ),
)
CASES = st.builds(
    Case,
    model=MODELS,
    recipe=st.builds(Recipe, name=NAMES, steps=STEPS, precision=NAMES, optimization=NAMES),
    target=st.builds(
        Target,
        name=NAMES,
        provider=NAMES,
        runtime=NAMES,
        provider_options=TEXTS,
        intra_threads=COUNTS,
        inter_threads=COUNTS,
        batch=COUNTS,
        session_config=TEXTS,
    ),
)
ARRAYS = st.fixed_dictionaries({"dtype": st.just("<f4"), "shape": st.lists(COUNTS, max_size=3), "base64": TEXT})
PLACES: st.SearchStrategy[dict[str, Any]] = (
    st.builds(dict, stacked=NAMES)
    | st.builds(dict, concatenated=NAMES)
    | st.builds(dict, files=st.lists(NAMES, min_size=1, max_size=3).map(tuple))
    | st.builds(dict, data=st.lists(ARRAYS, min_size=1, max_size=3).map(tuple))
)
ENTRIES = several(st.builds(lambda name, kind, place: ValueEntry(name=name, type=kind, **place), TEXT, TEXT, PLACES))
REFERENCES = st.builds(
    Reference,
    digest=TEXT,
    origin=TEXT,
    inputs=several(NAMES),
    outputs=several(NAMES),
    examples=COUNTS,
    labelled=st.booleans(),
    feeds=ENTRIES,
    answers=ENTRIES,
    labels=ENTRIES,
    batch_axes=SIZES,
    rows=COUNTS,
)
ARTIFACTS = st.builds(
    Artifact,
    digest=TEXT,
    model=NAMES,
    variant=NAMES,
    weights=st.builds(Weights, kind=NAMES, digest=TEXT, reason=TEXT),
    reference=REFERENCES,
    bytes=COUNTS,
    nodes=COUNTS,
    operators=SIZES,
    fusion=OPTIONS,
    seconds=NUMBERS,
    steps=STEPS,
    notes=several(TEXT),
)
REFUSALS = st.builds(Refusal, status=st.sampled_from(Status), reason=TEXT)


def through(content: Any) -> Any:
    """What arrives at the other process."""
    return json.loads(json.dumps(content))


def records(sent: dict[str, Any]) -> Iterator[tuple[type, dict[str, Any]]]:
    """The parts of a sent case or artifact that are records, with their kinds."""
    if "target" in sent:
        yield from ((Target, sent["target"]), (Budget, sent["budget"]))
        yield from ((WeightsSpec, sent["model"]["weights"]), (DataSpec, sent["model"]["data"]))
    elif "reference" in sent:
        yield from ((Artifact, sent), (Weights, sent["weights"]), (Reference, sent["reference"]))


def with_default(kind: type) -> dict[str, Any]:
    """The fields of a record that a writer may leave out, with what they are then."""
    found = {}
    for one in dataclasses.fields(kind):
        if one.default is not dataclasses.MISSING:
            found[one.name] = one.default
        elif one.default_factory is not dataclasses.MISSING:
            found[one.name] = one.default_factory()
    return found


@given(case=CASES)
def test_any_case_comes_back(case: Case) -> None:
    """Every field, text of any kind and options of any shape."""
    assert case == wire.case_from_json(through(wire.case_to_json(case)))


@given(built=ARTIFACTS | REFUSALS)
def test_anything_built_comes_back(built: Artifact | Refusal) -> None:
    """In the newest version every field; a refusal in any."""
    assert built == wire.built_from_json(through(wire.built_to_json(built)))
    if isinstance(built, Refusal):
        assert built == wire.built_from_json(through(wire.built_to_json(built, 1)))


@given(artifact=ARTIFACTS)
def test_version_1_keeps_all_but_what_it_cannot_say(artifact: Artifact) -> None:
    """Of a reference it has six fields; where values lie is then the convention of its time."""
    found = wire.built_from_json(through(wire.built_to_json(artifact, 1)))
    assert isinstance(found, Artifact)
    assert dataclasses.replace(artifact, reference=found.reference) == found
    known, old = artifact.reference, found.reference
    for name in ("digest", "origin", "inputs", "outputs", "examples", "labelled"):
        assert getattr(known, name) == getattr(old, name), name
    assert [f"feeds/{place}.npy" for place in range(len(known.inputs))] == [one.concatenated for one in old.feeds]


@given(case=CASES, artifact=ARTIFACTS, key=NAMES.map(lambda text: f"later {text}"), value=JSON)
def test_any_later_key_is_dropped(case: Case, artifact: Artifact, key: str, value: Any) -> None:
    """In every record of what is sent."""
    for sent in (through(wire.case_to_json(case)), through(wire.built_to_json(artifact))):
        for _, part in [*records(sent)]:
            part[key] = value
        found: object = wire.case_from_json(sent) if "target" in sent else wire.built_from_json(sent)
        assert found == (case if "target" in sent else artifact)


@given(case=CASES, data=st.data())
def test_any_key_that_was_not_sent_is_the_default(case: Case, data: st.DataObject) -> None:
    """Whichever of those that have one."""
    sent = through(wire.case_to_json(case))
    found = {}
    for kind, part in records(sent):
        defaults = with_default(kind)
        dropped = data.draw(st.sets(st.sampled_from(sorted(defaults))))
        for name in dropped:
            del part[name]
        found[kind] = {name: defaults[name] for name in dropped}
    read = wire.case_from_json(sent)
    model = dataclasses.replace(
        case.model,
        budget=dataclasses.replace(case.model.budget, **found[Budget]),
        weights=dataclasses.replace(case.model.weights, **found[WeightsSpec]),
        data=dataclasses.replace(case.model.data, **found[DataSpec]),
    )
    assert dataclasses.replace(case, model=model, target=dataclasses.replace(case.target, **found[Target])) == read
