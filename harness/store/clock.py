"""Times of runs that lie in the future: a host's clock was wrong, and such a run would stay the newest for years."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

TOLERANCE = timedelta(days=1)
"""By how much clocks may differ: a wrong time zone is less than a day."""


def limit(now: datetime | None = None) -> str:
    """From when on a time is in the future, as ISO 8601 in UTC, which sorts as times do."""
    return ((now or datetime.now(UTC)) + TOLERANCE).isoformat(timespec="seconds")


def settled(started_at: str) -> str:
    """What a time sorts by: itself, and before all others where it lies in the future."""
    return "" if started_at > _limit(int(time.time())) else started_at


@lru_cache(maxsize=1)
def _limit(second: int) -> str:
    """`limit` of a second: a million points ask for it."""
    return limit(datetime.fromtimestamp(second, UTC))


def settled_sql(column: str) -> str:
    """As `settled`, for DuckDB."""
    return f"CASE WHEN {column} > '{limit()}' THEN '' ELSE {column} END"


def ahead(runs: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """A sentence where runs lie in the future; nothing where none does.

    Args:
        runs: id and time of each; may be given again.
    """
    end = limit()
    found = sorted({name for name, started_at in runs if started_at > end})
    if not found:
        return ()
    named = ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")  # noqa: PLR2004
    which = f"run {named} says that it was" if len(found) == 1 else f"runs {named} say that they were"
    return (f"{which} measured in the future: a clock was wrong, and nothing of that is taken for the newest",)
