"""The memory that a model takes: what a worker holds of its own, read from outside, with and without the model.

Of a small model's resident memory most is Python, NumPy and onnxruntime: 57 MB stand before the first weight. What
counts is what opening and running the model added. Only pages that no other process can share are added up, since the
share of the others depends on who else runs: beside another onnxruntime process the private pages of a worker that held
the same model were 1.4 MB once and 8.4 MB another time. Files of the model that are mapped count as well.
"""

from __future__ import annotations

import re
from pathlib import Path

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
