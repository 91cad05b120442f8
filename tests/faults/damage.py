"""What may become of a file that nobody watches: a disk, an editor, a script or a person was careless."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final


def cut(path: Path, chance: random.Random) -> None:
    """A copy that ended too early."""
    data = path.read_bytes()
    path.write_bytes(data[: chance.randrange(len(data))])


def empty(path: Path, chance: random.Random) -> None:
    """A full disk."""
    path.write_bytes(b"")


def digit(path: Path, chance: random.Random) -> None:
    """One digit is another one."""
    data = bytearray(path.read_bytes())
    place = chance.choice([found.start() for found in re.finditer(rb"\d", data)])
    data[place] = ord("0") + (data[place] - ord("0") + chance.randrange(1, 10)) % 10
    path.write_bytes(data)


def bit(path: Path, chance: random.Random) -> None:
    """One bit is the other."""
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def line(path: Path, chance: random.Random) -> None:
    """A line, and with it a key, is gone."""
    lines = path.read_bytes().splitlines(keepends=True)
    del lines[chance.randrange(len(lines))]
    path.write_bytes(b"".join(lines))


def folder(path: Path, chance: random.Random) -> None:
    """A folder stands where the file was."""
    path.unlink()
    (path / "inside").mkdir(parents=True)


def link(path: Path, chance: random.Random) -> None:
    """A link to nowhere."""
    path.unlink()
    path.symlink_to(path.parent / "nowhere")


def nested(path: Path, chance: random.Random, size: int = 200_000) -> None:
    """JSON that is deeper than any parser goes."""
    path.write_bytes(b"[" * size)


def foreign(path: Path, chance: random.Random) -> None:
    """Something else's JSON."""
    path.write_text('{"fidelity": null, "weights": 3, "files": "x", "looks": [[]]}', encoding="utf-8")


def other(path: Path, chance: random.Random) -> None:
    """The file of another entry, whole."""
    others = sorted(path.parent.parent.glob(f"*/{path.name}") if path.name == "meta.json" else path.parent.glob("*"))
    shutil.copyfile(next((one for one in others if one.is_file() and one != path), path), path.with_name("copy"))
    path.with_name("copy").replace(path)


DAMAGES: Final[tuple[Callable[[Path, random.Random], None], ...]] = (
    cut, empty, digit, bit, line, folder, link, nested, foreign, other,
)  # fmt: skip
