"""What an ONNX file says of its own arithmetic: the types that its weights are computed with, and packed weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from harness import graphs

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx

    from harness.records import Json

PACKED = "MatMulNBits"
KINDS = {"FLOAT": "float", "DOUBLE": "double"}
"""ONNX's names of element types that ONNX Runtime spells otherwise than in small letters."""

COMPUTE = (
    "Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "Gemm", "QGemm", "MatMul", "FusedMatMul", "MatMulInteger",
    "MatMulIntegerToFloat", "QLinearMatMul", "DynamicQuantizeMatMul", "LSTM", "GRU", "RNN", "DynamicQuantizeLSTM",
    "Attention", "QAttention",
)  # fmt: skip
"""Operators with weights, by which a file is known for float16 or int8."""

LAYOUT = ("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Identity")
"""What may stand between weights and the operator without a change of type."""


def stated(model: onnx.ModelProto) -> dict[str, Json]:
    """What the file says; needs no external data.

    Returns:
        `weights`: element type as ONNX Runtime spells it -> how many elements of weights are computed with in
        it. Weights that are dequantized count as integers where the activations are dequantized, too, and as what they
        become where those are floats. `packed`: name of each MatMulNBits -> its bits and its accuracy level.
    """
    weights: dict[str, int] = {}
    packed: dict[str, Json] = {}
    held: dict[str, Any] = {}
    makers: dict[str, Any] = {}
    for graph in graphs.graphs(model.graph):
        held |= {one.name: one for one in graph.initializer}
        makers |= {name: node for node in graph.node for name in node.output}
    for graph in graphs.graphs(model.graph):
        for node in graph.node:
            if node.op_type == PACKED:
                options = {one.name: one.i for one in node.attribute}
                bits = options.get("bits", 4)
                packed[node.name] = [bits, options.get("accuracy_level", 0)]
                kind = "int8 weights" if bits == 8 else f"int{bits}"  # noqa: PLR2004
                weights[kind] = weights.get(kind, 0) + options.get("K", 0) * options.get("N", 0)
            elif node.op_type in COMPUTE:
                for kind, elements in _operands(node, held, makers):
                    weights[kind] = weights.get(kind, 0) + elements
    return {"weights": dict(sorted(weights.items())), "packed": packed}


def _operands(node: onnx.NodeProto, held: Mapping[str, Any], makers: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Type and size of every constant operand with two axes or more."""
    found = []
    activation = makers.get(node.input[0]) if node.input else None
    integer = activation is not None and activation.op_type == "DequantizeLinear"
    for name in node.input[1:]:
        known = _constant(name, held, makers, integer=integer)
        if known is not None and len(known[1]) > 1:
            found.append((known[0], math.prod(known[1])))
    return found


def _constant(
    name: str, held: Mapping[str, Any], makers: Mapping[str, Any], *, integer: bool
) -> tuple[str, list[int]] | None:
    """Type and shape of a value that comes from the file alone; None where it does not."""
    node = makers.get(name)
    tensor = held.get(name) or next((one.t for one in getattr(node, "attribute", ()) if one.name == "value"), None)
    if tensor is not None:
        return _kind(tensor.data_type), list(tensor.dims)
    if node is None or node.op_type not in (*LAYOUT, "DequantizeLinear", "Cast"):
        return None
    before = _constant(node.input[0], held, makers, integer=integer)
    if before is None or node.op_type in LAYOUT or (node.op_type == "DequantizeLinear" and integer):
        return before
    if node.op_type == "Cast":
        return _kind(next((one.i for one in node.attribute if one.name == "to"), 0)), before[1]
    scale = _constant(node.input[1], held, makers, integer=integer)
    return before if scale is None else (scale[0], before[1])


def _kind(number: int) -> str:
    """An element type as ONNX Runtime spells it."""
    import onnx

    name = str(onnx.TensorProto.DataType.Name(number))
    return KINDS.get(name, name.lower())
