"""What went wrong in a step, in words for the person who reads them. Standard library only."""

from __future__ import annotations

import errno
import traceback
from pathlib import Path

FROM_INSIDE = (
    AttributeError, LookupError, TypeError, AssertionError, NameError, RecursionError, StopIteration,
    NotImplementedError, ArithmeticError,
)  # fmt: skip
"""Errors whose text speaks to the library's own authors: `'list' object has no attribute 'shape'`."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""What a disk says that takes no more."""

CLOSED = (errno.EACCES, errno.EPERM, errno.EIO, errno.ENOTDIR)
"""What a folder says that cannot be written."""


def in_words(error: BaseException) -> str:
    """Why a tool failed, on one line: its own words where they are meant for readers, else the place where it broke."""
    text = " ".join(str(error).split())
    if not text or isinstance(error, FROM_INSIDE):
        return f"it cannot work on this graph (it broke in {_place(error)})"
    return text


def of_cache(root: Path, error: OSError) -> bool:
    """Whether the cache below `root` is what cannot be written, and not a file of somebody else's."""
    named = isinstance(error.filename, str | Path)
    inside = named and Path(error.filename).absolute().is_relative_to(root)
    return (error.errno in FULL and (inside or not named)) or (error.errno in CLOSED and inside)


def _place(error: BaseException) -> str:
    """The innermost file and line, from its package on."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "a library"
    path = Path(frames[-1].filename)
    parts = path.parts
    start = max((place for place, part in enumerate(parts) if part == "site-packages"), default=len(parts) - 3)
    return f"{'/'.join(parts[max(0, start + 1) :])}, line {frames[-1].lineno}"
