"""A float32 (or float64) graph to float16 or bfloat16, by what the operators' schemas allow.

A node computes in the narrow type where its operator takes it, and in the wide one between Casts where it does not;
one that takes both, as Resize does, gets each input as it wants it. A constant is converted once for each type that it
is read in, so that no Cast stands before what must be a constant. Bodies of If, Loop and Scan are converted with the
graph around them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness import graphs
from harness.build import repair, schemas
from harness.errors import BuildError, Skip

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import numpy as np
    import onnx

OPSET = 22
"""The first version of the default operators whose Conv and pooling take bfloat16."""

ALWAYS_WIDE = (
    "Range", "NonMaxSuppression", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear",
    "SequenceConstruct", "SequenceInsert", "SequenceAt", "SequenceEmpty", "SequenceMap", "SplitToSequence",
    "ConcatFromSequence", "Optional", "OptionalGetElement", "OptionalHasElement",
)  # fmt: skip
"""Operators that stay wide: those that count or scale in it, and those whose values are not tensors."""

WIDE_INPUTS = {"Resize": (1, 2), "GroupNorm": (1, 2), "SkipGroupNorm": (1, 2)}
"""Inputs that kernels want wide, whatever the schema says."""

NARROW, WIDE = "narrow", "wide"
SMALLEST = 5.96e-8
"""The smallest float16 above zero: what is smaller becomes this, so that nothing is divided by zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowed:
    """A converted model, and what is to be said of it.

    Attributes:
        nodes: how many compute in the narrow type.
    """

    model: onnx.ModelProto
    nodes: int
    notes: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Settings:
    """What holds for all graphs of a model.

    Attributes:
        wide: the element type that is to be narrowed.
        narrow: the one to compute in.
        block: operators that stay wide.
        taken: every name in use.
        nodes: how many nodes compute in the narrow type so far.
        clamped: how many constants lay outside float16's range so far.
    """

    wide: int
    narrow: int
    block: frozenset[str]
    versions: Mapping[str, int]
    types: schemas.TypeFinder
    taken: set[str]
    nodes: int = 0
    clamped: int = 0

    def unused(self, wanted: str) -> str:
        """A name like this one that nothing has."""
        name, number = wanted, 1
        while name in self.taken:
            name, number = f"{wanted}_{number}", number + 1
        self.taken.add(name)
        return name

    def kind(self, form: str) -> int:
        """The element type of a form."""
        return self.narrow if form == NARROW else self.wide


def narrowed(
    model: onnx.ModelProto, to: str, *, wide: str = "float32", keep_io: bool = True, block: Collection[str] = ()
) -> Narrowed:
    """The converted model; the model given is used up.

    Args:
        model: a prepared graph (`repair.prepare`).
        to: `float16` or `bfloat16`.
        wide: `float32` or `float64`, the type that is converted.
        keep_io: leave the graph's inputs and outputs in the wide type.
        block: operators that stay wide.

    Raises:
        BuildError: a tensor's type is not known.
        Skip: no operator of the graph computes in the narrow type.
    """
    from onnx import TensorProto

    notes: list[str] = []
    if to == "bfloat16":
        model, raised = repair.raise_opset(model, OPSET)
        notes += [raised] if raised else []
    model = _inferred(model)
    settings = Settings(
        wide=TensorProto.FLOAT if wide == "float32" else TensorProto.DOUBLE,
        narrow=TensorProto.FLOAT16 if to == "float16" else TensorProto.BFLOAT16,
        block=frozenset({*block, *ALWAYS_WIDE}),
        versions=schemas.opsets(model),
        types=schemas.TypeFinder(model),
        taken=_names(model),
    )
    cast = schemas.find(_cast_node(), settings.versions)
    if cast is None or schemas.spelled(settings.narrow) not in cast.outputs[0].types:
        raise Skip(f"cast: opset {graphs.opset(model)} does not know {to}, and onnx cannot convert it to a newer one.")
    border = WIDE if keep_io else NARROW
    _Converter(model.graph, settings, around=None, inputs=(), border=border).convert()
    if not settings.nodes:
        raise Skip(f"cast: no operator of this network computes in {to}, so all would stay {wide}.")
    for graph in graphs.graphs(model.graph):
        del graph.value_info[:]  # they tell the old types, and nobody needs them
    if settings.clamped:
        notes.append(f"{settings.clamped} constants beyond float16's range are held at its ends")
    return Narrowed(model=model, nodes=settings.nodes, notes=tuple(notes))


def _cast_node() -> onnx.NodeProto:
    from onnx import helper

    return helper.make_node("Cast", [], [])


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with what onnx's shape inference knows; as it is where that fails or a single message is too small."""
    import onnx

    if model.ByteSize() >= graphs.LARGEST_SINGLE_FILE:
        return model
    try:
        return onnx.shape_inference.infer_shapes(model)
    except Exception:  # noqa: BLE001 # types are found without it as well
        return model


def _names(model: onnx.ModelProto) -> set[str]:
    names: set[str] = set()
    for graph in graphs.graphs(model.graph):
        names |= {one.name for one in [*graph.input, *graph.output, *graph.initializer]}
        names |= {name for node in graph.node for name in [*node.input, *node.output]}
    return names


@dataclass(slots=True)
class _Forms:
    """The names under which a tensor can be had: one per form that exists, and its constant, if it is one."""

    names: dict[str, str] = field(default_factory=dict)
    constant: Any = None


class _Converter:
    """Rewrites one graph.

    Args:
        graph: rewritten in place.
        settings: those of the model.
        around: the converter of the graph that this one is a body of.
        inputs: types that its inputs get from the node, for those that state none.
        border: the form in which it takes its inputs and gives its outputs.
        forced: every node stays wide, because the node whose body this is does.
    """

    def __init__(
        self,
        graph: onnx.GraphProto,
        settings: Settings,
        *,
        around: _Converter | None,
        inputs: tuple[int, ...],
        border: str,
        forced: bool = False,
    ) -> None:
        self._graph, self._settings, self._around, self._border, self._forced = graph, settings, around, border, forced
        self.types: schemas.Types = settings.types.of(graph, around.types if around else {}, inputs)
        self._ends = {one.name for one in graph.output}
        self._forms: dict[str, _Forms] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def convert(self) -> None:
        """Rewrite the graph."""
        settings = self._settings
        for tensor in self._graph.initializer:
            if tensor.data_type == settings.wide:
                self._forms[tensor.name] = _Forms(constant=tensor)
            else:
                self._constants.append(tensor)
        for value in self._graph.input:
            if self.types.get(value.name) == settings.wide and value.name not in self._forms:
                self._forms[value.name] = _Forms({self._border: value.name})
                value.type.tensor_type.elem_type = settings.kind(self._border)
        for node in self._graph.node:
            self._node(node)
        for value in self._graph.output:
            if self.types.get(value.name) == settings.wide:
                self._get(value.name, self._border)  # an output has the name of the graph's own
                value.type.tensor_type.elem_type = settings.kind(self._border)
        constants = [graphs.copied(one) for one in self._constants]
        del self._graph.node[:], self._graph.initializer[:]
        self._graph.node.extend(self._nodes)
        self._graph.initializer.extend(constants)

    def _floating(self, name: str) -> bool:
        """Whether a tensor is of the type that is narrowed."""
        if name and name not in self.types:
            raise BuildError(f"cast: nothing in the graph makes the tensor `{name}`.")
        return bool(name) and self.types[name] == self._settings.wide

    def _node(self, original: onnx.NodeProto) -> None:
        node = graphs.copied(original)
        untyped = [name for name in original.output if name and not self.types.get(name) and self._unknown(original)]
        if untyped:
            raise BuildError(
                f"cast: the type of the tensor `{untyped[0]}` is not known: nothing says what the operator "
                f"{node.op_type} gives."
            )
        wanted = self._wanted(original)
        for place, name in enumerate(original.input):
            if self._floating(name):
                node.input[place] = self._get(name, wanted[place])
        form = self._given(original, wanted, node)
        self._bodies(node, original)
        self._nodes.append(node)
        for place, name in enumerate(original.output):
            if self._floating(name):
                self._made(name, form[place], node, place)
        self._settings.nodes += any(
            form[place] == NARROW and self._floating(name) for place, name in enumerate(original.output)
        )

    def _unknown(self, node: onnx.NodeProto) -> bool:
        """Whether an output of no known type could be a tensor of floats at all."""
        schema = schemas.find(node, self._settings.versions)
        if schema is None:
            return True
        allowed = {kind for formal in schema.outputs for kind in formal.types}
        return schemas.spelled(self._settings.wide) in allowed and not any("(tensor(" in kind for kind in allowed)

    def _wanted(self, node: onnx.NodeProto) -> list[str]:
        """The form of each input: narrow where the operator allows it."""
        if self._forced or node.op_type in self._settings.block:
            return [WIDE] * len(node.input)
        schema = schemas.find(node, self._settings.versions)
        if schema is None:
            return [WIDE] * len(node.input)
        narrow = schemas.spelled(self._settings.narrow)
        kept = WIDE_INPUTS.get(node.op_type, ())
        forms = []
        for place in range(len(node.input)):
            formal = schema.input(place)
            allowed = formal is not None and narrow in formal.types and place not in kept
            forms.append(NARROW if allowed else WIDE)
        return forms

    def _given(self, original: onnx.NodeProto, wanted: list[str], node: onnx.NodeProto) -> list[str]:
        """The form of each output, which follows the inputs of the same type variable, or what the node says itself."""
        forms = [WIDE] * len(original.output)
        if self._forced or original.op_type in self._settings.block:
            return forms
        if any(one.HasField("g") for one in original.attribute):
            return [NARROW if self._takes_bodies(original) else WIDE] * len(original.output)
        if self._retyped(node):
            return [NARROW] * len(original.output)
        schema = schemas.find(original, self._settings.versions)
        if schema is None or original.op_type == "Cast":
            return forms
        bound = {
            formal.variable
            for place, name in enumerate(original.input)
            if wanted[place] == NARROW and self._floating(name) and (formal := schema.input(place)) is not None
        }
        for place in range(len(forms)):
            formal = schema.output(place)
            if formal is not None and formal.variable in bound:
                forms[place] = NARROW
        return forms

    def _takes_bodies(self, node: onnx.NodeProto) -> bool:
        """Whether a node's bodies may give the narrow type."""
        schema = schemas.find(node, self._settings.versions)
        narrow = schemas.spelled(self._settings.narrow)
        taken = schema is not None and any(narrow in formal.types for formal in schema.outputs)
        return taken and node.op_type not in self._settings.block

    def _retyped(self, node: onnx.NodeProto) -> bool:
        """Change what a node says of its output's type itself; whether it says anything."""
        from onnx import helper

        settings = self._settings
        if node.op_type == "Cast":
            for attribute in node.attribute:
                if attribute.name == "to" and attribute.i == settings.wide:
                    attribute.i = settings.narrow
                    return True
            return False
        if node.op_type not in ("Constant", "ConstantOfShape") or not self._floating_constant(node):
            return False
        tensor = repair.constant(node) if node.op_type == "Constant" else None
        if node.op_type == "ConstantOfShape":
            tensor = node.attribute[0].t if node.attribute else helper.make_tensor("value", settings.wide, [1], [0.0])
        if tensor is None:
            return False
        converted = self._tensor(tensor, "value")
        del node.attribute[:]
        node.attribute.append(helper.make_attribute("value", converted))
        return True

    def _floating_constant(self, node: onnx.NodeProto) -> bool:
        return all(self.types.get(name) == self._settings.wide for name in node.output)

    def _bodies(self, node: onnx.NodeProto, original: onnx.NodeProto) -> None:
        """Convert the bodies of a node."""
        inputs = tuple(self._settings.types.body_inputs(original, self.types))
        forced = self._forced or not self._takes_bodies(original)
        for attribute in node.attribute:
            for body in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                border = WIDE if forced else NARROW
                _Converter(body, self._settings, around=self, inputs=inputs, border=border, forced=forced).convert()

    def _made(self, name: str, form: str, node: onnx.NodeProto, place: int) -> None:
        """Note a tensor that a node made; an output of the graph in the other form gets another name first."""
        actual = name
        if name in self._ends and form != self._border:
            actual = node.output[place] = self._settings.unused(f"{name}/{form}")
        self._forms[name] = _Forms({form: actual})

    def _get(self, name: str, form: str) -> str:
        """The name of a tensor in a form, which is made here where it does not exist yet."""
        found = self._forms.get(name)
        if found is None:
            if self._around is None:
                raise BuildError(f"cast: nothing in the graph makes the tensor `{name}`.")
            outer = self._around.had(name, form)
            if outer is not None:
                return outer
            other = WIDE if form == NARROW else NARROW
            source = self._around.had(name, other)
            if source is None:
                raise BuildError(f"cast: nothing in the graph makes the tensor `{name}`.")
            found = self._forms[name] = _Forms({other: source})
        if form in found.names:
            return found.names[form]
        if found.constant is not None:
            found.names[form] = self._constant(name, form, found)
        else:
            source = next(iter(found.names.values()))
            own = name in self._ends and form == self._border and name not in found.names.values()
            found.names[form] = self._cast(source, name if own else self._settings.unused(f"{name}/{form}"), form)
        return found.names[form]

    def had(self, name: str, form: str) -> str | None:
        """The name of a tensor of this graph, or one around it, in a form that exists, or that a constant can take."""
        found = self._forms.get(name)
        if found is None:
            return self._around.had(name, form) if self._around else None
        return self._get(name, form) if found.constant is not None else found.names.get(form)

    def _constant(self, name: str, form: str, found: _Forms) -> str:
        """A constant in a form: under its own name the first time, and always where it is an output in this form."""
        free = name not in found.names.values() and (name not in self._ends or form == self._border)
        actual = name if free else self._settings.unused(f"{name}/{form}")
        if form == NARROW:
            self._constants.append(self._tensor(found.constant, actual))
        else:
            copy = graphs.copied(found.constant)
            copy.name = actual
            self._constants.append(copy)
        return actual

    def _cast(self, name: str, result: str, form: str) -> str:
        from onnx import helper

        node = helper.make_node("Cast", [name], [result], f"cast/{result}", to=self._settings.kind(form))
        self._nodes.append(node)
        return result

    def _tensor(self, tensor: onnx.TensorProto, name: str) -> onnx.TensorProto:
        """A constant rounded to the narrow type."""
        import ml_dtypes
        import numpy as np
        from onnx import TensorProto, numpy_helper

        array = numpy_helper.to_array(tensor)
        if self._settings.narrow == TensorProto.BFLOAT16:
            return numpy_helper.from_array(array.astype(ml_dtypes.bfloat16), name)
        held = _within_float16(array)
        self._settings.clamped += int(np.count_nonzero(np.abs(held) < np.abs(array)))
        return numpy_helper.from_array(held.astype(np.float16), name)


def _within_float16(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array with finite values inside float16's range, and none but zeros rounded to zero."""
    import numpy as np

    largest = float(np.finfo(np.float16).max)
    held = np.where(np.isfinite(array), np.clip(array, -largest, largest), array)
    small = (held != 0) & (np.abs(held) < SMALLEST)
    return np.where(small, np.copysign(np.asarray(SMALLEST, array.dtype), held), held)
