"""`harness inspect --edge`: what a small device needs to know of a file."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from harness.build import mobile
from harness.build.mobile_operators import QNN, SOURCES, XNNPACK, OperatorList
from harness.export import allocations, allocations_child
from tests.builders import truncated
from tests.conftest import Project


def test_a_file_says_what_a_small_device_needs(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Axes, providers, ORT format, memory; what cannot be said has its reason, and two files at once are refused."""
    monkeypatch.setattr(mobile, "usable", lambda name, *_: f"asked for {name}")
    found = json.loads(project.run("inspect", "tiny.onnx", "--edge", "--json"))
    assert {"coreml", "nnapi", "xnnpack", "qnn"} == set(found["providers"])
    assert "asked for NnapiExecutionProvider" == found["providers"]["nnapi"]
    assert "asked for QNNExecutionProvider" == found["providers"]["qnn"]
    assert found["ort_format"]["bytes"] > 0
    assert any("Conv" in line for line in found["ort_format"]["operators"])
    assert found["memory"]["weights_bytes"] > 0
    assert found["memory"]["tensors_at"]
    counted = found["allocations"]
    assert counted["timeline"][0]["operator"] == "Conv"
    assert sum(one["bytes"] for one in counted["timeline"]) == counted["allocated_bytes"] > 0
    assert "one file or case" in project.error("inspect", "tiny.onnx", "tiny.onnx", "--edge")


def small(opset: int = 17, *, weight: list[int] | None = None) -> Any:
    """A convolution with an activation, behind an addition with one, then softmax over the last axis and another."""
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Add", ["x", "x"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["alone"]),
        helper.make_node("Conv", ["alone", "w"], ["conv"]),
        helper.make_node("Relu", ["conv"], ["fused"]),
        helper.make_node("Softmax", ["fused"], ["last"], axis=3),
        helper.make_node("Softmax", ["last"], ["first"], axis=1),
        helper.make_node("Resize", ["first", "", "scales"], ["near"]),
        helper.make_node("Gelu", ["near"], ["y"], domain="com.microsoft"),
    ]
    shape = [1, 2, 4, 4]
    held = [helper.make_tensor("scales", TensorProto.FLOAT, [4], [1.0] * 4)]
    if weight is not None:
        held.append(helper.make_tensor("w", TensorProto.FLOAT, weight, [1.0] * math.prod(weight)))
    inputs = [value("x", TensorProto.FLOAT, shape)]
    inputs += [] if weight is not None else [value("w", TensorProto.FLOAT, [2, 2, 1, 1])]
    known = [value(name, TensorProto.FLOAT, shape) for name in ("fused", "last", "first")]
    graph = helper.make_graph(nodes, "small", inputs, [value("y", TensorProto.FLOAT, shape)], held, value_info=known)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


@pytest.mark.parametrize(
    ("provider", "changes", "taken"),
    [
        (XNNPACK, {"weight": [2, 2, 1, 1]}, ["conv", "fused", "last"]),
        (XNNPACK, {"weight": [2, 2, 1, 1], "opset": 12}, ["conv", "fused", "last", "first"]),
        (XNNPACK, {"weight": [2, 2, 1]}, ["last"]),
        (XNNPACK, {}, ["last"]),
        (QNN, {}, ["sum", "alone", "conv", "fused", "last", "first", "near", "y"]),
    ],
)
def test_what_xnnpack_and_qnn_take_is_what_the_sources_list(
    provider: str, changes: dict[str, Any], taken: list[str]
) -> None:
    """An activation is taken behind a convolution of images with constant weights, and not behind an addition."""
    model = small(**changes)
    asked = OperatorList(provider, model)
    assert taken == [node.output[0] for node in model.graph.node if asked.is_op_supported(node)]
    said = str(mobile.MobileUse(form="", nodes=8, taken=3, partitions=2, source=SOURCES[provider]))
    assert "onnxruntime's sources" in said
    assert "3 of 8 nodes in 2 partitions" in said


def test_conversions_belong_to_the_operator_that_they_stand_around() -> None:
    """XNNPACK fuses a quantized convolution with its conversions, and takes none around an addition."""
    quantized = [
        helper.make_node("DequantizeLinear", ["w8", "s"], ["w"]),
        helper.make_node("DequantizeLinear", ["x8", "s"], ["x"]),
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("QuantizeLinear", ["c", "s"], ["c8"]),
        helper.make_node("DequantizeLinear", ["c8", "s"], ["d"]),
        helper.make_node("Add", ["d", "d"], ["a"]),
        helper.make_node("QuantizeLinear", ["a", "s"], ["y"]),
    ]
    held = [helper.make_tensor("w8", TensorProto.INT8, [1, 1, 1, 1], [1]), helper.make_tensor("s", 1, [], [1.0])]
    graph = helper.make_graph(quantized, "quantized", [], [], held)
    asked = OperatorList(XNNPACK, helper.make_model(graph))
    assert [True] * 4 + [False] * 3 == [asked.is_op_supported(node) for node in quantized]


def test_statistics_are_joined_with_what_ran() -> None:
    """In the order of the profile; nodes of one name count as one, and those that allocate nothing are left out."""
    ran = [("b", "Conv"), ("a_1", "Add"), ("quiet", "Relu")]
    head = "#name,input_sizes,initializers_sizes,total_dynamic_sizes,total_temp_allocations\n"
    found = allocations_child.joined(ran, f"{head}a_1_77,0,0,256,64\nb_5,9,0,1024,0\nb_6,9,0,512,0\nquiet_3,1,0,0,0\n")
    assert [("b", "Conv", 1536, 0), ("a_1", "Add", 256, 64)] == [tuple(one.values()) for one in found]
    summed = allocations.summed(found)
    assert (1792, 1536, "b", 64, "a_1") == tuple(
        summed[name] for name in ("allocated_bytes", "largest_bytes", "largest_at", "temporary_bytes", "temporary_at")
    )
    with pytest.raises(ValueError, match="have another form"):
        allocations_child.joined(ran, "name,bytes\nb,1\n")


def test_an_input_without_a_shape_is_not_taken_for_a_scalar(tmp_path: Path) -> None:
    """Onnxruntime shows both as `[]`; an input that is a weight as well is not fed."""
    shapes: dict[str, list[int] | None] = {"scalar": [], "open": None, "weight": None}
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    weight = helper.make_tensor("weight", TensorProto.FLOAT, [1], [1.0])
    for kept, expected in ((inputs, "open"), ([inputs[0], inputs[2]], "")):
        onnx.save(helper.make_model(helper.make_graph([], "g", kept, [], [weight])), tmp_path / "g.onnx")
        assert expected == allocations_child.unshaped(tmp_path / "g.onnx")


def test_a_model_that_cannot_be_fed_has_no_allocations_and_a_reason(tmp_path: Path) -> None:
    """Its file is broken, or an input is not a tensor."""
    assert "reason" in allocations.allocations(truncated(tmp_path / "broken.onnx"), {})
    with pytest.raises(ValueError, match="is seq"):
        allocations_child.zeros(SimpleNamespace(name="x", type="seq(tensor(float))", shape=[]), {})
    with pytest.raises(ValueError, match="more bytes than any machine"):
        allocations_child.zeros(SimpleNamespace(name="x", type="tensor(float)", shape=[2**31, 2**31]), {})
    made = allocations_child.zeros(SimpleNamespace(name="x", type="tensor(int64)", shape=["batch", 3]), {"batch": 2})
    assert ((2, 3), "int64") == (made.shape, made.dtype)
