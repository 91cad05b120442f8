"""harness.build.stated: what a file says of its own arithmetic, by files that onnxruntime's own tools wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from harness.build.stated import stated

ELEMENTS = 8 * 3 * 3 * 3 + 8 * 64


def network(dtype: str = "float32") -> onnx.ModelProto:
    """A convolution of 216 weights and a product with 512."""
    rng = np.random.default_rng(0)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    held = [
        numpy_helper.from_array(rng.standard_normal(shape).astype(dtype), name)
        for name, shape in (("W", (8, 3, 3, 3)), ("B", (8,)), ("M", (8, 64)))
    ]
    nodes = [
        helper.make_node("Conv", ["x", "W", "B"], ["c"], name="conv"),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "M"], ["y"], name="product"),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", kind, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("y", kind, [1, 64])],
        held,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.mark.parametrize(("dtype", "kind"), [("float32", "float"), ("float16", "float16"), ("float64", "double")])
def test_the_type_of_plain_weights(dtype: str, kind: str) -> None:
    """Of all weights; biases have one axis and do not count."""
    assert {"weights": {kind: ELEMENTS}, "packed": {}} == stated(network(dtype))


class Examples:
    """Three examples for calibration."""

    def __init__(self) -> None:
        self.left = 3

    def get_next(self) -> dict[str, Any] | None:
        """The next one."""
        self.left -= 1
        return {"x": np.ones((1, 3, 16, 16), np.float32)} if self.left >= 0 else None


def test_quantized_weights_are_integers(tmp_path: Path) -> None:
    """Behind DequantizeLinear where the activations are dequantized, and in the integer operators."""
    from onnxruntime.quantization import QuantFormat, quantize_dynamic, quantize_static

    source = tmp_path / "source.onnx"
    onnx.save(network(), source)
    for form in (QuantFormat.QDQ, QuantFormat.QOperator):
        target = tmp_path / f"{form.name}.onnx"
        quantize_static(source, target, Examples(), quant_format=form)
        assert {"int8": ELEMENTS} == stated(onnx.load(target))["weights"]
    quantize_dynamic(source, tmp_path / "dynamic.onnx")
    assert {"int8": ELEMENTS} == stated(onnx.load(tmp_path / "dynamic.onnx"))["weights"]


def test_weights_that_are_only_stored_small_are_what_they_become() -> None:
    """Dequantized weights beside float activations are floats by the time they are multiplied; so are cast ones."""
    model = network()
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.ones((8, 64), np.int8), "q"))
    graph.initializer.append(numpy_helper.from_array(np.array(0.1, np.float32), "scale"))
    graph.initializer.append(numpy_helper.from_array(np.ones((8, 3, 3, 3), np.float16), "h"))
    graph.node.insert(0, helper.make_node("DequantizeLinear", ["q", "scale"], ["M2"]))
    graph.node.insert(0, helper.make_node("Cast", ["h"], ["W2"], to=TensorProto.FLOAT))
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = {"M": "M2", "W": "W2"}.get(name, name)
    assert {"float": ELEMENTS} == stated(model)["weights"]


@pytest.mark.parametrize(("bits", "level", "kind"), [(4, None, "int4"), (8, 4, "int8 weights")])
def test_packed_weights_have_their_bits_and_level(bits: int, level: int | None, kind: str) -> None:
    """As MatMulNBits' attributes say; no level is level 0."""
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    quantizer = MatMulNBitsQuantizer(network(), bits=bits, block_size=32, is_symmetric=True, accuracy_level=level)
    quantizer.process()
    found = stated(quantizer.model.model)
    assert {"float": 216, kind: 512} == found["weights"]
    assert [[bits, level or 0]] == list(found["packed"].values())
