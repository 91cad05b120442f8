"""Which distributions are installed beside harness, each read once."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from importlib import metadata


@functools.cache
def version_of(name: str) -> str | None:
    """The installed version of a distribution; None where it is not installed."""
    try:
        # `metadata.version` takes the whole description of the package apart, as an e-mail, for this one line of it.
        written = metadata.distribution(name).read_text("METADATA") or ""
        line = next((line for line in written.splitlines() if line.startswith("Version:")), None)
        return metadata.version(name) if line is None else line.partition(":")[2].strip()
    except metadata.PackageNotFoundError:
        return None


def versions(names: Iterable[str]) -> dict[str, str]:
    """The versions of those of `names` that are installed."""
    return {name: version for name in names if (version := version_of(name)) is not None}
