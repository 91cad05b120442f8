"""What is done with an error that nobody expected: its traceback goes into a file, and a person gets a sentence.

One way for every entry (command line, asv, pytest, build and worker processes). It never fails itself: where no file
can be written, the traceback is part of the message.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import harness
from harness import shown
from harness.errors import HarnessError

FOLDER: Final = "errors"
"""Below the cache folder."""

KEPT: Final = 20
"""Files that stay; older ones are deleted."""

LONGEST: Final = 300
"""Characters of the error's own text that the sentence shows; the file has all of it."""

OF_THE_HOST: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
    | {errno.EIO, errno.EAGAIN, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EFBIG}
)
"""What the operating system says of disks, permissions, limits and names: no mistake of harness's."""

NO_TEMPORARY: Final = "No usable temporary directory"


def of_the_host(error: BaseException) -> str | None:
    """What stops harness from outside, in a sentence with the remedy; None for anything else."""
    if isinstance(error, MemoryError):
        return "There is not enough memory to go on: free some, or ask for less at once."
    if not isinstance(error, OSError):
        return None
    if NO_TEMPORARY in str(error):
        return "No temporary folder can be written: set TMPDIR to one that exists, can be written and has room."
    if error.errno not in OF_THE_HOST:
        return None
    names = " and ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
    return f"The operating system refuses{f' {names}' if names else ''}: {error.strerror}. Fix that and run it again."


def message(error: BaseException, *, doing: Sequence[str] = ()) -> str:
    """Keep the traceback of an unexpected error in a file, and say so.

    Args:
        error: with its traceback.
        doing: what was run, such as the command line; it goes into the file.

    Returns:
        A sentence that says that this is harness's mistake, what it was, where the file is, and how to report it.
    """
    what = " ".join(f"{type(error).__name__}: {_text(error)}".split())
    short = what if len(what) <= LONGEST else f"{what[: LONGEST - 3]}..."
    said = f"internal error, a mistake of harness's and none of yours: {shown.text(short)}."
    report = "".join(_report(error, doing))
    for folder in _folders():
        if (path := _write(folder, report)) is not None:
            return f"{said} The traceback is in {path}: please report it with that file and the command."
    return f"{said} Please report it with the command and this, which no folder could keep:\n{report}"


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001  (an error whose text cannot be made is reported all the same)
        return f"its text cannot be made ({type(broken).__name__})"


def _report(error: BaseException, doing: Sequence[str]) -> Iterator[str]:
    import platform

    yield f"onnx-harness {harness.__version__}, Python {platform.python_version()}, {sys.platform}\n"
    yield f"{dt.datetime.now(dt.UTC).isoformat(timespec='seconds')}\n"
    yield f"command: {list(doing)!r}\n"
    try:
        yield from traceback.format_exception(error)
    except Exception as broken:  # noqa: BLE001  (as above)
        yield f"the traceback cannot be made ({type(broken).__name__})\n"


def _folders() -> Iterator[Path]:
    """Where such files go, best first."""
    with contextlib.suppress(Exception):
        from harness.paths import cache_root

        yield cache_root() / FOLDER
    with contextlib.suppress(Exception):
        import tempfile

        yield Path(tempfile.gettempdir())


def _write(folder: Path, report: str) -> Path | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"harness-error-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S%f}-{os.getpid()}.txt"
        path = folder.absolute() / name
        path.write_bytes(report.encode("utf-8", errors="backslashreplace"))
    except (OSError, ValueError):
        return None
    with contextlib.suppress(OSError):
        for old in sorted(folder.glob("harness-error-*.txt"))[:-KEPT]:
            old.unlink()
    return path


def expected(error: BaseException) -> str | None:
    """The text of an error that was raised on purpose, or that comes from the host; None for an unexpected one."""
    return str(error) if isinstance(error, HarnessError) else of_the_host(error)
