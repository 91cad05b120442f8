"""What every data source shares: the request, one example, and how to find the source.

Standard library and NumPy only; a source imports what it needs inside its functions.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.metadata
import itertools
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from harness import data
from harness.errors import BuildError, MissingExtra, Unsupported
from harness.options import by_name
from harness.suggest import suggest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy as np

    from harness.records import InputSpec, Json, ModelSpec

Split = Literal["calibration", "evaluation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One example.

    Attributes:
        feed: input name -> array *without* the batch axis.
        label: the true class, where the data has labels.
    """

    feed: Mapping[str, np.ndarray[Any, Any]]
    label: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRequest:
    """What a model wants to be fed.

    Attributes:
        counts: how many examples of each split.
        model_source, task: what the model is; they choose the default preprocessing.
        inputs, dims: the model's inputs, and the size of every dynamic axis but the first.
        options: the data source's own settings.
    """

    source: str
    counts: Mapping[str, int]
    model_source: str
    task: str | None
    inputs: tuple[InputSpec, ...]
    dims: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, Json] = field(default_factory=dict)

    @classmethod
    def of(cls, model: ModelSpec) -> DataRequest:
        """The request that a zoo entry makes."""
        return cls(
            source=model.data.source,
            counts={"calibration": model.data.calibration, "evaluation": model.data.evaluation},
            model_source=model.source,
            task=model.task,
            inputs=model.inputs,
            dims=model.dims,
            options=model.data.options,
        )


class DataSource(Protocol):
    """A module of this package."""

    def examples(self, request: DataRequest, split: Split) -> Iterator[Example]:
        """Yield the examples of `split`, the same ones in the same order every time."""

    def digest(self, request: DataRequest) -> str:
        """Name everything outside the request that the examples depend on."""


def source(name: str) -> DataSource:
    """Import the data source called `name`.

    Raises:
        BuildError: there is none of that name.
    """
    names = data.names()
    if name not in names:
        raise BuildError(f"There is no data source `{name}`; {suggest(name, names)}.")
    module: Any = importlib.import_module(f"harness.data.{name}")
    return module  # type: ignore[no-any-return]  # a module satisfies the protocol; only tests can check it


def stream(request: DataRequest, split: Split) -> Iterator[Example]:
    """Yield exactly as many examples of `split` as were asked for.

    Raises:
        BuildError: the source has fewer, or an example does not fit the model's inputs.
    """
    count, found = request.counts[split], 0
    for example in itertools.islice(source(request.source).examples(request, split), count):
        check(example, request)
        found += 1
        yield example
    if found < count:
        raise BuildError(
            f"data: `{request.source}` has {found} {split} examples and {count} were asked for. "
            f"Lower `{split}` in the zoo's data entry, or bring more examples."
        )


def first_rows(model: ModelSpec, rows: int = 2) -> list[np.ndarray[Any, Any]]:
    """The first examples as one batch per input, in order: something real to trace a network with.

    Args:
        model: the zoo entry; a fixed batch size has its own way.
        rows: how many where the batch is dynamic; the last example is repeated where the data has fewer.

    Raises:
        BuildError: the data has no example at all.
    """
    import numpy as np

    request = DataRequest.of(model)
    fixed = [spec.shape[0] for spec in model.inputs if spec.shape and isinstance(spec.shape[0], int)]
    wanted = int(fixed[0]) if fixed else rows
    split: Split = "evaluation" if request.counts["evaluation"] else "calibration"
    found = list(itertools.islice(stream(request, split), wanted))
    if not found:
        raise BuildError(f"data: {model.name} has no examples. Set `evaluation` to 1 or more.")
    found += found[-1:] * (wanted - len(found))
    return [np.stack([example.feed[spec.name] for example in found]) for spec in model.inputs]


def check(example: Example, request: DataRequest) -> None:
    """Refuse an example that the model could not take."""
    for spec in request.inputs:
        if spec.name not in example.feed:
            raise BuildError(
                f"data: `{request.source}` gives no array for the input `{spec.name}`; it gives "
                f"{', '.join(sorted(example.feed))}. Use a data source that fits the model, such as `random`."
            )
        array, wanted = example.feed[spec.name], row_shape(spec, request.dims)
        if array.shape != wanted or array.dtype.name != spec.dtype:
            raise BuildError(
                f"data: `{request.source}` gives {array.dtype.name} {list(array.shape)} for the input `{spec.name}`, "
                f"which takes {spec.dtype} {list(wanted)} per example."
            )


def row_shape(spec: InputSpec, dims: Mapping[str, int]) -> tuple[int, ...]:
    """The shape of one example of an input: its own shape without the batch axis, every dynamic axis with its size.

    Raises:
        Unsupported: the input is a scalar, so no axis can hold examples.
        BuildError: the zoo gives a dynamic axis no size.
    """
    if not spec.shape:
        raise Unsupported(f"The input `{spec.name}` is a scalar: it has no axis to put examples on.")
    for axis in spec.shape[1:]:
        if isinstance(axis, str) and axis not in dims:
            raise BuildError(
                f"The input `{spec.name}` has the dynamic axis `{axis}` and the zoo gives it no size. "
                f"Add `dims: {{{axis}: 128}}` to the model."
            )
    return tuple(dims[axis] if isinstance(axis, str) else axis for axis in spec.shape[1:])


def image_input(request: DataRequest) -> tuple[InputSpec, int, int, int]:
    """The one input of an image model, with channels, height and width.

    Raises:
        BuildError: the model does not take one image in NCHW order.
    """
    shapes = [row_shape(spec, request.dims) for spec in request.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 3 or shapes[0][0] not in (1, 3):  # noqa: PLR2004 # channels, height, width
        raise BuildError(
            f"data: `{request.source}` feeds models with one input of shape [batch, 3, height, width]; this one has "
            f"{', '.join(f'{spec.name} {list(spec.shape)}' for spec in request.inputs)}."
        )
    channels, height, width = shapes[0]
    return request.inputs[0], channels, height, width


def request_digest(request: DataRequest, split: Split) -> str:
    """The digest of the examples of one split, computed from what makes them rather than from the arrays.

    The other split's count is left out: no source may let one split change the other.
    """
    content = {
        "source": request.source,
        "split": split,
        "count": request.counts[split],
        "model_source": request.model_source,
        "task": request.task,
        "inputs": [[spec.name, spec.dtype, list(spec.shape)] for spec in request.inputs],
        "dims": dict(request.dims),
        "options": dict(request.options),
        "depends": source(request.source).digest(request),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@functools.cache
def versions(*distributions: str) -> str:
    """The installed versions of `distributions`, for a source's digest."""
    found = []
    for name in distributions:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} absent")
    return ", ".join(found)


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's bytes, read in pieces.

    Raises:
        BuildError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BuildError(f"data: {path} cannot be read: {error.strerror}. Check the path in the zoo.") from error


def option(request: DataRequest, name: str) -> Any:
    """The value of a data option, its declared default where it is not given; unknown options are refused.

    Raises:
        BuildError: the options hold a key that the source does not declare.
    """
    known = by_name(data.options(request.source))
    unknown = sorted(set(request.options) - set(known))
    if unknown:
        raise BuildError(f"data: `{request.source}` has no option `{unknown[0]}`. Valid: {', '.join(sorted(known))}.")
    return request.options.get(name, known[name].default)


def needs(package: str, purpose: str) -> MissingExtra:
    """The error for an optional package that is not installed."""
    return MissingExtra(f"{purpose} needs {package}, which is not installed: pip install 'onnx-harness[zoo]'.")
