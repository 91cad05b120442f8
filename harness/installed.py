"""Which distributions are installed beside harness, each read once: reading one takes longer than looking ten up."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from importlib import metadata


@functools.cache
def version_of(name: str) -> str | None:
    """The installed version of a distribution; None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def versions(names: Iterable[str]) -> dict[str, str]:
    """The versions of those of `names` that are installed."""
    return {name: version for name in names if (version := version_of(name)) is not None}
