"""From folders of outputs to fidelity and accuracy."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.records import Accuracy, Fidelity, Reference
from harness.tasks import classification, fidelity


def score(reference: Reference, folder: Path, outputs: Path, task: str | None) -> tuple[Fidelity, Accuracy | None]:
    """Compare an artifact's outputs with the reference's.

    Args:
        reference: what the folder holds.
        folder: `outputs/<index>.npy` of the reference, and `labels.npy` where it is labelled.
        outputs: `<index>.npy` of the artifact.
        task: the model's task; `classification` compares classes.

    Raises:
        ValueError: if shapes differ or a value is not finite.
        OSError: if a file is missing.
    """
    wanted = [np.load(folder / "outputs" / f"{i}.npy", mmap_mode="r") for i in range(len(reference.outputs))]
    given = [np.load(outputs / f"{i}.npy", mmap_mode="r") for i in range(len(reference.outputs))]
    classes = task == "classification"
    close = fidelity.compare(wanted, given, classes=classes)
    if not (classes and reference.labelled):
        return close, None
    return close, classification.top1(given[0], wanted[0], np.load(folder / "labels.npy"))
