"""The export step: a framework's module to an .onnx file with real names and dynamic axes."""

from __future__ import annotations

import inspect
import shutil
import warnings
from typing import TYPE_CHECKING, Any

from harness.build import graphs
from harness.data import base as data
from harness.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np

    from harness.frameworks.base import Loaded
    from harness.records import InputSpec, Json, ModelSpec

DEFAULT_OPSETS = {"torchscript": 17, "dynamo": 18}
"""17 is the first with LayerNormalization; the dynamo exporter writes nothing below 18."""

TRACE_ROWS = 2
"""Traced with two rows: with one, exporters take the batch axis for a constant."""


def export(loaded: Loaded, model: ModelSpec, options: Mapping[str, Json], folder: Path) -> Path:
    """Write `folder`/model.onnx.

    Conv and BatchNormalization are exported apart, as they were trained, so that what fuses them can be
    seen. A model that came as a file is copied with its external data.

    Raises:
        BuildError: the exporter failed.
    """
    path = folder / "model.onnx"
    if loaded.file is not None:
        _copy(loaded, path)
        return path
    import torch

    arrays = data.first_rows(model, TRACE_ROWS)
    feed = [torch.from_numpy(array) for array in arrays]
    outputs = list(loaded.outputs)
    axes = {**_input_axes(model), **output_axes(loaded, model, arrays)}
    exporter = str(options["exporter"])
    opset = int(options["opset"] or DEFAULT_OPSETS[exporter])
    names = [spec.name for spec in model.inputs]
    module: Any = loaded.module
    other = "dynamo" if exporter == "torchscript" else "torchscript"
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # the legacy exporter warns of itself, and the proof checks its work
            if exporter == "torchscript":
                torch.onnx.export(
                    module,
                    tuple(feed),
                    str(path),
                    dynamo=False,
                    input_names=names,
                    output_names=outputs,
                    dynamic_axes={name: dict(places) for name, places in axes.items() if places},
                    opset_version=opset,
                    # EVAL would fold BatchNormalization into Conv before anybody could count it.
                    training=torch.onnx.TrainingMode.PRESERVE,
                )
            else:
                torch.onnx.export(
                    module,
                    tuple(feed),
                    str(path),
                    dynamo=True,
                    input_names=names,
                    output_names=outputs,
                    dynamic_shapes=_dynamic_shapes(model, module),
                    opset_version=opset,
                    external_data=False,
                )
    except Exception as error:
        raise BuildError(
            f"export: torch's {exporter} exporter failed at opset {opset}: {_first_line(error)}. Another exporter or "
            f"opset may do: `steps: {{export: {{exporter: {other}}}}}`."
        ) from error
    return path


def output_axes(loaded: Loaded, model: ModelSpec, feed: Sequence[np.ndarray[Any, Any]]) -> dict[str, dict[int, str]]:
    """The dynamic axes of every output, found by changing one input axis at a time and looking.

    An output axis that grows with an input axis is called like it when it has its size, and otherwise
    after the output, so that no two different sizes share a name.
    """
    base = loaded.run({spec.name: array for array, spec in zip(feed, model.inputs, strict=True)})
    axes: dict[str, dict[int, str]] = {name: {} for name in loaded.outputs}
    for axis in dict.fromkeys(axis for spec in model.inputs for axis in spec.shape if isinstance(axis, str)):
        longer = {spec.name: _longer(array, spec, model, axis) for array, spec in zip(feed, model.inputs, strict=True)}
        changed = loaded.run(longer)
        grown = next(longer[spec.name].shape[spec.shape.index(axis)] for spec in model.inputs if axis in spec.shape)
        for name, before, after in zip(loaded.outputs, base, changed, strict=True):
            for place, (old, new) in enumerate(zip(before.shape, after.shape, strict=True)):
                if old != new:
                    axes[name][place] = axis if new == grown else f"{name}_{axis}_{place}"
    return axes


def _longer(array: np.ndarray[Any, Any], spec: InputSpec, model: ModelSpec, axis: str) -> np.ndarray[Any, Any]:
    """The array with one more entry (the first again) along every axis of that name."""
    import numpy as np

    for place, name in enumerate(spec.shape):
        if name == axis:
            # One entry shorter where the axis is not the batch: position tables often end at exactly this length.
            if place != model.batch_axes.get(spec.name) and array.shape[place] > TRACE_ROWS:
                array = np.delete(array, -1, axis=place)
            else:
                array = np.concatenate([array, array.take([0], axis=place)], axis=place)
    return array


def _input_axes(model: ModelSpec) -> dict[str, dict[int, str]]:
    return {
        spec.name: {place: axis for place, axis in enumerate(spec.shape) if isinstance(axis, str)}
        for spec in model.inputs
    }


def _dynamic_shapes(model: ModelSpec, module: Any) -> tuple[Any, ...]:
    """One `Dim` per name, shared among the inputs, in the shape of the module's own parameters."""
    import torch

    dims: dict[str, Any] = {}
    for axes in _input_axes(model).values():
        for axis in axes.values():
            dims.setdefault(axis, torch.export.Dim(axis))
    shapes = tuple({place: dims[axis] for place, axis in axes.items()} for axes in _input_axes(model).values())
    parameters = inspect.signature(module.forward).parameters.values()
    # A forward(*inputs) has one parameter, which is a tuple.
    return (shapes,) if any(one.kind is one.VAR_POSITIONAL for one in parameters) else shapes


def _copy(loaded: Loaded, path: Path) -> None:
    """The user's file, self-contained: external data is taken in, or put beside it where it is too large."""
    if loaded.file is None:
        raise BuildError("export: there is no file to copy.")
    if loaded.facts["external"]:
        graphs.save(graphs.load(loaded.file), path)
    else:
        shutil.copyfile(loaded.file, path)


def _first_line(error: Exception) -> str:
    cause = error.__cause__ or error  # the exporters wrap the reason in advice
    lines = str(cause).strip().splitlines() or [""]
    return f"{type(cause).__name__}: {lines[0]}"
