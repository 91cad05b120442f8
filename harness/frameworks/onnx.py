"""A model that comes as an .onnx file, with or without external data beside it.

The file is the model and its own reference. What can be wrong with it is looked for here, before any step touches it.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import graphs
from harness.errors import BuildError, Unsupported
from harness.flavours import FLAVOURS
from harness.frameworks import base, onnx_recognize
from harness.records import InputSpec, Json, Weights
from harness.suggest import similar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.frameworks.base import Array
    from harness.records import ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxFile(base.Loaded):
    """A file that onnxruntime has loaded once, and that is its own reference."""

    file: Path
    sessions: list[Any] = field(default_factory=list, repr=False, compare=False)

    def run(self, feed: Mapping[str, Array]) -> list[Array]:
        """The outputs with optimizations disabled; the session is made for the first feed and kept until `close`."""
        import onnxruntime

        if not self.sessions:
            self.sessions.append(_session(onnxruntime, self.file))
        return list(self.sessions[0].run(list(self.outputs), dict(feed)))

    def export(self, options: Mapping[str, Json], folder: Path) -> None:  # noqa: ARG002 # a file is what it is
        """Copy the file, self-contained: external data is taken in, or put beside it where it is too large."""
        path = folder / "model.onnx"
        if self.facts["external"]:
            graphs.save(graphs.load(self.file), path)
        else:
            shutil.copyfile(self.file, path)

    def close(self) -> None:
        """Free the session."""
        self.sessions.clear()


def load(model: ModelSpec) -> OnnxFile:
    """Read the file and check that it can be fed.

    Raises:
        BuildError: the file is missing, truncated or corrupt, its external data is missing or lies outside its folder,
            or the zoo's inputs are not the file's.
        Unsupported: no inputs, inputs of strings or other non-tensors, a dimension of size zero, an operator
            that this onnxruntime does not know.
    """
    import onnxruntime

    path = Path(model.id)
    content = parse(path)
    files = external_files(content, path)
    inputs = _inputs(content, path)
    _match(model, inputs, path)
    session = _session(onnxruntime, path)
    return OnnxFile(
        weights=Weights(kind="file", digest=_digest([path, *files])),
        origin=f"onnxruntime {onnxruntime.__version__} on the file itself, optimizations disabled",
        outputs=tuple(one.name for one in session.get_outputs()),
        model=model if model.inputs else replace(model, inputs=tuple(inputs.values())),
        file=path,
        facts={
            "files": [str(one) for one in (path, *files)],
            "inputs": [[one.name, one.dtype, list(one.shape)] for one in inputs.values()],
            "external": bool(files),
        },
    )


def parse(path: Path) -> Any:
    """The model without its external data.

    Raises:
        BuildError: there is no such file, or it is not a whole ONNX model.
    """
    import onnx

    if not path.is_file():
        raise BuildError(f"onnx: there is no file {path}. Check `id` in the zoo; it is relative to the zoo's folder.")
    if other := onnx_recognize.otherwise(path):
        raise BuildError(f"onnx: {other}")
    try:
        content = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's own error class, whose module has no types
        raise BuildError(f"onnx: {path} is truncated or corrupt: {error}. Fetch or export it again.") from error
    if not content.graph.node or not content.opset_import:
        raise BuildError(f"onnx: {path} holds no graph ({path.stat().st_size} bytes). Fetch or export it again.")
    return content


def external_files(content: Any, path: Path) -> list[Path]:
    """The files that hold the model's external data, each once.

    Raises:
        BuildError: one is missing, too short, or lies outside the model's folder.
    """
    folder = path.parent.resolve()
    ends: dict[Path, int] = {}
    for tensor in _tensors(content):
        facts = {entry.key: entry.value for entry in tensor.external_data}
        location = facts.get("location", "")
        file = (folder / location).resolve()
        if not location or not file.is_relative_to(folder) or file == folder:
            raise BuildError(
                f"onnx: the external data of `{tensor.name}` in {path} is said to lie at {location!r}, outside the "
                f"model's folder. Such a file is never read: move the data beside the model and save it again."
            )
        if not file.is_file():
            raise BuildError(
                f"onnx: {path} needs its external data {file}, which is missing. Copy it beside the model."
            )
        try:
            end = int(facts.get("offset", 0)) + int(facts.get("length", 0))
        except ValueError as error:
            raise BuildError(f"onnx: {path} is corrupt: the place of `{tensor.name}` is not a number.") from error
        ends[file] = max(end, ends.get(file, 0))
    for file, end in ends.items():
        if file.stat().st_size < end:
            raise BuildError(
                f"onnx: the external data {file} is truncated: {file.stat().st_size} bytes of at least {end}. "
                f"Copy it again."
            )
    return sorted(ends)


def _tensors(content: Any) -> Iterator[Any]:
    """Every tensor that keeps its data outside, initializers and attributes alike."""
    from onnx import TensorProto

    pending = [content.graph]
    while pending:
        graph = pending.pop()
        held = list(graph.initializer)
        for node in graph.node:
            for attribute in node.attribute:
                held += [attribute.t, *attribute.tensors]
                pending += [attribute.g, *attribute.graphs]
        yield from (tensor for tensor in held if tensor.data_location == TensorProto.EXTERNAL)


def with_inputs(model: ModelSpec, path: Path) -> ModelSpec:
    """The model with the inputs of a file, where the zoo leaves them to it.

    Raises:
        Unsupported: the file has none that can be fed.
    """
    if model.inputs:
        return model
    import onnx

    found = _inputs(onnx.load(path, load_external_data=False), path)
    return replace(model, inputs=tuple(found.values()))


def _inputs(content: Any, path: Path) -> dict[str, InputSpec]:
    """The graph's real inputs, initializers left out."""
    import onnx

    held = {tensor.name for tensor in content.graph.initializer}
    inputs: dict[str, InputSpec] = {}
    for one in content.graph.input:
        if one.name in held:
            continue
        kind = one.type.WhichOneof("value")
        tensor = one.type.tensor_type
        if kind != "tensor_type" or tensor.elem_type == onnx.TensorProto.STRING:
            what = "strings" if kind == "tensor_type" else str(kind)
            raise Unsupported(
                f"onnx: the input `{one.name}` of {path} holds {what}; only tensors of numbers can be fed."
            )
        shape = tuple(
            axis.dim_value if axis.HasField("dim_value") else axis.dim_param or f"{one.name}_{place}"
            for place, axis in enumerate(tensor.shape.dim)
        )
        if 0 in shape:
            raise Unsupported(
                f"onnx: the input `{one.name}` of {path} has the shape {list(shape)} with a dimension of size zero: "
                f"there is nothing to compute on. Export it with a dynamic or a positive size."
            )
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
        inputs[one.name] = InputSpec(name=one.name, dtype=dtype, shape=shape)
    if not inputs:
        raise Unsupported(f"onnx: {path} has no inputs: it computes a constant, and there is nothing to measure.")
    return inputs


def _match(model: ModelSpec, inputs: dict[str, InputSpec], path: Path) -> None:
    """Compare the zoo's inputs with the file's, where the zoo names any.

    Raises:
        BuildError: a name, a type or a fixed size differs, or an input is left out.
    """
    for spec in model.inputs:
        real = inputs.get(spec.name)
        if real is None:
            raise BuildError(
                f"onnx: {path} has no input `{spec.name}`{similar(spec.name, list(inputs))}. "
                f"It has {', '.join(inputs)}; fix `inputs` of `{model.name}` in the zoo."
            )
        clash = len(real.shape) != len(spec.shape) or any(
            isinstance(theirs, int) and theirs != ours for theirs, ours in zip(real.shape, spec.shape, strict=True)
        )
        if real.dtype != spec.dtype or clash:
            raise BuildError(
                f"onnx: the input `{spec.name}` of {path} is {real.dtype} {list(real.shape)}; the zoo says "
                f"{spec.dtype} {list(spec.shape)}. Fix `inputs` of `{model.name}` in the zoo."
            )
    left_out = [name for name in inputs if name not in {spec.name for spec in model.inputs}]
    if model.inputs and left_out:
        raise BuildError(f"onnx: {path} also has the input `{left_out[0]}`; add it to `inputs` of `{model.name}`.")


def _session(onnxruntime: Any, path: Path) -> Any:
    """A session without optimizations, to know that onnxruntime takes the file.

    Raises:
        Unsupported: an operator is unknown, or has no kernel on the CPU.
        BuildError: onnxruntime refuses the file for another reason.
    """
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    settings.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    except Exception as error:
        text = str(error).strip()
        if "is not a registered function/op" in text or "No Op registered for" in text or "NOT_IMPLEMENTED" in text:
            raise Unsupported(
                f"onnx: {path} uses an operator that onnxruntime {onnxruntime.__version__} does not have on the "
                f"CPU: {text}"
            ) from error
        raise BuildError(f"onnx: onnxruntime {onnxruntime.__version__} refuses {path}: {text}") from error


def _digest(files: list[Path]) -> str:
    """The SHA-256 of the file and its external data, in order."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


FRAMEWORK = base.Framework(
    name="onnx",
    doc="a file that is there already",
    id_doc="a path, from the zoo's folder",
    load=load,
    export_packages=("onnx",),
    reference_packages=FLAVOURS,
    weights=(),
    file=".onnx",
    states_inputs=True,
)
