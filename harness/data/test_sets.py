"""Test inputs beside a file, as ONNX keeps them: test_data_set_N/input_M.pb, and output_M.pb with what is expected.

Every set is one example, a whole feed. The last ones evaluate; the first ones calibrate where there are enough of
them, else random numbers do: calibration and evaluation share no example.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import foreign
from harness.data import base, beside
from harness.errors import BuildError
from harness.options import Option

OPTIONS = (
    Option(
        name="sets", type=str, required=True, path=True, doc="the folder that holds them, from the zoo file's folder"
    ),
    Option(
        name="outputs_of", type=str, default="", path=True, doc="the file, whose outputs give the expected ones names"
    ),
)
PACKAGES: dict[str, str] = {"onnx": "onnx"}

MOST = 2**31 - 1
"""Bytes of one file: protobuf reads no more."""


def examples(request: base.DataRequest, split: base.Split) -> Iterator[base.Example]:
    """Yield the sets of the split as whole feeds, with the outputs that are expected.

    Raises:
        BuildError: a set lacks an input, or a file cannot be read.
    """
    sets = _sets(request)
    evaluation = sets[-request.counts["evaluation"] :] if request.counts["evaluation"] else []
    if split == "evaluation":
        yield from (_example(one, request) for one in evaluation)
        return
    rest = sets[: len(sets) - len(evaluation)]
    yield from (_example(one, request) for one in rest)
    if len(rest) < request.counts["calibration"]:
        from harness.data import random

        yield from itertools.islice(
            random.examples(replace(request, source="random", options={}), split),
            request.counts["calibration"] - len(rest),
        )


def digest(request: base.DataRequest) -> str:
    """The content of every file, and how many sets each split takes."""
    files = sorted(file for one in _sets(request) for file in one.glob("*.pb"))
    content = [f"{file.parent.name}/{file.name} {base.file_digest(file)}" for file in files]
    return f"{content} {dict(request.counts)} {base.versions('numpy', 'onnx')}"


def _sets(request: base.DataRequest) -> list[Path]:
    """The folders, in their order.

    Raises:
        BuildError: there are none.
    """
    folder = Path(str(base.option(request, "sets")))
    found = beside.sets(folder)
    if not found:
        raise BuildError(f"data: {folder} holds no test_data_set_0. Check `sets` in the zoo's data entry.")
    return list(found)


def _example(folder: Path, request: base.DataRequest) -> base.Example:
    feed = {spec.name: _read(folder / f"input_{place}.pb", spec.dtype) for place, spec in enumerate(request.inputs)}
    return base.Example(feed=feed, expected=_expected(folder, request))


def _expected(folder: Path, request: base.DataRequest) -> dict[str, Any]:
    """Output name -> what is expected of it; nothing where the model's outputs are not known."""
    file = str(base.option(request, "outputs_of") or "")
    if not file:
        return {}
    import onnx

    words = {"sequence_type": "seq(", "optional_type": "optional(", "map_type": "map("}
    graph = onnx.load(file, load_external_data=False).graph
    return {
        one.name: _read(path, words.get(one.type.WhichOneof("value"), ""))
        for place, one in enumerate(graph.output)
        if (path := folder / f"output_{place}.pb").is_file()
    }


def _read(path: Path, dtype: str) -> Any:
    """A value as ONNX writes it.

    Args:
        path: the file.
        dtype: as `InputSpec.dtype` has it, which says what the file holds.

    Raises:
        BuildError: it cannot be read.
    """
    import onnx
    from onnx import numpy_helper

    kind = (
        onnx.SequenceProto if dtype.startswith("seq(")
        else onnx.OptionalProto if dtype.startswith("optional(")
        else onnx.MapProto if dtype.startswith("map(")
        else onnx.TensorProto
    )  # fmt: skip
    try:
        held = kind.FromString(foreign.content(path, MOST))
        if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(held)):
            raise ValueError("its values are said to lie in another file, which is not read")
        if kind is onnx.SequenceProto:
            return numpy_helper.to_list(held)
        if kind is onnx.OptionalProto:
            return numpy_helper.to_optional(held)
        if kind is onnx.MapProto:
            return numpy_helper.to_dict(held)
        array = numpy_helper.to_array(held)
    except OSError as error:
        raise BuildError(
            f"data: {path} cannot be read: {error.strerror}. Every input of the model needs one."
        ) from error
    except Exception as error:  # protobuf's own error class, whose module has no types
        raise BuildError(f"data: {path} is not what ONNX calls {kind.__name__}: {error}.") from error
    if array.dtype.kind == "O":
        array = array.astype(str)
    return array


def _tensors(held: Any) -> Iterator[Any]:
    """The tensors of a value of any kind."""
    if held.DESCRIPTOR.name == "TensorProto":
        yield held
        return
    for field, value in held.ListFields():
        if field.message_type is not None:
            for one in [value] if hasattr(value, "ListFields") else value:
                yield from _tensors(one)
