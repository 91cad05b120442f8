"""Fine-tuning a detector: what it is trained on, and weights that are kept. Nothing is trained here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import paths
from harness import zoo as zoos
from harness.build import inventory
from harness.build.cache import Cache
from harness.errors import BuildError
from harness.frameworks import ultralytics_training as training
from harness.records import DataSpec, InputSpec, ModelSpec, Target
from harness.runtimes.clients import client_factory

ROOT = Path(__file__).resolve().parents[1]


def model(**changes: Any) -> ModelSpec:
    """The shipped detector of shapes."""
    return replace(zoos.load(ROOT / "model_zoo.yaml").models["yolov8n_shapes"], **changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": DataSpec(name="p", source="photos")}, "is trained on the data source `shapes`, found `photos`"),
        ({"inputs": (InputSpec(name="x", dtype="float32", shape=("batch", 3, 64, 32)),)}, "are square"),
        ({"options": {"epochs": 3}}, "`options` has no `epochs`; valid: pictures"),
    ],
)
def test_what_cannot_be_trained(changes: dict[str, Any], said: str) -> None:
    """Each says what would do."""
    with pytest.raises(BuildError, match=said):
        training.recipe_of(model(**changes))


def test_weights_are_kept_by_all_that_they_depend_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe, what it started from, and the versions; in the cache."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    assert tmp_path == paths.cache_root()
    recipe = training.recipe_of(model())
    places = {
        training.kept(model(), recipe, "seeded"),
        training.kept(model(), recipe, "pretrained"),
        training.kept(model(), replace(recipe, seed=1), "seeded"),
        training.kept(model(id="yolov8s"), recipe, "seeded"),
    }
    assert 4 == len(places)
    assert {tmp_path / "trained"} == {place.parent for place in places}
    assert training.kept(model(), recipe, "seeded") in places


def test_a_batch_has_boxes_as_shares_of_the_picture() -> None:
    """As ultralytics' loss takes them; every step has other pictures."""
    pytest.importorskip("torch")
    recipe = training.Training(batch=3, size=32)
    found, other = training.batch_of(recipe, 0), training.batch_of(recipe, 1)
    assert (3, 3, 32, 32) == tuple(found["img"].shape)
    boxes = found["bboxes"].numpy()
    assert len(boxes) == len(found["cls"]) == len(found["batch_idx"])
    assert {0.0, 1.0, 2.0} == set(found["batch_idx"].tolist())
    assert (boxes[:, :2] - boxes[:, 2:] / 2 >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] / 2 <= 1).all()
    assert not np.array_equal(found["img"].numpy(), other["img"].numpy())


def test_what_was_trained_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kept weights are loaded into the network; a file is whole or not there."""
    torch = pytest.importorskip("torch")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    fits = []

    def fit(network: Any, recipe: training.Training, _: Any) -> None:
        fits.append(recipe)
        torch.nn.init.constant_(network.weight, 7.0)

    first, kind = training.trained(model(), lambda: (torch.nn.Linear(2, 2), "seeded"), train=fit)
    again, _ = training.trained(model(), lambda: (torch.nn.Linear(2, 2), "seeded"), train=fit)
    assert ("seeded", 1) == (kind, len(fits))
    assert torch.equal(first.weight, again.weight)
    assert torch.equal(first.bias, again.bias)
    (place,) = (tmp_path / "trained").iterdir()
    (entry,) = inventory.entries(Cache(tmp_path), deep=True)
    assert ("trained", place.stem, "") == (entry.kind, entry.digest, entry.damage)
    assert "yolov8n_shapes, 12000 pictures of shapes from seeded weights" == entry.made_by

    place.write_bytes(place.read_bytes()[:-1] + b"?")
    torch.nn.init.constant_(first.weight, 0.0)
    (entry,) = inventory.entries(Cache(tmp_path), deep=True)
    assert "is not what its checksum says" == entry.damage
    training.trained(model(), lambda: (torch.nn.Linear(2, 2), "seeded"), train=fit)
    assert 2 == len(fits)


WHOLE = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'


@pytest.mark.parametrize(
    ("content", "damage"),
    [
        (len(WHOLE).to_bytes(8, "little") + WHOLE + b"1234", ""),
        (len(WHOLE).to_bytes(8, "little") + WHOLE + b"12345", "not as long as its header says"),
        (len(WHOLE).to_bytes(8, "little") + WHOLE + b"1", "not as long as its header says"),
        (b"", "not a .safetensors file"),
        (b"\xff" * 8 + WHOLE, "not a .safetensors file"),
        ((5).to_bytes(8, "little") + WHOLE, "cannot be read"),
        ((2).to_bytes(8, "little") + b"[]", "cannot be read"),
        ((40).to_bytes(8, "little") + b'{"w": {"data_offsets": [0, {"a": "long"}]}}'[:40], "cannot be read"),
    ],
)
def test_trained_weights_are_listed_checked_and_removed(tmp_path: Path, content: bytes, damage: str) -> None:
    """Whatever lies there; what is damaged says why, and anything can be pruned."""
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained/0a.safetensors").write_bytes(content)
    cache = Cache(tmp_path)
    (entry,) = inventory.entries(cache)
    assert damage in entry.damage
    assert bool(damage) is bool(entry.damage)
    assert ("trained", "0a", len(content)) == (entry.kind, entry.digest, entry.bytes)
    inventory.prune(cache, kind="trained")
    assert () == inventory.entries(cache)


def test_weights_are_looked_for_where_the_cache_is(tmp_path: Path) -> None:
    """Whatever the environment says, the worker of torch gets the folder."""
    pytest.importorskip("torch")
    target = Target(name="torch", provider="CPUExecutionProvider", runtime="torch")
    command = client_factory(target, tmp_path).command
    assert str(tmp_path) == command[command.index("--cache") + 1]
