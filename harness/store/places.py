"""Objects below a URL of fsspec (a folder, s3, gs, az): written whole, read whole, and an outage waited for.

An object is never changed: whoever writes another gives it another name. So there is nothing to lock.
"""

from __future__ import annotations

import contextlib
import functools
import re
import shutil
import time
from collections.abc import Callable, Iterator
from typing import IO, Any, TypeVar

from harness.errors import StoreError, UsageError

WAITS_S = (0.2, 1.0, 3.0, 10.0, 20.0, 40.0)
"""Seconds before each new attempt: more than a minute together, since buckets are away for that long."""

FINAL = (PermissionError, ValueError, TypeError, FileExistsError, NotADirectoryError)
"""What waiting does not fix."""

Given = TypeVar("Given")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://.+")


def is_url(text: str) -> bool:
    """Whether a text names a place of fsspec and not a folder."""
    return _URL.fullmatch(text) is not None


class Place:
    """What lies below one URL."""

    def __init__(self, system: Any, root: str, url: str, *, waits_s: tuple[float, ...] = WAITS_S) -> None:
        self.url = url.rstrip("/")
        self._system, self._root, self._waits_s = system, root.rstrip("/"), waits_s

    def exists(self, name: str) -> bool:
        """Whether there is such an object."""
        return bool(self._trying("look at", name, lambda: self._fresh().exists(self._path(name))))

    def write(self, name: str, source: IO[bytes]) -> None:
        """Write a whole object; on a file system, nobody sees half of it.

        Raises:
            StoreError: it cannot be written.
        """

        def write() -> None:
            source.seek(0)
            if "file" in self._system.protocol:  # a bucket has no folders, and s3fs would make a missing bucket
                self._system.makedirs(self._path(name).rpartition("/")[0], exist_ok=True)
            with self._system.transaction, self._system.open(self._path(name), "wb") as target:
                shutil.copyfileobj(source, target)

        try:
            self._trying("write", name, write)
        except FileNotFoundError as error:
            raise StoreError(f"Cannot write {self.url}/{name}: {error or 'there is no such bucket'}") from error

    @contextlib.contextmanager
    def reading(self, name: str) -> Iterator[IO[bytes]]:
        """An object, opened.

        Raises:
            FileNotFoundError: there is none.
            StoreError: it cannot be read.
        """
        stream = self._trying("read", name, lambda: self._fresh().open(self._path(name), "rb"))
        with stream:
            yield stream

    def read(self, name: str) -> bytes:
        """An object's bytes.

        Raises:
            FileNotFoundError: there is none.
            StoreError: it cannot be read.
        """
        found: bytes = self._trying("read", name, lambda: self._fresh().cat_file(self._path(name)))
        return found

    def names(self, below: str) -> list[tuple[str, int]]:
        """Names and sizes of all objects below a name, sorted.

        Raises:
            StoreError: it cannot be listed.
        """

        def listed() -> list[tuple[str, int]]:
            try:
                found = self._fresh().find(self._path(below), detail=True)
            except FileNotFoundError:
                return []
            return sorted((path[len(self._root) + 1 :], int(one.get("size") or 0)) for path, one in found.items())

        return self._trying("list", below, listed)

    def remove(self, name: str) -> None:
        """Remove an object, if there is one.

        Raises:
            StoreError: it cannot be removed.
        """

        def remove() -> None:
            with contextlib.suppress(FileNotFoundError):
                self._system.rm_file(self._path(name))

        self._trying("remove", name, remove)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _fresh(self) -> Any:
        """The file system, without what it remembers of listings."""
        self._system.invalidate_cache()
        return self._system

    def _trying(self, doing: str, name: str, call: Callable[[], Given]) -> Given:
        """Call, and again after a wait where the place does not answer.

        Raises:
            FileNotFoundError: passed on, as an answer.
            StoreError: it did not answer for longer than all waits together, or refuses.
        """
        for wait_s in (*self._waits_s, None):
            try:
                return call()
            except FileNotFoundError:
                raise
            except Exception as error:
                if wait_s is None or isinstance(error, FINAL) or type(error).__name__ == "NoCredentialsError":
                    raise StoreError(
                        f"Cannot {doing} {self.url}/{name}: {type(error).__name__}: {error}. What was stored before is "
                        f"untouched: fix the cause, then run the same command again."
                    ) from error
                time.sleep(wait_s)
        raise AssertionError


@functools.cache
def at(url: str) -> Place:
    """What lies below a URL.

    Raises:
        UsageError: fsspec or what it needs for this kind of URL is not installed, there is no such kind, or it names
            nothing below its kind.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise UsageError(f"{url}: fsspec is not installed: pip install 'onnx-harness[fleet]'") from error
    try:
        system, root = url_to_fs(url)
    except ImportError as error:
        raise UsageError(f"{url}: {error}") from error
    except ValueError as error:
        raise UsageError(f"{url}: {error}; such as s3://bucket/folder or file:///folder") from error
    if not url.partition("://")[2].strip("/"):  # of `file://` fsspec would take the folder that harness runs in
        raise UsageError(f"{url} names no folder or bucket; such as s3://bucket/folder or file:///folder")
    return Place(system, root, url)
