"""The steps on a tiny network: what each writes computes what it should, and says what it did."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from onnxruntime.quantization import calibrate

from harness import graphs
from harness.build import patterns, proof, ranges, recipes, reference
from harness.build.calibration import CalibrationReader
from harness.build.gemm import taken_apart
from harness.build.narrow import narrowed
from harness.build.recipes import resolve
from harness.build.stated import stated
from harness.build.steps.base import Done, Work
from harness.build.steps.cast import cast
from harness.build.steps.fuse import fuse
from harness.build.steps.quantize import excluded, quantize
from harness.errors import BuildError, MissingExtra, Skip
from harness.frameworks import onnx as onnx_file
from harness.records import InputSpec, ModelSpec, Reference, Step, ValueEntry
from tests import builders, specs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from harness.records import Json

IMAGE = InputSpec(name="x", dtype="float32", shape=("batch", 1, 8, 8))
FEED = {"x": np.random.default_rng(5).standard_normal((2, 1, 8, 8)).astype(np.float32)}


def options(kind: str, **given: Json) -> Mapping[str, Json]:
    """A step's options with its defaults."""
    return resolve(Step(kind=kind, options=given)).options


def run(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """The first output on the CPU provider, as it stands in the file."""
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, FEED)[0])


@pytest.fixture
def model(tmp_path: Path) -> ModelSpec:
    """The tiny network as a zoo entry."""
    return specs.file_model(builders.tiny_conv(tmp_path / "tiny.onnx"), IMAGE, calibration=64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a step writes."""
    path = tmp_path / "out"
    path.mkdir()
    return path


@pytest.mark.parametrize("level", ["basic", "extended", "all"])
def test_fuse_keeps_the_function_and_tells_what_it_fused(
    tmp_path: Path, model: ModelSpec, folder: Path, level: str
) -> None:
    """Every level gives the same outputs; batch norm is folded at each, Relu only from extended on."""
    source = tmp_path / "tiny.onnx"
    details = fuse(source, model, options("fuse", level=level), {}, folder).fusion

    np.testing.assert_allclose(run(source), run(folder / "model.onnx"), rtol=1e-4, atol=1e-5)
    assert ["model.onnx"] == [path.name for path in folder.iterdir()]
    assert 1 == details["before"]["BatchNormalization"]
    assert "BatchNormalization" not in details["after"]
    expected = {"Conv+BN": 1, "Conv+BN+Relu": int(level != "basic")}
    assert expected == {name: details["patterns"][name] for name in expected}
    assert list(patterns.NAMES) == list(details["patterns"])


def test_patterns_tell_a_relu_from_one_behind_a_residual() -> None:
    """A Relu counts for the Conv whose only reader it is, and not where the Conv is read twice."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w"], ["c"]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Add", ["c", "d"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "g", [builders.value("x", None)], [builders.value("y", None)])

    assert 1 == patterns.found(helper.make_model(graph))["Conv+Relu"]


def test_patterns_find_attention() -> None:
    """Softmax between two products counts, past scaling and mask; a classifier's Softmax does not."""
    nodes = [
        helper.make_node("MatMul", ["q", "k"], ["scores"]),
        helper.make_node("Div", ["scores", "root"], ["scaled"]),
        helper.make_node("Add", ["scaled", "mask"], ["masked"]),
        helper.make_node("Softmax", ["masked"], ["weights"]),
        helper.make_node("MatMul", ["weights", "v"], ["mixed"]),
        helper.make_node("Softmax", ["mixed"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "g", [], [builders.value("y", None)])

    assert 1 == patterns.found(helper.make_model(graph))["attention"]


def test_float16_is_close_and_ordered(tmp_path: Path, folder: Path) -> None:
    """The converted network passes onnx.checker, keeps float32 at its borders, and computes nearly the same."""
    cast(builders.tiny_conv(tmp_path / "tiny.onnx"), options("cast", to="float16"), folder)
    path = folder / "model.onnx"

    proof.check(path, "cast")
    np.testing.assert_allclose(run(tmp_path / "tiny.onnx"), run(path), rtol=0.02, atol=0.05)


def test_float16_survives_twin_names(tmp_path: Path, folder: Path) -> None:
    """Nodes that share a name, which onnxruntime's converter makes of some networks, get names of their own."""
    path = builders.tiny_conv(tmp_path / "tiny.onnx")
    content = onnx.load(path)
    for node in content.graph.node:
        node.name = "twin"
    onnx.save(content, path)
    cast(path, options("cast", to="float16"), folder)

    names = [node.name for node in onnx.load(folder / "model.onnx").graph.node]
    assert len(set(names)) == len(names)
    assert (2, 4) == run(folder / "model.onnx").shape


def test_cast_skips_a_network_without_floats(tmp_path: Path, folder: Path) -> None:
    """Where there is no float32 weight there is nothing to convert."""
    with pytest.raises(Skip, match="no float32 weights"):
        cast(builders.one_node(tmp_path / "a.onnx"), options("cast", to="bfloat16"), folder)


@pytest.mark.parametrize("block", [(), ("Relu",), ("Add",), ("Conv", "BatchNormalization")])
def test_bfloat16_computes_the_same_function(tmp_path: Path, block: tuple[str, ...]) -> None:
    """Onnx's own reference evaluator gives nearly the same outputs, whichever operators stay in float32."""
    from onnx.reference import ReferenceEvaluator

    # Without convolution and pooling, whose reference implementations do not know bfloat16.
    weight, bias = builders.weight("w", 8, 4), builders.weight("b", 4, seed=1)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], "matmul"),
        helper.make_node("Add", ["h", "b"], ["s"], "add"),
        helper.make_node("Relu", ["s"], ["y"], "relu"),
        helper.make_node("Mul", ["y", "y"], ["z"], "square"),
    ]
    outputs = [builders.value("y", ["batch", 4]), builders.value("z", ["batch", 4])]
    path = builders.save(
        tmp_path / "m.onnx", nodes, [builders.value("x", ["batch", 8])], outputs, weights=[weight, bias]
    )
    feed = {"x": np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)}
    expected = ReferenceEvaluator(str(path)).run(None, feed)
    converted = narrowed(graphs.load(path), "bfloat16", block=block).model
    onnx.checker.check_model(converted, full_check=True)
    got = ReferenceEvaluator(converted).run(None, feed)

    for one, two in zip(expected, got, strict=True):
        assert np.float32 == np.asarray(two).dtype
        np.testing.assert_allclose(one, np.asarray(two), rtol=0.05, atol=0.2)


def test_bfloat16_of_a_convolution_is_well_typed(tmp_path: Path) -> None:
    """A convolutional network becomes bfloat16 inside, float32 at its borders, with types that fit everywhere."""
    converted = narrowed(graphs.load(builders.tiny_conv(tmp_path / "tiny.onnx")), "bfloat16").model
    onnx.checker.check_model(converted, full_check=True)

    kinds = {one.data_type for one in converted.graph.initializer}
    assert {onnx.TensorProto.BFLOAT16} == kinds
    assert 2 == graphs.operators(converted)["Cast"]


@pytest.mark.parametrize(
    "given",
    [
        {"method": "dynamic"},
        {"method": "static"},
        {"method": "static", "calibration": "entropy"},
        {"method": "static", "format": "qoperator"},
        {"method": "static", "calibration": "percentile", "per_channel": False},
        {"method": "static", "symmetric_activations": True, "activation_type": "int8"},
        {"method": "weights"},
        {"method": "weights", "bits": 8, "symmetric_weights": False},
    ],
)
def test_quantized_networks_are_close(tmp_path: Path, model: ModelSpec, folder: Path, given: dict[str, Json]) -> None:
    """Every method and calibration gives a network that runs on the CPU provider and stays near the original."""
    source = tmp_path / "clean" / "model.onnx"
    source.parent.mkdir()
    fuse(tmp_path / "tiny.onnx", model, options("fuse", level="basic"), {}, source.parent)
    quantize(source, model, options("quantize", **given), folder)
    expected, got = run(source), run(folder / "model.onnx")

    assert ["model.onnx"] == [path.name for path in folder.iterdir()]
    assert not np.array_equal(expected, got)
    assert np.abs(got - expected).max() < 0.35 * np.abs(expected).max()


def test_dynamic_convolution_has_unsigned_weights(tmp_path: Path, model: ModelSpec, folder: Path) -> None:
    """The CPU's ConvInteger takes unsigned weights only, and a note says what it costs."""
    notes = quantize(tmp_path / "tiny.onnx", model, options("quantize", method="dynamic"), folder)
    content = onnx.load(folder / "model.onnx")

    weights = [one for one in content.graph.initializer if one.name == "conv.weight_quantized"]
    assert [np.dtype(np.uint8)] == [numpy_helper.to_array(one).dtype for one in weights]
    assert any("run as ConvInteger" in note for note in notes)


def test_excluded_nodes_stay_in_float(tmp_path: Path, model: ModelSpec, folder: Path) -> None:
    """A glob keeps its nodes out; one that matches nothing is a mistake, with names to choose from."""
    quantize(tmp_path / "tiny.onnx", model, options("quantize", method="static", exclude=["con*"]), folder)
    content = onnx.load(folder / "model.onnx")
    conv = next(node for node in content.graph.node if node.op_type == "Conv")

    assert "conv.weight" in conv.input
    with pytest.raises(BuildError, match=r"matches no node. Names look like conv, bn"):
        excluded(content_of(tmp_path), options("quantize", exclude=["head.*.nothing"]))


def test_a_name_that_looks_like_a_glob_is_that_node_alone(tmp_path: Path, model: ModelSpec) -> None:
    """Exporters write brackets into names."""
    content = content_of(tmp_path)
    content.graph.node[0].name, content.graph.node[1].name = "m[0]", "m0"
    assert ["m[0]"] == excluded(content, options("quantize", exclude=["m[0]"]))
    assert ["m0"] == excluded(content, options("quantize", exclude=["m[01]"]))


def content_of(tmp_path: Path) -> onnx.ModelProto:
    """The tiny network in memory."""
    return graphs.load(tmp_path / "tiny.onnx")


def test_yolo_head_is_the_last_numbered_module() -> None:
    """The preset keeps the highest-numbered module out, and complains where there is none."""
    names = ["/model.9/a", "/model.22/cv2/Conv", "/model.22/Concat", "/model.10/b", "other"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"], name) for name in names], "g", [], [])
    preset = options("quantize", exclude_preset="yolo-head")

    assert ["/model.22/Concat", "/model.22/cv2/Conv"] == excluded(helper.make_model(graph), preset)
    with pytest.raises(BuildError, match=r"finds no node called /model.N/"):
        excluded(helper.make_model(helper.make_graph([], "g", [], [])), preset)


def test_weight_only_skips_a_network_without_matmul(tmp_path: Path, folder: Path) -> None:
    """int4 of a convolutional network is skipped with the reason."""
    path = builders.conv_only(tmp_path / "conv.onnx")

    with pytest.raises(Skip, match="MatMul with constant weights"):
        quantize(path, specs.file_model(path, IMAGE), options("quantize", method="weights"), folder)


def test_calibration_is_streamed(tmp_path: Path, model: ModelSpec) -> None:
    """The reader holds files, not examples, and hands out one at a time within the range it is given."""
    reader = CalibrationReader(model, 3, tmp_path / "calibration")
    reader.set_range(1, 3)
    shapes = []
    while (feed := reader.get_next()) is not None:
        shapes.append(feed["x"].shape)

    assert 3 == len(reader)
    assert [(1, 1, 8, 8)] * 2 == shapes
    assert ["0.npy"] == [file.name for file in (tmp_path / "calibration").iterdir()]
    reader.remove()
    assert not (tmp_path / "calibration").exists()


def test_fixed_batch_is_calibrated_whole(tmp_path: Path) -> None:
    """A model that takes four rows at a time gets four examples at a time."""
    fixed = specs.file_model(tmp_path / "m.onnx", InputSpec(name="x", dtype="float32", shape=(4, 2)), calibration=8)
    reader = CalibrationReader(fixed, None, tmp_path / "calibration")
    feed = reader.get_next()

    assert feed is not None
    assert (2, (4, 2)) == (len(reader), feed["x"].shape)


def reference_in(tmp_path: Path, outputs: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Reference:
    """A reference on disk with these outputs for FEED, two examples."""
    for name, array in (("feeds", FEED["x"]), ("outputs", outputs)):
        (tmp_path / name).mkdir(exist_ok=True)
        np.save(tmp_path / name / "0.npy", array[:, None])
    return Reference(
        digest="d",
        origin="test",
        inputs=("x",),
        outputs=("y",),
        examples=2,
        labelled=False,
        feeds=(ValueEntry(name="x", stacked="feeds/0.npy"),),
        answers=(ValueEntry(name="y", stacked="outputs/0.npy"),),
        batch_axes={"x": 0},
    )


def test_proof_accepts_the_true_outputs_and_no_others(tmp_path: Path) -> None:
    """float32 outputs must agree within the tolerance; other precisions must only be finite and of the right shape."""
    path = builders.tiny_conv(tmp_path / "tiny.onnx")
    true = run(path)
    assert () == proof.prove(path, specs.FP32, reference_in(tmp_path, true), tmp_path)

    wrong = true.copy()
    wrong[1, 2] += 0.01 * (1 + abs(wrong[1, 2]))
    reference = reference_in(tmp_path, wrong)
    with pytest.raises(BuildError, match="1 of 4 values are outside the tolerance"):
        proof.prove(path, specs.FP32, reference, tmp_path)
    assert () == proof.prove(path, specs.FP16, reference, tmp_path)

    with pytest.raises(BuildError, match=r"has the shape \[2, 4\] instead of \[2, 3\]"):
        proof.prove(path, specs.FP16, reference_in(tmp_path, true[:, :3]), tmp_path)


def test_proof_refuses_files_that_do_not_load(tmp_path: Path) -> None:
    """A torn file, an unknown operator and outputs that are not numbers are each named, with the step's name."""
    reference = reference_in(tmp_path, np.zeros((2, 4), np.float32))

    with pytest.raises(BuildError, match="quantize: wrote a file that onnxruntime does not load"):
        proof.prove(builders.truncated(tmp_path / "a.onnx"), specs.STATIC, reference, tmp_path)
    with pytest.raises(BuildError, match="quantize: wrote a file that onnxruntime does not load"):
        proof.prove(builders.unknown_op(tmp_path / "b.onnx"), specs.STATIC, reference, tmp_path)
    np.save(tmp_path / "feeds" / "0.npy", np.ones((2, 1, 4), np.float32))
    with pytest.raises(BuildError, match="infinite or no number"):
        proof.prove(builders.not_a_number(tmp_path / "c.onnx"), specs.STATIC, reference, tmp_path)


def test_equality_has_a_floor_at_the_noise_of_the_arithmetic(tmp_path: Path) -> None:
    """Sigmoids near zero differ in their last bits between two levels of optimization; more than that is an error."""
    nodes = [
        helper.make_node("Add", ["x", "low"], ["deep"], "deep"),
        helper.make_node("Sigmoid", ["deep"], ["s"], "sigmoid"),
        helper.make_node("Flatten", ["s"], ["flat"], "flatten"),
        helper.make_node("ReduceMax", ["flat"], ["y"], "max", axes=[1], keepdims=1),
    ]
    low = numpy_helper.from_array(np.full(1, -16, np.float32), "low")
    inputs, outputs = [builders.value("x", ["batch", 1, 8, 8])], [builders.value("y", ["batch", 1])]
    path = builders.save(tmp_path / "deep.onnx", nodes, inputs, outputs, weights=[low])
    true = run(path)

    assert true.max() < 1e-5
    assert () == proof.prove(path, specs.FP32, reference_in(tmp_path, true + np.float32(1e-7)), tmp_path)
    with pytest.raises(BuildError, match="outside the tolerance"):
        proof.prove(path, specs.FP32, reference_in(tmp_path, true + np.float32(1e-4)), tmp_path)


def test_values_are_compared_at_the_batch_of_the_reference(tmp_path: Path) -> None:
    """A network whose rows interact equals its reference example by example, whatever two together give."""
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"], "flatten"),
        helper.make_node("ReduceMean", ["flat"], ["mean"], "mean", axes=[0], keepdims=1),
        helper.make_node("Sub", ["flat", "mean"], ["y"], "centre"),
    ]
    inputs, outputs = [builders.value("x", ["batch", 1, 8, 8])], [builders.value("y", ["batch", 64])]
    path = builders.save(tmp_path / "centred.onnx", nodes, inputs, outputs)
    alone = reference_in(tmp_path, np.zeros((2, 64), np.float32))

    assert () == proof.prove(path, specs.FP32, alone, tmp_path)


def test_a_file_that_only_the_checker_refuses_is_accepted(tmp_path: Path) -> None:
    """LayerNormalization below opset 17 runs, whatever onnx.checker says; a torn file does not."""
    node = helper.make_node("LayerNormalization", ["x", "scale"], ["y"], "norm")
    graph = helper.make_graph(
        [node],
        "g",
        [builders.value("x", ["batch", 8])],
        [builders.value("y", ["batch", 8])],
        [builders.weight("scale", 8)],
    )
    path = tmp_path / "norm.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), path)

    with pytest.raises(onnx.checker.ValidationError):
        onnx.checker.check_model(str(path))
    proof.check(path, "fuse")
    with pytest.raises(BuildError, match="fuse: wrote a file that onnxruntime does not load"):
        proof.check(builders.truncated(tmp_path / "torn.onnx"), "fuse")


@pytest.mark.parametrize("level", [0, 1, 4])
def test_the_accuracy_level_is_in_the_file(tmp_path: Path, folder: Path, level: int) -> None:
    """As asked for, in every MatMulNBits; level 0 is that of a file that says none."""
    rows = InputSpec(name="x", dtype="float32", shape=("batch", 64))
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "product",
        [builders.value("x", ["batch", 64])],
        [builders.value("y", None)],
        [builders.weight("w", 64, 8)],
    )
    path = tmp_path / "product.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    asked = options("quantize", method="weights", accuracy_level=level)
    assert level == asked["accuracy_level"]
    quantize(path, specs.file_model(path, rows), asked, folder)
    made = onnx.load(folder / "model.onnx")
    assert [[4, level]] == list(stated(made)["packed"].values())


def test_an_output_that_no_batch_changes_is_the_same_for_two(tmp_path: Path) -> None:
    """Anchors beside predictions: one output grows with the batch and the other does not."""
    nodes = [
        helper.make_node("Relu", ["x"], ["y"], "relu"),
        helper.make_node("Identity", ["anchors"], ["grid"], "grid"),
    ]
    outputs = [builders.value("y", ["batch", 1, 8, 8]), builders.value("grid", [4, 2])]
    anchors = builders.weight("anchors", 4, 2)
    path = builders.save(
        tmp_path / "anchored.onnx", nodes, [builders.value("x", ["batch", 1, 8, 8])], outputs, weights=[anchors]
    )
    made = reference.write(onnx_file.load(specs.file_model(path)), tmp_path / "reference", "d")
    assert ("y", "grid") == made.outputs
    assert () == proof.prove(path, specs.FP32, made, tmp_path / "reference")


def test_builds_of_one_file_calibrate_once(tmp_path: Path, model: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left in float and how weights are scaled change no range: the file is the same with them read back."""
    calls: list[int] = []
    collect = calibrate.MinMaxCalibrater.collect_data
    source = tmp_path / "tiny.onnx"

    def counted(self: Any, reader: Any) -> None:
        calls.append(1)
        collect(self, reader)

    def made(name: str, **given: Json) -> bytes:
        (tmp_path / name).mkdir()
        quantize(source, model, options("quantize", method="static", samples=3, **given), tmp_path / name)
        return (tmp_path / name / "model.onnx").read_bytes()

    monkeypatch.setattr(calibrate.MinMaxCalibrater, "collect_data", counted)
    with monkeypatch.context() as alone:
        alone.setattr(ranges, "kept", lambda *_: {})
        plain = made("alone", per_channel=False)
    each = len(calls)
    made("first", exclude=["head"])
    assert made("second", per_channel=False) == plain
    assert len(calls) == 2 * each
    made("others", calibration="percentile")
    assert len(calls) == 2 * each, "another method has ranges of its own, and is another class"


def test_children_share_ranges_in_a_folder_that_they_are_given(
    tmp_path: Path, model: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a child left half written, since it was ended, is not read."""
    held = ranges.folder
    held.cache_clear()
    monkeypatch.setenv(ranges.FOLDER, str(tmp_path / "shared"))
    (tmp_path / "shared").mkdir()
    asked = {"calibration": "minmax", "samples": 3, "percentile": 99.9}
    try:
        path = ranges.kept(tmp_path / "tiny.onnx", model, asked, None)["calibration_cache_path"]
        assert path is not None
        assert path.parent == tmp_path / "shared"
        path.write_text("{}", encoding="utf-8")
        assert path == ranges.kept(tmp_path / "tiny.onnx", model, asked, None)["calibration_cache_path"]
        assert path.exists()
        path.write_text('{"x":', encoding="utf-8")
        assert path == ranges.kept(tmp_path / "tiny.onnx", model, asked, None)["calibration_cache_path"]
        assert not path.exists()
    finally:
        held.cache_clear()


@pytest.mark.parametrize("turned", [0, 1])
def test_gemm_is_taken_apart_for_weights_of_few_bits(turned: int, tmp_path: Path) -> None:
    """The same numbers, weights turned where they have to be; what scales, or is excluded, stays."""
    weight = builders.weight("w", 4, 3) if not turned else builders.weight("w", 3, 4)
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"], "first", transB=turned),
        helper.make_node("Gemm", ["h", "v"], ["k"], "second"),
        helper.make_node("Gemm", ["k", "v"], ["l"], "scaled", alpha=0.5),
        helper.make_node("Gemm", ["l", "v"], ["y"], "kept"),
    ]
    inputs, outputs = [builders.value("x", ["n", 4])], [builders.value("y", ["n", 3])]
    weights = [weight, builders.weight("b", 3, seed=1), builders.weight("v", 3, 3, seed=2)]
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    feed = {"x": np.arange(8, dtype=np.float32).reshape(2, 4)}

    def answer() -> object:
        return onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)[0]

    before = answer()
    assert 2 == taken_apart(model, ["kept"])
    assert ["MatMul", "Add", "MatMul", "Gemm", "Gemm"] == [node.op_type for node in model.graph.node]
    assert ["first", "first_bias", "second", "scaled", "kept"] == [node.name for node in model.graph.node]
    assert {"b", "v", "w_turned" if turned else "w"} == {one.name for one in model.graph.initializer}
    np.testing.assert_allclose(np.asarray(answer()), np.asarray(before), rtol=1e-6)


def test_each_tool_fuses_alone_where_it_is_asked_for(tmp_path: Path) -> None:
    """Whatever else is installed; the tool is named, and the numbers stay what they were."""
    path = builders.tiny_conv(tmp_path / "a.onnx")
    model = specs.file_model(path, IMAGE)
    for cleaner, package in (("onnxslim", "onnxslim"), ("onnxoptimizer", "onnxoptimizer"), ("onnxruntime", "onnx")):
        folder = tmp_path / cleaner
        folder.mkdir()
        if importlib.util.find_spec(package) is None:
            with pytest.raises(MissingExtra, match=f"needs {package}"):
                fused_by(path, model, folder, level="basic", cleaner=cleaner)
            continue
        done = fused_by(path, model, folder, level="basic", cleaner=cleaner)
        assert [cleaner if cleaner != "onnxruntime" else "onnxruntime basic"] == done.fusion["tools"]
        assert 1 <= done.fusion["patterns"]["Conv+BN"]
        np.testing.assert_allclose(run(folder / "model.onnx"), run(path), rtol=1e-4, atol=1e-5)


def fused_by(path: Path, model: ModelSpec, folder: Path, **given: Json) -> Done:
    """The step `fuse`, resolved and run."""
    step = resolve(Step(kind="fuse", options=given))
    return recipes.run(step, Work(model=model, loaded=None, before=path, facts={}, folder=folder))


def test_options_that_came_later_leave_digests_as_they_were() -> None:
    """They are in a step only where they are given."""
    assert {"level": "extended"} == resolve(Step(kind="fuse")).options
    assert {"exporter": "torchscript", "opset": None} == resolve(Step(kind="export")).options
    given = resolve(Step(kind="fuse", options={"cleaner": "onnxoptimizer"}))
    assert "onnxoptimizer" == given.options["cleaner"]
    with pytest.raises(BuildError, match=r"fuse\.cleaner is 'x'; valid: None, onnxslim"):
        resolve(Step(kind="fuse", options={"cleaner": "x"}))
