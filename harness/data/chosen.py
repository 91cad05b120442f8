"""Files of a folder for both splits, without listing it: each file's name decides where it belongs.

The digest of a file's path below the folder says which split it is for and where it stands there, so that a folder of a
million files is walked once, a few names are kept, and a new file moves no other into the other split. Files of the
same content never stand on both sides.
"""

from __future__ import annotations

import functools
import hashlib
import heapq
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.data import base
from harness.data.base import Split
from harness.errors import BuildError

SPARE = 2
"""For every file that is asked for, so many names are kept: some may be damaged, or stand on the other side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenFile:
    """A file of the folder.

    Attributes:
        name: its path below the folder, with `/`.
    """

    path: Path
    name: str

    @property
    def order(self) -> bytes:
        """Where it stands; the last bit says for which split."""
        return hashlib.blake2b(self.name.encode("utf-8", "surrogateescape"), digest_size=8).digest()


def walk(folder: Path, suffixes: Collection[str]) -> Iterator[ChosenFile]:
    """Every file below a folder with one of these endings, in whatever order the system has them.

    Raises:
        BuildError: a folder cannot be listed.
    """
    todo = [(folder, "")]
    while todo:
        here, prefix = todo.pop()
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    name = f"{prefix}{entry.name}"
                    if entry.is_dir(follow_symlinks=True):
                        if not entry.is_symlink():  # a link to a folder may lead back here
                            todo.append((Path(entry.path), f"{name}/"))
                    elif entry.name[entry.name.rfind(".") :].lower() in suffixes and entry.is_file():
                        yield ChosenFile(path=Path(entry.path), name=name)
        except OSError as error:
            raise BuildError(f"data: {here} cannot be listed: {error.strerror}. Check the path in the zoo.") from error


def split_of(file: ChosenFile) -> Split:
    """Which split a file is for."""
    return "evaluation" if file.order[-1] & 1 else "calibration"


def first(
    files: Iterable[ChosenFile], counts: Mapping[Split, int], only: Split | None = None
) -> dict[Split, list[ChosenFile]]:
    """The files that come first in each split, and spare ones behind them, in their order; few are in memory.

    Args:
        files: any number, in any order.
        counts: how many of each split are asked for.
        only: the split that all of them are for, whatever their names.
    """
    kept: dict[Split, list[tuple[int, str, ChosenFile]]] = {split: [] for split in counts}
    for file in files:
        split = only or split_of(file)
        most = SPARE * counts.get(split, 0)
        if not most:
            continue
        entry = (-int.from_bytes(file.order[:-1]), file.name, file)  # the heap's first is the last in order
        if len(kept[split]) < most:
            heapq.heappush(kept[split], entry)
        elif entry[:2] > kept[split][0][:2]:
            heapq.heapreplace(kept[split], entry)
    in_order = {split: sorted(held, key=lambda one: (-one[0], one[1])) for split, held in kept.items()}
    return {split: [file for *_, file in held] for split, held in in_order.items()}


def apart(chosen: Mapping[Split, list[ChosenFile]], counts: Mapping[Split, int]) -> dict[Split, list[ChosenFile]]:
    """The same without calibration files that hold what an evaluation file holds."""
    asked = {
        content_of(file.path): file.name for file in chosen.get("evaluation", [])[: SPARE * counts.get("evaluation", 0)]
    }
    calibration = [file for file in chosen.get("calibration", []) if content_of(file.path) not in asked]
    return {**chosen, "calibration": calibration}


def content_of(path: Path) -> str:
    """The SHA-256 of a file's bytes; taken once while the file stays as it is.

    Raises:
        BuildError: it cannot be read.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise BuildError(f"data: {path} cannot be read: {error.strerror}.") from error
    return _content(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=65536)
def _content(path: Path, size: int, changed: int) -> str:  # noqa: ARG001  (what a changed file differs by)
    return base.file_digest(path)


def digest(chosen: Mapping[Split, list[ChosenFile]]) -> str:
    """What the chosen files are known by: names and contents."""
    whole = hashlib.sha256()
    for split in sorted(chosen):
        for file in chosen[split]:
            whole.update(f"{split} {file.name} {content_of(file.path)}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()
