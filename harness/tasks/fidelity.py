"""Closeness of outputs to the fp32 reference on the same inputs; needs no labels, and is never called accuracy.

Arrays hold one example per entry of axis 0. They are read one example at a time, so that a large output set never
stands in memory as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from harness.records import Fidelity

FEWEST_CLASSES = 4
"""Top-1 agreement is given only where the reference itself names at least this many classes: a network that answers
the same class for every input agrees with anything."""

Array = npt.NDArray[np.generic]


def compare(reference: Sequence[Array], outputs: Sequence[Array], *, classes: bool) -> Fidelity:
    """Fidelity over all outputs of a model: the worst output counts.

    Args:
        reference: one array [examples, ...] per output.
        outputs: the same shapes, from the artifact.
        classes: whether the first output holds class scores [examples, classes].

    Raises:
        ValueError: if shapes differ, or a value is not finite.
    """
    if len(reference) != len(outputs):
        raise ValueError(f"the reference has {len(reference)} outputs, the artifact {len(outputs)}")
    each = [one(ref, out, index) for index, (ref, out) in enumerate(zip(reference, outputs, strict=True))]
    return Fidelity(
        centred_sqnr_db=least([m["centred_sqnr_db"] for m in each]),
        sqnr_db=least([m["sqnr_db"] for m in each]),
        cosine=least([m["cosine"] for m in each]),
        max_abs=max((m["max_abs"] for m in each if m["max_abs"] is not None), default=None),
        top1_agreement=top1_agreement(reference[0], outputs[0]) if classes else None,
    )


def one(reference: Array, output: Array, index: int = 0) -> dict[str, float | None]:
    """Metrics of one output.

    `sqnr_db` is 10 log10(sum r^2 / sum (o - r)^2). `centred_sqnr_db` takes the mean over the examples out of the
    signal first, element by element: what every input shares carries no information about the input, and random or
    saturated networks are mostly that. It is None for fewer than two examples or a reference that does not vary.
    `cosine` is over all elements. An exact output gives infinite ratios, which are reported as None with
    `max_abs` 0.

    Raises:
        ValueError: if the shapes differ or a value is not finite.
    """
    if reference.shape != output.shape:
        raise ValueError(f"output {index} has shape {output.shape}, the reference {reference.shape}")
    n = len(reference)
    total = np.zeros(reference.shape[1:], dtype=np.float64)
    for row in reference:
        total += np.asarray(row, dtype=np.float64)
    mean = total / n
    signal = centred = noise = product = power = largest = 0.0
    for ref_row, out_row in zip(reference, output, strict=True):
        ref = np.asarray(ref_row, dtype=np.float64)
        out = np.asarray(out_row, dtype=np.float64)
        if not np.isfinite(out).all():
            raise ValueError(f"output {index} holds values that are not finite")
        error = out - ref
        signal += float(np.vdot(ref, ref))
        centred += float(np.vdot(ref - mean, ref - mean))
        noise += float(np.vdot(error, error))
        product += float(np.vdot(ref, out))
        power += float(np.vdot(out, out))
        largest = max(largest, float(np.abs(error).max(initial=0.0)))
    return {
        "centred_sqnr_db": decibels(centred, noise) if n > 1 else None,
        "sqnr_db": decibels(signal, noise),
        "cosine": product / math.sqrt(signal * power) if signal and power else None,
        "max_abs": largest,
    }


def decibels(signal: float, noise: float) -> float | None:
    """10 log10(signal / noise); None where either is zero."""
    return 10 * math.log10(signal / noise) if signal > 0 and noise > 0 else None


def least(values: Sequence[float | None]) -> float | None:
    """The smallest of the values that are known."""
    return min((v for v in values if v is not None), default=None)


def top1_agreement(reference: Array, output: Array) -> float | None:
    """Share of examples whose best class is the reference's; None where the reference names too few classes."""
    if reference.ndim != 2:  # noqa: PLR2004  (examples x classes)
        return None
    wanted = np.asarray(reference).argmax(axis=1)
    if len(np.unique(wanted)) < FEWEST_CLASSES:
        return None
    return float((np.asarray(output).argmax(axis=1) == wanted).mean())
