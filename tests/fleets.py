"""What stands for a fleet's tasks in tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from harness.build.cache import Cache
from harness.fleet.model import Entry


class MadeUpTask:
    """What Dask gives for a task; its answer is known when it is made, or never comes."""

    def __init__(self, status: str, answer: Any = None) -> None:
        self.status, self._answer = status, answer

    def result(self, timeout: float | None = None) -> Any:  # noqa: ARG002  # as Dask has it
        """The answer."""
        return self._answer

    def exception(self) -> BaseException:
        """What was raised."""
        assert isinstance(self._answer, BaseException)
        return self._answer

    def add_done_callback(self, call: Callable[[Any], None]) -> None:
        """Call at once, if there is an answer."""
        if self.status != "pending":
            call(self)

    def cancel(self, *, force: bool) -> None:
        """Nothing runs."""


def keep(cache: Cache, entries: Iterable[Entry]) -> None:
    """Put into a cache what goes by the name of these entries, each of one small file."""
    for kind, digest in entries:
        with cache.workdir() as folder:
            inside = folder / "entry"
            inside.mkdir()
            (inside / "file").write_bytes(digest.encode())
            cache.admit(kind, digest, inside, {})
