"""The place of `--cache URL` for verbs that work on this host: what it has is fetched, what is built is kept there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from harness.cli import ending, options

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.build.cache import Cache
    from harness.fleet.depot_builds import DepotBuilds
    from harness.store.rows import Row


_DIGEST: Final = re.compile("[0-9a-f]{64}")


def cache_and_builds(given: str | None, say: Callable[[str], None] = ending.say) -> tuple[Path, DepotBuilds | None]:
    """The cache folder to use, and what builds through the place that was named; None where that is a folder.

    Args:
        given: `--cache`.
        say: hears what was fetched, and of what is damaged there or cannot be kept.

    Raises:
        UsageError: there is no such kind of URL, or what it needs is not installed.
    """
    root, url = options.cache_and_depot(given)
    if not url:
        return root, None
    from harness.fleet.depot_builds import DepotBuilds

    return root, DepotBuilds(url, say=say)


def fetch_row(builds: DepotBuilds, cache: Cache, row: Row) -> None:
    """Bring the artifact and the reference that a stored row is of, where the cache lacks or has damaged them.

    Raises:
        StoreError: the cache cannot be written.
    """
    parts = (("artifacts", row.get("artifact")), ("references", row.get("reference")))
    named = [(kind, str(part["digest"])) for kind, part in parts if part and _DIGEST.fullmatch(str(part.get("digest")))]
    builds.fetch(cache, [one for one in named if cache.meta(*one, deep=True) is None], str(row["case"]))
