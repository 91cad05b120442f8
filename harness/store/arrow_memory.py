"""Which allocator Arrow has in this process."""

from __future__ import annotations

import os
from functools import cache
from typing import Final

POOL: Final = "ARROW_DEFAULT_MEMORY_POOL"


@cache
def plain_memory() -> None:
    """Let Arrow ask the system for memory: its own allocator keeps what was freed, 40 MB of a sweep's 140.

    Called before whatever uses Arrow, since it reads the variable once, when it is first asked for memory. The variable
    does not reach processes started later.
    """
    before = os.environ.get(POOL)
    os.environ.setdefault(POOL, "system")
    import pyarrow as pa

    pa.default_memory_pool()
    if before is None:
        del os.environ[POOL]
