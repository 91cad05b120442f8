"""Paths as people type them, and the one that harness chooses."""

from __future__ import annotations

import os
from pathlib import Path


def typed(text: str | Path) -> Path:
    """A path with `~` for a home folder; a name that begins so and is nobody's home stays a name."""
    return Path(os.path.expanduser(text))  # noqa: PTH111  (Path.expanduser raises where there is no such home)


def cache_root() -> Path:
    """`$HARNESS_CACHE` if that is not a URL; else the folder that this operating system keeps a user's caches in."""
    given = os.environ.get("HARNESS_CACHE", "")
    if given and "://" not in given:
        return Path(given)
    import platformdirs

    return Path(platformdirs.user_cache_dir("onnx-harness", appauthor=False))
