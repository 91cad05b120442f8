"""What stands for a fleet's tasks in tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


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
