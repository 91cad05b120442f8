"""A float32 graph to bfloat16, which onnxruntime has no converter for.

Every float32 tensor becomes bfloat16, but for the graph's own inputs and outputs when they are to keep their type. A
node computes in bfloat16 where its operator's schema allows that, and in float32 between Casts where it does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness import graphs
from harness.errors import BuildError

if TYPE_CHECKING:
    import onnx

OPSET = 22
"""The first version of the default operators whose Conv and pooling take bfloat16."""

ALWAYS_FLOAT32 = ("Resize", "Range", "NonMaxSuppression", "QuantizeLinear", "DequantizeLinear", "If", "Loop", "Scan")
"""Operators that stay in float32: those with mixed input types, and those with subgraphs of their own."""


def to_bfloat16(model: onnx.ModelProto, *, keep_io: bool, block: tuple[str, ...] = ()) -> onnx.ModelProto:
    """The converted model, at opset 22.

    Args:
        model: a float32 graph with unique node names, of default operators only where they are to be converted.
        keep_io: leave the graph's inputs and outputs in float32.
        block: operators that stay in float32.

    Raises:
        BuildError: a tensor's type cannot be inferred, or a constant is written in a form that has no type.
    """
    import onnx
    from onnx import TensorProto

    if graphs.opset(model) < OPSET:
        model = onnx.version_converter.convert_version(model, OPSET)
    model = onnx.shape_inference.infer_shapes(model)
    nodes = _Converter(model, keep_io=keep_io, block=block).nodes()
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    for one in model.graph.initializer:
        if one.data_type == TensorProto.FLOAT:
            one.CopyFrom(_tensor(one))
    del model.graph.value_info[:]  # they tell the old types, and nobody needs them
    if not keep_io:
        for value in [*model.graph.input, *model.graph.output]:
            if value.type.tensor_type.elem_type == TensorProto.FLOAT:
                value.type.tensor_type.elem_type = TensorProto.BFLOAT16
    return model


class _Converter:
    """Rewrites the nodes of one graph in order. `renamed` maps a float32 border tensor to its bfloat16 twin."""

    def __init__(self, model: onnx.ModelProto, *, keep_io: bool, block: tuple[str, ...]) -> None:
        self._graph, self._block = model.graph, block
        self._floats = _float_tensors(model)
        self._kept = {one.name for one in model.graph.output} & self._floats if keep_io else set()
        held = {one.name for one in model.graph.initializer}
        inputs = {one.name for one in model.graph.input} - held
        self._borders = sorted(inputs & self._floats) if keep_io else []
        self._renamed: dict[str, str] = {}
        self._nodes: list[onnx.NodeProto] = []

    def nodes(self) -> list[onnx.NodeProto]:
        """All nodes of the converted graph, in topological order."""
        from onnx import TensorProto

        for name in self._borders:
            self._renamed[name] = self._cast(name, f"{name}/bfloat16", TensorProto.BFLOAT16)
        for node in self._graph.node:
            node.input[:] = [self._renamed.get(name, name) for name in node.input]
            if node.op_type in self._block or not _takes_bfloat16(node):
                self._wide(node)
            else:
                self._narrow(node)
        return self._nodes

    def _wide(self, node: onnx.NodeProto) -> None:
        """A node that stays in float32: Casts before and after it."""
        from onnx import TensorProto

        twins = set(self._renamed.values())
        for place, name in enumerate(node.input):
            if name in self._floats or name in twins:
                node.input[place] = self._cast(name, f"{name}/float32/{node.name}/{place}", TensorProto.FLOAT)
        after: list[tuple[str, str]] = []
        for place, name in enumerate(node.output):
            if name in self._kept:
                self._renamed[name] = f"{name}/bfloat16"
                after.append((name, f"{name}/bfloat16"))
            elif name in self._floats:
                node.output[place] = f"{name}/wide"
                after.append((f"{name}/wide", name))
        self._nodes.append(node)
        for name, result in after:
            self._cast(name, result, TensorProto.BFLOAT16)

    def _narrow(self, node: onnx.NodeProto) -> None:
        """A node that computes in bfloat16: a Cast only where it writes an output that keeps its type."""
        from onnx import TensorProto

        _convert_attributes(node)
        after: list[tuple[str, str]] = []
        for place, name in enumerate(node.output):
            if name in self._kept:
                node.output[place] = self._renamed[name] = f"{name}/bfloat16"
                after.append((f"{name}/bfloat16", name))
        self._nodes.append(node)
        for name, result in after:
            self._cast(name, result, TensorProto.FLOAT)

    def _cast(self, name: str, result: str, to: int) -> str:
        from onnx import helper

        self._nodes.append(helper.make_node("Cast", [name], [result], f"cast/{result}", to=to))
        return result


def _float_tensors(model: onnx.ModelProto) -> set[str]:
    """The names of all float32 tensors of the main graph.

    Raises:
        BuildError: shape inference does not know the type of every tensor.
    """
    import onnx

    known = {
        one.name: one.type.tensor_type.elem_type
        for one in [*model.graph.input, *model.graph.output, *model.graph.value_info]
        if one.type.HasField("tensor_type")
    }
    known |= {one.name: one.data_type for one in model.graph.initializer}
    unknown = [name for node in model.graph.node for name in node.output if name and name not in known]
    if unknown:
        raise BuildError(
            f"the type of the tensor `{unknown[0]}` cannot be inferred; fuse at level basic before the cast."
        )
    return {name for name, kind in known.items() if kind == onnx.TensorProto.FLOAT}


def _takes_bfloat16(node: onnx.NodeProto) -> bool:
    """Whether the operator's schema takes bfloat16 wherever it takes float32."""
    import onnx

    if node.domain not in ("", "ai.onnx") or node.op_type in ALWAYS_FLOAT32:
        return False
    schema = onnx.defs.get_schema(node.op_type, OPSET)
    allowed = [set(one.allowed_type_strs) for one in schema.type_constraints]
    return all("tensor(bfloat16)" in types for types in allowed if "tensor(float)" in types)


def _convert_attributes(node: onnx.NodeProto) -> None:
    """Constants and types that a node carries itself."""
    from onnx import AttributeProto, TensorProto

    if node.op_type == "ConstantOfShape" and not node.attribute:
        from onnx import helper

        node.attribute.append(
            helper.make_attribute("value", helper.make_tensor("value", TensorProto.BFLOAT16, [1], [0.0]))
        )
    for attribute in node.attribute:
        if attribute.type == AttributeProto.TENSOR and attribute.t.data_type == TensorProto.FLOAT:
            attribute.t.CopyFrom(_tensor(attribute.t))
        elif attribute.name == "to" and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.BFLOAT16
        elif attribute.name in ("value_float", "value_floats"):
            raise BuildError(
                f"the constant {node.name} is written as a plain number; fuse at level basic before the cast."
            )


def _tensor(tensor: onnx.TensorProto) -> Any:
    """A float32 tensor rounded to the nearest bfloat16."""
    import ml_dtypes
    from onnx import numpy_helper

    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(ml_dtypes.bfloat16), tensor.name)
