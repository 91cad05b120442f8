"""Standard streams whose reader may leave: what is written to nobody is dropped, and the verb goes on.

`harness gate | head` still measures, writes its files and ends with its verdict's exit code; a reader that has seen
enough must not cost a sweep, and a closed pipe must not turn a regression into a pass.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from pathlib import Path
from typing import Any, TextIO

LEFT = (errno.EPIPE, errno.ECONNRESET, *((errno.EINVAL,) if sys.platform == "win32" else ()))


class _Reader(io.RawIOBase):
    """A file descriptor of a standard stream, which becomes the null device when its reader leaves."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        try:
            return os.write(self._descriptor, view)
        except OSError as error:
            self._drop()
            if error.errno not in LEFT:
                name = "standard output" if self._descriptor == 1 else "standard error"
                raise OSError(error.errno, error.strerror, name) from error
        return len(view)

    def _drop(self) -> None:
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(null, self._descriptor)
        finally:
            os.close(null)


def lasting(stream: TextIO | None) -> TextIO:
    """A standard stream that outlives its reader; one that is closed becomes the null device.

    Only a stream of the interpreter's own is replaced: what a test or a caller put there stays.
    """
    if stream is None:
        return Path(os.devnull).open("w", encoding="utf-8")
    if stream not in (sys.__stdout__, sys.__stderr__) or not isinstance(stream, io.TextIOWrapper):
        return stream
    try:
        descriptor = stream.fileno()
        stream.flush()
    except (OSError, ValueError):
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(_Reader(descriptor)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream is sys.__stderr__,
    )
