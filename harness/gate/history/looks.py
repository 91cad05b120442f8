"""What the looks at a results folder have spent so far: `looks.json`, kept with the results.

One look per newest run: to judge the same data again costs nothing and gives the same answer. The file is written
whole, under the lock of the results folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness import foreign, sealed
from harness.errors import StoreError
from harness.stats import spending
from harness.store import files
from harness.store.series import Point, epoch_ms, when

FILE = "looks.json"
VERSION = 2
"""2 since it carries a checksum; a file of version 1 is read as it stands, once, and written anew."""

DAY_MS = 86_400_000.0
KEPT_DAYS = 2 * spending.DAYS
"""Older looks no longer count."""


def level(results: Path, newest: Point) -> tuple[float, str]:
    """The chance of any false change that this look may take, and what a reader has to know of it (empty: nothing).

    Args:
        results: the results folder.
        newest: the newest point of all that is judged.

    Raises:
        StoreError: if the folder cannot be locked.
    """
    name, day = _name(newest), (epoch_ms(newest.started_at) or when(newest)) / DAY_MS
    try:
        with files.Lock.wait(files.lock_of(results)):
            return _spend(results / FILE, name, day)
    except StoreError as error:
        # A folder that can only be read is judged all the same, as its first look.
        return spending.level((), day), f"what this look spent could not be kept: {error}"


def _spend(path: Path, name: str, day: float) -> tuple[float, str]:
    looks, note = _read(path)
    known = looks.get(name)
    if known is not None:
        return known[1], note
    found = spending.level(looks.values(), day)
    looks[name] = day, found
    kept = {key: one for key, one in looks.items() if abs(day - one[0]) < KEPT_DAYS}
    entries = [{"newest": key, "day": at, "level": spent} for key, (at, spent) in kept.items()]
    files.write(path, sealed.seal(FILE, {"version": VERSION, "looks": entries}))
    return found, note


def _read(path: Path) -> tuple[dict[str, tuple[float, float]], str]:
    found = sealed.opened(path, FILE)
    if found.content is None and not found.damage:
        return {}, ""
    try:
        content = found.content or _version_1(path)
        looks = {str(one["newest"]): (float(one["day"]), float(one["level"])) for one in content["looks"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError):
        return {}, f"{path} is damaged: the looks before this one are forgotten, and it begins anew"
    return looks, ""


def _version_1(path: Path) -> dict[str, Any]:
    """A file of the version that had no checksum."""
    content = foreign.mapping(foreign.content(path))
    if content["version"] != 1:
        raise ValueError("only version 1 has no checksum")
    return content


def _name(newest: Point) -> str:
    """What makes this look another one than the last."""
    return newest.run or newest.commit or newest.started_at or "unknown"
