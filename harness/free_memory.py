"""How much memory is free: asked before something is opened whose size is known and might be more. Standard library."""

from __future__ import annotations

import re
from pathlib import Path


def available(root: Path = Path("/")) -> int | None:
    """Bytes that a new process may take: of the host, or of the container where that is less; None where unknown."""
    kilobytes = _number(root / "proc/meminfo", r"MemAvailable:\s+(\d+) kB")
    limit = _number(root / "sys/fs/cgroup/memory.max", r"(\d+)")
    used = _number(root / "sys/fs/cgroup/memory.current", r"(\d+)")
    known = [kilobytes * 1024] if kilobytes is not None else []
    known += [max(limit - used, 0)] if limit is not None and used is not None else []
    return min(known, default=None)


def _number(path: Path, pattern: str) -> int | None:
    try:
        found = re.search(pattern, path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return int(found[1]) if found else None
