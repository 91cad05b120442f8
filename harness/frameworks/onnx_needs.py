"""What a graph needs of its inputs' values: indices inside a table, axes, shapes, counts, positive scales.

Random numbers of the right type and shape are not yet a feed that a model can run. Every input is followed to the
operators that read it, and what they need is put down as a `ValueNeed`, a guess that is reported to the person.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.frameworks.onnx_rules import RULES, Shape, Use, elements
from harness.records import ValueNeed

SEES_THROUGH = {
    "Cast": 0, "Identity": 0, "Reshape": 0, "Unsqueeze": 0, "Squeeze": 0, "Flatten": 0, "Transpose": 0, "Expand": 0,
    "Slice": 0, "Clip": 0,
}  # fmt: skip
"""Operators that hand on the values of an input as they are; the next ones are asked as well."""

DEPTH = 4
"""So many of them are followed."""


def needs(model: Any) -> dict[str, ValueNeed]:
    """Input name -> what its values must be, for those of which something is known.

    Args:
        model: the ModelProto, with or without its external data.
    """
    model = _inlined(model)
    held = {one.name for one in model.graph.initializer}
    shapes = _shapes(model)
    inputs = [one.name for one in model.graph.input if one.name not in held]
    readers: dict[str, list[tuple[Any, int]]] = {}
    for node in _nodes(model.graph):
        for place, name in enumerate(node.input):
            readers.setdefault(name, []).append((node, place))
    found: dict[str, ValueNeed] = {}
    for name in inputs:
        size = elements(shapes.get(name))
        for node, place in _uses(name, readers, DEPTH):
            need = _need(Use(node=node, place=place, shapes=shapes, size=size))
            if need is not None and need != ValueNeed(why=need.why):
                found[name] = _tighter(found.get(name), need)
    return found


def _inlined(model: Any) -> Any:
    """The model with the bodies of its own functions in place of their calls; as it is where that fails."""
    import onnx.inliner

    if not model.functions:
        return model
    try:
        return onnx.inliner.inline_local_functions(model)
    except Exception:  # noqa: BLE001 # whatever is wrong with them, onnxruntime is the judge
        return model


def _shapes(model: Any) -> dict[str, Shape]:
    """The shapes of initializers, inputs, outputs and, where they can be inferred, of everything between."""
    import onnx

    try:
        inferred = onnx.shape_inference.infer_shapes(model)
    except Exception:  # noqa: BLE001 # an inference that fails knows nothing; the graph may run all the same
        inferred = model
    shapes: dict[str, Shape] = {}
    for graph in (inferred.graph, model.graph):
        for one in (*graph.value_info, *graph.output, *graph.input):
            if one.type.WhichOneof("value") == "tensor_type" and one.type.tensor_type.HasField("shape"):
                shapes[one.name] = tuple(
                    axis.dim_value if axis.HasField("dim_value") and axis.dim_value >= 0 else None
                    for axis in one.type.tensor_type.shape.dim
                )
        shapes |= {one.name: tuple(one.dims) for one in graph.initializer}
    return shapes


def _nodes(graph: Any) -> Iterator[Any]:
    """Every node, those of subgraphs included."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for body in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                yield from _nodes(body)


def _uses(name: str, readers: dict[str, list[tuple[Any, int]]], depth: int) -> Iterator[tuple[Any, int]]:
    """The nodes that read a value, directly or handed on."""
    for node, place in readers.get(name, ()):
        yield node, place
        if depth and SEES_THROUGH.get(node.op_type) == place:
            yield from _uses(node.output[0], readers, depth - 1)


def _tighter(first: ValueNeed | None, second: ValueNeed) -> ValueNeed:
    """Both needs at once, as far as ranges can say it; exact values stand."""
    if first is None or first.values:
        return first or second
    if second.values or first.low is None or second.low is None or first.high is None or second.high is None:
        return second if second.values else first
    low, high = max(first.low, second.low), min(first.high, second.high)
    return ValueNeed(low=low, high=high, why=first.why) if low < high else first


def _need(use: Use) -> ValueNeed | None:
    """What one operator needs at one place."""
    rule = RULES.get((use.node.op_type, use.place)) or RULES.get((use.node.op_type, -1))
    return rule(use) if rule else None
