"""Files that are never half there, and locks that end with their process.

Everything the store writes goes through `write`: a temporary file beside the target, fsync, rename. Whoever writes
holds the lock that guards the target, so the temporary name is fixed and what a crash left behind is overwritten.
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from harness.errors import StoreError
from harness.special_files import require_plain

REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some of your quota",
    errno.EROFS: "choose a folder that can be written with --results",
    errno.EACCES: "give yourself write permission or choose another folder with --results",
    errno.EPERM: "give yourself write permission or choose another folder with --results",
    errno.ENOTDIR: "a file stands where a folder is needed: move it away or choose another folder with --results",
    errno.EEXIST: "a file stands where a folder is needed: move it away or choose another folder with --results",
    errno.ENOLCK: "this file system has no locks: choose a folder on a local disk with --results",
    errno.ENOTSUP: "this file system has no locks: choose a folder on a local disk with --results",
}


@contextmanager
def guarded(doing: str, path: Path) -> Iterator[None]:
    """Turn an OSError into a StoreError that names the path and the remedy.

    Args:
        doing: what is tried, such as `write`.
        path: what it is tried on.
    """
    try:
        if doing == "read":
            require_plain(path)
        yield
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "fix the cause")
        raise StoreError(
            f"Cannot {doing} {path}: {error.strerror or error}. What was stored before is untouched: "
            f"{remedy}, then run the same command again."
        ) from error


def write(path: Path, data: bytes) -> None:
    """Put a whole file in place, or leave what was there.

    The caller holds the lock that guards `path`.

    Raises:
        StoreError: where it cannot be written, with the remedy.
    """
    with replacing(path) as file:
        file.write(data)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that takes the place of another when the block ends, whole; or leaves what was there.

    The caller holds the lock that guards `path`.

    Raises:
        StoreError: where it cannot be written, with the remedy.
    """
    temporary = temporary_of(path)
    with guarded("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def temporary_of(path: Path) -> Path:
    """What a file is called while it is written; one that is found without its writer is a leftover."""
    return path.with_name(f".{path.name}.tmp")


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut, where the system can open folders at all."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def probe(folder: Path) -> None:
    """Find out whether a folder can be written, before hours are spent on what would go there.

    Raises:
        StoreError: where it cannot, with the remedy.
    """
    with guarded("write into", folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())


class Lock:
    """An exclusive lock on a file of its own; the operating system releases it when the process ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def wait(cls, path: Path) -> Self:
        """Take the lock, waiting for whoever has it.

        Raises:
            StoreError: where the file cannot be made, or the file system has no locks.
        """
        with guarded("lock", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                _lock(descriptor, wait=True)
            except BaseException:
                os.close(descriptor)
                raise
        return cls(descriptor)

    @classmethod
    def attempt(cls, path: Path) -> Self | None:
        """Take the lock, or return None where a live process holds it.

        Raises:
            StoreError: where the file cannot be made, or the file system has no locks.
        """
        with guarded("lock", path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                _lock(descriptor, wait=False)
            except BlockingIOError:
                os.close(descriptor)
                return None
            except BaseException:
                os.close(descriptor)
                raise
        return cls(descriptor)

    def release(self) -> None:
        """Give the lock back; once is enough, twice does no harm."""
        if self._descriptor is not None:
            _unlock(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()


if sys.platform == "win32":
    import msvcrt
    import time

    def _lock(descriptor: int, *, wait: bool) -> None:
        while True:
            try:
                os.lseek(descriptor, 0, os.SEEK_SET)
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            except PermissionError as error:
                if not wait:
                    raise BlockingIOError(*error.args) from error
                time.sleep(0.05)
            else:
                return

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int, *, wait: bool) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(descriptor: int) -> None:
        # Explicit, because a forked child that still lives would keep the lock through its copy of the descriptor.
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def lock_of(results: Path) -> Path:
    """The file whose lock guards asv's files and the opening and closing of journals in a results folder."""
    return results / ".lock"


def require_utf8(path: Path) -> None:
    """Refuse a path that Arrow and DuckDB cannot open, before anything is measured for it.

    Raises:
        StoreError: it is not UTF-8.
    """
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError as error:
        raise StoreError(f"{path} is not UTF-8, as results need: choose another folder with --results.") from error
