"""The site's folder: files are written where they differ, and what a former build left over is removed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from harness.errors import StoreError, UsageError
from harness.store import files

Entry = tuple[str, int, str]
"""Digest and size of a file, and the key of what it was made from."""

MARK = ".harness-report.json"
"""Lists the files of a build with their digests; a folder that holds other things has none."""


LOCK = ".harness-report.lock"
"""Held by the build that writes a folder."""


@contextmanager
def taken(folder: Path) -> Iterator[Output]:
    """A folder that a site is written to, by one build at a time: another one waits until this one is done.

    Where the file system has no locks, nothing is waited for.

    Raises:
        UsageError, StoreError: as `Output.open`.
    """
    Output.open(folder)  # what holds other things is refused before a lock lies in it
    try:
        lock = files.Lock.wait(folder / LOCK)
    except StoreError:
        lock = None
    try:
        yield Output.open(folder)
    finally:
        if lock is not None:
            lock.release()


@dataclass(slots=True, kw_only=True)
class Output:
    """A folder that a site is written to.

    Attributes:
        known: path -> what a former build wrote there.
        seen: the same of this build.
    """

    folder: Path
    known: dict[str, Entry]
    seen: dict[str, Entry] = field(default_factory=dict)
    written: int = 0
    kept: int = 0

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Take over a folder.

        Raises:
            UsageError: if it holds something that is not a report.
            StoreError: if it cannot be made.
        """
        mark = folder / MARK
        with files.guarded("read", folder):
            if folder.exists() and not folder.is_dir():
                raise UsageError(f"--out {folder} is a file: choose a folder")
            if folder.is_dir() and any(folder.iterdir()) and not mark.exists():
                raise UsageError(
                    f"--out {folder} holds files that are not a report (it has no {MARK}): "
                    "choose an empty or new folder"
                )
            folder.mkdir(parents=True, exist_ok=True)
            try:
                known = json.loads(mark.read_bytes())
            except (FileNotFoundError, ValueError):
                known = {}
                mark.write_text("{}", encoding="utf-8")  # so that a build that was interrupted can be taken up again
            # A site in the checkout must not make the tree differ from its commit: sweeps there would book nothing.
            (folder / ".gitignore").write_text("*\n", encoding="utf-8")
        return cls(folder=folder, known=_entries(known))

    def keep(self, path: str, key: str) -> bool:
        """Whether a file of a former build is still there and was made from the same inputs: it need not be made.

        Args:
            path: of the file.
            key: a digest of everything that it is made from.
        """
        entry = self.known.get(path)
        if entry is None or entry[2] != key or not self._holds(path, entry[1]):
            return False
        self.seen[path] = entry
        self.kept += 1
        return True

    def put(self, path: str, content: str | bytes, key: str = "") -> None:
        """Write a file, unless it is there already with this content.

        Args:
            path: of the file.
            content: of the file.
            key: a digest of everything that it is made from, for `keep` in the next build.

        Raises:
            StoreError: if it cannot be written.
        """
        data = content.encode() if isinstance(content, str) else content
        digest = hashlib.sha256(data).hexdigest()
        self.seen[path] = (digest, len(data), key)
        target = self.folder / path
        if self.known.get(path, ("",))[0] == digest and self._holds(path, len(data)):
            self.kept += 1
            return
        with files.guarded("write", target):
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name}.tmp")
            temporary.write_bytes(data)
            temporary.replace(target)  # whoever reads it meanwhile sees the old page or the new one
        self.written += 1

    def add(self, seen: Mapping[str, Entry]) -> None:
        """Take over what another process has put into the same folder."""
        self.seen.update(seen)
        self.written += sum(self.known.get(path) != entry for path, entry in seen.items())
        self.kept += sum(self.known.get(path) == entry for path, entry in seen.items())

    def _holds(self, path: str, size: int) -> bool:
        try:
            return (self.folder / path).stat().st_size == size
        except OSError:
            return False

    def close(self) -> None:
        """Remove what no page needs any more, and note what is there.

        Raises:
            StoreError: if a file cannot be removed.
        """
        for path in self.known.keys() - self.seen.keys():
            target = (self.folder / path).resolve()
            if target.is_relative_to(self.folder.resolve()):
                with files.guarded("remove", target):
                    target.unlink(missing_ok=True)
        with files.guarded("write", self.folder / MARK):
            (self.folder / MARK).write_text(json.dumps(self.seen, indent=0, sort_keys=True), encoding="utf-8")


def _entries(found: object) -> dict[str, Entry]:
    """What a list of files holds, as far as it is one."""
    if not isinstance(found, dict):
        return {}
    return {
        path: (str(entry[0]), int(entry[1]), str(entry[2]))
        for path, entry in found.items()
        if isinstance(entry, list) and len(entry) == 3 and isinstance(entry[1], int)  # noqa: PLR2004
    }
