"""Paths as people type them."""

from __future__ import annotations

import os
from pathlib import Path


def typed(text: str | Path) -> Path:
    """A path with `~` for a home folder; a name that begins so and is nobody's home stays a name."""
    return Path(os.path.expanduser(text))  # noqa: PTH111  (Path.expanduser raises where there is no such home)
