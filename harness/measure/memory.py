"""The memory that a model takes: what a worker holds of its own, read from outside, with and without the model.

Of a small model's resident memory most is Python, NumPy and onnxruntime: 57 MB stand before the first weight. What
counts is what opening and running the model added. Only pages that no other process can share are added up, since the
share of the others depends on who else runs: beside another onnxruntime process the private pages of a worker that held
the same model were 1.4 MB once and 8.4 MB another time. Files of the model that are mapped count as well.
"""

from __future__ import annotations

import os
import re
import statistics
from collections.abc import Sequence
from pathlib import Path

from harness.units import size

ENTRY = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+ *(.*)$")
FIELD = re.compile(r"^(Rss|Anonymous): +(\d+) kB")


def held_bytes(pid: int, folder: Path) -> int | None:
    """What a process holds of its own, and of the files in a folder, in bytes; None where the system does not tell.

    Args:
        pid: the process.
        folder: where the model lies; mapped files in it count with the pages that are in memory.
    """
    inside, table = str(folder.resolve()), Path(f"/proc/{pid}")
    try:
        # The sum of all pages costs half of a line for each mapping, which takes 20 ms for a model of 300 MB.
        whole = table / "smaps_rollup"
        apart = not whole.exists() or f" {inside}/" in (table / "maps").read_text(encoding="utf-8", errors="replace")
        text = (table / "smaps" if apart else whole).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return total(text, inside)


def total(smaps: str, folder: str) -> int | None:
    """As `held_bytes`, from the text of the kernel's table; None where it has no field for it."""
    kilobytes, mapped, found = 0, False, False
    for line in smaps.splitlines():
        entry = ENTRY.match(line)
        if entry is not None:
            mapped = bool(folder) and entry[1].startswith(f"{folder}/")
            continue
        field = FIELD.match(line)
        if field is not None and field[1] == ("Rss" if mapped else "Anonymous"):
            kilobytes += int(field[2])
            found = True
    return kilobytes * 1024 if found else None


MOST_READINGS = 64
LEAST_READINGS = 8
LEAST_GROWTH = 64 * 1024
"""Bytes per 1000 inferences below which memory does not grow: an allocator keeps a page now and then."""

LEAST_ADDED = 256 * 1024
"""Bytes that have to be added while one looks: some pages in the few inferences of a slow model say nothing of 1000."""


class Readings:
    """What a process held of its own after so many inferences, read between bursts: at most `MOST_READINGS` of them.

    Read from `statm`, which costs microseconds where the table of all mappings costs milliseconds.
    """

    def __init__(self, pid: int) -> None:
        self.path = Path(f"/proc/{pid}/statm")
        self.seen: list[tuple[int, int]] = []
        self.every, self.asked = 1, 0

    def take(self, inferences: int) -> None:
        """Read once more; of many bursts only some."""
        self.asked += 1
        if self.asked % self.every:
            return
        try:
            _, resident, shared, *_ = self.path.read_text(encoding="ascii").split()
        except (OSError, ValueError):
            return
        self.seen.append((inferences, (int(resident) - int(shared)) * page_bytes()))
        if len(self.seen) >= MOST_READINGS:
            self.seen, self.every = self.seen[1::2], self.every * 2

    def growth(self) -> int | None:
        """Bytes per 1000 inferences, see `growth`."""
        return growth(self.seen)


def page_bytes() -> int:
    """Bytes of a page of memory."""
    return os.sysconf("SC_PAGE_SIZE")


def growth(readings: Sequence[tuple[int, int]]) -> int | None:
    """Bytes per 1000 inferences by which memory grows: the median slope between readings of the second half.

    In the first half arenas fill and code warms up. None where there are too few readings; 0 where it does not grow by
    `LEAST_GROWTH`, not by `LEAST_ADDED` in all, or shrinks.

    Args:
        readings: inferences so far, and bytes.
    """
    late = readings[len(readings) // 2 :]
    if len(readings) < LEAST_READINGS:
        return None
    slopes = [
        (later[1] - one[1]) / (later[0] - one[0])
        for place, one in enumerate(late)
        for later in late[place + 1 :]
        if later[0] > one[0]
    ]
    if not slopes:
        return None
    found = round(1000 * statistics.median(slopes))
    return found if found >= LEAST_GROWTH and late[-1][1] - late[0][1] >= LEAST_ADDED else 0


def remarks(growths: Sequence[int | None]) -> list[str]:
    """That memory grows, where it does in every process."""
    known = [one for one in growths if one is not None]
    if not known or min(known) == 0:
        return []
    grown = size(round(statistics.median(known)))
    return [f"memory grew by {grown} per 1000 inferences in every process: a leak, or an arena that never settles"]


def added(before: int | None, after: int | None) -> int | None:
    """What came with the model; None where either is unknown."""
    return None if before is None or after is None else max(after - before, 0)


def free_bytes() -> int | None:
    """What new processes of this host can have without anything being swapped, in bytes; None where unknown."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"^MemAvailable: +(\d+) kB", text, re.MULTILINE)
    return None if found is None else int(found[1]) * 1024
