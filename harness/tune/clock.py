"""The time of one search: what share of it is over, what still fits, and by when a child has to be done.

What was seen to take a while tells how long the next thing of its kind will: nothing begins that is not known to fit.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from harness import processes

FEWEST_BLOCKS = 7
"""Of live groups: with fewer no difference between three candidates could be confirmed."""

MEMBERS = 3
"""Of a live group: the best, the runner-up, the default."""

MEMBER_S = 2.5
"""What one process of a live group takes, roughly, before one was seen."""

CONFIRMING = 1 / 3
"""The share of the time limit that is kept for confirming, at most."""


class TuneClock:
    """Counts from when it was made."""

    def __init__(self, limit: float, now: Callable[[], float] = time.monotonic) -> None:
        """Start to count.

        Args:
            limit: seconds for everything, confirming included.
            now: seconds.
        """
        self.limit = limit
        self._now = now
        self._started = now()
        self._seen: dict[str, float] = {}

    @property
    def spent(self) -> float:
        """Seconds since the beginning."""
        return self._now() - self._started

    @property
    def member_s(self) -> float:
        """What one process of a live group takes here."""
        return max(MEMBER_S, self._seen.get("process", 0.0))

    @property
    def searching(self) -> float:
        """Seconds of the limit that are for searching: the rest confirms."""
        return self.limit - min(FEWEST_BLOCKS * MEMBERS * self.member_s, CONFIRMING * self.limit)

    def over(self, share: float) -> bool:
        """Whether a share of the time for searching is over."""
        return self.spent > share * self.searching

    def fits(self, share: float, expected: float) -> bool:
        """Whether something that takes so many seconds ends within a share of the time for searching."""
        return self.spent + expected <= share * self.searching

    def took(self, kind: str, seconds: float) -> None:
        """Remember how long something took; one that was quicker than those before it counts half."""
        before = self._seen.get(kind)
        self._seen[kind] = seconds if before is None else max(seconds, (before + seconds) / 2)

    def expected(self, kind: str) -> float | None:
        """How long something of a kind takes; None where none was seen."""
        return self._seen.get(kind)

    @contextlib.contextmanager
    def timing(self, kind: str) -> Iterator[None]:
        """Remember how long what happens in here took, however it ends."""
        started = self._now()
        try:
            yield
        finally:
            self.took(kind, self._now() - started)

    @contextlib.contextmanager
    def until(self, share: float) -> Iterator[None]:
        """Children that start in here are ended when a share of the time for searching is over.

        Raises:
            OutOfTime: one was.
        """
        with processes.ending_at(time.monotonic() + share * self.searching - self.spent):
            yield

    @contextlib.contextmanager
    def until_the_limit(self) -> Iterator[None]:
        """As `until`, with the whole limit."""
        with processes.ending_at(time.monotonic() + self.limit - self.spent):
            yield
