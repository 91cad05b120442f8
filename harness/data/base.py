"""What every data source shares: the request, one example, and how to find the source.

Standard library and NumPy only; a source imports what it needs inside its functions.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from harness import data
from harness.errors import BuildError, MissingExtra, Unsupported
from harness.installed import version_of
from harness.options import by_name
from harness.records import batch_axes, fixed_batch
from harness.special_files import require_plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np

    from harness.records import InputSpec, Json, ModelSpec

Split = Literal["calibration", "evaluation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One example: a whole feed.

    Attributes:
        feed: input name -> array with all its axes, the batch axis (of size one, or the fixed size) included; a list, a
            mapping or None for an input that is a sequence, a map or an optional.
        label: what is true of it, where the data has labels: an array of any shape, or a mapping of such.
        expected: output name -> what the model is known to answer; empty where the data does not say.
        before: the tokens that a decoder has read before, [rows, past]; keys and values of the feed stand for them
            (`harness.data.past`). None where there are none, or where they are not known.
    """

    feed: Mapping[str, Any]
    label: Any = None
    expected: Mapping[str, Any] = field(default_factory=dict)
    before: np.ndarray[Any, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What most sources have: one row of data, which becomes an example when the batch axis is put in.

    Attributes:
        feed: input name -> array *without* the axis that rows are put on (see `DataRequest.row_axes`).
        label: as in `Example`.
        before: of one row, [past].
    """

    feed: Mapping[str, np.ndarray[Any, Any]]
    label: Any = None
    before: np.ndarray[Any, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """An example that cannot be had, which a source yields in its place and goes on with the next.

    Attributes:
        name: what it is called, such as a file below the folder.
        why: what is wrong with it.
    """

    name: str
    why: str


NAMED = 5
"""Examples that were left out are named up to so many, and counted beyond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRequest:
    """What a model wants to be fed.

    Attributes:
        counts: how many examples of each split.
        model_source, task: what the model is; they choose the default preprocessing.
        inputs, dims: the model's inputs, and the size of every dynamic axis but the batch axis.
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

    @property
    def batch_axes(self) -> Mapping[str, int]:
        """Input name -> its batch axis; empty where a feed can only be run as it is."""
        return batch_axes(self.inputs, self.dims)

    @property
    def rows(self) -> int:
        """Rows of data in one feed: the fixed batch size of the model, else 1."""
        return fixed_batch(self.inputs, self.dims) or 1

    @property
    def row_axes(self) -> Mapping[str, int]:
        """Input name -> the axis that rows are put on; an input without one takes its whole array from each row."""
        if fixed_batch(self.inputs, self.dims) is not None:
            return dict.fromkeys((spec.name for spec in self.inputs), 0)
        return self.batch_axes


class DataSource(Protocol):
    """A module of this package."""

    def examples(self, request: DataRequest, split: Split) -> Iterator[Row | Example | LeftOut]:
        """Yield the rows or the whole feeds of `split`, the same ones in the same order every time."""

    def digest(self, request: DataRequest) -> str:
        """Name everything outside the request that the examples depend on."""


def source(name: str) -> DataSource:
    """Import the data source called `name`.

    Raises:
        BuildError: there is none of that name.
    """
    module: Any = data.module(name)
    return module  # type: ignore[no-any-return]  # a module satisfies the protocol; only tests can check it


def stream(request: DataRequest, split: Split, notes: list[str] | None = None) -> Iterator[Example]:
    """Yield exactly as many whole feeds as hold the rows of `split` that were asked for.

    Rows are joined to a feed where the model takes a fixed number of them; the count is rounded up to whole feeds.

    Args:
        request: what the model wants.
        split: of the two.
        notes: hears of examples that were left out, once all are there.

    Raises:
        BuildError: the source has fewer, too many were left out, or an example does not fit the model's inputs.
    """
    asked, found = feeds(request, split) * request.rows, 0
    rows: list[Row] = []
    left_out: list[LeftOut] = []
    wanted = replace(request, counts={**request.counts, split: asked})
    try:
        for one in source(request.source).examples(wanted, split) if asked else ():
            if isinstance(one, LeftOut):
                left_out.append(one)
                _bear(left_out, request, split, asked)
                continue
            check(one, request)
            if isinstance(one, Example):
                found += request.rows
                yield one
            else:
                found += 1
                rows.append(one)
                if len(rows) == request.rows:
                    yield joined_rows(rows, request)
                    rows = []
            if found >= asked:
                break
    finally:
        if left_out and notes is not None:
            notes.append(_named(left_out, split))
    if found < asked:
        said = f" ({_named(left_out, split)})" if left_out else ""
        raise BuildError(
            f"data: `{request.source}` has {found} {split} examples and {asked} were asked for{said}. "
            f"Lower `{split}` in the zoo's data entry, or bring more examples."
        )


def apart(request: DataRequest, notes: list[str]) -> Iterator[Example]:
    """The calibration examples that are none of the evaluation examples: by the digest of all that is fed.

    Sources keep their splits apart; files of a person's own may hold an example twice, and two texts may be the same
    once they are cut. A source of random numbers may repeat itself by chance, and nothing is learnt from that.

    Args:
        request: what the model wants.
        notes: hears of those that were left out, once all are there.

    Raises:
        BuildError: every one of them is an evaluation example.
    """
    drawn = request.source in data.DRAWN
    asked = frozenset() if drawn else _evaluated(_Hashable(request))
    found = shared = 0
    try:
        for one in stream(request, "calibration", notes):
            if asked and feed_digest(one.feed) in asked:
                shared += 1
                continue
            found += 1
            yield one
    finally:
        if shared:
            notes.append(f"{shared} calibration examples are evaluation examples as well and were left out")
    if shared and not found:
        raise BuildError(
            f"data: every calibration example of `{request.source}` ({shared}) is an evaluation example as well: what "
            f"is evaluated would have been calibrated on. Bring other examples for one of the two."
        )


class _Hashable:
    """A request as a key: the digest of its evaluation examples."""

    def __init__(self, request: DataRequest) -> None:
        self.request = request
        self._key = request_digest(request, "evaluation")

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Hashable) and other._key == self._key


@functools.lru_cache(maxsize=4)
def _evaluated(asked: _Hashable) -> frozenset[bytes]:
    """The digests of all evaluation examples; taken once for the variants of a model."""
    return frozenset(feed_digest(one.feed) for one in stream(asked.request, "evaluation"))


def feed_digest(feed: Mapping[str, Any]) -> bytes:
    """What a whole feed is known by: names, types, shapes and values."""
    import numpy as np

    from harness.leaves import leaves

    whole = hashlib.sha256()
    for name in sorted(feed):
        for place, value in leaves(feed[name]).items():
            array = np.asarray(value)
            whole.update(f"{name} {place} {array.dtype.str} {array.shape}\n".encode())
            whole.update(array.tobytes())
    return whole.digest()


def _bear(left_out: Sequence[LeftOut], request: DataRequest, split: Split, asked: int) -> None:
    """Go on without these examples.

    Raises:
        BuildError: they are more than the share that may be damaged.
    """
    share = float(option(request, data.BROKEN.name))
    if len(left_out) > share * asked:
        raise BuildError(
            f"data: `{request.source}`: {_named(left_out, split)}, more than {share:.0%} of the {asked} that were "
            f"asked for. Repair or remove them, or allow more with `broken`."
        )


def _named(left_out: Sequence[LeftOut], split: Split) -> str:
    names = "; ".join(f"{one.name}: {one.why}" for one in left_out[:NAMED])
    more = f" and {len(left_out) - NAMED} more" if len(left_out) > NAMED else ""
    return f"{len(left_out)} {split} examples cannot be read and are left out ({names}{more})"


def feeds(request: DataRequest, split: Split) -> int:
    """How many examples `stream` yields."""
    return -(-request.counts[split] // request.rows)


def joined_rows(rows: Sequence[Row], request: DataRequest) -> Example:
    """The feed that holds these rows, as many as the model takes at once."""
    import numpy as np

    axes, first = request.row_axes, rows[0]
    feed = {
        spec.name: np.stack([row.feed[spec.name] for row in rows], axis=axes[spec.name])
        if spec.name in axes
        else first.feed[spec.name]
        for spec in request.inputs
    }
    read = [row.before for row in rows if row.before is not None]
    before = np.stack(read) if len(read) == len(rows) else None
    labels = [row.label for row in rows]
    if request.rows == 1 or any(label is None for label in labels):
        return Example(feed=feed, label=first.label if request.rows == 1 else None, before=before)
    arrays = [np.asarray(label) for label in labels]
    if len({array.shape for array in arrays}) > 1 or arrays[0].dtype.kind == "O":
        raise BuildError(
            f"data: the labels of `{request.source}` cannot be joined for a model that takes {request.rows} rows at a "
            f"time. Give the model a dynamic `batch` axis, or labels of one shape."
        )
    return Example(feed=feed, label=np.stack(arrays), before=before)


def joined(examples: Sequence[Example], axes: Mapping[str, int]) -> dict[str, np.ndarray[Any, Any]]:
    """Examples as one batch, along each input's batch axis; an input without one is fed as the first example has it."""
    import numpy as np

    return {
        name: np.concatenate([one.feed[name] for one in examples], axis=axes[name]) if name in axes else array
        for name, array in examples[0].feed.items()
    }


def first_rows(model: ModelSpec, rows: int = 2) -> list[np.ndarray[Any, Any]]:
    """The first examples as one batch per input, in order: something real to trace a network with.

    Args:
        model: the zoo entry; without a batch axis, its first feed is given as it is.
        rows: how many where there is a batch axis; the last example is repeated where the data has fewer.

    Raises:
        BuildError: the data has no example at all.
    """
    request = DataRequest.of(model)
    wanted = rows if request.batch_axes else 1
    split: Split = "evaluation" if request.counts["evaluation"] else "calibration"
    found = list(itertools.islice(stream(request, split), wanted))
    if not found:
        raise BuildError(f"data: {model.name} has no examples. Set `evaluation` to 1 or more.")
    found += found[-1:] * (wanted - len(found))
    batch = joined(found, request.batch_axes)
    return [batch[spec.name] for spec in model.inputs]


def check(example: Example | Row, request: DataRequest) -> None:
    """Refuse an example that the model could not take."""
    for spec in request.inputs:
        if spec.name not in example.feed:
            raise BuildError(
                f"data: `{request.source}` gives no array for the input `{spec.name}`; it gives "
                f"{', '.join(sorted(example.feed))}. Use a data source that fits the model, such as `random`."
            )
        array = example.feed[spec.name]
        if not spec.is_tensor or (isinstance(example, Example) and array is None):
            continue
        wanted = row_shape(spec, request) if isinstance(example, Row) else feed_shape(spec, request)
        fits = array.shape == wanted
        if isinstance(example, Example):  # whole feeds may have any size on open axes
            fits = len(array.shape) == len(spec.shape) and all(
                isinstance(axis, str) or axis == size for axis, size in zip(spec.shape, array.shape, strict=True)
            )
        if not fits or dtype_name(array) != spec.dtype:
            raise BuildError(
                f"data: `{request.source}` gives {dtype_name(array)} {list(array.shape)} for the input `{spec.name}`, "
                f"which takes {spec.dtype} {list(wanted)} per example."
            )


def dtype_name(array: np.ndarray[Any, Any]) -> str:
    """The name that `InputSpec.dtype` has for an array's type; `str` for text of any length."""
    return "str" if array.dtype.kind == "U" else str(array.dtype.name)


def dtype_of(name: str) -> np.dtype[Any]:
    """NumPy's type of that name, or ml_dtypes'.

    Raises:
        Unsupported: there is none.
    """
    import numpy as np

    try:
        return np.dtype(name)
    except TypeError:
        pass
    import ml_dtypes

    found = getattr(ml_dtypes, name, None)
    if found is None:
        raise Unsupported(f"data: NumPy has no type {name}, and neither has ml_dtypes.")
    kind: np.dtype[Any] = np.dtype(found)
    return kind


def row_shape(spec: InputSpec, request: DataRequest) -> tuple[int, ...]:
    """The shape of one row of an input: that of a feed without the axis that rows are put on.

    Raises:
        BuildError: the zoo gives a dynamic axis no size.
    """
    axis, shape = request.row_axes.get(spec.name), feed_shape(spec, request)
    return shape if axis is None else shape[:axis] + shape[axis + 1 :]


def feed_shape(spec: InputSpec, request: DataRequest) -> tuple[int, ...]:
    """The shape of one example of an input: every dynamic axis with its size, the batch axis with one.

    Raises:
        BuildError: the zoo gives a dynamic axis no size.
    """
    sizes: list[int] = []
    for place, axis in enumerate(spec.shape):
        if place == request.batch_axes.get(spec.name):
            sizes.append(1)
        elif isinstance(axis, str) and axis not in request.dims:
            raise BuildError(
                f"The input `{spec.name}` has the dynamic axis `{axis}` and the zoo gives it no size. "
                f"Add `dims: {{{axis}: 128}}` to the model."
            )
        else:
            sizes.append(request.dims[axis] if isinstance(axis, str) else axis)
    return tuple(sizes)


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


def calibration_digest(request: DataRequest) -> str:
    """The digest of what is calibrated on: with the evaluation examples, where those are left out of it (`apart`)."""
    own = request_digest(request, "calibration")
    if request.source in data.DRAWN:
        return own
    return hashlib.sha256(f"{own} {request_digest(request, 'evaluation')}".encode()).hexdigest()


def versions(*distributions: str) -> str:
    """The installed versions of `distributions`, for a source's digest."""
    return ", ".join(f"{name} {version_of(name) or 'absent'}" for name in distributions)


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's bytes, read in pieces.

    Raises:
        BuildError: the file cannot be read.
    """
    try:
        require_plain(path)
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


def required(request: DataRequest, name: str, what: str) -> str:
    """The value of a data option that the source cannot do without.

    Args:
        request: what is asked for.
        name: the option's.
        what: what it is, such as `a CSV file`.

    Raises:
        BuildError: it is not given.
    """
    given = option(request, name)
    if not given:
        raise BuildError(f"data: `{request.source}` needs the option `{name}`, {what}.")
    return str(given)


def required_folder(request: DataRequest, what: str) -> Path:
    """The folder that the option `folder` names.

    Raises:
        BuildError: it is not given, or there is none.
    """
    given = option(request, "folder")
    folder = Path(str(given)) if given else None
    if folder is None or not folder.is_dir():
        raise BuildError(f"data: `{request.source}` needs the option `folder`, {what}; found {given!r}.")
    return folder


def needs(package: str, purpose: str) -> MissingExtra:
    """The error for an optional package that is not installed."""
    return MissingExtra(f"{purpose} needs {package}, which is not installed: pip install 'onnx-harness[zoo]'.")
