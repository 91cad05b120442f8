"""Temporary folders whose names say whose they are, so that those of killed processes can go. Standard library only.

A name ends in the process, when that started, and the system that numbers it: a number alone may belong to another
process by now, and a folder that several hosts or containers share holds processes that cannot be seen from here.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

PREFIX: Final = "harness-"
OWNER: Final = re.compile(r"(\d+)-(\d+)-([0-9a-f]{8})(?=-|$)")


@contextlib.contextmanager
def folder(what: str) -> Iterator[Path]:
    """A folder of this process's own in the system's temporary folder, gone afterwards.

    Args:
        what: what it is for, in a word: `floor`, `outputs`.
    """
    import tempfile

    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{what}-{owner()}-") as found:
        yield Path(found)


def owner() -> str:
    """What marks this process's names."""
    pid = os.getpid()
    return f"{pid}-{_started(pid) or 0}-{_system()}"


def dead(name: str) -> bool:
    """Whether a name is of a process of this system that has ended; False where that is not known."""
    found = OWNER.search(name)
    if found is None or found[3] != _system() or found[2] == "0":
        return False
    return _started(int(found[1])) != int(found[2])


def sweep_up(place: Path | None = None, prefix: str = PREFIX) -> tuple[Path, ...]:
    """Remove what dead processes left in a folder, and say what; the system's temporary folder where none is given."""
    import tempfile

    where = place or Path(tempfile.gettempdir())
    gone = []
    with contextlib.suppress(OSError):
        for path in sorted(where.glob(f"{prefix}*")):
            if dead(path.name) and path.lstat().st_uid == os.getuid():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
                gone.append(path)
    return tuple(gone)


def _started(pid: int) -> int | None:
    """When a process started, in the kernel's ticks; None where there is none of that number, or no way to ask."""
    try:
        # The name of the program, in brackets, may hold anything, brackets and blanks included.
        return int(
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        )
    except (OSError, ValueError, IndexError):
        return None


@cache
def _system() -> str:
    """This boot of this host, and in it the container that numbers processes."""
    known = []
    with contextlib.suppress(OSError):
        known.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8"))
        known.append(str(Path("/proc/self/ns/pid").readlink()))
    import hashlib

    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:8]
