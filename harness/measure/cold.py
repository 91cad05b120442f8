"""Cold start from the disk: the first result of a process whose files are not in the page cache.

Dropping the page cache of a host needs root and takes it away from everybody. A process that may read a file may also
tell the kernel that it needs no page of it: what others have mapped stays, so that the share of the artifact that was
in memory all the same is read and stored. The runtime's libraries are those that a live worker had mapped.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError
from harness.measure.bursts import OPEN_DEADLINE_S, burst
from harness.records import ProcessSamples

if TYPE_CHECKING:
    from harness.measure.coordinator import Workload
    from harness.runtimes.client import Client

STAYED = 0.01
"""The share of an artifact that may be in memory before a start from the disk is said to be none."""

READ_ONLY, SHARED_MAP = 1, 1
"""PROT_READ and MAP_SHARED."""


def mapped(pid: int) -> list[Path]:
    """The files that a process has mapped: its interpreter, the runtime's libraries; none where nobody tells."""
    try:
        lines = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    names = {parts[5] for line in lines if len(parts := line.split(maxsplit=5)) > 5 and parts[5].startswith("/")}  # noqa: PLR2004
    return [path for path in map(Path, sorted(names)) if path.is_file()]


def drop(files: Iterable[Path]) -> bool:
    """Tell the kernel to forget the pages of files; False where this system has no such call."""
    if not hasattr(os, "posix_fadvise"):
        return False
    for path in files:
        with contextlib.suppress(OSError):
            opened = os.open(path, os.O_RDONLY)
            try:
                os.fsync(opened)  # pages that are not written yet stay
                os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(opened)
    return True


def resident(path: Path) -> tuple[int, int] | None:
    """How many of a file's pages are in the page cache, and how many it has; None where the system does not tell."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "mincore"):
        return None
    size, page = path.stat().st_size, os.sysconf("SC_PAGE_SIZE")
    if not size:
        return 0, 0
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    opened = os.open(path, os.O_RDONLY)
    try:
        place = libc.mmap(None, size, READ_ONLY, SHARED_MAP, opened, 0)
    finally:
        os.close(opened)
    if place in (None, ctypes.c_void_p(-1).value):
        return None
    pages = -(-size // page)
    table = ctypes.create_string_buffer(pages)
    failed = libc.mincore(place, size, table)
    libc.munmap(place, size)
    return None if failed else (sum(one & 1 for one in table.raw), pages)


def resident_share(files: Iterable[Path]) -> float | None:
    """The share of the pages of files that are in the page cache; None where it is not known."""
    counts = [resident(path) for path in files]
    known = [one for one in counts if one is not None]
    total = sum(pages for _, pages in known)
    return sum(held for held, _ in known) / total if total and len(known) == len(counts) else None


def remarks(processes: Sequence[ProcessSamples]) -> list[str]:
    """What must be known of the numbers, for people."""
    shares = [one.cold_resident for one in processes if one.cold_resident is not None]
    if not shares or max(shares) < STAYED:
        return []
    kept = f"up to {max(shares):.0%} of the artifact was in the page cache at a cold start from the disk"
    return [f"{kept}: who else has it mapped keeps it there; close that and measure again"]


def start(
    workload: Workload, libraries: Iterable[Path], client: Callable[[], AbstractContextManager[Client]]
) -> tuple[int, float | None] | None:
    """Start a process with its files dropped and take its first result.

    Returns:
        Nanoseconds from its start to the result, and the share of the artifact that was in the page cache at the
        start; None where this system cannot drop a file's pages.

    Raises:
        WorkerRefusal, WorkerError: as `Client.ask`.
    """
    artifact = [path for path in workload.model.parent.rglob("*") if path.is_file()]
    if not drop([*artifact, *libraries]):
        return None
    share = resident_share(artifact)
    with client() as worker:
        worker.ask("open", OPEN_DEADLINE_S, **workload.request())
        burst(worker, 1, OPEN_DEADLINE_S)
        return time.perf_counter_ns() - worker.started_ns, share


def with_start(
    samples: ProcessSamples,
    workload: Workload,
    libraries: Iterable[Path],
    client: Callable[[], AbstractContextManager[Client]],
) -> ProcessSamples:
    """With the start of another process from the disk; as they were where that one does not come to a result."""
    with contextlib.suppress(HarnessError, OSError):
        if (took := start(workload, libraries, client)) is not None:
            return dataclasses.replace(samples, cold_disk_ns=took[0], cold_resident=took[1])
    return samples
