"""Files and texts that others wrote, read within limits: whatever stands in them, a `ValueError` says what is wrong.

A reader of one format takes its bytes and its JSON from here, and turns the error into one that names the file and the
way out. Standard library only.
"""

from __future__ import annotations

import json
import re
import stat
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

from harness.special_files import special

T = TypeVar("T")

LARGEST: Final = 512_000_000
"""Bytes of one file of text. A year of a large zoo's results in one of asv's files is a tenth of it."""

DEEPEST: Final = 64
"""Levels of nesting: no format that is read here has more than ten."""

DIGITS: Final = 19
"""Digits from which on a whole number may not fit 64 bits; nanoseconds since the epoch have as many, and do."""

_ALIKE: Final = bytes.maketrans(b"123456789", b"000000000")
_NOT_BRACKETS: Final = bytes(sorted({*range(256)} - {*b"[]{}"}))


def content(path: Path, most: int = LARGEST) -> bytes:
    """The bytes of a regular file.

    Raises:
        ValueError: if it is a pipe, a device or a folder, or larger than `most`.
        OSError: if it cannot be read.
    """
    known = path.stat()
    if what := special(path) or ("" if stat.S_ISREG(known.st_mode) else "a folder"):
        raise ValueError(f"it is {what}; give a plain file")
    if known.st_size > most:
        raise ValueError(f"it has {known.st_size} bytes, more than the {most} that are read")
    with path.open("rb") as file:
        found = file.read(most + 1)  # what grows meanwhile, or claims to have no bytes, as in /proc
    if len(found) > most:
        raise ValueError(f"it has more than the {most} bytes that are read")
    return found


def parsed(text: bytes | str) -> Any:
    """The value of a JSON text; a whole number that 64 bits cannot hold is a float.

    Raises:
        ValueError: if it is not JSON, not UTF-8, or nested more than `DEEPEST` levels deep.
    """
    raw = text.encode("utf-8", errors="surrogatepass") if isinstance(text, str) else text
    if deep(raw):
        raise ValueError(f"it is nested more than {DEEPEST} levels deep")
    try:
        return json.loads(raw.decode("utf-8-sig"), parse_int=_whole if b"0" * DIGITS in raw.translate(_ALIKE) else None)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def whole(digits: str) -> int:
    """The number that decimal digits write; those from 10**18 on are 10**18, since Python makes none of thousands."""
    short = digits.lstrip("0")[:DIGITS]
    return int(short or "0") if len(short) < DIGITS else 10 ** (DIGITS - 1)


def mapping(text: bytes | str) -> dict[str, Any]:
    """The object of a JSON text.

    Raises:
        ValueError: as `parsed`, and if it is not an object.
    """
    found = parsed(text)
    if not isinstance(found, dict):
        raise ValueError(f"it holds {_KINDS.get(type(found), 'a number')} and not an object")  # noqa: TRY004  (one error type for a bad text)
    return found


def checked(record: T) -> T:
    """A record (a dataclass) that was made of what others wrote, where each of its fields is of the field's type.

    Raises:
        TypeError: if one is not; the message names it.
    """
    for name, kind in get_type_hints(type(record)).items():
        if not _fits(getattr(record, name), kind):
            raise TypeError(f"{name} is of another type ({type(getattr(record, name)).__name__})")
    return record


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value is of a type as fields have it: plain ones, unions, tuples and mappings of these."""
    origin, of = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in of)
    if origin is tuple:
        several = (of[0],) * len(value) if isinstance(value, tuple) and of[-1] is ... else of
        return isinstance(value, tuple) and len(several) == len(value) and all(map(_fits, value, several))
    if origin is not None:
        return isinstance(value, Mapping) and all(_fits(k, of[0]) and _fits(v, of[1]) for k, v in value.items())
    return isinstance(value, kind)


def toml(text: bytes) -> dict[str, Any]:
    """The tables of a TOML text.

    Raises:
        ValueError: if it is not TOML, not UTF-8, or nested too deep.
    """
    import tomllib

    try:
        return tomllib.loads(text.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


_KINDS: Final = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}


def deep(raw: bytes) -> bool:
    """Whether a JSON text is nested too deep; cheap where it is not, and brackets inside of texts are not counted."""
    left = raw.translate(None, _NOT_BRACKETS)
    for _ in range(DEEPEST):
        if not left:
            return False
        # The innermost level goes with every turn; a mismatch is for the parser to report.
        shorter = left.replace(b"[]", b"").replace(b"{}", b"")
        if len(shorter) == len(left):
            break
        left = shorter
    return bool(left) and _depth(raw) > DEEPEST


def _depth(raw: bytes) -> int:
    """The exact depth, with strings left out."""
    depth = most = 0
    for found in re.finditer(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', raw, re.DOTALL):
        if found[0] in b"[{":
            depth += 1
            most = max(most, depth)
        elif found[0] in b"]}":
            depth -= 1
    return most


def _whole(digits: str) -> int | float:
    if len(digits) <= DIGITS + 1:  # a sign, or one digit too many
        value = int(digits)
        if -(2**63) <= value < 2**63:
            return value
    return float(digits)
