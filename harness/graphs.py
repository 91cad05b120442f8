"""Reading, writing and walking ONNX files, for the build child."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import onnx

DATA_FILE = "model.onnx.data"
LARGEST_SINGLE_FILE = 1_900_000_000
"""protobuf cannot hold 2 GiB; larger models keep their weights beside them."""


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write a model as one file, or with one data file beside it where a single file cannot hold it."""
    import onnx

    weights = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    if weights < LARGEST_SINGLE_FILE:
        onnx.save(model, path)
    else:
        onnx.save(model, path, save_as_external_data=True, location=DATA_FILE)


def load(path: Path) -> onnx.ModelProto:
    """Read a model with its external data."""
    import onnx

    return onnx.load(path)


def copied(message: Any) -> Any:
    """A copy of a model or a part of one, which lives on when the list that held it is emptied."""
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and every subgraph below it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for subgraph in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                yield from graphs(subgraph)


def operators(model: onnx.ModelProto) -> dict[str, int]:
    """Nodes by operator, subgraphs and functions included; the domain stands before it outside the default one."""
    counts: dict[str, int] = {}
    bodies = [graph.node for graph in graphs(model.graph)] + [function.node for function in model.functions]
    for nodes in bodies:
        for node in nodes:
            name = f"{node.domain}:{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type
            counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def name_nodes_uniquely(model: onnx.ModelProto) -> int:
    """Give every node a name of its own, because converters copy names and onnxruntime refuses twins.

    Names that are already unique stay. Returns how many were changed.
    """
    taken: set[str] = set()
    changed = 0
    for graph in graphs(model.graph):
        for node in graph.node:
            wanted = node.name or node.op_type
            name, number = wanted, 1
            while name in taken:
                name, number = f"{wanted}_{number}", number + 1
            taken.add(name)
            changed += name != node.name
            node.name = name
    return changed


def opset(model: onnx.ModelProto) -> int:
    """The version of the default operator set."""
    return next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 1)
