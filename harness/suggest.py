"""What to say when a name is not known: the nearest valid one, and all of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_SHOWN = 24
"""Names listed in a message; a longer list helps nobody."""


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """Return the valid name that `name` most likely stands for, letter case aside, or None.

    Where none is spelled alike, the only one that it is short for, such as `markdown` for `md`.
    """
    by_lower = {candidate.lower(): candidate for candidate in valid}
    found = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.6)
    found = found or [one for one in by_lower if _short_for(name.lower(), one)]
    return by_lower[found[0]] if len(found) == 1 else None


def _short_for(name: str, whole: str) -> bool:
    """Whether all letters of a name, two or more, stand in this order in another one that begins with the same."""
    letters = iter(whole)
    return len(name) > 1 and name[0] == whole[:1] and all(letter in letters for letter in name)


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
