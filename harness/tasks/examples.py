"""Outputs example by example, so that two artifacts can be compared on the same data, pair by pair."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]

EXACT_DB = 80.0
"""Closeness that counts as exact: the rounding of float32 itself moves outputs of deep networks by about as much."""


def right(scores: Array, labels: Array) -> tuple[bool, ...]:
    """Whether each example's top class is its label.

    Args:
        scores: [examples, classes].
        labels: [examples].

    Raises:
        ValueError: if the number of examples differs, or scores are not [examples, classes].
    """
    if scores.ndim != 2 or len(scores) != len(labels):  # noqa: PLR2004  (examples and classes)
        raise ValueError(f"scores of shape {scores.shape} for {len(labels)} labels; expected [examples, classes]")
    return tuple(bool(one) for one in np.asarray(scores).argmax(axis=1) == labels)


def closeness_db(reference: Sequence[Array], outputs: Sequence[Array]) -> tuple[float, ...]:
    """Each example's centred SQNR in decibels, the worst of its outputs, at most `EXACT_DB`.

    The mean over the examples is taken out of the reference first (see `harness.tasks.fidelity`); the signal is the
    reference's mean power, the same for all examples, so that an example close to the mean is not called inexact.

    Raises:
        ValueError: if shapes differ or a value is not finite.
    """
    if len(reference) != len(outputs):
        raise ValueError(f"the reference has {len(reference)} outputs, the artifact {len(outputs)}")
    worst: list[float] = []
    for index, (ref, out) in enumerate(zip(reference, outputs, strict=True)):
        if ref.shape != out.shape:
            raise ValueError(f"output {index} has shape {out.shape}, the reference {ref.shape}")
        each = _one(ref, out, index)
        worst = each if not worst else [min(a, b) for a, b in zip(worst, each, strict=True)]
    return tuple(worst)


def _one(reference: Array, output: Array, index: int) -> list[float]:
    mean = np.zeros(reference.shape[1:], dtype=np.float64)
    for row in reference:
        mean += np.asarray(row, dtype=np.float64)
    mean /= len(reference)
    signal = 0.0
    noise = []
    for ref_row, out_row in zip(reference, output, strict=True):
        ref, out = np.asarray(ref_row, dtype=np.float64), np.asarray(out_row, dtype=np.float64)
        if not np.isfinite(out).all():
            raise ValueError(f"output {index} holds values that are not finite")
        signal += float(np.vdot(ref - mean, ref - mean))
        noise.append(float(np.vdot(out - ref, out - ref)))
    signal /= len(reference)
    if signal <= 0:  # a reference that does not vary says nothing, unless it was not met
        return [EXACT_DB if error == 0 else 0.0 for error in noise]
    least = signal * 10 ** (-EXACT_DB / 10)
    return [float(10 * np.log10(signal / max(error, least))) for error in noise]
