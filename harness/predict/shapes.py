"""The nodes of a graph with the types and shapes of all that they read and make. Runs in the child alone.

The graph is the one that onnxruntime would run, as far as its level `extended` makes it; nothing is run. Shapes are
those that onnx's shape inference gives for standard operators and onnxruntime's own schemas for its own ones: every
tensor is made an output of a copy of the graph, and the session says what it is.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import onnx

LEVELS: Final = {"disabled": "ORT_DISABLE_ALL", "basic": "ORT_ENABLE_BASIC"}
"""The rest is `extended`: what lies beyond it changes the layout of tensors, and has no shapes of its own."""

KEPT: Final = ("group", "kernel_shape")
"""Attributes that decide how much a node computes, where shapes do not."""

TREES: Final = ("TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor")
TENSOR: Final = re.compile(r"^tensor\((\w+)\)$")


class NoShape(Exception):
    """The graph leaves a size open that nobody gave."""


def nodes(path: Path, work: Path, *, optimization: str, sizes: Mapping[str, int], batch: Mapping[str, Any]) -> Any:
    """The nodes that are run, in order.

    Args:
        path: the model.
        work: an empty folder.
        optimization: of the session.
        sizes: of named axes.
        batch: `size`, and `axes`: input -> its batch axis.

    Returns:
        One mapping per node: `name`, `op`, `domain`, `attributes`, `inputs` and `outputs`, each of these [type, shape,
        whether it is a weight, name]; the shape is None where nothing tells it.

    Raises:
        NoShape: an input's axis has no size, or another one than the batch.
    """
    import onnx
    import onnxruntime as ort

    model = onnx.load(str(path), load_external_data=False)
    fix(model, sizes, batch)
    for beside in path.parent.iterdir():  # external data is found beside the file
        if beside.is_file() and beside != path:
            shutil.copyfile(beside, work / beside.name)
    fixed, ran = (work / f"{name}.harness.onnx" for name in ("fixed", "ran"))
    onnx.save(model, str(fixed))
    level = "ORT_DISABLE_ALL" if optimization == "disabled" else LEVELS.get(optimization, "ORT_ENABLE_EXTENDED")
    _optimized(ort, fixed, ran, level)
    graph = onnx.load(str(ran), load_external_data=False)
    known, weights = _known(ort, graph, ran, "ORT_DISABLE_ALL")
    if any(known.get(name, ["", None])[1] is None for node in graph.graph.node for name in node.output if name):
        # What is computed of shapes, such as where a Slice ends, is known once constants are folded.
        known, _ = _known(ort, graph, ran, "ORT_ENABLE_BASIC")
    return [_node(node, known, weights) for node in graph.graph.node]


def _optimized(ort: Any, source: Path, made: Path, level: str) -> None:
    """Let onnxruntime write the graph that it would run."""
    options = _options(ort, level)
    options.optimized_model_filepath = str(made)
    ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


def _known(
    ort: Any, graph: onnx.ModelProto, place: Path, level: str
) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """The type and shape of every tensor of a graph, and of its weights."""
    import onnx

    weights = {one.name: [_element(one.data_type), list(one.dims)] for one in graph.graph.initializer}
    tapped = onnx.ModelProto()
    tapped.CopyFrom(graph)
    made = {value.name for value in tapped.graph.output}
    for node in tapped.graph.node:
        for name in node.output:
            if name and name not in made:
                tapped.graph.output.append(onnx.ValueInfoProto(name=name))
    file = place.with_suffix(".tapped.onnx")
    onnx.save(tapped, str(file))
    session = ort.InferenceSession(str(file), _options(ort, level), providers=["CPUExecutionProvider"])
    return {one.name: _value(one) for one in (*session.get_inputs(), *session.get_outputs())}, weights


def fix(model: onnx.ModelProto, sizes: Mapping[str, int], batch: Mapping[str, Any]) -> None:
    """Give every axis of the inputs its size, and forget what the file says of the tensors between.

    Raises:
        NoShape: as `nodes`.
    """
    held = {one.name for one in model.graph.initializer}
    for value in model.graph.input:
        if value.name in held or value.type.WhichOneof("value") != "tensor_type":
            continue
        tensor = value.type.tensor_type
        if not tensor.HasField("shape"):
            raise NoShape(f"the input {value.name!r} has no shape")
        for place, axis in enumerate(tensor.shape.dim):
            of_batch = batch["axes"].get(value.name) == place
            if axis.dim_value > 0:
                if of_batch and axis.dim_value != batch["size"]:
                    raise NoShape(
                        f"axis {place} of the input {value.name!r} is {axis.dim_value}, "
                        f"and the batch is {batch['size']}"
                    )
                continue
            size = batch["size"] if of_batch else sizes.get(axis.dim_param)
            if size is None:
                named = repr(axis.dim_param) if axis.dim_param else str(place)
                raise NoShape(f"axis {named} of the input {value.name!r} has no size")
            axis.dim_value = size
    del model.graph.value_info[:]
    for value in model.graph.output:
        if value.type.WhichOneof("value") == "tensor_type":
            value.type.tensor_type.ClearField("shape")


def _options(ort: Any, level: str) -> Any:
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return options


def _value(one: Any) -> list[Any]:
    found = TENSOR.match(one.type)
    fixed = all(isinstance(axis, int) for axis in one.shape or ())
    return [found[1] if found else one.type, list(one.shape) if found and fixed else None]


def _element(kind: int) -> str:
    """The name of an element type as sessions say it."""
    import onnx

    name = str(onnx.TensorProto.DataType.Name(kind)).lower()
    return {"float": "float"}.get(name, name)


def _node(node: Any, known: Mapping[str, list[Any]], weights: Mapping[str, list[Any]]) -> dict[str, Any]:
    import onnx

    attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute if one.name in KEPT}
    if node.op_type in TREES:
        attributes |= _trees(node)
    return {
        "name": node.name or (node.output[0] if node.output else node.op_type),
        "op": node.op_type,
        "domain": node.domain,
        "attributes": {name: value if isinstance(value, int) else list(value) for name, value in attributes.items()},
        "inputs": [
            [*(weights[name] if name in weights else known.get(name, ["", None])), name in weights, name]
            for name in node.input
            if name
        ],
        "outputs": [[*known.get(name, ["", None]), False, name] for name in node.output if name],
    }


def _trees(node: Any) -> dict[str, int]:
    """How many trees there are, and how deep one is if it is balanced."""
    import onnx

    held = {one.name: one for one in node.attribute if one.name in ("nodes_treeids", "tree_roots", "nodes_splits")}
    ids = onnx.helper.get_attribute_value(held["nodes_treeids"]) if "nodes_treeids" in held else []
    roots = onnx.helper.get_attribute_value(held["tree_roots"]) if "tree_roots" in held else []
    count = len(set(ids)) or len(roots) or 1
    whole = len(ids) or (2 * held["nodes_splits"].t.dims[0] if "nodes_splits" in held else count)
    return {"trees": count, "depth": max(math.ceil(math.log2(max(whole / count, 2))), 1)}
