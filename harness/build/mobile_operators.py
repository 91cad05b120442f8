"""What XNNPACK and QNN take of a graph, by the operators that onnxruntime's own sources list for them.

Onnxruntime's usability checker has lists for CoreML and NNAPI alone. These two are read off its sources, at the commits
that `SOURCES` names: facts about which operators a provider registers. The checker counts nodes and partitions by
them as it does by its own lists. What a device or the provider's library refuses on top (types, sizes) is not in
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

XNNPACK: Final = "XnnpackExecutionProvider"
QNN: Final = "QNNExecutionProvider"

SOURCES: Final[Mapping[str, str]] = {
    XNNPACK: "the operators in onnxruntime's sources (xnnpack/detail/node_support_checker.cc at 6479e4bc8444)",
    QNN: "the operators in onnxruntime's sources (qnn/builder/op_builder_factory.cc at 00cd7c6df0a6)",
}
"""Provider -> where its list was read."""

OF_XNNPACK: Final = frozenset(
    ["AveragePool", "Conv", "ConvTranspose", "Gemm", "MatMul", "MaxPool", "QLinearConv", "Resize", "Softmax"]
)
ACTIVATIONS: Final = frozenset({"Clip", "Relu"})
"""What XNNPACK takes only behind an operator of `ACTIVATED`, into which it is fused."""

ACTIVATED: Final = frozenset({"AveragePool", "Conv", "MaxPool"})
CONSTANT_WEIGHTS: Final = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
IMAGES: Final = frozenset({"Conv", "ConvTranspose"})
"""Of two dimensions: their weights have `IMAGE_RANK` axes."""

IMAGE_RANK: Final = 4
SOFTMAX_OF_ONE_AXIS: Final = 13
"""The opset from which Softmax has one axis, which then has to be the last one."""

OF_QNN: Final = frozenset(
    [
        "Abs",
        "Add",
        "And",
        "ArgMax",
        "ArgMin",
        "Asin",
        "Atan",
        "AveragePool",
        "BatchNormalization",
        "Cast",
        "Ceil",
        "Clip",
        "Concat",
        "Conv",
        "ConvTranspose",
        "Cos",
        "CumSum",
        "DepthToSpace",
        "DequantizeLinear",
        "Div",
        "Einsum",
        "Elu",
        "Equal",
        "Exp",
        "Expand",
        "Flatten",
        "Floor",
        "Gather",
        "GatherElements",
        "GatherND",
        "Gelu",
        "Gemm",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "Greater",
        "GreaterOrEqual",
        "GridSample",
        "HardSigmoid",
        "HardSwish",
        "InstanceNormalization",
        "LRN",
        "LSTM",
        "LayerNormalization",
        "LeakyRelu",
        "Less",
        "LessOrEqual",
        "Log",
        "LogSoftmax",
        "LpNormalization",
        "MatMul",
        "Max",
        "MaxPool",
        "Mean",
        "Min",
        "Mod",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "PRelu",
        "Pad",
        "Pow",
        "QuantizeLinear",
        "RMSNormalization",
        "RandomUniformLike",
        "Reciprocal",
        "ReduceL2",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "Relu",
        "Reshape",
        "Resize",
        "Round",
        "STFT",
        "ScatterElements",
        "ScatterND",
        "Sigmoid",
        "Sign",
        "Sin",
        "Slice",
        "Softmax",
        "SpaceToDepth",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Sum",
        "Tanh",
        "ThresholdedRelu",
        "Tile",
        "TopK",
        "Transpose",
        "Unsqueeze",
        "Upsample",
        "Where",
    ]
)
MICROSOFTS_OF_QNN: Final = frozenset({"DequantizeLinear", "FusedMatMul", "Gelu", "Inverse", "QuantizeLinear"})
"""Those that QNN takes of the domain `com.microsoft`."""

CONVERSIONS: Final = frozenset({"DequantizeLinear", "QuantizeLinear"})


class OperatorList:
    """What onnxruntime's checker asks of a provider's list, of one graph."""

    def __init__(self, provider: str, model: Any) -> None:
        """Read what the conditions need.

        Args:
            provider: `XNNPACK` or `QNN`.
            model: the ONNX model, whose shapes are inferred.
        """
        graph = model.graph
        self._provider = provider
        self._weights = {one.name: len(one.dims) for one in graph.initializer}
        self._opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 0)
        self._made_by = {name: node for node in graph.node for name in node.output}
        values = (*graph.input, *graph.value_info, *graph.output)
        self._ranks = {one.name: len(one.type.tensor_type.shape.dim) for one in values}
        self._readers: dict[str, list[Any]] = {}
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)

    def is_op_supported(self, node: Any) -> bool:
        """Whether the provider would take a node."""
        if self._provider == QNN:
            own = node.domain in ("", "ai.onnx") and node.op_type in OF_QNN
            return own or (node.domain == "com.microsoft" and node.op_type in MICROSOFTS_OF_QNN)
        return node.domain in ("", "ai.onnx") and self._of_xnnpack(node)

    def get_caveats(self) -> list[str]:
        """None beyond what `is_op_supported` looks at."""
        return []

    def _of_xnnpack(self, node: Any) -> bool:
        if node.op_type in ACTIVATIONS:
            before = self._made_by.get(node.input[0])
            return before is not None and before.op_type in ACTIVATED and self._computes(before)
        if node.op_type in CONVERSIONS:  # a part of the operator that they stand around
            around = self._readers.get(node.output[0], [])
            around = around if node.op_type == "DequantizeLinear" else [self._made_by.get(node.input[0])]
            return bool(around) and all(one is not None and self._computes(one) for one in around)
        return self._computes(node)

    def _computes(self, node: Any) -> bool:
        if node.op_type not in OF_XNNPACK:
            return False
        if node.op_type in CONSTANT_WEIGHTS:
            rank = self._rank(node.input[1])
            return rank is not None and (rank == IMAGE_RANK if node.op_type in IMAGES else rank == 2)  # noqa: PLR2004
        if node.op_type == "Resize":
            return self._text(node, "mode") == "linear"
        if node.op_type == "Softmax" and self._opset >= SOFTMAX_OF_ONE_AXIS:
            axis = next((one.i for one in node.attribute if one.name == "axis"), -1)
            return axis in (-1, self._ranks.get(node.input[0], 0) - 1)
        return True

    def _rank(self, name: str) -> int | None:
        """Axes of a constant, as it is or dequantized; None where it is none."""
        made = self._made_by.get(name)
        if made is not None and made.op_type == "DequantizeLinear":
            name = made.input[0]
        return self._weights.get(name)

    @staticmethod
    def _text(node: Any, name: str) -> str:
        return next((one.s.decode("utf-8", "replace") for one in node.attribute if one.name == name), "nearest")
