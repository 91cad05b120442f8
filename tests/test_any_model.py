"""Models of every kind that onnxruntime runs, from the file to what a worker times and answers, in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from harness import values
from harness.build.builder import Maker
from harness.build.cache import Cache
from harness.build.lookup import lookup
from harness.errors import BuildError
from harness.flow.execute import workload
from harness.flow.plan import left_out
from harness.frameworks import onnx_needs
from harness.records import Artifact, Case, DataSpec, ModelSpec, Recipe, Step, Target, ValueEntry
from harness.runtimes.onnxruntime import worker
from tests import specs

AS_IS = Recipe(name="as-is", steps=(Step(kind="export"),))
Shape = Sequence[int | str | None] | None


def value(name: str, shape: Shape, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    """A tensor of the graph's ends."""
    return helper.make_tensor_value_info(name, kind, shape)


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: Mapping[str, Any] | None = None,
    *,
    opset: int = 17,
    ir: int = 10,
    domains: Sequence[tuple[str, int]] = (),
) -> Path:
    """Write a graph without asking onnx.checker."""
    path.parent.mkdir(parents=True, exist_ok=True)
    held = [numpy_helper.from_array(np.asarray(array), name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, held)
    opsets = [helper.make_opsetid(domain, version) for domain, version in (("", opset), *domains)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=ir), path)
    return path


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    """A node; names are parted by spaces."""
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What came of a model: its artifact, the worker's answers, and what the worker said of how it runs."""

    artifact: Artifact
    outputs: dict[str, list[Any]]
    feeds: dict[str, list[Any]]
    notes: list[str]


def ran(folder: Path, file: Path, **changes: Any) -> Ran:
    """Build a file as it is, time two bursts of it and let the worker answer every example."""
    model: ModelSpec = replace(specs.file_model(file), **changes)
    cache = Cache(folder / "cache")
    Maker(cache, model, lambda *_: None).make(AS_IS)
    built = lookup(cache, model, AS_IS)
    assert isinstance(built, Artifact)
    target = Target(name="cpu", provider="CPUExecutionProvider")
    work = workload(Case(model=model, recipe=AS_IS, target=target), built, cache)
    process = worker.Worker()
    opened = process.open(work.request())
    for _ in range(2):
        assert 3 == len(process.burst({"n": 3})["durations_ns"])
    answers = folder / "answers"
    answers.mkdir()
    reply = process.outputs(work.all_examples(built.reference.examples, answers))
    entries = [ValueEntry.from_json(one) for one in reply["outputs"]]
    home = cache.reference_dir(built.reference.digest)
    return Ran(
        artifact=built,
        outputs={one.name: list(values.Stored(answers, one, built.reference.examples)) for one in entries},
        feeds={one.name: list(values.Stored(home, one, built.reference.examples)) for one in built.reference.feeds},
        notes=opened["notes"],
    )


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (TensorProto.FLOAT16, "float16"), (TensorProto.DOUBLE, "float64"), (TensorProto.BOOL, "bool"),
        (TensorProto.INT8, "int8"), (TensorProto.UINT16, "uint16"), (TensorProto.UINT64, "uint64"),
        (TensorProto.BFLOAT16, "bfloat16"), (TensorProto.FLOAT8E4M3FN, "float8_e4m3fn"),
        (TensorProto.FLOAT8E5M2FNUZ, "float8_e5m2fnuz"), (TensorProto.STRING, "str"),
    ],
)  # fmt: skip
def test_every_element_type(tmp_path: Path, kind: int, name: str) -> None:
    """What goes in comes out, whatever NumPy calls it; only text cannot be bound, and the worker says so."""
    ends = [value("x", [3, 2], kind)], [value("y", [3, 2], kind)]
    file = save(tmp_path / "m.onnx", [node("Identity", "x", "y")], *ends, opset=24, ir=11)
    found = ran(tmp_path, file)
    for given, got in zip(found.feeds["x"], found.outputs["y"], strict=True):
        assert (3, 2) == got.shape
        assert given.tolist() == got.tolist()
        assert name == ("str" if got.dtype.kind == "U" else got.dtype.name)
    assert (name == "str") == any("without IOBinding" in note for note in found.notes)


def test_four_bits(tmp_path: Path) -> None:
    """int4 is kept one value per byte and handed over two per byte, odd counts too, in both directions."""
    inputs = [value("x", [5], TensorProto.INT4), value("scale", [])]
    nodes = [node("DequantizeLinear", "x scale", "real"), node("Identity", "x", "same")]
    file = save(tmp_path / "in.onnx", nodes[:1], inputs, [value("real", [5])], opset=21)
    found = ran(tmp_path / "a", file)
    for given, scale, got in zip(found.feeds["x"], found.feeds["scale"], found.outputs["real"], strict=True):
        assert np.dtype(ml_dtypes.int4) == given.dtype
        assert np.allclose(given.astype(np.float32) * scale, got)

    zero = helper.make_tensor("zero", TensorProto.INT4, [], [0])
    graph = helper.make_graph(
        [node("QuantizeLinear", "x one zero", "y")], "g", [value("x", [5])], [value("y", [5], TensorProto.INT4)],
        [zero, numpy_helper.from_array(np.array(1, np.float32), "one")],
    )  # fmt: skip
    out = tmp_path / "out" / "m.onnx"
    out.parent.mkdir()
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), out)
    back = ran(tmp_path / "b", out)
    for given, got in zip(back.feeds["x"], back.outputs["y"], strict=True):
        assert np.clip(np.rint(given), -8, 7).tolist() == got.astype(np.float32).tolist()


def test_maps_sequences_and_optionals(tmp_path: Path) -> None:
    """A classifier's ZipMap gives a sequence of maps, kept as such; sequences go in and come out."""
    zipped = helper.make_node(
        "ZipMap", ["p"], ["probabilities"], domain="ai.onnx.ml", classlabels_strings=["cat", "dog"]
    )
    ends = helper.make_value_info(
        "probabilities",
        helper.make_sequence_type_proto(
            helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
        ),
    )
    file = save(
        tmp_path / "zip" / "m.onnx", [node("Softmax", "x", "p"), zipped], [value("x", ["N", 2])], [ends],
        domains=[("ai.onnx.ml", 3)],
    )  # fmt: skip
    found = ran(tmp_path / "a", file)
    first = found.outputs["probabilities"][0]
    assert [{"cat", "dog"}] == [set(one) for one in first]
    assert pytest.approx(1.0) == sum(first[0].values())
    assert (1, 2) == values.flat(first).shape
    assert {"x": 0} == found.artifact.reference.batch_axes, "two rows give two maps"

    sequence = helper.make_tensor_sequence_value_info
    both = save(
        tmp_path / "seq" / "m.onnx", [node("Identity", "s", "same"), node("SequenceLength", "s", "n")],
        [sequence("s", TensorProto.FLOAT, [2, 3])],
        [sequence("same", TensorProto.FLOAT, [2, 3]), value("n", [], TensorProto.INT64)],
    )  # fmt: skip
    again = ran(tmp_path / "b", both)
    assert 2 == again.outputs["n"][0]
    assert [(2, 3), (2, 3)] == [one.shape for one in again.outputs["same"][0]]
    assert np.array_equal(again.feeds["s"][1][1], again.outputs["same"][1][1])


def test_constants_and_sizes_of_zero(tmp_path: Path) -> None:
    """A model without inputs is measured, and said to be a constant; an axis of size zero is fed as it is."""
    file = save(
        tmp_path / "c" / "m.onnx", [node("Relu", "w", "y")], [], [value("y", [2])], {"w": np.array([1, -1], np.float32)}
    )
    found = ran(tmp_path / "a", file)
    assert [1.0, 0.0] == found.outputs["y"][0].tolist()
    assert any("computes a constant" in note for note in found.artifact.notes)

    empty = save(tmp_path / "e" / "m.onnx", [node("Relu", "x", "y")], [value("x", [0, 3])], [value("y", [0, 3])])
    assert (0, 3) == ran(tmp_path / "b", empty).outputs["y"][0].shape


def test_sizes_that_depend_on_the_data(tmp_path: Path) -> None:
    """NonZero answers as many columns as it finds, whatever the graph declares."""
    file = save(tmp_path / "m.onnx", [node("NonZero", "x", "y")], [value("x", [4], TensorProto.BOOL)],
                [value("y", [1, 3], TensorProto.INT64)])  # fmt: skip
    found = ran(tmp_path, file)
    for given, got in zip(found.feeds["x"], found.outputs["y"], strict=True):
        assert np.flatnonzero(given).tolist() == got[0].tolist()


def test_a_batch_axis_is_proven(tmp_path: Path) -> None:
    """Rows that do not interact make a batch; a fixed reshape, a mean over the rows and scores of pairs do not."""
    rows = save(tmp_path / "rows" / "m.onnx", [node("Relu", "x", "y")], [value("x", ["N", 3])], [value("y", ["N", 3])])
    assert {"x": 0} == ran(tmp_path / "a", rows).artifact.reference.batch_axes

    shape = {"shape": np.array([1, 3], np.int64)}
    fixed = save(tmp_path / "fixed" / "m.onnx", [node("Reshape", "x shape", "y")], [value("x", ["N", 3])],
                 [value("y", [1, 3])], shape)  # fmt: skip
    built = ran(tmp_path / "b", fixed).artifact
    assert {} == dict(built.reference.batch_axes)
    assert "run two examples together" in left_out(built, 2)
    assert "" == left_out(built, 1)

    mixed = save(tmp_path / "mixed" / "m.onnx",
                 [node("ReduceMean", "x", "mean", axes=[0]), node("Sub", "x mean", "y")],
                 [value("x", ["N", 3])], [value("y", ["N", 3])])  # fmt: skip
    assert "rows depend on each other" in left_out(ran(tmp_path / "c", mixed).artifact, 2)

    towers = save(tmp_path / "towers" / "m.onnx", [node("Transpose", "b", "t"), node("MatMul", "a t", "y")],
                  [value("a", ["N", 3]), value("b", ["M", 3])], [value("y", ["N", "M"])])  # fmt: skip
    assert {} != ran(tmp_path / "d", towers).artifact.reference.batch_axes, "one of the towers alone can be batched"


def test_a_batch_axis_on_any_axis(tmp_path: Path) -> None:
    """A recurrent network with its sequence first is joined along the second axis, its state too."""
    weights = {"w": np.full((1, 6, 4), 0.1, np.float32), "r": np.full((1, 6, 2), 0.1, np.float32)}
    file = save(tmp_path / "m.onnx", [node("GRU", "x w r", "y h", hidden_size=2)], [value("x", [5, "batch", 4])],
                [value("y", [5, 1, "batch", 2]), value("h", [1, "batch", 2])], weights)  # fmt: skip
    found = ran(tmp_path, file)
    assert {"x": 1} == found.artifact.reference.batch_axes
    assert (1, 1, 2) == found.outputs["h"][0].shape


@pytest.mark.parametrize(
    ("nodes", "ends", "weights", "batched"),
    [
        (["Transpose x t", "MatMul t w y"], (["N", 5, 3], [5, "N", 2]), {"w": (3, 2)}, {"x": 0}),  # time first
        (["ReduceSum x y"], ([1, 3], [1]), {}, {}),  # one number for a batch that can only be one
        (["Transpose x t", "MatMul t x y"], (["members", 3], [3, 3]), {}, {}),  # a set, whatever its size
        (["MatMul x w a", "Squeeze a y"], (["N", 3], ["N"]), {"w": (3, 1)}, {"x": 0}),  # [N] where [N, 1] was
        (["Mul s s y"], ([], []), {}, {}),  # a number in and a number out
        (["Concat x x y"], (["N", 3], ["2N", 3]), {}, {}),  # two rows for each
    ],
)
def test_signatures_of_real_files(
    tmp_path: Path, nodes: list[str], ends: tuple[Shape, Shape], weights: dict[str, Any], batched: dict[str, int]
) -> None:
    """Whatever axis 0 means, a feed is run as it is; what two examples together show is the batch axis."""
    more: dict[str, Any] = {
        "Transpose": {"perm": [1, 0, 2] if len(ends[0] or ()) == 3 else [1, 0]},
        "ReduceSum": {"keepdims": 0},
        "Concat": {"axis": 0},
    }
    made = []
    for text in nodes:
        kind, *inputs, output = text.split()
        made.append(node(kind, " ".join(inputs), output, **more.get(kind, {})))
    name = made[0].input[0]
    held = {key: np.ones(shape, np.float32) for key, shape in weights.items()}
    if nodes[-1].startswith("Squeeze"):
        held["axes"] = np.array([1], np.int64)
        made[-1].input.append("axes")
    file = save(tmp_path / "m.onnx", made, [value(name, ends[0])], [value("y", ends[1])], held)
    found = ran(tmp_path, file)
    assert batched == dict(found.artifact.reference.batch_axes)
    assert all(np.isfinite(one).all() for one in found.outputs["y"])


def test_a_fixed_batch_is_one_example(tmp_path: Path) -> None:
    """Eight rows that do not interact are eight rows of one example; a matrix whose rows interact is one feed."""
    eight = save(tmp_path / "e" / "m.onnx", [node("Relu", "x", "y")], [value("x", [8, 3])], [value("y", [8, 3])])
    built = ran(tmp_path / "a", eight).artifact
    assert (8, {}) == (built.reference.rows, dict(built.reference.batch_axes))
    assert "one example holds 8 rows" in left_out(built, 4)
    assert "" == left_out(built, 8)

    whole = save(tmp_path / "w" / "m.onnx", [node("Softmax", "x", "y", axis=0)], [value("x", [8, 3])],
                 [value("y", [8, 3])])  # fmt: skip
    assert 1 == ran(tmp_path / "b", whole).artifact.reference.rows


def test_onnxruntime_is_the_judge(tmp_path: Path) -> None:
    """Files that onnx.checker refuses and onnxruntime runs: unsorted, IR 3 with fed initializers, -1, wrong shapes."""
    unsorted = save(tmp_path / "u" / "m.onnx", [node("Relu", "a", "y"), node("Neg", "x", "a")], [value("x", [2])],
                    [value("y", [2])])  # fmt: skip
    with pytest.raises(onnx.checker.ValidationError):
        onnx.checker.check_model(str(unsorted))
    found = ran(tmp_path / "a", unsorted)
    assert np.maximum(-found.feeds["x"][0], 0).tolist() == found.outputs["y"][0].tolist()

    old = save(tmp_path / "o" / "m.onnx", [node("Mul", "x w", "y")], [value("x", [2]), value("w", [2])],
               [value("y", [2])], {"w": np.array([2, 3], np.float32)}, opset=9, ir=3)  # fmt: skip
    assert ["x"] == list(ran(tmp_path / "b", old).feeds)

    minus = save(tmp_path / "m" / "m.onnx", [node("Relu", "x", "y")], [value("x", [-1, 3])], [value("y", [-1, 3])])
    assert {"x": 0} == ran(tmp_path / "c", minus).artifact.reference.batch_axes

    wrong = save(tmp_path / "w" / "m.onnx", [node("Relu", "x", "y")], [value("x", ["N", 3])], [value("y", [7, 3])])
    assert (1, 3) == ran(tmp_path / "d", wrong).outputs["y"][0].shape


def test_values_that_a_graph_needs(tmp_path: Path) -> None:
    """Ids stay inside the table, shapes fit, divisors are not zero; guesses are reported; pixels use their range."""
    file = save(
        tmp_path / "m.onnx",
        [
            node("Gather", "table ids", "rows"), node("Reshape", "rows shape", "flat"),
            node("Div", "count divisor", "share"), node("Cast", "pixels", "p", to=TensorProto.FLOAT),
        ],
        [
            value("ids", [40], TensorProto.INT64), value("shape", [1], TensorProto.INT64),
            value("count", [2], TensorProto.INT32), value("divisor", [2], TensorProto.INT32),
            value("pixels", [64], TensorProto.UINT8),
        ],
        [value("flat", [160]), value("share", [2], TensorProto.INT32), value("p", [64])],
        {"table": np.ones((50, 4), np.float32)},
    )  # fmt: skip
    found = ran(tmp_path, file)
    ids = np.stack(found.feeds["ids"])
    assert (0, True) == (ids.min() // 50, 20 < ids.max() < 50)
    assert [160] == found.feeds["shape"][0].tolist()
    assert np.stack(found.feeds["divisor"]).min() >= 1
    assert np.stack(found.feeds["pixels"]).max() > 200
    assert any("`ids` are guessed: 0 to below 50" in note for note in found.artifact.notes)


def test_open_axes_are_tried_until_the_model_runs(tmp_path: Path) -> None:
    """A size that does not run is not the one that is chosen, and the guess is reported."""
    file = save(tmp_path / "m.onnx", [node("Reshape", "x shape", "y")], [value("x", ["batch", "length"])],
                [value("y", None)], {"shape": np.array([0, 8, 8], np.int64)})  # fmt: skip
    found = ran(tmp_path, file)
    assert (1, 64) == found.feeds["x"][0].shape
    assert any("length: 64" in note for note in found.artifact.notes)


def test_needs_follow_values_that_are_handed_on() -> None:
    """An index that is cast first, inside a branch, is still an index."""
    body = helper.make_graph([node("Gather", "table index", "row")], "then", [], [value("row", None)])
    model = helper.make_model(
        helper.make_graph(
            [
                node("Cast", "raw", "index", to=TensorProto.INT64),
                helper.make_node("If", ["yes"], ["y"], then_branch=body, else_branch=body),
            ],
            "g",
            [value("raw", [2], TensorProto.INT32), value("yes", [], TensorProto.BOOL)],
            [value("y", None)],
            [numpy_helper.from_array(np.zeros((7, 2), np.float32), "table")],
        )
    )
    need = onnx_needs.needs(model)["raw"]
    assert (0, 7) == (need.low, need.high)


def sets(folder: Path, feeds: Sequence[Any], wrong: float = 0.0) -> None:
    """ONNX's test data for y = max(x, 0), off by `wrong`."""
    for number, feed in enumerate(feeds):
        home = folder / f"test_data_set_{number}"
        home.mkdir(parents=True)
        for name, array in (("input_0", feed), ("output_0", np.maximum(feed, 0) + np.float32(wrong))):
            (home / f"{name}.pb").write_bytes(numpy_helper.from_array(array).SerializeToString())


def test_test_data_beside_a_file(tmp_path: Path) -> None:
    """Sets evaluate, and their outputs are compared; one that is not met is reported."""
    feeds = [np.array([[number, -1.0, 2.0]], np.float32) for number in range(4)]
    file = save(tmp_path / "a" / "model.onnx", [node("Relu", "x", "y")], [value("x", [1, 3])], [value("y", [1, 3])])
    sets(file.parent, feeds)
    data = DataSpec(
        name="test_sets", source="test_sets", calibration=2, evaluation=2,
        options={"sets": str(file.parent), "outputs_of": str(file)},
    )  # fmt: skip
    found = ran(tmp_path / "one", file, data=data)
    assert [feed.tolist() for feed in feeds[2:]] == [feed.tolist() for feed in found.feeds["x"]]
    assert "the outputs are those that the data expects" in found.artifact.notes

    other = save(tmp_path / "b" / "model.onnx", [node("Relu", "x", "y")], [value("x", [1, 3])], [value("y", [1, 3])])
    sets(other.parent, feeds, wrong=1.0)
    options = {"sets": str(other.parent), "outputs_of": str(other)}
    notes = ran(tmp_path / "two", other, data=replace(data, options=options)).artifact.notes
    assert any("`y` is not what the data expects: values differ by up to 1" in note for note in notes)


def test_a_folder_of_npz_files(tmp_path: Path) -> None:
    """Every file is a whole feed of its own size; expected outputs are compared, and too few files are refused."""
    file = save(tmp_path / "m.onnx", [node("Relu", "x", "y")], [value("x", [1, 4])], [value("y", [1, 4])])
    (tmp_path / "feeds").mkdir()
    for number in range(3):
        feed = np.full((1, 4), number - 1, np.float32)
        np.savez(tmp_path / "feeds" / f"{number}.npz", x=feed, y=np.maximum(feed, 0))
    data = DataSpec(name="own", source="npz", calibration=0, evaluation=3, options={"path": str(tmp_path / "feeds")})
    model = replace(specs.file_model(file), data=replace(data, evaluation=9))
    with pytest.raises(BuildError, match=r"holds 3 \.npz files and 9 are asked for"):
        Maker(Cache(tmp_path / "cache"), model, lambda *_: None).make(AS_IS)
    assert "the outputs are those that the data expects" in ran(tmp_path, file, data=data).artifact.notes
