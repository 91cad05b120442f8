"""A model that comes as an .onnx file, with or without external data beside it.

The file is the model and its own reference. What can be wrong with it is looked for here, before any step touches it.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import graphs, packaged, values
from harness.data import base as data
from harness.errors import BuildError, Unsupported
from harness.flavours import FLAVOURS
from harness.frameworks import base, onnx_recognize
from harness.frameworks.onnx_text import not_text
from harness.records import BATCH, Json, Weights
from harness.special_files import lost_link, require_plain, special
from harness.units import size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.frameworks import onnx_inputs
    from harness.frameworks.base import Array
    from harness.records import ModelSpec


MOST = 2**31 - 1
"""Bytes of a file without its external data: protobuf reads no more."""


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
        return run(onnxruntime, self.sessions[0], feed)

    def export(self, options: Mapping[str, Json], folder: Path) -> None:  # noqa: ARG002 # a file is what it is
        """Copy the file, self-contained: external data is taken in, or put beside it where it is too large."""
        path = folder / "model.onnx"
        if self.facts["external"]:
            graphs.save(_whole(self.file), path)
        else:
            shutil.copyfile(self.file, path)

    def close(self) -> None:
        """Free the session."""
        self.sessions.clear()


def load(model: ModelSpec) -> OnnxFile:
    """Read the file, and find out how it can be fed.

    Raises:
        BuildError: the file is missing, truncated or corrupt, its external data is missing or lies outside its folder,
            the zoo's inputs are not the file's, or onnxruntime does not take it.
        Unsupported: an input of a type that cannot be fed, or an operator that this onnxruntime does not know.
    """
    import onnxruntime

    path = packaged.required(model.id)
    content = parse(path)
    files = external_files(content, path)
    session = _session(onnxruntime, path)
    settled = _settled(model, content, session)
    constant = [] if settled.model.inputs else ["the model has no inputs: it computes a constant"]
    return OnnxFile(
        weights=Weights(kind="file", digest=_digest([path, *files])),
        origin=f"onnxruntime {onnxruntime.__version__} on the file itself, optimizations disabled",
        outputs=tuple(one.name for one in session.get_outputs()),
        model=settled.model,
        file=path,
        sessions=[session],
        facts={
            "files": [str(one) for one in (path, *files)],
            "inputs": [one.to_json() for one in settled.model.inputs],
            "dims": dict(settled.model.dims),
            "guesses": [*settled.guesses, *constant],
            "external": bool(files),
        },
    )


def _settled(model: ModelSpec, content: Any, session: Any) -> onnx_inputs.Settled:
    """The model with a size for whatever the file and the zoo leave open, tried out in a session."""
    import onnxruntime

    from harness.frameworks import onnx_inputs

    path = Path(model.id)

    def attempt(chosen: ModelSpec) -> None:
        run(onnxruntime, session, next(_examples(chosen)).feed)

    return onnx_inputs.settle(model, onnx_inputs.read(content, path), path, attempt)


def open_sizes(model: ModelSpec) -> Mapping[str, int] | None:
    """Sizes of the axes that a file leaves open and the zoo does not name, batch axes aside, with which it runs.

    None where no guess runs, or where only one does that fixes the batch.

    Raises:
        BuildError: as `load`.
    """
    import onnxruntime

    path = Path(model.id)
    content = parse(path)
    external_files(content, path)
    settled = _settled(model, content, _session(onnxruntime, path))
    return settled.model.dims if settled.ran and BATCH not in settled.model.dims else None


def _examples(model: ModelSpec) -> Iterator[data.Example]:
    """What the model is going to be fed, drawn again from the beginning."""
    request = data.DataRequest.of(model)
    split: data.Split = "evaluation" if request.counts["evaluation"] else "calibration"
    return data.stream(request, split)


def run(onnxruntime: Any, session: Any, feed: Mapping[str, Any]) -> list[Any]:
    """The outputs of a session on a feed of arrays of any type (ml_dtypes' among them), sequences, maps and optionals.

    Raises:
        Unsupported: onnxruntime's Python cannot pass such values.
    """
    from harness import ort_values

    try:
        given = {}
        for one in session.get_inputs():
            raw, kind = feed[one.name], ""
            if ort_values.is_tensor(one.type):
                raw, kind = values.plain(raw, one.name)
            given[one.name] = ort_values.fitting(raw, one.type, kind, one.name)
        found = ort_values.run(onnxruntime, session, given)
    except ort_values.Unfit as error:
        raise Unsupported(f"onnx: {error}") from error
    kinds = [ort_values.type_of(one.type) for one in session.get_outputs()]
    return [
        value if kind == ort_values.NESTED else values.typed(value, kind)
        for value, kind in zip(found, kinds, strict=True)
    ]


def parse(path: Path) -> Any:
    """The model without its external data.

    Raises:
        BuildError: there is no such file, or it is not a whole ONNX model.
    """
    import onnx

    if what := special(path):
        raise BuildError(f"onnx: {path} is {what}; give a plain file")
    if what := lost_link(path):
        raise BuildError(f"onnx: {path} is {what}.")
    if not path.is_file():
        raise BuildError(f"onnx: there is no file {path}. Check `id` in the zoo; it is relative to the zoo's folder.")
    if other := onnx_recognize.otherwise(path):
        raise BuildError(f"onnx: {other}")
    if (held := path.stat().st_size) > MOST:
        raise BuildError(
            f"onnx: {path} has {size(held)}, and protobuf reads no file of 2 GiB or more. Save it with its weights as "
            f"external data: onnx.save(model, path, save_as_external_data=True)."
        )
    try:
        content = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's own error class, whose module has no types
        raise BuildError(f"onnx: {path} is truncated or corrupt: {error}. Fetch or export it again.") from error
    if place := not_text(content):
        raise BuildError(f"onnx: {path} is corrupt: its {place} is not UTF-8. Fetch or export it again.")
    if not content.HasField("graph") or not (content.graph.node or content.graph.output):
        raise BuildError(f"onnx: {path} holds no graph ({path.stat().st_size} bytes). Fetch or export it again.")
    return content


def external_files(content: Any, path: Path) -> list[Path]:
    """The files that hold the model's external data, each once.

    Raises:
        BuildError: one is missing, too short, or lies outside the model's folder.
    """
    return sorted({file for _, file, _, _ in _outside(content, path)})


def _outside(content: Any, path: Path) -> list[tuple[Any, Path, int, int]]:
    """Every tensor with external data, the file, where in it the tensor begins, and its bytes; -1 is all that follow.

    As in onnxruntime, a file may lie in the model's folder or, where the model is a link, in that of the file that it
    leads to: the hub's cache is made of such links.

    Raises:
        BuildError: as `external_files`.
    """
    folder, homes = path.parent.resolve(), {path.parent.resolve(), path.resolve().parent}
    found: list[tuple[Any, Path, int, int]] = []
    for tensor in _tensors(content):
        facts = {entry.key: entry.value for entry in tensor.external_data}
        location = facts.get("location", "")
        file = (folder / location).resolve()
        if not location or not any(file.is_relative_to(home) and file != home for home in homes):
            raise BuildError(_elsewhere(tensor.name, location, path))
        if what := special(file):
            raise BuildError(f"onnx: {path} needs its external data {file}, which is {what}; it is not read")
        if not file.is_file():
            what = "a folder" if file.is_dir() else "missing"
            raise BuildError(f"onnx: {path} needs its external data {file}, which is {what}. Copy it beside the model.")
        places = [facts.get("offset", "0"), facts.get("length", "-1")]
        if not re.fullmatch(r"\d{1,18} (-1|\d{1,18})", " ".join(places)):
            raise BuildError(f"onnx: {path} is corrupt: the place of `{tensor.name}` is not a number.")
        found.append((tensor, file, int(places[0]), int(places[1])))
    ends: dict[Path, int] = {}
    for _, file, offset, length in found:
        ends[file] = max(offset + max(length, 0), ends.get(file, 0))
    for file, end in ends.items():
        if file.stat().st_size < end:
            if onnx_recognize.is_pointer(file):
                raise BuildError(f"onnx: the external data {file} is a Git LFS pointer. Run `git lfs pull`.")
            raise BuildError(
                f"onnx: the external data {file} is truncated: {file.stat().st_size} bytes of at least {end}. "
                f"Copy it again."
            )
    return found


def _elsewhere(tensor: str, location: str, path: Path) -> str:
    """Why data is not read that is said to lie where onnxruntime does not look for it either."""
    beside = path.parent / location
    if location and beside.is_symlink():
        return (
            f"onnx: the external data of `{tensor}` in {path} is a link to {beside.readlink()}, outside the model's "
            f"folder, and onnxruntime follows none. Copy the file itself beside the model."
        )
    return (
        f"onnx: the external data of `{tensor}` in {path} is said to lie at {location!r}, outside the model's folder. "
        f"Such a file is never read: move the data beside the model and save it again."
    )


def _whole(path: Path) -> Any:
    """The model with its external data; `onnx.load` refuses data that is a link, and onnxruntime does not."""
    content = parse(path)
    for tensor, file, offset, length in _outside(content, path):
        with file.open("rb") as stream:
            stream.seek(offset)
            tensor.raw_data = stream.read(length)
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
    return content


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
    from harness.frameworks import onnx_inputs

    if model.inputs:
        return model
    import onnx

    found = onnx_inputs.read(onnx.load(path, load_external_data=False), path, needs=False)
    return replace(model, inputs=tuple(found.inputs.values()))


def _session(onnxruntime: Any, path: Path) -> Any:
    """A session without optimizations, to know that onnxruntime takes the file; with them where it takes no other.

    Raises:
        Unsupported: an operator is unknown, or has no kernel on the CPU.
        BuildError: onnxruntime refuses the file for another reason.
    """
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    refusal: Exception | None = None
    for level in ("ORT_DISABLE_ALL", "ORT_ENABLE_ALL"):
        settings.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
        try:
            return onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 # onnxruntime has a class of its own for every reason
            refusal = refusal or error
    text = str(refusal).strip()
    if "is not a registered function/op" in text or "No Op registered for" in text or "NOT_IMPLEMENTED" in text:
        raise Unsupported(
            f"onnx: {path} uses an operator that onnxruntime {onnxruntime.__version__} does not have on the CPU: {text}"
        ) from refusal
    raise BuildError(f"onnx: onnxruntime {onnxruntime.__version__} refuses {path}: {text}") from refusal


def _digest(files: list[Path]) -> str:
    """The SHA-256 of the file and its external data, in order."""
    digest = hashlib.sha256()
    for path in files:
        require_plain(path)
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
    build_s=2.0,  # nothing is exported: a copy, the reference outputs, and a step or two
)
