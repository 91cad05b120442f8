"""What an .onnx file takes: its inputs as they stand in the graph, and as they can be fed.

Axes that the file leaves open and the zoo gives no size get one that is tried out: onnxruntime is the judge. Every
guess is reported.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.errors import BuildError, Unsupported
from harness.frameworks import onnx_needs
from harness.records import InputSpec, ModelSpec, ValueNeed, batch_axes
from harness.suggest import similar

if TYPE_CHECKING:
    from pathlib import Path

GUESSES = (16, 32, 64, 128, 224, 256, 512, 1)
"""Sizes for an open axis, in the order in which they are tried."""

PIXELS = (224, 320, 640, 256, 512, 128, 64, 48, 32, 16, 1)
"""The same for images: a network that runs on 16 x 16 pixels says little there of what it takes on a photograph."""

CHANNELS = (1, 3, 4)
MOST_AXES = 4
"""Up to so many open axes, those of size 1 beside the others are tried, too."""

RANKS = (2, 1, 3, 4, 0)
"""Numbers of axes for an input that says nothing of its shape, in the order in which they are tried."""

MOST_ELEMENTS = 2**22
"""Of one input in a guess beyond the first: four axes of one size soon are more than memory holds."""

DRAWN = "random"
"""The data source that draws what is fed; any other brings feeds of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphInputs:
    """What a file says of its inputs.

    Attributes:
        inputs: name -> input, in order; those that initializers fill are left out.
        shapeless: names of tensors of which even the number of axes is open.
    """

    inputs: Mapping[str, InputSpec]
    shapeless: frozenset[str] = frozenset()


def read(content: Any, path: Path, *, needs: bool = True) -> GraphInputs:
    """The inputs of a file.

    Args:
        content: its ModelProto.
        path: where it lies, for messages.
        needs: look at the graph for what their values must be.

    Raises:
        Unsupported: an input is a sparse tensor.
    """
    graph = content.graph
    held = {one.name for one in graph.initializer} | {one.values.name for one in graph.sparse_initializer}
    found = onnx_needs.needs(content) if needs else {}
    inputs: dict[str, InputSpec] = {}
    shapeless = set()
    for one in graph.input:
        if one.name in held:
            continue
        tensor = _tensor(one.type)
        if tensor is None:
            raise Unsupported(
                f"onnx: the input `{one.name}` of {path} has the type {one.type.WhichOneof('value') or 'none'}, which "
                f"cannot be fed from Python."
            )
        if tensor.HasField("shape") or one.type.WhichOneof("value") == "map_type":
            shape = tuple(
                axis.dim_value if axis.HasField("dim_value") and axis.dim_value >= 0
                # -1 stands for an open axis in files of older converters, and onnxruntime takes it so.
                else axis.dim_param or f"{one.name}_{place}"
                for place, axis in enumerate(tensor.shape.dim)
            )  # fmt: skip
        else:
            shape = ()
            if one.type.WhichOneof("value") == "tensor_type":
                shapeless.add(one.name)
        inputs[one.name] = InputSpec(name=one.name, dtype=type_name(one.type), shape=shape, need=found.get(one.name))
    return GraphInputs(inputs=inputs, shapeless=frozenset(shapeless))


def _tensor(kind: Any) -> Any:
    """The type of the (innermost) tensor of an input's type; None where there is none that can be fed."""
    which = kind.WhichOneof("value")
    if which in ("sequence_type", "optional_type"):
        return _tensor(getattr(kind, which).elem_type)
    if which == "map_type":
        return _tensor(kind.map_type.value_type)
    return kind.tensor_type if which == "tensor_type" else None


def type_name(kind: Any) -> str:
    """`InputSpec.dtype` of a TypeProto: NumPy's or ml_dtypes' name of a tensor's elements, else onnxruntime's name."""
    if kind.WhichOneof("value") != "tensor_type":
        return _full_name(kind)
    import onnx

    if kind.tensor_type.elem_type == onnx.TensorProto.STRING:
        return "str"
    return str(onnx.helper.tensor_dtype_to_np_dtype(kind.tensor_type.elem_type).name)


def _full_name(kind: Any) -> str:
    """As onnxruntime writes a type: `seq(tensor(float))`."""
    import onnx

    which = kind.WhichOneof("value")
    if which == "map_type":
        key = onnx.TensorProto.DataType.Name(kind.map_type.key_type).lower()
        return f"map({key},{_full_name(kind.map_type.value_type)})"
    if which in ("sequence_type", "optional_type"):
        word = "seq" if which == "sequence_type" else "optional"
        return f"{word}({_full_name(getattr(kind, which).elem_type)})"
    return f"tensor({onnx.TensorProto.DataType.Name(kind.tensor_type.elem_type).lower()})"


def match(model: ModelSpec, graph: GraphInputs, path: Path) -> tuple[InputSpec, ...]:
    """The zoo's inputs, with what the graph needs of them; the file's where the zoo names none.

    Raises:
        BuildError: a name, a type or a fixed size differs, or an input is left out.
    """
    if not model.inputs:
        return tuple(graph.inputs.values())
    found = []
    for spec in model.inputs:
        real = graph.inputs.get(spec.name)
        if real is None:
            raise BuildError(
                f"onnx: {path} has no input `{spec.name}`{similar(spec.name, list(graph.inputs))}. "
                f"It has {', '.join(graph.inputs)}; fix `inputs` of `{model.name}` in the zoo."
            )
        clash = spec.name not in graph.shapeless and (
            len(real.shape) != len(spec.shape)
            or any(
                isinstance(theirs, int) and theirs != ours for theirs, ours in zip(real.shape, spec.shape, strict=True)
            )
        )
        if real.dtype != spec.dtype or clash:
            raise BuildError(
                f"onnx: the input `{spec.name}` of {path} is {real.dtype} {list(real.shape)}; the zoo says "
                f"{spec.dtype} {list(spec.shape)}. Fix `inputs` of `{model.name}` in the zoo."
            )
        found.append(replace(spec, need=real.need))
    left_out = [name for name in graph.inputs if name not in {spec.name for spec in model.inputs}]
    if left_out:
        raise BuildError(f"onnx: {path} also has the input `{left_out[0]}`; add it to `inputs` of `{model.name}`.")
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A model whose every input can be fed.

    Attributes:
        model: with inputs, and a size for every open axis.
        guesses: what was assumed, one sentence each.
        ran: whether it was tried out, and ran.
    """

    model: ModelSpec
    guesses: tuple[str, ...] = ()
    ran: bool = False


def settle(model: ModelSpec, graph: GraphInputs, path: Path, attempt: Callable[[ModelSpec], None]) -> Settled:
    """Give sizes to what the file and the zoo leave open.

    Args:
        model: as the zoo has it.
        graph: of the file.
        path: of the file, for messages.
        attempt: feeds the model once; raises whatever onnxruntime says.

    Raises:
        BuildError: as `match`.
    """
    inputs = match(model, graph, path)
    first: ModelSpec | None = None
    for chosen in _choices(replace(model, inputs=inputs), graph.shapeless if not model.inputs else frozenset()):
        first = first or chosen
        if model.data.source != DRAWN:
            break
        if chosen is not first and any(_elements(one, chosen.dims) > MOST_ELEMENTS for one in chosen.inputs):
            continue
        try:
            attempt(chosen)
        except Unsupported:
            raise
        except Exception:  # noqa: BLE001, S112 # the next guess may do; what the first one met is reported when it is run
            continue
        return Settled(model=chosen, guesses=_assumed(model, chosen), ran=True)
    assert first is not None  # noqa: S101 # there is always one choice
    return Settled(model=first, guesses=_assumed(model, first))


def _choices(model: ModelSpec, shapeless: frozenset[str]) -> Iterator[ModelSpec]:
    """The model with everything fixed, the likeliest first."""
    for rank in RANKS if shapeless else (0,):
        inputs = tuple(
            replace(one, shape=tuple(f"{one.name}_{place}" for place in range(rank))) if one.name in shapeless else one
            for one in model.inputs
        )
        shaped = replace(model, inputs=inputs)
        guesses = PIXELS if any(map(_image, inputs)) else GUESSES
        for batch in (True, False):
            for size in guesses:
                sized = _sized(shaped, size, batch=batch)
                yield sized
                if not batch and size == guesses[0]:
                    yield from _other_values(sized)
                if sized.dims == model.dims:  # nothing is open, so that no other size can be tried
                    yield from _other_values(sized)
                    break
            else:
                yield from _some_at_one(shaped, guesses, batch=batch)
                continue
            break


def _elements(one: InputSpec, dims: Mapping[str, int]) -> int:
    """Elements of one example of an input."""
    return math.prod(axis if isinstance(axis, int) else dims.get(axis, 1) for axis in one.shape)


def _image(one: InputSpec) -> bool:
    """Whether an input looks like pictures: four axes, few channels in the second or the last, and open sides."""
    if len(one.shape) != 4 or not one.dtype.startswith(("float", "uint8", "bfloat")):  # noqa: PLR2004
        return False
    return any(
        one.shape[channel] in CHANNELS and any(isinstance(side, str) for side in sides)
        for channel, sides in ((1, one.shape[2:]), (3, one.shape[1:3]))
    )


def _some_at_one(model: ModelSpec, guesses: Sequence[int], *, batch: bool) -> Iterator[ModelSpec]:
    """The model with one open axis of size 1 and a size for the others, or the other way round.

    A state whose batch has a name of its own is 1 beside samples that are many.
    """
    axes = sorted(set(_sized(model, 1, batch=batch).dims) - set(model.dims))
    if not 1 < len(axes) <= MOST_AXES:
        return
    apart = [{axis} for axis in axes] + [set(axes) - {axis} for axis in axes if len(axes) > 2]  # noqa: PLR2004
    for size, ones in itertools.product((size for size in guesses if size > 1), apart):
        yield replace(model, dims={**{axis: 1 if axis in ones else size for axis in axes}, **model.dims})


def _sized(model: ModelSpec, size: int, *, batch: bool) -> ModelSpec:
    """The model with one size for every open axis but those that batches may be made along."""
    axes = batch_axes(model.inputs, model.dims) if batch else {}
    elsewhere = {
        axis for one in model.inputs for place, axis in enumerate(one.shape)
        if isinstance(axis, str) and axes.get(one.name) != place
    }  # fmt: skip
    return replace(model, dims={**dict.fromkeys(sorted(elsewhere - set(model.dims)), size), **model.dims})


def _other_values(model: ModelSpec) -> Iterator[ModelSpec]:
    """The model with other values of its whole numbers: first where nothing is known of them, then of all."""
    for every in (False, True):
        for value in (0, 1, 2, 3):
            inputs = tuple(
                replace(one, need=ValueNeed(values=(value,), why="with others it does not run"))
                if (every or one.need is None) and one.dtype.removeprefix("u").startswith("int")
                else one
                for one in model.inputs
            )
            if inputs != model.inputs:
                yield replace(model, inputs=inputs)


def _assumed(asked: ModelSpec, chosen: ModelSpec) -> tuple[str, ...]:
    """What was assumed."""
    dims = {axis: size for axis, size in chosen.dims.items() if axis not in asked.dims}
    notes = []
    if dims:
        listed = ", ".join(f"{axis}: {size}" for axis, size in dims.items())
        notes.append(f"open axes have a guessed size: dims: {{{listed}}}")
    if chosen.data.source == DRAWN:
        notes += [f"values of `{one.name}` are guessed: {one.need}" for one in chosen.inputs if one.need is not None]
    return tuple(notes)
