"""Files that are none: a named pipe waits for ever for a writer, a device never ends, /proc holds another process's."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)
KERNEL = (Path("/proc"), Path("/sys"))


class SpecialFileError(OSError):
    """A path leads to something that is read like a file and is none."""


def special(path: Path) -> str:
    """What a path leads to where that is not a plain file or a folder, such as `a device`; empty for what is absent."""
    try:
        mode = path.stat().st_mode
        found = next((what for test, what in KINDS if test(mode)), "")
        inside = next((root for root in KERNEL if path.resolve().is_relative_to(root)), None)
    except (OSError, ValueError, RuntimeError):
        return ""
    return found or (f"a file of {inside}" if inside is not None and not stat.S_ISDIR(mode) else "")


def lost_link(path: Path) -> str:
    """Where a link leads that leads nowhere, such as `a link to gone.onnx, which is not there`; empty for all else."""
    try:
        path.stat()
    except OSError as error:
        if not path.is_symlink():
            return ""
        if error.errno == errno.ELOOP:
            return "a link that leads back to itself"
        return f"a link to {path.readlink()}, which is not there" if error.errno == errno.ENOENT else ""
    return ""


def circle(path: Path) -> bool:
    """Whether a path leads through a link that leads back to itself: nothing can be made there."""
    try:
        path.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    except ValueError:  # a NUL in a name
        return False
    return False


def require_plain(path: Path) -> None:
    """Refuse what would never end, before it is opened.

    Raises:
        SpecialFileError: the path leads to a pipe, a device, a socket or a file of the kernel's.
    """
    if what := special(path):
        raise SpecialFileError(errno.EINVAL, f"it is {what}; give a plain file", str(path))
