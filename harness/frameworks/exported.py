"""What exporters leave behind, in the words of the zoo: inputs, outputs and axes by their names, operator sets once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from harness.errors import BuildError

if TYPE_CHECKING:
    from harness.records import ModelSpec


def tidied(content: Any, model: ModelSpec, outputs: Sequence[str]) -> Any:
    """An exported model whose inputs and outputs, in their order, are called as the zoo and the framework call them.

    Args:
        content: an ONNX model, which is changed. Outputs beyond those that are named are left out.
        model: the zoo entry; its axes give the inputs' axes their names.
        outputs: what the outputs are called.

    Raises:
        BuildError: it has other inputs than the zoo says, or fewer outputs than the framework gave.
    """
    graph = content.graph
    held = {one.name for one in graph.initializer}
    inputs = [one for one in graph.input if one.name not in held]
    if len(inputs) != len(model.inputs):
        raise BuildError(
            f"export: the exported model has {len(inputs)} inputs ({', '.join(one.name for one in inputs)}) and the "
            f"zoo says {len(model.inputs)}; an input that has no effect on the outputs may have been left out."
        )
    if len(graph.output) < len(outputs):
        raise BuildError(f"export: the exported model has {len(graph.output)} outputs, the framework's {len(outputs)}.")
    _set_opsets_once(content)
    del graph.output[len(outputs) :]
    wanted = [*(spec.name for spec in model.inputs), *outputs]
    _rename(graph, {one.name: name for one, name in zip((*inputs, *graph.output), wanted, strict=True)})
    for one, spec in zip(inputs, model.inputs, strict=True):
        for place, axis in enumerate(spec.shape):
            if isinstance(axis, str) and place < len(one.type.tensor_type.shape.dim):
                one.type.tensor_type.shape.dim[place].dim_param = axis
    first = model.inputs[0].shape[0] if model.inputs and model.inputs[0].shape else None
    for one in graph.output:
        dims = one.type.tensor_type.shape.dim
        if isinstance(first, str) and dims and not dims[0].HasField("dim_value"):
            dims[0].dim_param = first
    return content


def _set_opsets_once(content: Any) -> None:
    versions: dict[str, int] = {}
    for one in content.opset_import:
        versions[one.domain] = max(one.version, versions.get(one.domain, 0))
    del content.opset_import[:]
    for domain, version in versions.items():
        content.opset_import.add(domain=domain, version=version)


def _rename(graph: Any, names: dict[str, str]) -> None:
    """Give values other names, wherever they stand; what already has one of the new names gets out of the way."""
    names = {old: new for old, new in names.items() if old != new}
    names = {**{new: f"{new}_inside" for new in names.values() if new not in names}, **names}
    for one in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        one.name = names.get(one.name, one.name)
    for node in _nodes(graph):
        for held in (node.input, node.output):
            for place, name in enumerate(held):
                held[place] = names.get(name, name)


def _nodes(graph: Any) -> Iterator[Any]:
    """The nodes of a graph and of the graphs inside it, which see its values."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)
