"""Moments that a worker of a fleet noted by its own clock, as the clock of the coordinator has them."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any, Final, TypeVar

MOMENT: Final = "started_at"
"""What every noun calls the moment at which something of it began: UTC, ISO 8601."""

Noun = TypeVar("Noun")


def earlier(noun: Noun, seconds: float) -> Noun:
    """The same noun with every moment in it, at any depth, so many seconds earlier.

    Args:
        noun: a frozen dataclass that may hold others, by themselves or in tuples; anything else is passed through.
        seconds: by which the clock that noted its moments is ahead.
    """
    return _earlier(noun, seconds)  # type: ignore[no-any-return]


def _earlier(value: Any, seconds: float) -> Any:
    if isinstance(value, tuple) and value and _is_noun(value[0]):
        return tuple(_earlier(one, seconds) for one in value)
    if not _is_noun(value):
        return value
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        held = getattr(value, field.name)
        if field.name == MOMENT and held:
            changes[field.name] = moment(held, seconds)
        elif (moved := _earlier(held, seconds)) is not held:
            changes[field.name] = moved
    return dataclasses.replace(value, **changes) if changes else value


def moment(text: str, seconds: float) -> str:
    """A moment so many seconds earlier, as precise as it was."""
    found = dt.datetime.fromisoformat(text) - dt.timedelta(seconds=seconds)
    return found.isoformat(timespec="milliseconds" if "." in text else "seconds")


def _is_noun(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)
