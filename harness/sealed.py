"""JSON objects on disk that carry their own checksum. Standard library only.

::

    {"sha256": "<of every byte below this line>",
     "entry": "evaluations/0b5c...",
     ...}

It is plain JSON for whoever else reads it. A file whose bytes are not what its checksum says, that is of another
entry, larger than any that is written here, or no file at all, reads as damaged: nothing of it is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

LARGEST: Final = 256 * 2**20
"""Bytes. The largest that is written describes a reference of many thousand examples, and is a tenth of this."""

HEAD: Final = b'{"sha256": "'
SHA: Final = "sha256"
ENTRY: Final = "entry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What stands in a sealed file.

    Attributes:
        content: None where there is nothing that may be used.
        damage: why there is not, in words that go behind the file's name; empty where there is no file at all.
    """

    content: dict[str, Any] | None = None
    damage: str = ""


def place_entry(place: Path) -> str:
    """What the text of a place in the cache is sealed under: its kind and its digest."""
    return f"{place.parent.name}/{place.name}"


def mark_used(path: Path) -> None:
    """Note that a place is used, by the time of its text; a cache that may only be read serves all the same."""
    with contextlib.suppress(OSError):
        os.utime(path)


def seal(entry: str, content: Mapping[str, Any]) -> bytes:
    """An object as it is written.

    Args:
        entry: what it is of, such as `evaluations/0b5c`: the same bytes under another name are not that name's.
        content: anything that is JSON.
    """
    body = json.dumps({ENTRY: entry, **content}, indent=1)[1:].encode()
    return HEAD + hashlib.sha256(body).hexdigest().encode() + b'",' + body


def opened(path: Path, entry: str) -> Opened:
    """Read a sealed file; whatever lies there, this returns."""
    try:
        if not path.is_file():  # a pipe would never end; a folder or a link to nowhere holds nothing
            there = path.exists() or path.is_symlink()
            return Opened(damage="is not a file" if there else "")
        if path.stat().st_size > LARGEST:
            return Opened(damage=f"is larger than {LARGEST >> 20} MiB")
        data = path.read_bytes()
    except OSError as error:
        return Opened(damage=f"cannot be read: {error.strerror or error}")
    except ValueError:  # a NUL in the name
        return Opened(damage="has a name that no file has")
    return unsealed(data, entry)


def unsealed(data: bytes, entry: str) -> Opened:
    """What `seal` was given."""
    data = data.replace(b"\r\n", b"\n")  # as git may check it out; JSON text has no other carriage return
    start = len(HEAD)
    digest, comma, body = data[start : start + 64], data[start + 64 : start + 66], data[start + 66 :]
    if not data.startswith(HEAD) or comma != b'",':
        return Opened(damage="has no checksum: it is damaged, or an earlier version wrote it")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        return Opened(damage="does not match its checksum")
    try:
        content = json.loads(b"{" + body)
    except (ValueError, RecursionError):
        return Opened(damage="is not JSON, though its checksum is right")
    if not isinstance(content, dict) or content.pop(ENTRY, None) != entry:
        return Opened(damage="is of another entry")
    return Opened(content=content)
