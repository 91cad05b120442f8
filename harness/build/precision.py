"""Which arithmetic a file holds: what a variant may claim that takes the file as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import graphs

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

WEIGHTED = (
    "Conv", "ConvTranspose", "MatMul", "Gemm", "FusedConv", "FusedMatMul", "FusedGemm", "Attention",
    "MultiHeadAttention", "LSTM", "GRU", "RNN", "Gather", "GatherND", "Einsum",
)  # fmt: skip
"""Operators whose weights make up a network."""

INTEGER = (
    "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul",
    "DynamicQuantizeLSTM", "QAttention", "QGemm", "QOrderedMatMul", "QEmbedLayerNormalization",
    "GatherBlockQuantized",
)  # fmt: skip
"""Operators that take integers, or make their inputs integers themselves."""

QUANTIZING = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")
BLOCKS = "MatMulNBits"

NAMES = {"FLOAT": "float32", "FLOAT16": "float16", "BFLOAT16": "bfloat16", "DOUBLE": "float64"}


def of(model: onnx.ModelProto) -> str:
    """The precision that a file's own arithmetic has: float32, float16, bfloat16, float64, int8 or int4.

    It is integer where most of the nodes that hold weights are fed by DequantizeLinear or are integer operators;
    else the type of most of the weights, else of the first floating input, else float32.
    """
    narrow, wide, bits = _integer_nodes(model)
    if narrow and narrow >= wide:
        return f"int{bits}"
    return weights(model) or _inputs(model) or "float32"


def quantized(model: onnx.ModelProto) -> bool:
    """Whether there is any integer arithmetic, as a quantizer writes it."""
    return any(node.op_type in (*INTEGER, *QUANTIZING) for node in _nodes(model))


def weights(model: onnx.ModelProto) -> str:
    """The type of most of the floating-point weights; empty where there are none."""
    import onnx

    sizes: dict[str, int] = {}
    scales = {name for node in _nodes(model) if node.op_type in (*QUANTIZING, *INTEGER) for name in node.input[1:]}
    for graph in graphs.graphs(model.graph):
        for one in graph.initializer:
            name = NAMES.get(onnx.TensorProto.DataType.Name(one.data_type))
            if name and one.name not in scales:
                sizes[name] = sizes.get(name, 0) + _elements(one)
    return max(sizes, key=lambda name: sizes[name]) if sizes else ""


def narrow_elements(model: onnx.ModelProto) -> int:
    """How many elements the weights of 8 or fewer bits have."""
    from onnx import TensorProto

    kinds = {TensorProto.INT8, TensorProto.UINT8, TensorProto.INT4, TensorProto.UINT4}
    return sum(
        _elements(one) for graph in graphs.graphs(model.graph) for one in graph.initializer if one.data_type in kinds
    )


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    for graph in graphs.graphs(model.graph):
        yield from graph.node


def _integer_nodes(model: onnx.ModelProto) -> tuple[int, int, int]:
    """Nodes with weights in integers, those in floats, and the bits of the integers."""
    restored = {name for node in _nodes(model) if node.op_type == "DequantizeLinear" for name in node.output}
    narrow = wide = 0
    bits = 8
    for node in _nodes(model):
        if node.op_type == BLOCKS:
            narrow += 1
            bits = next((int(one.i) for one in node.attribute if one.name == "bits"), 4)
        elif node.op_type in INTEGER or (node.op_type in WEIGHTED and any(name in restored for name in node.input)):
            narrow += 1
        elif node.op_type in WEIGHTED:
            wide += 1
    return narrow, wide, bits


def _inputs(model: onnx.ModelProto) -> str:
    """The type of the first floating-point input; empty where there is none."""
    import onnx

    kinds = (onnx.TensorProto.DataType.Name(one.type.tensor_type.elem_type) for one in model.graph.input)
    return next((NAMES[kind] for kind in kinds if kind in NAMES), "")


def _elements(tensor: onnx.TensorProto) -> int:
    count = 1
    for size in tensor.dims:
        count *= size
    return count
