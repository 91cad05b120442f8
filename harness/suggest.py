"""What to say when a name is not known: the nearest valid one, and all of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_SHOWN = 24
"""Names listed in a message; a longer list helps nobody."""


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """Return the valid name that `name` most likely stands for, letter case aside, or None."""
    by_lower = {candidate.lower(): candidate for candidate in valid}
    found = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def suggest(name: str, valid: Iterable[str], also: Iterable[str] = ()) -> str:
    """Return `did you mean 'x'? available: x, y`, without the question where nothing is near.

    Args:
        name: what was given.
        valid: what is listed.
        also: what is valid, too, and not worth listing.
    """
    names = list(valid)
    near = nearest(name, [*names, *also])
    listed = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    return (f"did you mean {near!r}? " if near else "") + f"available: {listed or 'none'}"


def similar(name: str, valid: Iterable[str]) -> str:
    """Return `; did you mean ...` with up to three near names, else an empty string: for lists too long to print."""
    close = difflib.get_close_matches(name, list(valid), 3)
    return f"; did you mean {', '.join(f'`{one}`' for one in close)}" if close else ""
