"""harness.build.reference: whole feeds, outputs and labels of any shape, streamed to disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from harness import data, values
from harness.build import reference
from harness.errors import BuildError
from harness.frameworks import onnx
from harness.frameworks.base import Loaded
from harness.records import DataSpec, Reference, ValueEntry, wire
from harness.tasks import evaluation
from tests import builders, specs

BOXES = """
import numpy as np
from harness.data import base

OPTIONS = ()
PACKAGES = {}


def examples(request, split):
    for place in range(request.counts[split]):
        label = {"boxes": np.ones((place, 4)), "name": "cat"}
        yield base.Example(feed={"x": np.full((1, 4), place, np.float32)}, label=label if place != UNLABELLED else None)


def digest(request):
    return ""
"""


@pytest.fixture
def boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data source `boxes`, one file: whole feeds, each with labels of its own shape."""
    import sys

    monkeypatch.setattr(data, "__path__", [*data.__path__, str(tmp_path)])

    yield tmp_path / "boxes.py"
    sys.modules.pop("harness.data.boxes", None)


def loaded(path: Path, source: str = "random") -> Loaded:
    """A file that is loaded, with four examples."""
    model = replace(specs.file_model(path), data=DataSpec(name=source, source=source, calibration=4, evaluation=4))
    return onnx.load(model)


def outputs(tmp_path: Path, made: Reference, name: str = "y") -> list[Any]:
    """The stored arrays of an output."""
    (entry,) = (one for one in made.answers if one.name == name)
    return list(values.Stored(tmp_path / "reference", entry, made.examples))


def write(tmp_path: Path, one: Loaded) -> Reference:
    """The reference of a model, after a trip through JSON."""
    made = reference.write(one, tmp_path / "reference", "d")
    assert made == wire.reference_from_json(wire.reference_to_json(made))
    return made


def test_a_batch_axis_at_any_place(tmp_path: Path) -> None:
    """An example has size one along it; the reference says where it is."""
    shape: list[int | str] = [5, "batch", 4]
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    path = builders.save(tmp_path / "m.onnx", nodes, [builders.value("x", shape)], [builders.value("y", shape)])
    made = write(tmp_path, loaded(path))
    assert ({"x": 1}, 1, 4) == (made.batch_axes, made.rows, made.examples)
    assert ValueEntry(name="x", stacked="feeds/0.npy") == made.feeds[0]
    assert [(5, 1, 4)] * 4 == [array.shape for array in outputs(tmp_path, made)]


def test_outputs_whose_size_depends_on_the_data(tmp_path: Path) -> None:
    """Every example has a file of its own where shapes differ; scalars are arrays like any other."""
    inputs = [builders.value("x", [3, 40], TensorProto.BOOL), builders.value("z", [])]
    nodes = [helper.make_node("NonZero", ["x"], ["y"]), helper.make_node("Neg", ["z"], ["w"])]
    results = [builders.value("y", [2, "n"], TensorProto.INT64), builders.value("w", [])]
    made = write(tmp_path, loaded(builders.save(tmp_path / "m.onnx", nodes, inputs, results)))
    feeds = [list(values.Stored(tmp_path / "reference", one, 4)) for one in made.feeds]
    assert ({}, [(3, 40)] * 4) == (made.batch_axes, [array.shape for array in feeds[0]])
    for given, found in zip(feeds[0], outputs(tmp_path, made), strict=True):
        np.testing.assert_array_equal(np.stack(np.nonzero(given)), found)
    assert 4 == len(made.answers[0].files)
    assert [-one for one in feeds[1]] == outputs(tmp_path, made, "w")
    assert "outputs/1.npy" == made.answers[1].stacked


def test_rows_of_a_fixed_batch(tmp_path: Path) -> None:
    """Four rows at a time: four examples of data are one whole feed."""
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    values_of = [builders.value(name, [4, 2]) for name in "xy"]
    made = write(tmp_path, loaded(builders.save(tmp_path / "m.onnx", nodes, values_of[:1], values_of[1:])))
    assert (1, 4, {}) == (made.examples, made.rows, made.batch_axes)


def test_labels_of_any_shape(tmp_path: Path, boxes: Path) -> None:
    """A label may be a mapping whose arrays have other shapes for every example."""
    boxes.write_text(BOXES.replace("UNLABELLED", "-1"))
    made = write(tmp_path, loaded(builders.one_node(tmp_path / "m.onnx"), "boxes"))
    found = evaluation.labels(made, tmp_path / "reference")
    assert found is not None
    assert [(place, 4) for place in range(4)] == [label["boxes"].shape for label in found]
    assert ["cat"] * 4 == [label["name"] for label in found]
    assert made.labelled


def test_some_labels_are_none(tmp_path: Path, boxes: Path) -> None:
    """A metric on a part of the examples would be one of something else."""
    boxes.write_text(BOXES.replace("UNLABELLED", "2"))
    made = write(tmp_path, loaded(builders.one_node(tmp_path / "m.onnx"), "boxes"))
    assert (False, ()) == (made.labelled, made.labels)
    assert evaluation.labels(made, tmp_path / "reference") is None
    assert {"feeds", "outputs"} == {one.name for one in (tmp_path / "reference").iterdir()}


def test_labels_that_cannot_be_stored(tmp_path: Path, boxes: Path) -> None:
    """Objects of any kind are never pickled."""
    boxes.write_text(BOXES.replace("UNLABELLED", "-1").replace('"cat"', "{1, 2}"))
    path = builders.one_node(tmp_path / "m.onnx")
    with pytest.raises(BuildError, match="the labels cannot be stored: `name` is not an array"):
        reference.write(loaded(path, "boxes"), tmp_path / "one", "d")


def test_references_of_earlier_versions_are_read() -> None:
    """They named no files: one per input and output with the examples on axis 0, and one for the labels."""
    made = wire.reference_from_json(
        {"digest": "d", "origin": "o", "inputs": ["x"], "outputs": ["y"], "examples": 3, "labelled": True, "files": []}
    )
    assert (ValueEntry(name="x", concatenated="feeds/0.npy"),) == made.feeds
    assert (ValueEntry(name="y", concatenated="outputs/0.npy"),) == made.answers
    assert (ValueEntry(name="", stacked="labels.npy"),) == made.labels


def noisy(path: Path) -> Path:
    """Y = x + noise without a seed, and z = 2 x."""
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["noise"]),
        helper.make_node("Add", ["x", "noise"], ["y"]),
        helper.make_node("Add", ["x", "x"], ["z"]),
    ]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in "xyz"]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def test_random_outputs_are_found(tmp_path: Path) -> None:
    """By running the first examples again; the record says so in JSON, and records of earlier versions say nothing."""
    made = reference.write(loaded(noisy(tmp_path / "noisy.onnx")), tmp_path / "reference", "digest")
    assert ("y",) == made.random
    sent = wire.reference_to_json(made)
    assert made == wire.reference_from_json(sent)
    assert () == wire.reference_from_json({key: value for key, value in sent.items() if key != "random"}).random


def test_rounding_is_not_random() -> None:
    """Another order of additions moves the last digits; structures are looked into; another whole number differs."""
    one = np.random.default_rng(0).normal(0, 1, (3, 4)).astype(np.float32)
    assert reference.alike([{"a": one}, None], [{"a": one * np.float32(1 + 1e-6)}, None])
    assert not reference.alike([one], [one + np.float32(0.01)])
    assert not reference.alike([one], [one, one])
    assert not reference.alike(np.array([1, 2]), np.array([1, 3]))
    assert not reference.alike(one, one[:2])
