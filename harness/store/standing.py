"""Which row of a case is shown: a failure never takes the place of numbers, it stands beside them as a note.

A sweep in a broken environment, or on a day when a package was missing, would else remove good numbers from every table
and change what is recommended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.records import Status
from harness.store.rows import Row, run_start


def standing(rows: Iterable[Row]) -> list[Row]:
    """The shown row of each case.

    Args:
        rows: of each case, newest first: at least its newest one that failed and its newest one that did not.

    Returns:
        The newest, or, where that failed and the newest other one has numbers, those numbers with a note.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["case"], []).append(row)
    return [_shown(group) for group in groups.values()]


def _shown(group: list[Row]) -> Row:
    newest = group[0]
    if newest["status"] != Status.FAILED:
        return newest
    other = next((row for row in group if row["status"] != Status.FAILED), None)
    return noted(other, newest) if other is not None and has_numbers(other) else newest


def has_numbers(row: Mapping[str, Any]) -> bool:
    """Whether a case was timed."""
    return bool(row.get("latency"))


def noted(row: Row, failure: Mapping[str, Any]) -> Row:
    """A row with a note of the failure that came after it.

    Args:
        row: with numbers.
        failure: `run_started_at` and `reason` of it.
    """
    note = f"failed since, in the run of {run_start(failure)}: {failure['reason'] or 'no reason was given'}"
    return {**row, "notes": [*(one for one in row["notes"] or [] if one != note), note]}
