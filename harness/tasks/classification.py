"""Accuracy of classifiers on labelled data."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.records import Accuracy


def top1(
    scores: npt.NDArray[np.generic], reference: npt.NDArray[np.generic], labels: npt.NDArray[np.generic]
) -> Accuracy:
    """Top-1 accuracy of class scores [examples, classes] against labels [examples], beside the reference's own.

    Raises:
        ValueError: if the number of examples differs.
    """
    if not len(scores) == len(reference) == len(labels):
        raise ValueError(f"{len(scores)} outputs, {len(reference)} reference outputs, {len(labels)} labels")
    value = float((np.asarray(scores).argmax(axis=1) == labels).mean())
    wanted = float((np.asarray(reference).argmax(axis=1) == labels).mean())
    return Accuracy(metric="top1", value=value, reference=wanted, drop=wanted - value, n=len(labels))
