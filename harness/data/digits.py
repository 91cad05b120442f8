"""Scikit-learn's handwritten digits: 1797 labelled 8x8 images, 450 of them held out for evaluation.

The split is stratified and fixed. Calibration (and training, see `harness.frameworks.digits_cnn`) draws from the
other 1347 only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.data import base, image_layout
from harness.options import Option

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

OPTIONS: tuple[Option, ...] = ()
PACKAGES = {"scikit-learn": "sklearn"}

HELD_OUT = 450
"""How many of the 1797 digits no training and no calibration ever sees."""

SPLIT_SEED = 0


def split() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Training images and labels, then held-out images and labels.

    Images are float32 [n, 1, 8, 8] in 0..1, labels int64 [n]; both parts are shuffled, so that any leading
    piece holds all classes.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    import numpy as np

    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise base.needs("scikit-learn", "The data source `digits`") from error
    digits = load_digits()
    images = (digits.images / 16.0).astype(np.float32)[:, None]
    labels = digits.target.astype(np.int64)
    train, held, train_labels, held_labels = train_test_split(
        images, labels, test_size=HELD_OUT, stratify=labels, random_state=SPLIT_SEED
    )
    return train, train_labels, held, held_labels


def examples(request: base.DataRequest, split_name: base.Split) -> Iterator[base.Row]:
    """Yield digits with their labels: the training part for calibration, the held-out part for evaluation."""
    train, train_labels, held, held_labels = split()
    images, labels = (train, train_labels) if split_name == "calibration" else (held, held_labels)
    name = request.inputs[0].name
    for image, label in zip(images, labels, strict=True):
        yield base.Row(feed={name: image_layout.in_order(image, request)}, label=int(label))


def digest(request: base.DataRequest) -> str:  # noqa: ARG001 # the signature that every source has
    """Digits depend on scikit-learn, which ships and splits them."""
    return base.versions(*PACKAGES)
