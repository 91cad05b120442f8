"""Closeness of outputs to the fp32 reference on the same inputs; needs no labels, and is never called accuracy.

Outputs come as whole arrays, one per example, and are read one at a time, so that a large output set never stands in
memory as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.records import Fidelity, PartFidelity

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

AGREEMENT = "top1_agreement"
"""The metric of classifiers that belongs to fidelity: it needs no labels."""

EXACT_DB = 80.0
"""Closeness that counts as exact: the rounding of float32 itself moves outputs of deep networks by about as much."""

Outputs = Mapping[str, Sequence["Array"]]
"""Output name -> one whole array per example."""


def compare(reference: Outputs, outputs: Outputs) -> Fidelity:
    """Fidelity over all outputs of a model: the worst output counts.

    Args:
        reference: name -> arrays.
        outputs: the same names and shapes, from the artifact.

    Raises:
        ValueError: if names or shapes differ, or a value is not finite.
    """
    return worst(parts(reference, outputs))


def worst(each: Iterable[PartFidelity], *, top1_agreement: float | None = None) -> Fidelity:
    """One fidelity of many: the least of every metric that is known."""
    held = tuple(each)
    return Fidelity(
        centred_sqnr_db=least([one.centred_sqnr_db for one in held]),
        sqnr_db=least([one.sqnr_db for one in held]),
        cosine=least([one.cosine for one in held]),
        max_abs=max((one.max_abs for one in held if one.max_abs is not None), default=None),
        top1_agreement=top1_agreement,
    )


def parts(reference: Outputs, outputs: Outputs) -> tuple[PartFidelity, ...]:
    """Fidelity of each output, in the reference's order.

    Raises:
        ValueError: if names or shapes differ, or a value is not finite.
    """
    missing = [name for name in reference if name not in outputs]
    if missing:
        raise ValueError(f"the artifact has no output `{missing[0]}`, which the reference has")
    return tuple(one(wanted, outputs[name], name) for name, wanted in reference.items())


def one(reference: Sequence[Array], output: Sequence[Array], name: str = "output") -> PartFidelity:
    """Fidelity of one output.

    `sqnr_db` is 10 log10(sum r^2 / sum (o - r)^2). `centred_sqnr_db` takes the mean over the examples out of the
    signal first, element by element: what every input shares carries no information about the input, and random or
    saturated networks are mostly that. It is None for fewer than two examples, for arrays whose shapes depend on the
    example, and for a reference that does not vary. `cosine` is over all elements. An exact output gives infinite
    ratios, which are reported as None with `max_abs` 0. Whole numbers, booleans and text also have a share of equal
    values; text has nothing else.

    Raises:
        ValueError: if the shapes differ or a value is not finite.
    """
    import numpy as np

    _same_count(reference, output, name)
    n = len(reference)
    mean = _mean(reference)
    if n and reference[0].dtype.kind == "U":
        return PartFidelity(output=name, n=n, equal=_equal(reference, output, name), status=_status(reference, output))
    signal = centred = noise = product = power = largest = 0.0
    for ref_row, out_row in zip(reference, output, strict=True):
        _same_shape(ref_row, out_row, name)
        ref = np.asarray(ref_row, dtype=np.float64)
        out = np.asarray(out_row, dtype=np.float64)
        if not np.isfinite(out).all():
            raise ValueError(f"output `{name}` holds values that are not finite")
        error = out - ref
        signal += float(np.vdot(ref, ref))
        if mean is not None:
            centred += float(np.vdot(ref - mean, ref - mean))
        noise += float(np.vdot(error, error))
        product += float(np.vdot(ref, out))
        power += float(np.vdot(out, out))
        largest = max(largest, float(np.abs(error).max(initial=0.0)))
    exact = n and reference[0].dtype.kind in "iub"
    return PartFidelity(
        output=name,
        n=n,
        centred_sqnr_db=decibels(centred, noise) if n > 1 and mean is not None else None,
        sqnr_db=decibels(signal, noise),
        cosine=product / math.sqrt(signal * power) if signal and power else None,
        max_abs=largest,
        equal=_equal(reference, output, name) if exact else None,
        status=_status(reference, output),
    )


def closeness_db(reference: Outputs, outputs: Outputs) -> tuple[float, ...]:
    """Each example's centred SQNR in decibels, the worst of its outputs, at most `EXACT_DB`.

    The mean over the examples is taken out of the reference first (see `one`); the signal is the reference's mean
    power, the same for all examples, so that an example close to the mean is not called inexact. Outputs whose shapes
    depend on the example, and text, have no mean and are left out.

    Raises:
        ValueError: if names or shapes differ or a value is not finite.
    """
    found: list[float] = []
    for name, wanted in reference.items():
        if name not in outputs:
            raise ValueError(f"the artifact has no output `{name}`, which the reference has")
        each = _closeness(wanted, outputs[name], name)
        found = each if not found else [min(a, b) for a, b in zip(found, each or found, strict=True)]
    return tuple(found)


def _closeness(reference: Sequence[Array], output: Sequence[Array], name: str) -> list[float]:
    """The closeness of one output's examples; empty where there is no mean."""
    import numpy as np

    _same_count(reference, output, name)
    mean = _mean(reference)
    signal = 0.0
    noise = []
    for ref_row, out_row in zip(reference, output, strict=True):
        _same_shape(ref_row, out_row, name)
        if mean is None:
            continue
        ref, out = np.asarray(ref_row, dtype=np.float64), np.asarray(out_row, dtype=np.float64)
        if not np.isfinite(out).all():
            raise ValueError(f"output `{name}` holds values that are not finite")
        signal += float(np.vdot(ref - mean, ref - mean))
        noise.append(float(np.vdot(out - ref, out - ref)))
    if mean is None:
        return []
    signal /= len(reference)
    if signal <= 0:  # a reference that does not vary says nothing, unless it was not met
        return [EXACT_DB if error == 0 else 0.0 for error in noise]
    least_noise = signal * 10 ** (-EXACT_DB / 10)
    return [float(10 * np.log10(signal / max(error, least_noise))) for error in noise]


def _mean(arrays: Sequence[Array]) -> Array | None:
    """The mean over the examples, element by element; None where there is none: other shapes, text, no example."""
    import numpy as np

    if not len(arrays) or arrays[0].dtype.kind == "U":
        return None
    total = np.zeros(arrays[0].shape, dtype=np.float64)
    for array in arrays:
        if array.shape != total.shape:
            return None
        total += np.asarray(array, dtype=np.float64)
    return total / len(arrays)


def _status(reference: Sequence[Array], output: Sequence[Array]) -> str:
    """As in `PartFidelity`; of a single example nothing can be said."""
    if len(reference) < 2:  # noqa: PLR2004  (nothing varies)
        return ""
    return "constant" if not _varies(reference) else "" if _varies(output) else "dead"


def _varies(arrays: Sequence[Array]) -> bool:
    """Whether any two examples differ."""
    import numpy as np

    return any(not np.array_equal(arrays[0], array) for array in arrays)


def _equal(reference: Sequence[Array], output: Sequence[Array], name: str) -> float | None:
    """Share of values that are the reference's; None where there are no values."""
    import numpy as np

    same = total = 0
    for wanted, found in zip(reference, output, strict=True):
        _same_shape(wanted, found, name)
        same += int(np.count_nonzero(np.equal(wanted, found)))
        total += wanted.size
    return same / total if total else None


def _same_count(reference: Sequence[Array], output: Sequence[Array], name: str) -> None:
    if len(reference) != len(output):
        raise ValueError(f"output `{name}` has {len(output)} examples, the reference {len(reference)}")


def _same_shape(reference: Array, output: Array, name: str) -> None:
    if reference.shape != output.shape:
        raise ValueError(f"output `{name}` has shape {output.shape}, the reference {reference.shape}")


def decibels(signal: float, noise: float) -> float | None:
    """10 log10(signal / noise); None where either is zero."""
    return 10 * math.log10(signal / noise) if signal > 0 and noise > 0 else None


def least(values: Iterable[float | None]) -> float | None:
    """The smallest of the values that are known."""
    return min((v for v in values if v is not None), default=None)
