"""Seeded random examples by input type and shape: for any model whose real data is not at hand.

Never zeros: many kernels are quicker on them, and a fidelity measured on them means nothing. Small integers use the
whole range of their type, as pixels and audio do; the default range of larger ones is one that every mask and every
table of ids takes. Where a graph needs more of a value (an index, a shape, a positive scale), the input says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.data import SEED, base
from harness.errors import Unsupported
from harness.options import Option

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from harness.records import InputSpec

OPTIONS = (
    SEED,
    Option(name="low", type=int, default=0, doc="the least integer; 8 and 16 bits use their range if not given"),
    Option(name="high", type=int, default=2, doc="one more than the largest integer"),
)
PACKAGES = {"numpy": "numpy"}

STREAMS = {"calibration": 0, "evaluation": 1}


REVISION = 2
"""Raised whenever other numbers are drawn than before."""

SMALL = ("int8", "uint8", "int16", "uint16")
WORDS = ("a", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog")
IN_SEQUENCE = 2
"""Tensors in a sequence."""


def examples(request: base.DataRequest, split: base.Split) -> Iterator[base.Example]:
    """Yield standard normal floats, integers in [low, high), fair booleans and words, as far as inputs need no more.

    Raises:
        Unsupported: an input is of a type that nothing can be drawn of.
    """
    import numpy as np

    seed, low, high = (int(base.option(request, name)) for name in ("seed", "low", "high"))
    given = bool({"low", "high"} & set(request.options))
    generator = np.random.default_rng([seed, STREAMS[split]])
    while True:
        yield base.Example(
            feed={
                spec.name: _value(generator, spec, base.feed_shape(spec, request), (low, high) if given else None)
                for spec in request.inputs
            }
        )


def digest(request: base.DataRequest) -> str:  # noqa: ARG001 # the signature that every source has
    """Random examples depend on NumPy's generator, and on what is drawn."""
    return f"{base.versions(*PACKAGES)}, {REVISION}"


def _value(
    generator: np.random.Generator, spec: InputSpec, shape: tuple[int, ...], limits: tuple[int, int] | None
) -> Any:
    """A value of an input's type: a tensor, or a short sequence of them."""
    kind = spec.dtype
    if spec.is_tensor:
        return _draw(generator, spec, kind, shape, limits)
    depth = 0
    while kind.startswith(("seq(", "optional(")):
        depth += kind.startswith("seq(")
        kind = kind.partition("(")[2][:-1]
    if not kind.startswith("tensor("):
        raise Unsupported(f"data: `random` cannot draw {spec.dtype} for the input `{spec.name}`. Give it data: {GIVE}.")
    element = ELEMENTS.get(kind[len("tensor(") : -1], kind[len("tensor(") : -1])
    value: Any = _draw(generator, spec, element, shape, limits)
    for _ in range(depth):
        value = [value] + [_draw(generator, spec, element, shape, limits) for _ in range(IN_SEQUENCE - 1)]
    return value


GIVE = "test_data_set_0/input_0.pb beside the file, or a folder of .npz files"
ELEMENTS = {"float": "float32", "double": "float64", "string": "str"}
"""onnxruntime's names of element types that are not NumPy's."""


def _draw(
    generator: np.random.Generator,
    spec: InputSpec,
    kind: str,
    shape: tuple[int, ...],
    limits: tuple[int, int] | None,
) -> np.ndarray[Any, Any]:
    import numpy as np

    need = spec.need
    if kind == "str":
        return np.asarray(generator.choice(need.words if need and need.words else WORDS, shape))
    if need is not None and need.values:
        return np.resize(np.asarray(need.values, np.float64), shape).astype(base.dtype_of(kind))
    whole = kind.removeprefix("u").startswith("int")
    if need is not None and need.low is not None and need.high is not None and (limits is None or not whole):
        if whole:
            least = int(need.low)
            return np.asarray(generator.integers(least, max(int(need.high), least + 1), shape)).astype(
                base.dtype_of(kind)
            )
        return np.asarray(generator.uniform(need.low, need.high, shape)).astype(base.dtype_of(kind))
    if not whole:
        if not kind.startswith(("float", "bfloat", "bool")):
            raise Unsupported(f"data: `random` cannot draw {kind}; it draws floats, integers, booleans and text.")
        coin = kind == "bool"
        real = generator.random(shape) < 0.5 if coin else generator.standard_normal(shape)  # noqa: PLR2004 # a fair one
        return np.asarray(real).astype(base.dtype_of(kind))
    low, high = limits or (0, 2)
    if limits is None and kind in SMALL:
        bounds = np.iinfo(kind)
        low, high = int(bounds.min), int(bounds.max) + 1
    elif limits is None and kind.endswith("int4"):
        low, high = (0, 16) if kind == "uint4" else (-8, 8)
    drawn = np.asarray(generator.integers(low, high, shape))
    # A mask without a single one, or ids that are all padding, is what zeros would be.
    filled = drawn if drawn.size == 0 or drawn.any() or high <= 1 else np.full(shape, high - 1)
    return filled.astype(base.dtype_of(kind))
