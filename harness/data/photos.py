"""The two photographs that scikit-learn ships, as many crops, flips and scales of them as are asked for.

Real images without labels: enough to calibrate with and to measure fidelity on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.data import SEED, base, image_layout
from harness.data.images import NORMALIZE, normalised, pillow

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

OPTIONS = (NORMALIZE, SEED)
PACKAGES = {"scikit-learn": "sklearn", "pillow": "PIL", "numpy": "numpy"}

SMALLEST_CROP = 0.25
"""The smallest share of a photograph's shorter side that a crop keeps."""

STREAMS = {"calibration": 0, "evaluation": 1}
"""Each split draws from a generator of its own, so that neither depends on the other's count."""


def examples(request: base.DataRequest, split: base.Split) -> Iterator[base.Row]:
    """Yield random square-ish crops, mirrored half of the time, the two photographs in turn."""
    import numpy as np

    spec, channels, height, width = image_layout.image_input(request)
    image_module = pillow()
    photos = _photographs()
    generator = np.random.default_rng([int(base.option(request, "seed")), STREAMS[split]])
    for index in range(request.counts[split]):
        photo = photos[index % len(photos)]
        crop = _crop(photo, height / width, generator)
        resized = image_module.fromarray(crop).resize((width, height), image_module.Resampling.BILINEAR)
        yield base.Row(feed={spec.name: normalised(np.asarray(resized), channels, request)})


def digest(request: base.DataRequest) -> str:  # noqa: ARG001 # the signature that every source has
    """Photos depend on scikit-learn, which ships them, Pillow, which scales them, and NumPy's generator."""
    return base.versions(*PACKAGES)


def _photographs() -> list[np.ndarray[Any, Any]]:
    """Both photographs, uint8 [427, 640, 3].

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    import numpy as np

    try:
        from sklearn.datasets import load_sample_images
    except ImportError as error:
        raise base.needs("scikit-learn", "The data source `photos`") from error
    return [np.asarray(image) for image in load_sample_images().images]


def _crop(photo: np.ndarray[Any, Any], aspect: float, generator: np.random.Generator) -> np.ndarray[Any, Any]:
    """A random window of `photo` with the given height to width ratio, mirrored half of the time."""
    rows, columns = photo.shape[:2]
    largest = min(rows, columns * aspect)
    height = int(largest * generator.uniform(SMALLEST_CROP, 1.0))
    width = min(columns, max(1, round(height / aspect)))
    top = int(generator.integers(0, rows - height + 1))
    left = int(generator.integers(0, columns - width + 1))
    window = photo[top : top + height, left : left + width]
    return window[:, ::-1] if generator.random() < 0.5 else window  # noqa: PLR2004 # a fair coin
