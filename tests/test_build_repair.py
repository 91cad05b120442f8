"""Recipes on graphs that converters stumble over: each repair keeps what the graph computes, and is noted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper, version_converter

from harness import graphs
from harness.build import precision, recipes, repair
from harness.build.steps.base import Work
from harness.errors import BuildError, Skip
from harness.records import InputSpec, Step
from tests import builders, specs
from tests.mutants import Mutant, feed, save

if TYPE_CHECKING:
    from pathlib import Path

BASIC = Step(kind="fuse", options={"level": "basic"})
FUSED = Step(kind="fuse")
FP16 = Step(kind="cast", options={"to": "float16"})
BF16 = Step(kind="cast", options={"to": "bfloat16"})
DYNAMIC = Step(kind="quantize", options={"method": "dynamic"})
STATIC = Step(kind="quantize", options={"method": "static"})
INT4 = Step(kind="quantize", options={"method": "weights"})


def run(path: Path, given: dict[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """The outputs on the CPU provider by name, as the file stands."""
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(None, given), strict=True))


def make(tmp_path: Path, mutant: Mutant, *steps: Step) -> tuple[Path, tuple[str, ...]]:
    """The last step's file, and the notes of all."""
    source = save(mutant, tmp_path / "source.onnx")
    return follow(tmp_path, source, feed(mutant), *steps)


def follow(tmp_path: Path, source: Path, given: dict[str, Any], *steps: Step) -> tuple[Path, tuple[str, ...]]:
    """The same for a file."""
    inputs = [InputSpec(name=name, dtype=str(one.dtype), shape=tuple(one.shape)) for name, one in given.items()]
    model = specs.file_model(source, *inputs, calibration=8)
    notes: list[str] = []
    for place, step in enumerate(steps):
        folder = tmp_path / f"step{place}"
        folder.mkdir(parents=True)
        work = Work(model=model, loaded=None, before=source, facts={}, folder=folder)
        notes += recipes.run(recipes.resolve(step), work).notes
        source = folder / "model.onnx"
    return source, tuple(notes)


def decibels(expected: np.ndarray[Any, Any], got: np.ndarray[Any, Any]) -> float:
    """Signal to noise."""
    noise = float(np.mean((expected.astype(np.float64) - got.astype(np.float64)) ** 2))
    return float(10 * np.log10(np.mean(expected.astype(np.float64) ** 2) / noise)) if noise else float("inf")


def close(tmp_path: Path, mutant: Mutant, path: Path, least: float) -> bool:
    """Whether all outputs are near those of the file as it was."""
    expected, got = run(tmp_path / "source.onnx", feed(mutant)), run(path, feed(mutant))
    assert list(expected) == list(got)
    return all(decibels(expected[name], got[name]) > least for name in expected)


@pytest.mark.parametrize(
    ("mutant", "note"),
    [
        (Mutant(opset=9, ir=3, parts=frozenset({"convolution"})), "IR version raised from 3 to 4"),
        (Mutant(fed=True), "no longer inputs as well"),
        (Mutant(constants=True), "Constant nodes made initializers"),
        (Mutant(parts=frozenset({"sparse"})), "1 sparse initializer made dense"),
        (Mutant(parts=frozenset({"function"})), r"1 function of the model inlined \(Layer\)"),
        (Mutant(shuffled=3), "nodes were put into topological order"),
    ],
)
def test_what_is_repaired_is_told_and_computes_the_same(tmp_path: Path, mutant: Mutant, note: str) -> None:
    """Every recipe, with `fuse` before it or not, is built, close, and says what was put right."""
    for place, (steps, least) in enumerate([((FUSED,), 90), ((FP16,), 45), ((DYNAMIC,), 20), ((STATIC,), 15)]):
        folder = tmp_path / str(place)
        folder.mkdir()
        path, notes = make(folder, mutant, *steps)

        assert close(folder, mutant, path, least), steps
        assert any(onnx_note(note, one) for one in notes), notes


def onnx_note(pattern: str, note: str) -> bool:
    """Whether a note has these words."""
    import re

    return re.search(pattern, note) is not None


def test_weights_in_constant_nodes_are_quantized_and_cast(tmp_path: Path) -> None:
    """Without `fuse` before, every method makes the weights of Constant nodes smaller."""
    plain = save(Mutant(constants=True), tmp_path / "plain.onnx").stat().st_size
    for place, step in enumerate([FP16, BF16, DYNAMIC, STATIC, INT4]):
        folder = tmp_path / str(place)
        folder.mkdir()
        path, _ = make(folder, Mutant(constants=True), step)

        assert path.stat().st_size < 0.6 * plain, step


@pytest.mark.parametrize("opset", [9, 10, 11, 12])
def test_scales_per_channel_raise_the_opset(tmp_path: Path, opset: int) -> None:
    """Below opset 13 the file is converted first, and says so."""
    mutant = Mutant(opset=opset, ir=4, parts=frozenset({"convolution"}))
    path, notes = make(tmp_path, mutant, BASIC, STATIC)

    assert 13 <= graphs.opset(onnx.load(path))
    assert f"quantize: opset raised from {opset} to 13" in notes
    assert close(tmp_path, mutant, path, 12)


def test_what_cannot_be_converted_gets_one_scale_per_tensor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With onnx's converter at a loss, int8 is built all the same at opset 11, and skipped below."""

    def at_a_loss(*_: object) -> None:
        raise RuntimeError("no adapter")

    monkeypatch.setattr(version_converter, "convert_version", at_a_loss)
    mutant = Mutant(opset=11, ir=6)
    path, notes = make(tmp_path, mutant, STATIC)

    scales = [one for one in onnx.load(path).graph.initializer if one.name == "w1_scale"]
    assert [[]] == [list(one.dims) for one in scales]
    assert any("one scale per tensor" in note for note in notes)
    assert close(tmp_path, mutant, path, 12)
    old = tmp_path / "old"
    old.mkdir()
    with pytest.raises(Skip, match="the quantizers begin at opset 11"):
        follow(old, save(Mutant(opset=9, ir=4), tmp_path / "old.onnx"), feed(mutant), STATIC)


def test_softmax_in_a_body_keeps_its_meaning(tmp_path: Path) -> None:
    """From opset 13 on Softmax computes something else: a file with one in a body stays at its opset."""
    content = onnx.load(save(Mutant(opset=12, ir=7, parts=frozenset({"branch"})), tmp_path / "m.onnx"))
    assert "" != repair.raise_opset(content, 13)[1]
    branch = next(node for node in content.graph.node if node.op_type == "If").attribute[0].g
    branch.node[-1].op_type = "Softmax"
    branch.node[-1].input[:] = branch.node[-1].input[:1]

    assert "" == repair.raise_opset(content, 13)[1]


def test_empty_roi_and_scales_stay_what_they_are(tmp_path: Path) -> None:
    """One empty constant that is roi and scales of a Resize is not put behind a Cast, where it is empty no longer."""
    mutant = Mutant(opset=13, parts=frozenset({"resize"}))
    for place, steps in enumerate([(FP16,), (BASIC, FP16), (BASIC, STATIC), (DYNAMIC,)]):
        folder = tmp_path / str(place)
        folder.mkdir()
        path, _ = make(folder, mutant, *steps)

        assert close(folder, mutant, path, 15), steps


def test_constants_of_what_stays_float32_stay_float32(tmp_path: Path) -> None:
    """A weight that a blocked operator reads is not halved and widened again, and one that both read is kept twice."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "first"),
        helper.make_node("Add", ["a", "w"], ["b"], "blocked"),
        helper.make_node("Add", ["b", "only"], ["c"], "blocked too"),
        helper.make_node("MatMul", ["c", "v"], ["y"], "second"),
    ]
    weights = [builders.weight(name, 8, 8, seed=place) for place, name in enumerate(("w", "only", "v"))]
    ends = [builders.value("x", [8, 8])], [builders.value("y", [8, 8])]
    source = builders.save(tmp_path / "source.onnx", nodes, *ends, weights=weights)
    given = {"x": np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32)}
    path, _ = follow(tmp_path, source, given, Step(kind="cast", options={"to": "float16", "block": ["Add"]}))

    content = onnx.load(path)
    kinds = sorted((one.name, one.data_type) for one in content.graph.initializer)
    half, whole = TensorProto.FLOAT16, TensorProto.FLOAT
    assert [("only", whole), ("v", half), ("w", half), ("w/wide", whole)] == kinds
    assert decibels(run(source, given)["y"], run(path, given)["y"]) > 55


@pytest.mark.parametrize("part", ["branch", "loop"])
@pytest.mark.parametrize("steps", [(FP16,), (BASIC, FP16), (DYNAMIC,), (BASIC, STATIC)])
def test_bodies_that_read_what_is_around_them(tmp_path: Path, part: str, steps: tuple[Step, ...]) -> None:
    """A body's outer tensors have the type that it expects, and what it reads is still there: a Relu is not dropped."""
    mutant = Mutant(parts=frozenset({part}))
    path, _ = make(tmp_path, mutant, *steps)

    assert close(tmp_path, mutant, path, 15)


@pytest.mark.parametrize("parts", [{"branch", "loop"}, {"contributed", "norm"}, {"convolution", "resize", "function"}])
def test_bfloat16_is_well_typed_everywhere(tmp_path: Path, parts: set[str]) -> None:
    """Onnxruntime finds no wrong type in the file; kernels are another matter, and the CPU has none."""
    path, _ = make(tmp_path, Mutant(parts=frozenset(parts)), BASIC, BF16)
    content = graphs.load(path)

    assert repair.loads(content)
    assert {TensorProto.FLOAT} == {one.type.tensor_type.elem_type for one in content.graph.output}
    assert "bfloat16" == precision.of(content)


def test_a_relu_that_a_body_reads_is_not_folded_into_a_zero_point(tmp_path: Path) -> None:
    """The static quantizer takes a Relu out whose reader it does not see; the branch must still get its values."""
    branch = [
        helper.make_graph([helper.make_node("Neg", ["a"], [name])], name, [], [builders.value(name, None)])
        for name in ("then", "else")
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"], "matmul"),
        helper.make_node("Relu", ["m"], ["a"], "relu"),
        helper.make_node("MatMul", ["a", "v"], ["n"], "second"),
        helper.make_node("ReduceMax", ["n"], ["top"], "max", keepdims=0),
        helper.make_node("Greater", ["top", "zero"], ["c"], "greater"),
        helper.make_node("If", ["c"], ["y"], "if", then_branch=branch[0], else_branch=branch[1]),
    ]
    zero = numpy_helper.from_array(np.asarray(0, np.float32), "zero")
    weights = [builders.weight("w", 8, 16), builders.weight("v", 16, 8, seed=1), zero]
    ends = [builders.value("x", ["batch", 8])], [builders.value("y", ["batch", 16])]
    source = builders.save(tmp_path / "source.onnx", nodes, *ends, weights=weights)
    given = {"x": np.random.default_rng(0).standard_normal((4, 8)).astype(np.float32)}
    path, _ = follow(tmp_path, source, given, STATIC)

    assert run(path, given)["y"].max() <= 0.05
    assert decibels(run(source, given)["y"], run(path, given)["y"]) > 20


def test_unused_inputs_and_passed_outputs_are_kept(tmp_path: Path) -> None:
    """An input that nothing reads, an output that is an input and one that is a weight survive every recipe."""
    mutant = Mutant(parts=frozenset({"unused", "passed", "shown"}))
    for place, steps in enumerate([(FUSED,), (BASIC, STATIC), (STATIC,), (DYNAMIC,), (FP16,), (INT4,)]):
        folder = tmp_path / str(place)
        folder.mkdir()
        path, _ = make(folder, mutant, *steps)

        assert ["unused", "x"] == [one.name for one in onnx.load(path).graph.input], steps
        assert close(folder, mutant, path, 5), steps


@pytest.mark.parametrize(
    ("mutant", "step", "reason"),
    [
        (Mutant(dtype="float64"), STATIC, "weights are float64"),
        (Mutant(dtype="float16"), DYNAMIC, "weights are float16"),
        (Mutant(dtype="float16"), FP16, "float16 already"),
        (Mutant(parts=frozenset({"quantized"})), STATIC, r"quantized already \(1 DequantizeLinear\)"),
    ],
)
def test_steps_that_make_no_sense_are_skipped(tmp_path: Path, mutant: Mutant, step: Step, reason: str) -> None:
    """The reason says what the file is."""
    with pytest.raises(Skip, match=reason):
        make(tmp_path, mutant, step)


def test_double_networks_are_cast(tmp_path: Path) -> None:
    """float64 becomes float16 at once; what goes in and comes out stays float64."""
    path, _ = make(tmp_path, Mutant(dtype="float64"), BASIC, FP16)

    assert close(tmp_path, Mutant(dtype="float64"), path, 45)
    assert np.float64 == run(path, feed(Mutant(dtype="float64")))["y"].dtype
    assert "float16" == precision.of(onnx.load(path))


@pytest.mark.parametrize("step", [DYNAMIC, STATIC])
def test_an_embedding_alone_is_quantized(tmp_path: Path, step: Step) -> None:
    """A table that is looked up becomes a quarter of its size."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"], "look-up"),
        helper.make_node("ReduceSum", ["rows", "axis"], ["y"], "sum", keepdims=0),
    ]
    axis = numpy_helper.from_array(np.array([1], np.int64), "axis")
    ids, out = builders.value("ids", ["batch", 4], TensorProto.INT64), builders.value("y", ["batch", 64])
    weights = [builders.weight("table", 500, 64), axis]
    source = builders.save(tmp_path / "source.onnx", nodes, [ids], [out], weights=weights)
    given = {"ids": np.random.default_rng(0).integers(0, 2, (2, 4))}
    path, _ = follow(tmp_path, source, given, step)

    assert path.stat().st_size < 0.3 * source.stat().st_size
    assert decibels(run(source, given)["y"], run(path, given)["y"]) > 20


@pytest.mark.parametrize("step", [DYNAMIC, STATIC, BF16])
def test_operators_of_onnxruntimes_own(tmp_path: Path, step: Step) -> None:
    """A file as onnxruntime's optimizers save it: the types behind them are known to no shape inference."""
    mutant = Mutant(parts=frozenset({"contributed"}))
    path, _ = make(tmp_path, mutant, BASIC, step)

    assert any(node.op_type == "FastGelu" for node in onnx.load(path).graph.node)
    assert step is BF16 or close(tmp_path, mutant, path, 20 if step is DYNAMIC else 8)


def test_infinite_values_stay_out_of_8_bits(tmp_path: Path) -> None:
    """A mask of -inf, as decoders add to their scores: the products become integers, the sum stays what it is."""
    mask = np.zeros(10, np.float32)
    mask[[0, 3]] = -np.inf
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"], "product"),
        helper.make_node("Add", ["product", "mask"], ["scores"], "masked"),
        helper.make_node("LogSoftmax", ["scores"], ["y"], "last", axis=-1),
    ]
    weights = [builders.weight("w", 32, 10), numpy_helper.from_array(mask, "mask")]
    ends = [builders.value("x", ["batch", 32])], [builders.value("y", ["batch", 10])]
    source = builders.save(tmp_path / "source.onnx", nodes, *ends, weights=weights)
    given = {"x": np.random.default_rng(0).random((1, 32), np.float32)}
    path, notes = follow(tmp_path, source, given, STATIC)

    assert "quantize: masked, last kept in float32: no 8-bit range holds values that are infinite" in notes
    expected, got = run(source, given)["y"], run(path, given)["y"]
    finite = np.isfinite(mask)
    assert np.array_equal(np.isneginf(expected), np.isneginf(got))
    assert decibels(expected[:, finite], got[:, finite]) > 20
    assert precision.quantized(onnx.load(path))

    entropy = Step(kind="quantize", options={"method": "static", "calibration": "entropy"})
    with pytest.raises(BuildError, match=r"some activations are infinite.*use `calibration: minmax`"):
        follow(tmp_path / "entropy", source, given, entropy)


def test_a_quantizer_that_does_nothing_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the file never passes for an int8 network."""
    monkeypatch.setattr("onnxruntime.quantization.quantize_dynamic", copy_source)

    with pytest.raises(Skip, match="nothing became 8-bit"):
        make(tmp_path, Mutant(), DYNAMIC)


def copy_source(source: Path, target: Path, **_: Any) -> None:
    """A quantizer that leaves everything as it was."""
    target.write_bytes(source.read_bytes())


def test_a_broken_onnxslim_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where onnxslim breaks, onnxruntime's basic level does its work, and the row says so in words."""

    def slim(_: Any) -> Any:
        return [].shape  # type: ignore[attr-defined]

    monkeypatch.setattr("onnxslim.slim", slim)
    path, notes = make(tmp_path, Mutant(), BASIC)

    assert close(tmp_path, Mutant(), path, 90)
    assert 1 == len(notes)
    assert onnx_note("onnxruntime's basic level took onnxslim's place, which failed: .*, line", notes[0])
    assert "attribute" not in notes[0]


@pytest.mark.parametrize(
    ("mutant", "steps", "expected"),
    [
        (Mutant(), (), "float32"),
        (Mutant(dtype="float64"), (), "float64"),
        (Mutant(dtype="float16"), (), "float16"),
        (Mutant(), (FP16,), "float16"),
        (Mutant(), (STATIC,), "int8"),
        (Mutant(), (DYNAMIC,), "int8"),
        (Mutant(), (INT4,), "int4"),
        (Mutant(parts=frozenset({"quantized"})), (), "float32"),
    ],
)
def test_a_file_has_a_precision_of_its_own(
    tmp_path: Path, mutant: Mutant, steps: tuple[Step, ...], expected: str
) -> None:
    """What most of the weights are computed in, whoever wrote the file; one quantized product of four is not most."""
    path, _ = make(tmp_path, mutant, *steps)

    assert expected == precision.of(onnx.load(path))
