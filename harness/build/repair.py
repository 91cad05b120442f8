"""What is put right in a graph before a converter sees it, and after: converters know tidy graphs only.

Every repair keeps what the graph computes, and gives a note that goes into the artifact's row. All functions here work
in place unless they say otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness import graphs, reasons
from harness.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import onnx

IR_WITH_FREE_INITIALIZERS = 4
"""From this version of the file format on, initializers need not be inputs as well."""

OPSET_WITH_CHANNELS = 13
"""The first version of the default operators whose DequantizeLinear takes one scale per channel."""


LAYER_NORM_OPSET = 17
"""LayerNormalization's first; onnxruntime takes it below as well, and writes it there."""

NEW_MEANING = ("Softmax", "LogSoftmax", "Hardmax")
"""Operators that compute something else from opset 13 on, with the same attribute."""

FEW = 3
"""So many names are listed, and no more."""


def prepare(model: onnx.ModelProto) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """The model as converters can take it, and what was changed. The model given is used up.

    Raises:
        BuildError: a function of the model cannot be inlined.
    """
    model, inlined = _inline(model)
    _forget_shapes(model)
    notes = [inlined, _raise_ir(model), _free_initializers(model), _densify(model), _initialize(model)]
    _name_outputs(model)
    if sort(model):
        notes.append("nodes were put into topological order")
    graphs.name_nodes_uniquely(model)
    return model, tuple(note for note in notes if note)


def _inline(model: onnx.ModelProto) -> tuple[onnx.ModelProto, str]:
    """The model without functions of its own: what stands in them is quantized and cast like the rest."""
    if not model.functions:
        return model, ""
    from onnx import inliner

    names = sorted({one.name for one in model.functions})
    try:
        whole = inliner.inline_local_functions(model, convert_version=True)
    except Exception as error:
        raise BuildError(
            f"the model's function {names[0]} cannot be inlined: {reasons.reason_of(error, tool=True)}"
        ) from error
    return whole, f"{_count(len(names), 'function')} of the model inlined ({_few(names)})"


def _raise_ir(model: onnx.ModelProto) -> str:
    """Below IR 4 every initializer is an input too, which converters forget."""
    before = model.ir_version
    if before >= IR_WITH_FREE_INITIALIZERS:
        return ""
    model.ir_version = IR_WITH_FREE_INITIALIZERS
    return f"IR version raised from {before} to {IR_WITH_FREE_INITIALIZERS}"


def _free_initializers(model: onnx.ModelProto) -> str:
    """Initializers that are inputs could be fed, and so nothing is folded into them; nobody here feeds them."""
    held = {one.name for one in model.graph.initializer}
    kept = [one for one in model.graph.input if one.name not in held]
    freed = len(model.graph.input) - len(kept)
    if not freed:
        return ""
    del model.graph.input[:]
    model.graph.input.extend(kept)
    return f"{_count(freed, 'initializer')} no longer {'an input' if freed == 1 else 'inputs'} as well"


def _forget_shapes(model: onnx.ModelProto) -> None:
    """Shapes between the nodes are found anew: onnxruntime warns of wrong ones and goes on, converters believe them."""
    for graph in graphs.graphs(model.graph):
        for value in graph.value_info:
            value.type.tensor_type.ClearField("shape")


def _densify(model: onnx.ModelProto) -> str:
    """Sparse initializers as plain ones."""
    count = 0
    for graph in graphs.graphs(model.graph):
        for sparse in graph.sparse_initializer:
            graph.initializer.append(dense(sparse))
            count += 1
        del graph.sparse_initializer[:]
    return f"{_count(count, 'sparse initializer')} made dense" if count else ""


def dense(sparse: onnx.SparseTensorProto) -> onnx.TensorProto:
    """The tensor that a sparse one stands for."""
    import numpy as np
    from onnx import numpy_helper

    values, indices = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
    whole = np.zeros(tuple(sparse.dims), values.dtype)
    if indices.ndim > 1:
        whole[tuple(indices.T)] = values
    else:
        whole.reshape(-1)[indices] = values
    return numpy_helper.from_array(whole, sparse.values.name)


def _initialize(model: onnx.ModelProto) -> str:
    """Constant nodes as initializers, which alone converters take for weights."""
    count = 0
    for graph in graphs.graphs(model.graph):
        outputs = {one.name for one in graph.output}
        kept: list[onnx.NodeProto] = []
        for node in graph.node:
            tensor = constant(node)
            if tensor is None or node.output[0] in outputs:
                kept.append(node)
            else:
                tensor.name = node.output[0]
                graph.initializer.append(tensor)
                count += 1
        if len(kept) < len(graph.node):
            del graph.node[:]
            graph.node.extend(kept)
    return (
        f"{_count(count, 'Constant node')} made {'an initializer' if count == 1 else 'initializers'}" if count else ""
    )


def _name_outputs(model: onnx.ModelProto) -> None:
    """Give an initializer that is an output too a name of its own, because converters rename and replace weights."""
    from onnx import helper

    graph = model.graph
    ends = {one.name for one in graph.output}
    for tensor in graph.initializer:
        if tensor.name in ends:
            name = tensor.name
            tensor.name = f"{name}/constant"
            rename(graph.node, {name: tensor.name})
            graph.node.append(helper.make_node("Identity", [tensor.name], [name], f"identity/{name}"))


def rename(nodes: Iterable[onnx.NodeProto], names: Mapping[str, str]) -> None:
    """Let nodes, and the bodies in them, read other tensors."""
    for node in nodes:
        node.input[:] = [names.get(name, name) for name in node.input]
        for attribute in node.attribute:
            for body in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                own = {one.name for one in [*body.input, *body.initializer]}
                rename(body.node, {name: new for name, new in names.items() if name not in own})


def constant(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """A copy of the tensor that a Constant node gives; None for every other node."""
    import numpy as np
    import onnx
    from onnx import numpy_helper

    if node.op_type != "Constant" or node.domain not in ("", "ai.onnx") or len(node.attribute) != 1:
        return None
    attribute = node.attribute[0]
    if attribute.name == "value":
        copy = onnx.TensorProto()
        copy.CopyFrom(attribute.t)
        return copy
    if attribute.name == "sparse_value":
        return dense(attribute.sparse_tensor)
    plain: dict[str, Any] = {
        "value_float": lambda: np.asarray(attribute.f, np.float32),
        "value_floats": lambda: np.asarray(attribute.floats, np.float32),
        "value_int": lambda: np.asarray(attribute.i, np.int64),
        "value_ints": lambda: np.asarray(attribute.ints, np.int64),
    }
    return numpy_helper.from_array(plain[attribute.name]()) if attribute.name in plain else None


def sort(model: onnx.ModelProto) -> bool:
    """Put every graph's nodes where what they read is made before, otherwise in the order given; whether that changed.

    What the bodies of If, Loop and Scan read of the graph around them counts as read by the node itself.
    """
    changed = False
    for graph in graphs.graphs(model.graph):
        nodes = list(graph.node)
        order = _order(nodes)
        if order != list(range(len(nodes))):
            copies = [graphs.copied(nodes[place]) for place in order]
            del graph.node[:]
            graph.node.extend(copies)
            changed = True
    return changed


def _order(nodes: list[onnx.NodeProto]) -> list[int]:
    """The places of the nodes in topological order; as they are where there is a cycle."""
    maker = {name: place for place, node in enumerate(nodes) for name in node.output if name}
    order: list[int] = []
    state: dict[int, bool] = {}  # place -> whether it is done; False while what it reads is looked for
    for start in range(len(nodes)):
        pending = [start]
        while pending:
            place = pending[-1]
            if place in state:
                pending.pop()
                if not state[place]:
                    state[place] = True
                    order.append(place)
                continue
            state[place] = False
            needed = [maker[name] for name in reads(nodes[place]) if name in maker]
            if any(state.get(one) is False for one in needed):
                return list(range(len(nodes)))
            pending += [one for one in reversed(needed) if one not in state]
    return order


def reads(node: onnx.NodeProto) -> Iterator[str]:
    """The names that a node reads of the graph that it stands in, those of its bodies included."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for body in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
            own = {one.name for one in [*body.input, *body.initializer]}
            own |= {name for inner in body.node for name in inner.output}
            for inner in body.node:
                yield from (name for name in reads(inner) if name not in own)
            yield from (one.name for one in body.output if one.name not in own)


def captured(graph: onnx.GraphProto) -> Iterator[str]:
    """The names that bodies of If, Loop and Scan read of the graph around them."""
    for node in graph.node:
        for name in reads(node):
            if name not in node.input:
                yield name


def interface(model: onnx.ModelProto) -> onnx.GraphProto:
    """A graph of nothing but a model's real inputs and outputs, to be kept whatever a converter does."""
    import onnx

    held = {one.name for one in model.graph.initializer}
    ends = onnx.GraphProto()
    ends.input.extend(one for one in model.graph.input if one.name not in held)
    ends.output.extend(model.graph.output)
    return ends


def keep_interface(wanted: onnx.GraphProto, graph: onnx.GraphProto) -> tuple[str, ...]:
    """Give a graph the inputs of an `interface` in their order, and its outputs that are inputs.

    Returns:
        Notes on inputs that were added: nothing reads them.
    """
    has = {one.name: one for one in graph.input}
    lost = [one.name for one in wanted.input if one.name not in has]
    names = {one.name for one in wanted.input}
    inputs = [graphs.copied(has.get(one.name, one)) for one in wanted.input]
    inputs += [graphs.copied(one) for one in graph.input if one.name not in names]
    given = {one.name: one for one in graph.output}
    outputs = [
        graphs.copied(given.get(one.name, one)) for one in wanted.output if one.name in given or one.name in names
    ]
    outputs += [graphs.copied(one) for one in graph.output if one.name not in {end.name for end in wanted.output}]
    del graph.input[:], graph.output[:]
    graph.input.extend(inputs)
    graph.output.extend(outputs)
    return tuple(f"the input `{name}`, which nothing reads, was kept" for name in lost)


def hide_passed(model: onnx.ModelProto) -> None:
    """Take outputs that are inputs from the graph; `keep_interface` brings them back. Quantizers would rename them."""
    names = {one.name for one in model.graph.input}
    kept = [graphs.copied(one) for one in model.graph.output if one.name not in names]
    del model.graph.output[:]
    model.graph.output.extend(kept)


def raise_opset(model: onnx.ModelProto, opset: int) -> tuple[onnx.ModelProto, str]:
    """The model at least at this version of the default operators, and the note; the model itself where that fails.

    The note is empty where nothing was done. onnx's converter does not look into bodies of If and Loop, and drops what
    it does not know: it is asked only where the operators in bodies stay what they are, and what it writes is taken
    only if onnxruntime loads it.
    """
    before = graphs.opset(model)
    if before >= opset:
        return model, ""
    inner = [node for graph in graphs.graphs(model.graph) if graph is not model.graph for node in graph.node]
    if not all(_lasts(node, before, opset) for node in inner):
        return model, ""
    try:
        raised = _converted(model, opset)
    except Exception:  # noqa: BLE001 # it has many words for no
        return model, ""
    names = [[one.name for one in side] for side in (model.graph.input, model.graph.output)]
    if names != [[one.name for one in side] for side in (raised.graph.input, raised.graph.output)]:
        return model, ""
    return (raised, f"opset raised from {before} to {opset}") if loads(raised) else (model, "")


def _converted(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """What onnx's converter makes of it; LayerNormalization, which it does not know below its opset, is let through.

    Nothing but new operators came with that opset.
    """
    import onnx.version_converter

    early = any(node.op_type == "LayerNormalization" for node in model.graph.node)
    if early and graphs.opset(model) < LAYER_NORM_OPSET <= opset:
        if graphs.opset(model) < LAYER_NORM_OPSET - 1:
            model = onnx.version_converter.convert_version(model, LAYER_NORM_OPSET - 1)
        else:
            model = graphs.copied(model)
        for one in model.opset_import:
            if one.domain in ("", "ai.onnx"):
                one.version = LAYER_NORM_OPSET
    return onnx.version_converter.convert_version(model, opset)


def _lasts(node: onnx.NodeProto, before: int, after: int) -> bool:
    """Whether an operator means the same at two opsets, as far as its inputs and attributes tell."""
    import onnx

    if node.domain not in ("", "ai.onnx"):
        return True
    if node.op_type in NEW_MEANING:
        return False
    try:
        one, two = (onnx.defs.get_schema(node.op_type, version, "") for version in (before, after))
    except onnx.defs.SchemaError:
        return False
    same_inputs = [each.name for each in one.inputs] == [each.name for each in two.inputs]
    given = {each.name for each in node.attribute}
    defaults = ({name: str(each.default_value) for name, each in schema.attributes.items()} for schema in (one, two))
    old, new = defaults
    return same_inputs and given <= set(new) and all(new.get(name) == default for name, default in old.items())


def loads(model: onnx.ModelProto) -> bool:
    """Whether onnxruntime makes a session of it; an operator without a kernel here does not count against it."""
    import tempfile
    from pathlib import Path

    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    settings.log_severity_level = 4
    with tempfile.TemporaryDirectory() as folder:
        try:
            file: Path | bytes = Path(folder) / "model.onnx"
            if model.ByteSize() < graphs.LARGEST_SINGLE_FILE:
                file = model.SerializeToString()
            else:
                graphs.save(model, Path(folder) / "model.onnx")
            onnxruntime.InferenceSession(file, settings, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 # whatever it says, it says no
            return "NOT_IMPLEMENTED" in str(error)
    return True


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _few(names: list[str]) -> str:
    return ", ".join([*names[:FEW], *(["..."] if len(names) > FEW else [])])
