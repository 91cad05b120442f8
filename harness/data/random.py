"""Seeded random examples by input type and shape: for any model whose real data is not at hand.

Never zeros: many kernels are quicker on them, and a fidelity measured on them means nothing. The default range of
integer inputs is one that every mask and every table of ids takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.data import SEED, base
from harness.errors import Unsupported
from harness.options import Option

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

OPTIONS = (
    SEED,
    Option(name="low", type=int, default=0, doc="the least integer"),
    Option(name="high", type=int, default=2, doc="one more than the largest integer"),
)
PACKAGES = {"numpy": "numpy"}

STREAMS = {"calibration": 0, "evaluation": 1}


def examples(request: base.DataRequest, split: base.Split) -> Iterator[base.Row]:
    """Yield standard normal floats, integers in [low, high), and fair booleans."""
    import numpy as np

    seed, low, high = (int(base.option(request, name)) for name in ("seed", "low", "high"))
    generator = np.random.default_rng([seed, STREAMS[split]])
    for _ in range(request.counts[split]):
        yield base.Row(
            feed={
                spec.name: _draw(generator, np.dtype(spec.dtype), base.row_shape(spec, request), low, high)
                for spec in request.inputs
            }
        )


def digest(request: base.DataRequest) -> str:  # noqa: ARG001 # the signature that every source has
    """Random examples depend on NumPy's generator."""
    return base.versions(*PACKAGES)


def _draw(
    generator: np.random.Generator, dtype: np.dtype[Any], shape: tuple[int, ...], low: int, high: int
) -> np.ndarray[Any, Any]:
    import numpy as np

    if dtype.kind == "f":
        return np.asarray(generator.standard_normal(shape), dtype)
    if dtype.kind in "iu":
        drawn = np.asarray(generator.integers(low, high, shape), dtype)
        # A mask without a single one, or ids that are all padding, is what zeros would be.
        return drawn if drawn.size == 0 or drawn.any() or high <= 1 else np.full(shape, high - 1, dtype)
    if dtype.kind == "b":
        return np.asarray(generator.random(shape) < 0.5)  # noqa: PLR2004 # a fair coin
    raise Unsupported(f"data: `random` cannot make {dtype.name}; it makes floats, integers and booleans.")
