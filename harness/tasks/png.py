"""An input array as a picture that a browser shows: PNG, written with the standard library."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

LEAST, MOST = 4, 4096
"""Sides of a picture, in pixels."""

WIDEST = 160
"""A larger picture is shown at most so wide and high: it is looked at, not measured."""


def picture(value: Any) -> bytes | None:
    """A feed of one example as a PNG, its least value black and its largest white; None where it is something else.

    Args:
        value: [1, channels, height, width] with one or three channels, or anything else.
    """
    import numpy as np

    shape: tuple[int, ...] = getattr(value, "shape", ())
    if len(shape) != 4 or shape[0] != 1 or shape[1] not in (1, 3):  # noqa: PLR2004  (example, channels, height, width)
        return None
    if not all(LEAST <= side <= MOST for side in shape[2:]) or value.dtype.kind not in "fiu":
        return None
    step = shrunk(shape)
    held = np.asarray(value[0, :, ::step, ::step], dtype=np.float64)
    if not np.isfinite(held).all():
        return None
    low, high = float(held.min()), float(held.max())
    scaled = (held - low) * (255 / (high - low)) if high > low else np.zeros_like(held)
    return encoded(scaled.round().astype(np.uint8).transpose(1, 2, 0))


def shrunk(shape: tuple[int, ...]) -> int:
    """Every how many pixels of an input of this shape one is shown."""
    return max(1, -(-max(shape[2:], default=1) // WIDEST))


def encoded(pixels: Array) -> bytes:
    """A PNG of uint8 [height, width, 1 or 3]."""
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)  # 0: the row is not filtered
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
