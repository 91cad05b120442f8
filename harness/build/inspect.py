"""What an ONNX file holds, as a plain dict. Used by `harness inspect` and by the build child."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.build import graphs
from harness.errors import BuildError, HarnessError, MissingExtra

if TYPE_CHECKING:
    from pathlib import Path

    from harness.records import Json


def inspect(path: Path) -> dict[str, Json]:
    """Describe the file without loading its external data or running anything.

    Returns:
        `file`, `bytes`, `ir_version`, `opsets`, `producer`, `model_version`, `domain`, `doc`, `metadata`,
        `graph`, `inputs`, `outputs` (each with `name`, `type`, `shape`), `initializers` (type -> `count`, `elements`,
        `bytes`), `operators` (name -> count), `nodes`, `functions`, `external_data` (location -> `tensors`, and the
        `bytes` found there, None when the file is missing).

    Raises:
        BuildError: there is no such file, or it is not a whole ONNX model.
    """
    content = _parse(path)
    held = {one.name for one in content.graph.initializer}
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "ir_version": content.ir_version,
        "opsets": {one.domain or "ai.onnx": one.version for one in content.opset_import},
        "producer": f"{content.producer_name} {content.producer_version}".strip(),
        "model_version": content.model_version,
        "domain": content.domain,
        "doc": content.doc_string,
        "metadata": {one.key: one.value for one in content.metadata_props},
        "graph": content.graph.name,
        "inputs": [_value(one) for one in content.graph.input if one.name not in held],
        "outputs": [_value(one) for one in content.graph.output],
        "initializers": _initializers(content),
        "operators": dict(graphs.operators(content)),
        "nodes": sum(graphs.operators(content).values()),
        "functions": len(content.functions),
        "external_data": _external(content, path),
    }


def _parse(path: Path) -> Any:
    try:
        from harness.frameworks.onnx import parse

        return parse(path)
    except ImportError as error:
        raise MissingExtra(f"Reading an ONNX file needs onnx, which does not import here ({error}).") from error
    except HarnessError:
        raise
    except OSError as error:
        raise BuildError(f"onnx: {path} cannot be read: {error.strerror}.") from error


def _value(one: Any) -> dict[str, Json]:
    """Name, type and shape of an input or output; the shape is None where the file does not tell it."""
    kind = one.type.WhichOneof("value")
    if kind != "tensor_type":
        return {"name": one.name, "type": str(kind), "shape": None}
    tensor = one.type.tensor_type
    shape = [axis.dim_value if axis.HasField("dim_value") else axis.dim_param or "?" for axis in tensor.shape.dim]
    return {"name": one.name, "type": _type(tensor.elem_type), "shape": shape if tensor.HasField("shape") else None}


def _type(kind: int) -> str:
    import onnx

    try:
        return str(onnx.TensorProto.DataType.Name(kind)).lower()
    except ValueError:
        return f"type {kind}"


def _initializers(content: Any) -> dict[str, Json]:
    """Initializers of all graphs by type: how many, how many elements, and the bytes that they take."""
    found: dict[str, dict[str, int]] = {}
    for graph in graphs.graphs(content.graph):
        for one in graph.initializer:
            entry = found.setdefault(_type(one.data_type), {"count": 0, "elements": 0, "bytes": 0})
            elements = 1
            for size in one.dims:
                elements *= size
            entry["count"] += 1
            entry["elements"] += elements
            entry["bytes"] += _bytes(one, elements)
    return dict(sorted(found.items()))


def _bytes(tensor: Any, elements: int) -> int:
    """What a tensor takes; 4-bit types hold two elements in a byte, and strings their own length."""
    import onnx

    if tensor.data_type == onnx.TensorProto.STRING:
        return sum(len(one) for one in tensor.string_data)
    if _type(tensor.data_type) in ("int4", "uint4", "float4e2m1"):
        return (elements + 1) // 2
    try:
        return elements * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except KeyError:
        return len(tensor.raw_data)


def _external(content: Any, path: Path) -> dict[str, Json]:
    """The files that weights lie in, with how many tensors, and the size found there."""
    import onnx

    found: dict[str, dict[str, Json]] = {}
    for graph in graphs.graphs(content.graph):
        for one in graph.initializer:
            if one.data_location != onnx.TensorProto.EXTERNAL:
                continue
            location = next((entry.value for entry in one.external_data if entry.key == "location"), "")
            file = path.parent / location
            size = file.stat().st_size if location and file.is_file() else None
            entry = found.setdefault(location, {"tensors": 0, "bytes": size})
            entry["tensors"] += 1
    return dict(found)
