"""What a function of the user's own yields: whole feeds or single rows, of every type that a model takes.

`function` names a generator function, and `arguments` are given to it by name. Each thing that it yields is a feed
(input name -> value), or a tuple of a feed and its label, or of those and the outputs that are expected. A tensor is an
array with all its axes, or without the batch axis; a sequence is a list, a map is a dict, an empty optional is None. A
function with a parameter `split` is given "calibration" or "evaluation"; of any other the first feeds calibrate, and
those behind them evaluate. Random numbers of Python, NumPy and torch are seeded before each call.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import json
import random
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from harness import importable, source_files
from harness.data import SEED, base
from harness.errors import BuildError, MissingExtra
from harness.options import Option

if TYPE_CHECKING:
    from harness.records import InputSpec

OPTIONS = (
    Option(
        name="function",
        type=str,
        required=True,
        doc="what yields the feeds, an importable `module:function`, whose code is part of every digest",
    ),
    Option(name="arguments", type=dict, default={}, doc="the function's arguments, by name"),
    SEED,
)
PACKAGES = {"numpy": "numpy"}
SPLIT = "split"
"""The parameter of a function that wants to know which examples are asked for."""

PARTS = 3
"""What a tuple may hold: the feed, its label, the outputs that are expected."""


def examples(request: base.DataRequest, split: base.Split) -> Iterator[base.Row | base.Example]:
    """Yield the function's feeds of a split.

    Raises:
        BuildError: the function cannot be imported or called, fails, or yields something else.
    """
    name = str(base.option(request, "function"))
    function = importable.target(name, "data")
    arguments = dict(base.option(request, "arguments"))
    skipped = 0
    if _wants_split(function):
        arguments[SPLIT] = split
    elif split == "evaluation":
        skipped = request.counts["calibration"]
    _seed(int(base.option(request, "seed")))
    found = (_one(item, request, name) for item in _yielded(function, arguments, name))
    for one in found:
        if skipped > 0:  # a count is one of rows, and a whole feed may hold several
            skipped -= request.rows if isinstance(one, base.Example) else 1
            continue
        yield one


def digest(request: base.DataRequest) -> str:
    """The function's code, with what it imports of its project, and where its evaluation examples begin."""
    code = source_files.digest(str(base.option(request, "function")))
    return json.dumps([code, request.counts["calibration"], base.versions(*PACKAGES)])


def available(name: str, most: int) -> dict[str, int]:
    """How many feeds a function without arguments yields for each split, as far as that is asked.

    Args:
        name: `module:function`.
        most: of each split, for a function that never ends.

    Raises:
        BuildError: as `examples`.
    """
    function = importable.target(name, "data")

    def count(arguments: dict[str, Any], limit: int) -> int:
        _seed(0)
        return sum(1 for _ in itertools.islice(_yielded(function, arguments, name), limit))

    if _wants_split(function):
        return {split: count({SPLIT: split}, most) for split in ("calibration", "evaluation")}
    whole = count({}, 2 * most)
    return {"calibration": whole // 2, "evaluation": whole - whole // 2}


def _wants_split(function: Any) -> bool:
    try:
        return SPLIT in inspect.signature(function).parameters
    except (TypeError, ValueError):  # a callable that states no signature
        return False


def _seed(seed: int) -> None:
    """Seed what a function draws from, so that it yields the same every time."""
    import numpy as np

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 # the generator that code of others draws from
    if "torch" in sys.modules:
        importlib.import_module("torch").manual_seed(seed)


def _yielded(function: Any, arguments: Mapping[str, Any], name: str) -> Iterator[Any]:
    """What the function yields, with its own errors named as what they are."""
    try:
        yield from function(**arguments)
    except (BuildError, MissingExtra, GeneratorExit):
        raise
    except Exception as error:
        raise BuildError(f"data: `{name}` failed: {type(error).__name__}: {error}.") from error


def _one(item: Any, request: base.DataRequest, name: str) -> base.Row | base.Example:
    """What was yielded as an example: a row where every input with a batch axis lacks it."""
    parts = item if isinstance(item, tuple) else (item,)
    if not 1 <= len(parts) <= PARTS or not isinstance(parts[0], Mapping):
        what = f"a tuple of {len(parts)}" if isinstance(item, tuple) else type(item).__name__
        raise BuildError(
            f"data: `{name}` yielded {what}; it must yield a mapping of input names to values, or a tuple of one, its "
            f"label and the outputs that are expected."
        )
    given, label, expected = (*parts, None, None)[:PARTS]
    known = {spec.name: spec for spec in request.inputs}
    if strange := [key for key in given if key not in known]:
        raise BuildError(
            f"data: `{name}` yielded `{strange[0]}`, which is not an input of the model: {', '.join(known) or 'none'}."
        )
    feed = {key: _value(known[key], value, name) for key, value in given.items()}
    ranks = {feed[key].ndim - len(known[key].shape) for key in request.row_axes if key in feed and known[key].is_tensor}
    if ranks == {-1} and not expected:
        return base.Row(feed=feed, label=label)
    return base.Example(feed=feed, label=label, expected=dict(expected or {}))


def _value(spec: InputSpec, value: Any, name: str) -> Any:
    """A value as onnxruntime is fed it: a plain number or list becomes an array of the input's type.

    Raises:
        BuildError: it cannot be one.
    """
    import numpy as np

    if not spec.is_tensor:
        return value
    if value is None:
        raise BuildError(f"data: `{name}` yielded None for the input `{spec.name}`, which takes {spec.dtype}.")
    try:
        if hasattr(value, "__array__"):
            array = np.asarray(value)
            return array.astype(str) if spec.dtype == "str" and array.dtype.kind == "O" else array
        return np.asarray(value, dtype=base.dtype_of(spec.dtype))
    except Exception as error:  # whatever an object of others does
        raise BuildError(
            f"data: what `{name}` yielded for the input `{spec.name}` is not a {spec.dtype} array: "
            f"{type(error).__name__}: {error}."
        ) from error
