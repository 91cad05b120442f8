"""What operators take and give: their schemas, contributed ones included, and the type of every tensor of a model."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import onnx

DEFAULT = ("", "ai.onnx")
VARIADIC = 2
"""The option of a formal parameter that stands for any number of tensors; the same number in onnx and onnxruntime."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Formal:
    """A formal input or output.

    Attributes:
        variable: the type variable, such as `T`; parameters with the same one have the same type. A type where the
            operator takes no other.
        types: the types allowed, such as `tensor(float)`.
    """

    variable: str
    types: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The parameters of one version of an operator."""

    inputs: tuple[Formal, ...]
    outputs: tuple[Formal, ...]
    open_inputs: bool
    open_outputs: bool

    def input(self, place: int) -> Formal | None:
        """The formal parameter of an input; None where the operator has no such input."""
        return _at(self.inputs, place, more=self.open_inputs)

    def output(self, place: int) -> Formal | None:
        """The formal parameter of an output; None where the operator has no such output."""
        return _at(self.outputs, place, more=self.open_outputs)


def _at(formals: Sequence[Formal], place: int, *, more: bool) -> Formal | None:
    if place < len(formals):
        return formals[place]
    return formals[-1] if formals and more else None


def opsets(model: onnx.ModelProto) -> dict[str, int]:
    """Domain -> version, the default domain under its short name."""
    return {"" if one.domain in DEFAULT else one.domain: one.version for one in model.opset_import}


def find(node: onnx.NodeProto, versions: Mapping[str, int]) -> Schema | None:
    """The schema of a node's operator at the versions that its model imports; None for unknown operators."""
    domain = "" if node.domain in DEFAULT else node.domain
    return _find(domain, node.op_type, versions.get(domain, 1))


@functools.cache
def _find(domain: str, name: str, version: int) -> Schema | None:
    import onnx

    known = [one for one in _contributed().get((domain, name), ()) if one.since_version <= version]
    if known:
        newest = max(known, key=lambda one: int(one.since_version))
        return _schema(newest.inputs, newest.outputs, lambda one: str(one.typeStr))
    try:
        found = onnx.defs.get_schema(name, version, domain)
    except onnx.defs.SchemaError:
        # onnxruntime takes operators below the opset that they came with, such as LayerNormalization.
        later = [one for one in onnx.defs.get_all_schemas_with_history() if (one.domain, one.name) == (domain, name)]
        if not later:
            return None
        found = min(later, key=lambda one: int(one.since_version))
    return _schema(found.inputs, found.outputs, lambda one: str(one.type_str))


@functools.cache
def _contributed() -> dict[tuple[str, str], list[Any]]:
    """The schemas of onnxruntime's own operators, every version; none where its build does not tell them."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    found: dict[tuple[str, str], list[Any]] = {}
    for one in getattr(state, "get_all_operator_schema", list)():
        if one.domain not in DEFAULT:
            found.setdefault((one.domain, one.name), []).append(one)
    return found


def _schema(inputs: Sequence[Any], outputs: Sequence[Any], variable: Callable[[Any], str]) -> Schema:
    def formals(side: Sequence[Any]) -> tuple[Formal, ...]:
        return tuple(Formal(variable=variable(one), types=frozenset(one.types)) for one in side)

    def more(side: Sequence[Any]) -> bool:
        return bool(side) and int(side[-1].option.value) == VARIADIC

    return Schema(
        inputs=formals(inputs), outputs=formals(outputs), open_inputs=more(inputs), open_outputs=more(outputs)
    )


def spelled(kind: int) -> str:
    """An element type of onnx as schemas spell it: `tensor(float)`."""
    import onnx

    return f"tensor({onnx.TensorProto.DataType.Name(kind).lower()})"


Types = dict[str, int]
"""Tensor -> element type; 0 for what is not a tensor, such as a sequence."""


class TypeFinder:
    """Finds the types of all tensors of a model's graphs, contributed operators and bodies included.

    onnx's shape inference goes first; where it knows nothing, a schema says that an output has the type of an input.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._versions = opsets(model)

    def of(self, graph: onnx.GraphProto, around: Types, inputs: Sequence[int] = ()) -> Types:
        """The types of a graph's own tensors and of those around it.

        Args:
            graph: its nodes must be in topological order.
            around: the types of the graph that it is a body of.
            inputs: types of its inputs, for those that state none.
        """
        types = dict(around)
        for place, one in enumerate(graph.input):
            stated = one.type.tensor_type.elem_type
            types[one.name] = stated or (inputs[place] if place < len(inputs) else 0)
        for one in [*graph.value_info, *graph.output]:
            if one.type.tensor_type.elem_type:
                types.setdefault(one.name, one.type.tensor_type.elem_type)
        types |= {one.name: one.data_type for one in graph.initializer}
        for node in graph.node:
            given = self._outputs(node, types)
            for place, name in enumerate(node.output):
                if name and not types.get(name):
                    types[name] = given(place)
        return types

    def body_inputs(self, node: onnx.NodeProto, types: Types) -> list[int]:
        """The types that a node gives to the inputs of its body."""
        import onnx

        given = [types.get(name, 0) for name in node.input]
        return [onnx.TensorProto.INT64, onnx.TensorProto.BOOL, *given[2:]] if node.op_type == "Loop" else given

    def _outputs(self, node: onnx.NodeProto, types: Types) -> Callable[[int], int]:
        import onnx

        attributes = {one.name: one for one in node.attribute}
        for name, skipped in (("then_branch", 0), ("body", int(node.op_type == "Loop"))):
            if name in attributes and attributes[name].HasField("g"):
                body = attributes[name].g
                inner = self.of(body, types, self.body_inputs(node, types))
                ends = [inner.get(one.name, 0) for one in body.output][skipped:]
                return lambda place: ends[place] if place < len(ends) else 0
        if node.op_type == "Cast":
            return lambda _: int(attributes["to"].i) if "to" in attributes else 0
        if "dtype" in attributes:
            return lambda _: int(attributes["dtype"].i)
        if node.op_type in ("Constant", "ConstantOfShape") and "value" in attributes:
            return lambda _: int(attributes["value"].t.data_type)
        if node.op_type in ("ConstantOfShape", "RandomNormal", "RandomUniform"):
            return lambda _: int(onnx.TensorProto.FLOAT)
        return lambda place: self._by_schema(node, types, place)

    def _by_schema(self, node: onnx.NodeProto, types: Types, place: int) -> int:
        schema = find(node, self._versions)
        formal = schema.output(place) if schema else None
        if schema is None or formal is None:
            return 0
        for at, name in enumerate(node.input):
            taken = schema.input(at)
            if name and taken is not None and taken.variable == formal.variable and types.get(name):
                return types[name]
        return _kinds().get(next(iter(formal.types)), 0) if len(formal.types) == 1 else 0


@functools.cache
def _kinds() -> dict[str, int]:
    import onnx

    return {spelled(kind): kind for kind in onnx.TensorProto.DataType.values() if kind}
