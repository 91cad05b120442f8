"""One measurement at a time on a host, whoever started it: a sweep at a desk, or workers of one fleet or of two.

The lock is a file in the system's folder for temporary files, so that all users have it in common; `HARNESS_HOST_LOCK`
names another. The system frees it when its holder ends. A machine that `harness fleet up` cuts into slots has a
file for each: whoever measures in a slot shares the host's lock with the other slots, and nobody else has it meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

PATH, SLOT = "HARNESS_HOST_LOCK", "HARNESS_FLEET_SLOT"
NAME = "onnx-harness-measuring.lock"
EVERYBODY = 0o666


def path() -> Path:
    """The file of this host."""
    return Path(os.environ.get(PATH) or Path(tempfile.gettempdir()) / NAME)


@contextlib.contextmanager
def alone(say: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Wait until nobody else measures on this host, and let nobody begin meanwhile.

    Where there can be no lock (a folder that may not be written, a system without them), this goes on without.

    Args:
        say: hears for what it waits, before it does.
    """
    slot = os.environ.get(SLOT)
    with contextlib.ExitStack() as held:
        held.enter_context(_held(path(), say, shared=bool(slot)))
        if slot:
            held.enter_context(_held(path().with_name(f"{path().name}.{slot}"), say))
        yield


def busy() -> bool:
    """Whether somebody measures here now; not known where there can be no lock."""
    slot = os.environ.get(SLOT)
    place = path().with_name(f"{path().name}.{slot}") if slot else path()
    descriptor = _open(place)
    if descriptor is None:
        return False
    try:
        return not _lock(descriptor, shared=False, wait=False)
    except OSError:
        return False
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _held(place: Path, say: Callable[[str], None], *, shared: bool = False) -> Iterator[None]:
    descriptor = _open(place)
    if descriptor is None:
        yield
        return
    try:
        with contextlib.suppress(OSError):
            if not _lock(descriptor, shared=shared, wait=False):
                say(f"waiting for another measurement on this host (it holds {place})")
                _lock(descriptor, shared=shared, wait=True)
        yield
    finally:
        os.close(descriptor)


def _open(place: Path) -> int | None:
    """The file, made where it is missing; None where that cannot be.

    A file that another user made in a folder for everybody may not be opened with O_CREAT (`fs.protected_regular`).
    """
    for flags in (os.O_RDWR, os.O_RDWR | os.O_CREAT | os.O_EXCL, os.O_RDWR, os.O_RDONLY):
        try:
            descriptor = os.open(place, flags | getattr(os, "O_CLOEXEC", 0), EVERYBODY)
        except OSError:
            continue
        if flags & os.O_CREAT:
            with contextlib.suppress(OSError):  # whatever the umask is
                place.chmod(EVERYBODY)
        return descriptor
    return None


if sys.platform == "win32":

    def _lock(descriptor: int, *, shared: bool, wait: bool) -> bool:
        """Windows has no lock that is shared; there, hosts are not cut into slots."""
        import msvcrt
        import time

        while not shared:
            try:
                os.lseek(descriptor, 0, os.SEEK_SET)
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            except PermissionError:
                if not wait:
                    return False
                time.sleep(0.05)
            else:
                return True
        return True

else:
    import fcntl

    def _lock(descriptor: int, *, shared: bool, wait: bool) -> bool:
        """Take the lock; False where somebody has it and nobody waits."""
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
