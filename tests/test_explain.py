"""Cases looked at closely: which fusions were missed and why, which node is which, which layer loses the accuracy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from harness import zoo as zoos
from harness.explain import nodes, stored
from harness.explain.explain import ExplainRequest, explain
from harness.explain.fusions import FUSED, MISSED, places
from harness.explain.losses import Noise
from harness.explain.model import Explanation, NodeTime
from harness.explain.names import family
from harness.measure.closely import CloseLook
from harness.records import CaseId, RuntimeInfo
from harness.report import render
from harness.report.figures import treemap
from harness.report.pages import explained as pages
from harness.runtimes.onnxruntime import profiled
from tests import builders
from tests.conftest import Project

CPU = "CPUExecutionProvider"


def network(*, second_reader: bool = False, training: bool = False) -> onnx.ModelProto:
    """Conv, BatchNormalization and Relu; the Conv may be read twice, the norm may be one of training."""
    attributes: dict[str, Any] = {"training_mode": 1} if training else {}
    outputs = ["bn", "mean", "var"] if training else ["bn"]
    made = [
        helper.make_node("Conv", ["x", "w"], ["conv"], "conv", kernel_shape=[3, 3]),
        helper.make_node("BatchNormalization", ["conv", "s", "b", "m", "v"], outputs, "bn", **attributes),
        helper.make_node("Relu", ["bn"], ["y"], "relu"),
    ]
    if second_reader:
        made.append(helper.make_node("Sigmoid", ["conv"], ["z"], "gate"))
    weights = [builders.weight("w", 4, 1, 3, 3), *(numpy_helper.from_array(np.ones(4, np.float32), n) for n in "sbmv")]
    ends = [builders.value("x", [1, 1, 8, 8])], [builders.value("y", None)]
    return helper.make_model(helper.make_graph(made, "net", *ends, weights))


def one_conv() -> onnx.ModelProto:
    """What becomes of it where everything is fused."""
    node = helper.make_node("FusedConv", ["x", "w"], ["y"], "y_nchwc", domain="com.microsoft")
    ends = [builders.value("x", [1, 1, 8, 8])], [builders.value("y", None)]
    return helper.make_model(helper.make_graph([node], "net", *ends, [builders.weight("w", 4, 1, 3, 3)]))


def test_a_place_is_fused_where_the_tensor_between_is_gone() -> None:
    """The one node that is left is called by the tensor that it makes."""
    (found,) = places(network(), one_conv(), optimization="all", provider=CPU)
    assert ("Conv+BN+Relu", FUSED, "") == (found["pattern"], found["status"], found["why"])


@pytest.mark.parametrize(
    ("network", "optimization", "said"),
    [
        (network(second_reader=True), "all", "is used 2 times: by bn, gate"),
        (network(training=True), "all", "training_mode=1"),
        (network(), "disabled", "optimization is `disabled`"),
    ],
)
def test_a_missed_fusion_says_why(network: onnx.ModelProto, optimization: str, said: str) -> None:
    """What is between is used twice, an attribute is in the way, the level is too low."""
    (found,) = places(network, network, optimization=optimization, provider=CPU)
    assert found["status"] == MISSED
    assert said in found["why"]


def test_a_layout_change_is_not_what_it_moves() -> None:
    """A Transpose that the runtime put behind a fused node makes the tensor of the Relu, and is none."""
    ran = one_conv()
    ran.graph.node[0].name = "conv_token_1"
    ran.graph.node[0].output[0] = "nhwc"
    ran.graph.node.append(helper.make_node("Transpose", ["nhwc"], ["y_QuantizeLinear_Output"], "Transpose_token_0"))
    (found,) = places(network(), ran, optimization="all", provider=CPU)
    assert FUSED == found["status"]


def test_an_activation_that_is_read_beside_is_missed_after_a_fusion() -> None:
    """A SiLU: the norm is folded into the Conv, and the Sigmoid's input is the Mul's as well."""
    model = network()
    del model.graph.node[2]
    model.graph.node.extend(
        [helper.make_node("Sigmoid", ["bn"], ["s"], "gate"), helper.make_node("Mul", ["bn", "s"], ["y"], "mul")]
    )
    ran = onnx.ModelProto()
    ran.CopyFrom(model)
    del ran.graph.node[1]  # onnxslim keeps the name of the Conv's output
    for node in ran.graph.node[1:]:
        node.input[:] = ["conv" if name == "bn" else name for name in node.input]
    (found,) = places(model, ran, optimization="all", provider=CPU)
    assert ("Conv+BN+Sigmoid", MISSED) == (found["pattern"], found["status"])
    assert "Conv and BatchNormalization became one; what is between them, `bn`, is used 2 times" in found["why"]


def test_an_output_between_two_nodes_is_named() -> None:
    """A tensor that the model gives out cannot go."""
    model = network()
    model.graph.output.append(builders.value("conv", None))
    (found,) = places(model, model, optimization="all", provider=CPU)
    assert "`conv`, is an output of the model" in found["why"]


def test_nodes_of_the_run_graph_are_those_of_the_artifact() -> None:
    """By name, by the tensor that a fused node makes, and none where the runtime inserted it."""
    own = [
        {"name": "conv", "operator": "Conv", "inputs": ["x"], "constants": ["w"], "outputs": ["c"]},
        {"name": "relu", "operator": "Relu", "inputs": ["c"], "constants": [], "outputs": ["r"]},
        {"name": "pool", "operator": "MaxPool", "inputs": ["r"], "constants": [], "outputs": ["y"]},
    ]
    ran = [
        {"name": "ReorderInput", "operator": "ReorderInput", "inputs": ["x"], "constants": [], "outputs": ["re"]},
        {"name": "r_nchwc", "operator": "Conv", "inputs": ["re"], "constants": ["w2"], "outputs": ["t"]},
        {"name": "pool", "operator": "MaxPool", "inputs": ["t"], "constants": [], "outputs": ["y"]},
    ]
    rows = [[one["name"], one["operator"], CPU, "float", 4, 40 * place] for place, one in enumerate(ran, start=1)]
    found = nodes.times(rows, 4, ran, own)
    assert [("pool", "pool"), ("r_nchwc", "conv"), ("ReorderInput", "")] == [(one.node, one.of) for one in found]
    assert pytest.approx([30e-6, 20e-6, 10e-6]) == [one.seconds for one in found]
    assert ["ReorderInput"] == [one.operator for one in nodes.inserted(found)]
    assert {"conv": pytest.approx(20e-6), "pool": pytest.approx(30e-6)} == nodes.by_layer(found)


@pytest.mark.parametrize(
    ("operator", "of"),
    [
        ("NhwcFusedConv", "Conv"), ("QLinearConv", "Conv"), ("MatMulNBits", "MatMul"), ("QAttention", "Attention"),
        ("QuickGelu", "QuickGelu"), ("FusedGemm", "MatMul"), ("MatMulIntegerToFloat", "MatMul"),
        ("DynamicQuantizeMatMul", "MatMul"),
    ],
)  # fmt: skip
def test_an_operator_belongs_to_a_family(operator: str, of: str) -> None:
    """Whatever it was fused with and computes in, so that two builds can be compared."""
    assert of == family(operator)


def test_a_layer_has_the_time_of_what_took_its_place() -> None:
    """Quantizers give some nodes other names."""
    assert nodes.of_layer({"head_Q4": 2.0, "headless": 1.0}, "head") == 2.0
    assert nodes.of_layer({"headless": 1.0}, "head") is None


def test_two_sides_differ_by_families() -> None:
    """The largest difference comes first, and the differences add up to that of the whole."""
    first = [NodeTime(node="a", operator="Conv", provider=CPU, seconds=3.0)]
    second = [
        NodeTime(node="a", operator="QLinearConv", provider=CPU, seconds=1.0),
        NodeTime(node="b", operator="QuantizeLinear", provider=CPU, seconds=0.5),
    ]
    assert [("Conv", 3.0, 1.0), ("QuantizeLinear", 0.0, 0.5)] == nodes.difference(first, second)


def test_a_run_that_was_interrupted_moves_no_typical_time() -> None:
    """One of eight runs takes a thousand times as long: the sum has it, the typical run does not."""
    events = []
    for run in range(9):
        start = run * 10_000
        took = 5_000 if run == 4 else 5
        args = {"op_name": "Conv", "provider": CPU}
        events.append({"cat": "Session", "name": "model_run", "ts": start, "dur": took})
        events.append({"cat": "Node", "name": "conv_kernel_time", "ts": start, "dur": took, "args": args})
    ((*_, count, total, _, _, typical),), runs = profiled.nodes(events)
    assert (8, 8, 5_035, 5.0) == (runs, count, total, typical)


@pytest.mark.parametrize(("spent", "said"), [(95.0, ""), (80.0, "80% of the latency"), (130.0, "130% of the latency")])
def test_nodes_that_do_not_add_up_are_said(spent: float, said: str) -> None:
    """Within 10% they agree; beyond it the share is named."""
    runtime = RuntimeInfo(name="onnxruntime", version="1", build="", language="python", providers=(), package="")
    row = ["conv", "Conv", CPU, "float", 10, 10 * spent, [], [], spent]
    found = CloseLook(nodes=(row,), runs=10, latency_s=100e-6, runtime=runtime, providers={}).disagreement
    assert said in found
    assert bool(said) == bool(found)


def test_a_channel_that_is_lost_counts_beside_one_that_is_large() -> None:
    """The ratio of the whole tensor hides it."""
    noise = Noise()
    wanted = np.array([[1000.0, 1000.0], [1.0, -1.0]])
    noise.add(wanted, np.array([[1000.0, 1000.0], [0.0, 0.0]]), 0, None)
    assert noise.decibels is not None
    assert noise.decibels > 50
    assert noise.share == 0.5


@pytest.fixture(scope="module")
def explained(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Explanation:
    """The small project's int8 build, explained as briefly as that goes."""
    from tests.conftest import take_over, write_project

    project = write_project(tmp_path_factory.mktemp("explained"))
    take_over(built, project.root)
    request = ExplainRequest(
        zoo=zoos.load(project.root / "model_zoo.yaml"),
        case=CaseId.parse("tiny/int8-static/cpu-t1"),
        cache=project.root / "cache",
        results=project.root / "results",
        confirm=1,
        examples=2,
        seconds=0.01,
        blocks=1,
    )
    found = explain(request, lambda _: None)
    stored.put(project.root / "results", found)
    return stored.get(project.root / "results", found.case) or found


@pytest.mark.long
def test_a_quantized_case_is_explained(explained: Explanation) -> None:
    """Its nodes, its fusions, its layers; the worst was left in float; all of it survives being stored."""
    assert explained.case == "tiny/int8-static/cpu-t1-b1"
    assert "QLinearConv" in nodes.by_operator(explained.nodes)
    assert "Conv+BN+Relu" in {one.pattern for one in explained.places if one.status == FUSED}
    losses = explained.losses
    assert losses is not None
    assert {"Conv", "MatMul"} <= {one.operator for one in losses.layers}
    assert all(one.score >= other.score for one, other in zip(losses.layers, losses.layers[1:], strict=False))
    (left,) = losses.confirmed
    assert left.layer == losses.layers[0].layer
    assert not left.reason
    assert left.gained_db is not None
    assert left.ratio is not None
    assert Explanation.from_json(json.loads(json.dumps(explained.to_json()))) == explained


@pytest.mark.long
def test_the_dashboard_has_a_page_of_it(explained: Explanation) -> None:
    """A tile for each node, coloured by loss; a line for each layer, with what leaving it in float gave."""
    page = pages.page(explained)
    shared = {"models": [], "hosts": {}, "version": "", "problems": (), "results": "", "seeded": [], "since": ""}
    html = render.html(page, shared)
    assert html.count("<rect x=") == len(explained.nodes)
    assert explained.losses is not None
    assert len(pages.layers(explained).rows) == len(explained.losses.layers)
    assert "from none to that of the noisiest" in html


@given(st.lists(st.floats(0.01, 1000), min_size=1, max_size=40))
def test_a_treemap_fills_its_room(areas: list[float]) -> None:
    """Areas are in proportion, and no box reaches out of the room."""
    room = treemap.Box(x=0, y=0, width=400, height=300)
    ordered = sorted(areas, reverse=True)
    boxes = treemap.squarified(ordered, room)
    whole = sum(ordered)
    for area, box in zip(ordered, boxes, strict=True):
        assert box.width * box.height == pytest.approx(area / whole * 400 * 300)
        assert box.x >= -1e-6
        assert box.y >= -1e-6
        assert box.x + box.width <= 400 + 1e-6
        assert box.y + box.height <= 300 + 1e-6


def test_names_in_a_treemap_are_text() -> None:
    """A node may be called anything."""
    tile = treemap.Tile(label='<script>"', area=1.0, title="a\u202eb & c")
    drawn = treemap.svg([tile, treemap.Tile(label="nothing", area=0.0)], name="all")
    assert "<script>" not in drawn
    assert "\u202e" not in drawn
    assert "nothing" not in drawn


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("explain", "tiny"), "is not a case"),
        (("explain", "tinny"), "did you mean 'tiny'"),
        (("explain", "tiny/fp23"), "did you mean 'fp32'"),
        (("view", "tiny/fp32/cpu"), "available: tiny/fp32/cpu-t1-b1"),
        (("explain", "tiny/int9/cpu-t1"), "no variant is called 'int9'"),
        (("explain", "tiny/fp32/cpu-t1-b1", "--against", "tinny/fp32/cpu-t1-b1"), "did you mean 'tiny'"),
        (("explain", "tiny/fp32/cpu-t1-b1", "--format", "xml"), "--format xml"),
    ],
)
def test_mistakes_are_said_before_anything_is_built(project: Project, arguments: tuple[str, ...], said: str) -> None:
    """No such case, variant or model; no such format."""
    assert said in project.error(*arguments)
