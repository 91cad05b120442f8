"""What the tests of the pages share: waiting for what is expected, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")
PATIENCE_S = 300.0


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser for the tests of a file; one that stays open keeps a core from working, even if nobody looks."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=str(CHROMIUM))
        yield found
        found.close()


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
