"""harness.init.bare: the zoo that is assumed for files that have none."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save_model

from harness import cli, zoo
from harness.build.builder import Maker
from harness.build.cache import Cache
from harness.errors import BuildError, UsageError
from harness.init import assume, bare, sizes
from harness.init.bare import Refinements
from tests import builders

CHILD = bare.ask


@pytest.fixture(autouse=True)
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files are read in this process, which has imported what that takes."""

    def ask(asked: Mapping[str, Any]) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(json.dumps(assume.answer(json.loads(json.dumps(asked)))))
        if "error" in said:
            raise UsageError(said["error"])
        return said

    monkeypatch.setattr(bare, "ask", ask)


def tokens(path: Path) -> Path:
    """A model of token ids with two dynamic axes and a mask."""
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", "seq"])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "seq"])
    nodes = [helper.make_node("Cast", ["ids"], ["y"], to=TensorProto.FLOAT)]
    graph = helper.make_graph(nodes, "tokens", [ids], [out])
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def loaded(folder: Path, *files: Path, **refine: Any) -> tuple[zoo.Zoo, tuple[str, ...]]:
    """The assumed zoo as a sweep reads it, and what was said of it."""
    found = bare.assumed([str(file) for file in files], Refinements(**refine), cache=folder / "cache")
    return zoo.load(found.path), found.notes


def test_a_file_is_measured_as_it_stands_first(tmp_path: Path) -> None:
    """Then what might be shipped instead; inputs are the file's, open axes get a size that is called a guess."""
    found, notes = loaded(tmp_path, tokens(tmp_path / "tokens.onnx"))
    assert ("as-is", "fp32-fused", "int8-dynamic", "int8-static") == found.defaults.variants
    model = found.models["tokens"]
    assert [("ids", "int64", ("batch", "seq"))] == [(one.name, one.dtype, one.shape) for one in model.inputs]
    assert {"seq": 16} == model.dims
    assert str(tmp_path / "tokens.onnx") == model.id
    assert "fidelity of at least 20 dB" in notes[0]
    assert "random numbers, 16 examples to calibrate and 16 to evaluate" in notes[0]
    assert "guessed sizes: seq = 16" in notes[1]


def voice(path: Path) -> Path:
    """Samples that are padded by their own mirror image, beside a state whose batch has a name of its own."""
    nodes = [
        helper.make_node("Pad", ["x", "pads"], ["padded"], mode="reflect"),
        helper.make_node("ReduceMean", ["padded"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Unsqueeze", ["mean", "first"], ["row"]),
        helper.make_node("Concat", ["row", "row"], ["rows"], axis=0),
        helper.make_node("Concat", ["state", "rows"], ["y"], axis=2),
    ]
    weights = [
        numpy_helper.from_array(np.array([0, 0, 0, 100]), "pads"),
        numpy_helper.from_array(np.array([0]), "first"),
    ]
    inputs = [builders.value("x", ["batch", "samples"]), builders.value("state", [2, "streams", 4])]
    return builders.save(path, nodes, inputs, [builders.value("y", [2, "streams", 5])], weights=weights)


def picture(path: Path) -> Path:
    """A network for images of any height and width."""
    node = helper.make_node("GlobalAveragePool", ["x"], ["y"])
    ends = [builders.value("x", ["n", 3, "height", "width"])], [builders.value("y", ["n", 3, 1, 1])]
    return builders.save(path, [node], *ends)


def test_sizes_are_tried_out(tmp_path: Path) -> None:
    """What is written runs: samples that suffice, a state of as many streams, and an image of an image's size."""
    found, notes = loaded(tmp_path, voice(tmp_path / "voice.onnx"), picture(tmp_path / "picture.onnx"))
    assert {"samples": 128, "streams": 1} == found.models["voice"].dims
    assert {"height": 224, "width": 224} == found.models["picture"].dims
    assert "guessed sizes: samples = 128, streams = 1" in notes[1]


def test_where_no_size_fits_the_build_looks_once_more(tmp_path: Path) -> None:
    """Nothing is written that is known not to run; one's own word stands all the same."""
    nodes = [helper.make_node("Concat", ["x", "w"], ["y"], axis=0)]
    ends = [builders.value("x", ["n", "wide"])], [builders.value("y", ["m", "wide"])]
    path = builders.save(tmp_path / "odd.onnx", nodes, *ends, weights=[builders.weight("w", 2, 1000)])
    found, notes = loaded(tmp_path, path)
    assert ((), {}) == (found.models["odd"].inputs, found.models["odd"].dims)
    assert "read when it is built" in notes[1]
    found, _ = loaded(tmp_path, path, inputs=("x=float32[batch,1000]",))
    assert ("batch", 1000) == found.models["odd"].inputs[0].shape


def test_a_file_that_kills_the_child_has_no_size(tmp_path: Path) -> None:
    """The others have theirs: one child was for the file that ends it."""
    deadly = """
import json, sys
for path in json.loads(sys.stdin.readline())["paths"]:
    if "deadly" in path:
        sys.exit(1)
    print(json.dumps({"path": path, "sizes": {"axis": 3}}), flush=True)
"""
    command = (sys.executable, "-c", deadly)
    paths = [tmp_path / name for name in ("one.onnx", "deadly.onnx", "two.onnx")]
    assert [{"axis": 3}, None, {"axis": 3}] == [sizes.find(paths, command)[path] for path in paths]


def test_the_same_files_are_the_same_zoo(tmp_path: Path) -> None:
    """An interrupted sweep is found again by the path of its zoo."""
    file = tokens(tmp_path / "tokens.onnx")
    first = bare.assumed([str(file)], Refinements(), cache=tmp_path)
    again = bare.assumed([f"file:{file}"], Refinements(), cache=tmp_path)
    other = bare.assumed([str(file)], Refinements(budget="30dB"), cache=tmp_path)
    assert first.path == again.path != other.path


def test_refinements_are_the_zoos_own_keys(tmp_path: Path) -> None:
    """What an input takes, which examples, and what a build may cost."""
    np.savez(tmp_path / "examples.npz", ids=np.zeros((10, 8), np.int64))
    found, notes = loaded(
        tmp_path,
        tokens(tmp_path / "tokens.onnx"),
        inputs=("ids=int64[batch,8]",),
        data=str(tmp_path / "examples.npz"),
        budget="30dB, 1%, 20ms, 10MB, memory=256MB, 5mJ, accuracy_share=99%",
    )
    model = found.models["tokens"]
    assert ("batch", 8) == model.inputs[0].shape
    assert ({}, "npz", 5, 5) == (model.dims, model.data.source, model.data.calibration, model.data.evaluation)
    budget = model.budget
    assert (30, 0.01, 0.02, 10_000_000) == (
        budget.fidelity_db, budget.accuracy_drop, budget.latency_s, budget.size_bytes,
    )  # fmt: skip
    assert (256_000_000, 0.005, 0.99) == (budget.memory_bytes, budget.energy_j, budget.accuracy_share)
    assert "fidelity of at least 30 dB, accuracy lost 1%, latency 20ms, size 10MB" in notes[0]
    assert "memory 256MB, energy of an inference 5mJ" in notes[0]


def test_a_folder_of_examples_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    """Files of whole feeds, ONNX's own test data, else images; which it is taken for is said."""
    feeds, sets, photos = (tmp_path / name for name in ("feeds", "sets", "photos"))
    for folder in (feeds, sets / "test_data_set_0", sets / "test_data_set_1", photos):
        folder.mkdir(parents=True)
    for number in range(5):
        np.savez(feeds / f"{number}.npz", ids=np.zeros((1, 8), np.int64))
    for one in sets.iterdir():
        (one / "input_0.pb").write_bytes(numpy_helper.from_array(np.zeros((1, 8), np.int64), "ids").SerializeToString())
    file = tokens(tmp_path / "tokens.onnx")
    found = {}
    for folder in (feeds, sets, photos):
        taken, notes = loaded(tmp_path, file, data=str(folder))
        data = taken.models["tokens"].data
        found[folder.name] = (data.source, data.calibration, data.evaluation)
        assert f"data: {data.source} of {folder}" in notes[0]
    assert {"feeds": ("npz", 2, 3), "sets": ("test_sets", 1, 1), "photos": ("images", 16, 16)} == found


def test_an_axis_of_minus_one_is_open(tmp_path: Path) -> None:
    """As old exporters write it, and as onnxruntime takes it; the zoo that is assumed is one that is read."""
    node = helper.make_node("Relu", ["x"], ["y"])
    ends = [builders.value("x", [-1, 3, -1])], [builders.value("y", [-1, 3, -1])]
    found, _ = loaded(tmp_path, builders.save(tmp_path / "m.onnx", [node], *ends))
    (given,) = found.models["m"].inputs
    assert (True, 3, True) == (isinstance(given.shape[0], str), given.shape[1], isinstance(given.shape[2], str))
    assert found.models["m"].dims[str(given.shape[2])] >= 1


@pytest.mark.parametrize(("width", "said"), [(64, ""), (48, r"mismatch \(with x_1 = 16 for open axes: if a size")])
def test_an_input_without_a_shape_is_tried_out(tmp_path: Path, width: int, said: str) -> None:
    """Even the number of its axes is open: the zoo leaves it to the build, which names what it assumed."""
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    ends = [builders.value("x", None)], [builders.value("y", None)]
    file = builders.save(tmp_path / "m.onnx", [node], *ends, weights=[builders.weight("w", width, 8)])
    found, _ = loaded(tmp_path, file)
    model, recipe = found.models["m"], found.models["m"].recipes["as-is"]
    assert () == model.inputs
    maker = Maker(Cache(tmp_path / "cache"), model, lambda *_: None)
    with pytest.raises(BuildError, match=said) if said else contextlib.nullcontext():
        maker.make(recipe)
    named, _ = loaded(tmp_path, file, inputs=(f"x=float32[1,{width}]",))
    assert [("x", (1, width))] == [(one.name, one.shape) for one in named.models["m"].inputs]


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """Also where letter case alone differs, and where a name is none that a zoo may have."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    files = [tmp_path / "a" / "net.onnx", tmp_path / "b" / "net.onnx", tmp_path / "Net.onnx", tmp_path / "-ö 1.onnx"]
    for file in files:
        tokens(file)
    found, _ = loaded(tmp_path, *files)
    assert ["net", "net-2", "Net-3", "__1"] == list(found.models)
    assert [str(file) for file in files] == [model.id for model in found.models.values()]


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html>", b"version https://git-lfs.github.com/spec/v1\n"])
def test_a_strange_file_gets_an_entry_all_the_same(tmp_path: Path, content: bytes) -> None:
    """What is wrong with it is its own failure, and the other files keep what was read of them."""
    (tmp_path / "strange.onnx").write_bytes(content)
    builders.tiny_conv(tmp_path / "tiny.onnx")
    found, notes = loaded(tmp_path, tmp_path / "strange.onnx", tmp_path / "tiny.onnx")
    assert ((), ("x",)) == tuple(tuple(one.name for one in found.models[name].inputs) for name in ("strange", "tiny"))
    assert "read when it is built" in notes[1]


def test_what_a_zoo_cannot_say_is_left_to_the_file(tmp_path: Path) -> None:
    """An input that no zoo accepts costs that model its stated inputs, and no other."""
    builders.tiny_conv(tmp_path / "tiny.onnx")
    strange = helper.make_tensor_value_info("x", TensorProto.FLOAT, [-1, 4])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [-1, 4])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "minus", [strange], [out])
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "minus.onnx")
    found, _ = loaded(tmp_path, tmp_path / "minus.onnx", tmp_path / "tiny.onnx")
    assert {"minus", "tiny"} == set(found.models)
    assert ("x",) == tuple(one.name for one in found.models["tiny"].inputs)


def test_a_file_that_kills_its_reader_is_only_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child is gone; every file gets an entry from its name alone."""
    request = {"models": {"tokens": "tokens.onnx"}, "inputs": [], "data": None, "budget": None, "variants": ["as-is"]}
    monkeypatch.setattr("sys.executable", shutil.which("false"))
    said = CHILD(request)
    assert {"source": "onnx", "data": "examples", "budget": {"fidelity_db": 20}, "id": "tokens.onnx"} == (
        said["zoo"]["models"]["tokens"]
    )
    assert "read when it is built" in said["notes"][1]


@pytest.mark.parametrize(
    ("refine", "expected"),
    [
        ({"inputs": ("id=int64[batch,8]",)}, "--input id: no file has such an input; the inputs are ids"),
        ({"inputs": ("ids=text[batch]",)}, "text"),
        ({"inputs": ("nonsense",)}, "expected name=dtype"),
        ({"data": "nowhere.npz"}, "--data nowhere.npz: does not exist"),
        ({"budget": "fast"}, "--budget fast: expected what a build may cost"),
        ({"budget": "20dB,30dB"}, "each once"),
        ({"budget": "20dB,memory=20ms"}, "expected what a build may cost"),
        ({"budget": "peak=10MB"}, "expected what a build may cost"),
        ({"budget": "10MB,size=20MB"}, "each once"),
        ({"budget": "120%"}, "expected a percentage"),
    ],
)
def test_a_wrong_refinement_is_said_before_anything_is_built(
    tmp_path: Path, refine: dict[str, Any], expected: str
) -> None:
    """It is the person's mistake, whatever the file is."""
    with pytest.raises(UsageError, match=expected):
        loaded(tmp_path, tokens(tmp_path / "tokens.onnx"), **refine)


def test_a_missing_file_and_a_zoo_are_told(tmp_path: Path) -> None:
    """A zoo belongs to --zoo; of a name that is nearly one that is there, that one is named."""
    tokens(tmp_path / "tokens.onnx")
    with pytest.raises(UsageError, match=r"there is no file .*token.onnx.*tokens.onnx"):
        loaded(tmp_path, tmp_path / "token.onnx")
    (tmp_path / "model_zoo.yaml").write_text("version: 1", encoding="utf-8")
    with pytest.raises(UsageError, match="give it with --zoo"):
        loaded(tmp_path, tmp_path / "model_zoo.yaml")


def test_a_folder_of_models_is_named_as_one(tmp_path: Path) -> None:
    """With a file that it holds, where it holds one."""
    with pytest.raises(UsageError, match=r"is a folder; give its files$"):
        loaded(tmp_path, tmp_path)
    tokens(tmp_path / "tokens.onnx")
    with pytest.raises(UsageError, match=r"is a folder; give its files, such as .*tokens\.onnx"):
        loaded(tmp_path, tmp_path)


def test_init_writes_what_sweep_assumes(tmp_path: Path) -> None:
    """The same keys with the same values, so that going on from a file to a zoo changes no number."""
    from harness.init import document, models

    file = tokens(tmp_path / "tokens.onnx")
    assumed, _ = loaded(tmp_path, file)
    entry = models.choose(tmp_path, [str(file)], ()).text
    path = tmp_path / "model_zoo.yaml"
    path.write_text(document.template().replace(document.MODELS, entry), encoding="utf-8")
    written = zoo.load(path)
    one, other = assumed.models["tokens"], written.models["tokens"]
    assert (one.inputs, one.dims, one.data, one.budget) == (other.inputs, other.dims, other.data, other.budget)
    shared = set(assume.VARIANTS) & set(written.variants)
    assert {"fp32-fused", "int8-dynamic", "int8-static"} <= shared
    assert all(one.recipes[name] == other.recipes[name] for name in shared)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("sweep", "--budget", "30dB"), "--budget goes with files that have no zoo"),
        (("sweep", "tiny.onnx", "--zoo", "model_zoo.yaml"), "measure the models of a zoo, or files without one"),
        (("gate", "--base", "tiny.onnx"), "a file can only be set against a file"),
        (("gate", "--base", "old.onnx", "--head", "tiny.onnx"), "there is no file old.onnx"),
        (("gate", "--base", "case:a/b/c", "--budget", "30dB"), "go with sides that are files"),
    ],
)
def test_options_of_files_and_of_zoos_are_kept_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], expected: str
) -> None:
    """Each says where it belongs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    builders.tiny_conv(tmp_path / "tiny.onnx")
    with pytest.raises(UsageError, match=expected):
        cli.app(arguments, standalone_mode=False)
