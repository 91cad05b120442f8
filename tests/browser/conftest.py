"""What the tests of the pages share: waiting for what is expected, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

PATIENCE_S = 60.0


def eventually(page: Any, expected: object, read: Callable[[], object]) -> None:
    """Wait until something on a page is as it is expected: scripts run after the click that asked for them returns.

    Args:
        page: the page; its events go on while this waits.
        expected: compared with what `read` gives.
        read: looks at the page.

    Raises:
        AssertionError: it was not so within `PATIENCE_S`; shows what it was last.
    """
    until = time.monotonic() + PATIENCE_S
    while (found := read()) != expected and time.monotonic() < until:
        page.wait_for_timeout(20)
    assert expected == found
