"""Weights that were trained here, in the cache: one .safetensors for each recipe of training. Standard library only.

::

    trained/<digest of the recipe>.safetensors

The file's own header says what it is of and has the checksum of what follows it, so that it can be listed and checked
without what reads tensors, and stays a file that others read.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness import foreign

FOLDER: Final = "trained"
ENDING: Final = ".safetensors"

_LENGTH: Final = 8
"""Bytes before the header: its length, little-endian."""

_LARGEST_HEADER: Final = 100 * 2**20
"""Bytes; as the format has it."""

_OWN: Final = "__metadata__"
_SHA: Final = "sha256"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedFile:
    """What a file of trained weights says of itself.

    Attributes:
        made_by: what it is of, for people; empty where it does not say.
        created: seconds since the epoch; None where it does not say.
        damage: why it will not be used but trained again, in words that go behind its name; else empty.
    """

    made_by: str = ""
    created: float | None = None
    damage: str = ""


def place(root: Path, digest: str) -> Path:
    """Where the weights of a recipe lie in a cache, or will."""
    return root / FOLDER / f"{digest}{ENDING}"


def described(path: Path, *, deep: bool) -> TrainedFile:
    """What a file says of itself; whatever lies there, this returns.

    Args:
        path: of the file.
        deep: hash all of it; else its length is looked at.
    """
    try:
        with path.open("rb") as file:
            header = _header(file.read(_LENGTH), file.read, path.stat().st_size)
            sha = hashlib.file_digest(file, "sha256").hexdigest() if deep else ""
    except (OSError, ValueError, TypeError, LookupError) as error:  # offsets of a damaged header are anything
        return TrainedFile(damage=f"cannot be read: {error}")
    own = header.get(_OWN)
    own = own if isinstance(own, Mapping) else {}
    known = str(own.get(_SHA, ""))
    created = own.get("created", "")
    return TrainedFile(
        made_by=str(own.get("made_by", "")),
        created=float(created) if isinstance(created, str) and created.isdecimal() else None,
        damage="is not what its checksum says" if deep and known and known != sha else "",
    )


def metadata(made_by: str, written: bytes) -> dict[str, str]:
    """What goes into the header beside the tensors.

    Args:
        made_by: what the weights are of.
        written: the same tensors as a whole file, with any header.
    """
    start = _LENGTH + int.from_bytes(written[:_LENGTH], "little")
    return {"made_by": made_by, "created": str(int(time.time())), _SHA: hashlib.sha256(written[start:]).hexdigest()}


def _header(first: bytes, read: Any, size: int) -> dict[str, Any]:
    """The header of a whole file.

    Raises:
        ValueError: there is none, or the file is not as long as its tensors.
    """
    length = int.from_bytes(first, "little")
    if len(first) < _LENGTH or length > min(size, _LARGEST_HEADER):
        raise ValueError("it is not a .safetensors file")
    found = foreign.mapping(read(length))
    ends = [one["data_offsets"][1] for name, one in found.items() if name != _OWN and _has_offsets(one)]
    if _LENGTH + length + max(ends, default=0) != size:
        raise ValueError("it is not as long as its header says")
    return found


def _has_offsets(one: Any) -> bool:
    return isinstance(one, Mapping) and isinstance(one.get("data_offsets"), list) and len(one["data_offsets"]) == 2  # noqa: PLR2004
