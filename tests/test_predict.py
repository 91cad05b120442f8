"""What a case would take on a host that is not here: counted, bounded, corrected by what was measured, simulated."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from harness.build.cache import Cache
from harness.errors import UsageError
from harness.predict import calibrate, costs, counted, devices, host, roofline, shapes
from harness.predict.calibrate import MeasuredCase
from harness.predict.costs import NodeCost
from harness.predict.host import HostSpec, NetworkLink
from harness.predict.roofline import NodePrediction
from harness.store import query
from tests import builders
from tests.conftest import Project

BOARD = HostSpec(
    name="board", flops={"float32": 1e9}, bandwidth=1e8, bandwidth_all=4e8, cores=4, launch_s=1e-6, call_s=1e-5
)
FILE = (
    "flops: {float32: 40e9, int8: 1.0e+11}\nbandwidth: 8GB/s\ncores: 4\nlink: {bandwidth: 125MB, latency_s: 0.0001}\n"
)


def listed(op: str, inputs: list[list[int]], output: list[int], **attributes: Any) -> dict[str, Any]:
    """A node as the child lists it: the first input is made before, the others are weights."""
    return {
        "name": op.lower(), "op": op, "domain": "", "attributes": attributes,
        "inputs": [["float", shape, place > 0, f"i{place}"] for place, shape in enumerate(inputs)],
        "outputs": [["float", output, False, "o"]],
    }  # fmt: skip


def node(name: str, seconds: float, reads: str = "", makes: str = "", size: float = 0.0) -> NodePrediction:
    """A node that takes so long, reads a tensor and makes one."""
    cost = NodeCost(
        name=name, operator="X", kind="conv", type="float32", flops=1, read=size, written=size, weights=10,
        inputs=((reads, size),) if reads else (), outputs=((makes, size),) if makes else (),
    )  # fmt: skip
    return NodePrediction(cost=cost, seconds=seconds, bound="compute")


def test_a_convolution_costs_what_its_shapes_say() -> None:
    """Two operations for each multiplication; the bytes of what it reads and makes, weights apart."""
    found = costs.cost(listed("Conv", [[1, 3, 8, 8], [16, 3, 3, 3]], [1, 16, 6, 6]))
    assert (2 * 16 * 6 * 6 * 3 * 9, "conv", "float32") == (found.flops, found.kind, found.type)
    assert (4 * (3 * 64 + 16 * 27), 4 * 16 * 36, 4 * 16 * 27) == (found.read, found.written, found.weights)
    assert costs.cost(listed("Conv", [[1, 8, 8, 8], [8, 1, 3, 3]], [1, 8, 6, 6], group=8)).kind == "depthwise"
    assert costs.cost(listed("Reshape", [[4, 4]], [16])).moved == 0


def test_a_cast_of_a_weight_is_done_once_and_gives_a_weight() -> None:
    """It costs an inference nothing, and what it makes is read as any other weight is."""
    cast = {**listed("Cast", [[4, 4]], [4, 4]), "outputs": [["float", [4, 4], False, "i1"]]}
    cast["inputs"] = [["float16", [4, 4], True, "half"]]
    product = listed("MatMul", [[1, 4], [4, 4]], [1, 4])
    product["inputs"][1][2] = False
    (found,) = costs.costs([cast, product])
    assert ("MatMul", 64) == (found.operator, found.weights)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (listed("Loop", [[1]], [1]), "shapes do not tell what it runs"),
        ({**listed("Relu", [[1]], [1]), "outputs": [["float", None, False, "o"]]}, "the shape of 'o', at the Relu"),
        (listed("Conv", [[1, 3, 8, 8]], [1, 16, 6, 6]), "do not tell what it computes"),
    ],
)
def test_a_node_that_shapes_say_nothing_of_is_refused(given: dict[str, Any], said: str) -> None:
    """A loop, a tensor without a shape, a convolution without weights."""
    with pytest.raises(UsageError, match=said):
        costs.cost(given)


def test_shapes_are_those_of_the_graph_that_is_run(tmp_path: Path) -> None:
    """Axes get their sizes, what is computed of shapes is known, and a dynamic axis without a size is named."""
    made = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Slice", ["s", "one", "two"], ["rows"]),
        helper.make_node("Expand", ["w", "rows"], ["y"]),
    ]
    held = [onnx.numpy_helper.from_array(np.array([n]), name) for n, name in ((0, "one"), (1, "two"))]
    graph = helper.make_graph(
        made, "g", [builders.value("x", ["n", 3])], [builders.value("y", None)], [*held, builders.weight("w", 1)]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "m.onnx")
    (tmp_path / "work").mkdir()
    asked: dict[str, Any] = {"optimization": "disabled", "batch": {"size": 5, "axes": {}}}
    found = shapes.nodes(tmp_path / "m.onnx", tmp_path / "work", sizes={"n": 5}, **asked)
    assert [["int64", [2]], ["int64", [1]], ["float", [5]]] == [one["outputs"][0][:2] for one in found]
    with pytest.raises(shapes.NoShape, match="axis 'n' of the input 'x' has no size"):
        shapes.nodes(tmp_path / "m.onnx", tmp_path / "work", sizes={}, **asked)
    by_axis = {"size": 7, "axes": {"x": 0}}
    (tmp_path / "again").mkdir()
    again = shapes.nodes(tmp_path / "m.onnx", tmp_path / "again", sizes={}, optimization="all", batch=by_axis)
    assert again == []  # all of it is constant then


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it holds no mapping"),
        ("[1]", "it holds no mapping"),
        ("{", "JSON|Expecting"),
        ("flops: {float32: 1e9}", "missing key 'bandwidth'"),
        ("bandwidth: 1e9", "missing key 'flops'"),
        ("flops: {}\nbandwidth: 1e9", "flops: is empty"),
        ("flops: {fp32: 1e9}\nbandwidth: 1e9", "unknown type 'fp32'"),
        ("flops: {float32: -1}\nbandwidth: 1e9", "flops.float32: expected a number above 0"),
        ("flops: {float32: .inf}\nbandwidth: 1e9", "flops.float32: expected a number above 0"),
        ("flops: {float32: true}\nbandwidth: 1e9", "flops.float32: expected a number above 0"),
        ("flops: {float32: 1e9}\nbandwith: 1e9\nbandwidth: 1e9", "unknown key 'bandwith'; did you mean 'bandwidth'"),
        ("flops: {float32: 1e9}\nbandwidth: 1e9\ncores: 0", "cores: expected"),
        ("flops: {float32: 1e9}\nbandwidth: 1e9\nlink: 5", "link: expected"),
        ("flops: {float32: 1e9}\nbandwidth: 1e9\nprovider: gpux", "provider: unknown 'gpux'"),
        ("flops: {float32: 1e9}\nbandwidth: 1e9\nformat: 9", "of a newer harness"),
    ],
)
def test_a_host_file_that_is_wrong_says_where(tmp_path: Path, text: str, said: str) -> None:
    """The key, what was expected and what was found."""
    (tmp_path / "board.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=said):
        host.read(tmp_path / "board.yaml")


def test_a_host_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """Units are read, what is absent stays absent, and a folder or a missing file is refused."""
    (tmp_path / "board.yaml").write_text(FILE, encoding="utf-8")
    found = host.read(tmp_path / "board.yaml")
    assert (40e9, 8e9, NetworkLink(bandwidth=125e6, latency_s=1e-4), "board") == (
        found.flops["float32"], found.bandwidth, found.link, found.name,
    )  # fmt: skip
    host.write(tmp_path / "again.json", found)
    assert found == host.read(tmp_path / "again.json")
    for wrong in (tmp_path, tmp_path / "none.yaml"):
        with pytest.raises(UsageError, match="--host"):
            host.read(wrong)


def test_a_node_takes_the_longer_of_its_arithmetic_and_its_bytes() -> None:
    """Threads share both out as far as there are cores; a type that the host does not know is the nearest one's."""
    work = costs.cost(listed("Conv", [[1, 3, 8, 8], [16, 3, 3, 3]], [1, 16, 6, 6]))
    assert (work.flops / 1e9, "compute") == roofline.roof(work, BOARD, 1)
    assert work.flops / 4e9 == roofline.roof(work, BOARD, 8)[0]
    moved = costs.cost(listed("Relu", [[1000]], [1000]))
    assert (8000 / 1e8, "memory") == roofline.roof(moved, BOARD, 1)
    parts = roofline.parts([work, moved], BOARD, 1)
    assert {"conv/float32", "elementwise/float32", "launch", "call", "weights"} == set(parts)
    whole = sum(one.seconds for one in roofline.predict([work, moved], BOARD, 1, {})) + roofline.call(BOARD, {})
    assert sum(parts.values()) == pytest.approx(whole)
    with pytest.raises(UsageError, match="says nothing of float32"):
        roofline.roof(work, HostSpec(name="h", flops={"int8": 1e9}, bandwidth=1e9), 1)


def measured_cases() -> list[MeasuredCase]:
    """Six models on a host whose convolutions take twice the roofline, and whose products take five times."""
    made = []
    for place, (conv, product) in enumerate([(1, 0.1), (2, 1), (0.5, 3), (4, 0.5), (1, 1), (0.2, 5)]):
        parts = {"conv/float32": conv, "product/float32": product}
        made.append(
            MeasuredCase(case=f"m{place}", model=f"m{place}", digest="", seconds=2 * conv + 5 * product, parts=parts)
        )
    return made


def test_factors_are_found_from_rows_and_errors_are_of_models_left_out() -> None:
    """What generated the rows is found; a model that is unlike all others shows with its own error."""
    found = calibrate.factors(measured_cases())
    assert found["conv/float32"] == pytest.approx(2, rel=0.1)
    assert found["product/float32"] == pytest.approx(5, rel=0.1)
    held = calibrate.held_out(measured_cases())
    assert held.models == 6
    assert held.median is not None
    assert held.median < 0.1
    strange = MeasuredCase(case="odd", model="odd", digest="", seconds=100.0, parts={"conv/float32": 1.0})
    assert calibrate.held_out([*measured_cases(), strange]).errors["odd"] < -0.9
    assert calibrate.held_out([strange]).median is None
    assert calibrate.factors([]) == {}


def test_a_pipeline_is_cut_where_its_longest_part_is_shortest() -> None:
    """As trying all cuts says."""
    times = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]
    for parts in range(1, 6):
        ends = devices.partition(times, parts)
        cuts = itertools.combinations(range(1, len(times)), parts - 1)
        best = min(max(sum(times[a:b]) for a, b in itertools.pairwise([0, *one, len(times)])) for one in cuts)
        assert best == max(sum(times[a:b]) for a, b in itertools.pairwise([0, *ends]))


def test_several_devices_share_out_a_batch_or_the_nodes() -> None:
    """What is sent keeps both ends busy; microbatches overlap; what does not divide or has no link is refused."""
    linked = HostSpec(name="h", flops={"float32": 1.0}, bandwidth=1.0, link=NetworkLink(bandwidth=10.0, latency_s=1.0))
    chain = [node("a", 4, "x", "t", 10), node("b", 4, "t", "y", 10)]
    data = devices.simulate(chain, linked, devices=3, split="batch", microbatches=1)
    assert 8 + 2 * (2 + 2) == data.seconds
    pipe = devices.simulate(chain, linked, devices=2, split="pipeline", microbatches=1)
    assert (4 + 2 + 4, 6) == (pipe.seconds, pipe.interval_s)
    two = devices.simulate(chain, linked, devices=2, split="pipeline", microbatches=2)
    assert (4 + 2 + 4 + 2 + 4, [(1, 10, 8, 4)] * 2) == (
        two.seconds, [(one.nodes, one.weights, one.busy_s, one.sends_s) for one in two.parts],
    )  # fmt: skip
    assert (4, 2) == devices.shares(8, 2, "pipeline", None)
    assert (2, 1) == devices.shares(8, 4, "batch", None)
    with pytest.raises(UsageError, match="cannot be shared out over 3 devices"):
        devices.shares(8, 3, "batch", None)
    with pytest.raises(UsageError, match="--split tensor: expected batch or pipeline"):
        devices.shares(8, 2, "tensor", None)
    with pytest.raises(UsageError, match="has no `link`"):
        devices.simulate(chain, BOARD, devices=2, split="batch", microbatches=1)
    with pytest.raises(UsageError, match="the network has 2 nodes"):
        devices.simulate(chain, linked, devices=3, split="pipeline", microbatches=1)


def test_tensors_live_from_the_node_that_makes_them_to_the_last_that_reads_them() -> None:
    """The most at once, and where."""
    chain = [node("a", 1, "x", "t", 10), node("b", 1, "t", "u", 10), node("c", 1, "u", "y", 30)]
    assert (60, "c") == devices.live_bytes([one.cost for one in chain])


def test_a_prediction_is_shown_with_its_error_and_never_stored(
    built_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a host file: nothing is measured, nothing is among the results; the errors of wrong use are named."""
    (built_project.root / "board.yaml").write_text(FILE, encoding="utf-8")
    case = "tiny/fp32/cpu-t2-b1"
    out = built_project.run("predict", case, "--host", "board.yaml")
    assert "predicted" in out
    assert "nothing was run" in out
    assert "error of such predictions: not known" in out
    assert not (built_project.root / "results").exists() or not query.rows(built_project.root / "results")
    found = json.loads(built_project.run("predict", case, "--host", "board.yaml", "--json"))
    assert found["held_out_median_error"] is None
    assert found["measured_s"] is None
    assert found["predicted_s"] == pytest.approx(5e-6 + sum(one["predicted_s"] for one in found["nodes"]))
    of_board = {name: BOARD.to_json()[name] for name in ("flops", "bandwidth", "launch_s", "call_s")}
    counted.host_here(
        Cache(built_project.root / "cache"), again=False, budget_s=1, question=lambda _: {"host": of_board}
    )
    assert "fewer than two models" in built_project.run("predict", case)
    for arguments, said in (
        (["tiny/fp32/qnn-t1-b1", "--host", "board.yaml"], "runs on QNNExecutionProvider"),
        ([case, "--host", "none.yaml"], "--host none.yaml: No such file"),
        ([case, "--host", "board.yaml", "--devices", "2"], "cannot be shared out over 2 devices"),
        ([case, "--host", "board.yaml", "--microbatches", "2"], "belongs to --split pipeline"),
        ([case, "--like", "board.yaml"], "no host was measured"),
        (["nothing/fp32/cpu-t1-b1"], "no model is called 'nothing'"),
        ([], "name a CASE"),
    ):
        assert said in built_project.error("predict", *arguments)


def product(path: Path, width: int) -> None:
    """Two products with square matrices of this width."""
    nodes = [helper.make_node("MatMul", ["x", "a"], ["t"]), helper.make_node("MatMul", ["t", "b"], ["y"])]
    held = [builders.weight(name, width, width) for name in "ab"]
    builders.save(path, nodes, [builders.value("x", [8, width])], [builders.value("y", [8, width])], weights=held)


@pytest.mark.long
def test_a_model_that_is_measured_is_predicted_from_the_others(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small zoo is really measured, host and rows: its own rows say nothing of a model, and its error is shown.

    What a starved machine measures is anybody's guess; that the larger products are predicted to take longer is not.
    """
    models = {"narrow": 32, "middle": 256, "wide": 768}
    for name, width in models.items():
        product(project.root / f"{name}.onnx", width)
    text = (project.root / "model_zoo.yaml").read_text(encoding="utf-8").partition("models:")[0]
    entries = "".join(f"  {name}: {{source: onnx, id: {name}.onnx, budget: {{fidelity_db: 5}}}}\n" for name in models)
    (project.root / "model_zoo.yaml").write_text(f"{text}models:\n{entries}", encoding="utf-8")
    counted.host_here(Cache(project.root / "cache"), again=False, budget_s=0.1)  # the verb takes ten seconds for it
    project.run("sweep", "--variants", "fp32", "--processes", "1", "--time-per-case", "0.05")
    found = {name: json.loads(project.run("predict", f"{name}/fp32/cpu-t1-b1", "--json")) for name in models}
    assert found["narrow"]["predicted_s"] < found["middle"]["predicted_s"] < found["wide"]["predicted_s"]
    for one in found.values():
        assert (3, 3) == (one["held_out_cases"], one["held_out_models"])
        assert one["error"] == pytest.approx(one["predicted_s"] / one["measured_s"] - 1)
        assert one["held_out_median_error"] <= one["held_out_nine_tenths_error"]
    # What is shown beside a prediction is the very error of that prediction: this model was left out of both.
    errors = sorted(abs(one["error"]) for one in found.values())
    assert errors[1] == pytest.approx(found["wide"]["held_out_median_error"])
    said = project.run("predict", "wide/fp32/cpu-t1-b1")
    assert "error of such predictions: median" in said
    assert 3 == len(query.rows(project.root / "results"))


def test_this_host_is_measured_once_and_kept(tmp_path: Path) -> None:
    """The second time it comes from the cache, and a child that cannot says why."""
    asked: list[dict[str, Any]] = []
    said = {"flops": {"float32": 1e9}, "bandwidth": 1e9, "launch_s": 1e-6, "call_s": 1e-6}

    def ask(job: dict[str, Any]) -> dict[str, Any]:
        asked.append(job)
        return {"host": said}

    first, second = (counted.host_here(Cache(tmp_path), again=False, budget_s=1, question=ask) for _ in range(2))
    assert first == second
    assert len(asked) == 1
    assert first.fingerprint
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(UsageError, match="no prediction"):
        counted.counted(tmp_path / "broken.onnx", optimization="all", sizes={}, batch=1, axes={})
