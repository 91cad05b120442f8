"""The console that every verb prints with: whatever text reaches it, only its own styles are control."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from harness import shown

AT_LINE_START = re.compile(r"^([^\S\n]*)::", re.MULTILINE)


class _Lines:
    """What the console writes to: no line of it is a workflow command, wherever a long word was folded."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, given: str) -> int:
        return self._stream.write(AT_LINE_START.sub(r"\1\\x3a:", given))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


LONGEST_SIZE = 9
"""Digits of a terminal's width or height."""


class Terminal(Console):
    """A rich console on which text from outside is text.

    A string that is printed is one line; what stands in tables is shown without control characters, too. Markup is
    read as rich reads it: text from outside goes through `shown.markup`, or is printed with `markup=False`.
    """

    def __init__(self, **settings: Any) -> None:
        """With a console's own settings."""
        super().__init__(_environ=_environment(), **settings)

    @property
    def interactive(self) -> bool:
        """Whether somebody looks at it and lines can be drawn anew; colours alone (FORCE_COLOR) do not say so."""
        return self.is_terminal and not self.is_dumb_terminal and super().file.isatty()

    @property
    def file(self) -> IO[str]:
        """Where it writes."""
        return _Lines(super().file)  # type: ignore[return-value]  # it has all that a console asks of a stream

    @file.setter
    def file(self, new: IO[str]) -> None:
        self._file = new

    def print(self, *objects: Any, **settings: Any) -> None:
        """Print; each string is one line."""
        super().print(*(shown.terminal(one) if isinstance(one, str) else one for one in objects), **settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What a renderable becomes, its text without control characters."""
        for segment in super().render(renderable, options):
            plain = segment.text if segment.control else shown.block(segment.text)
            yield segment if plain is segment.text else Segment(plain, segment.style)


def _environment() -> dict[str, str]:
    """The environment without a size of the terminal that is none: rich takes any digits for a number."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in ("COLUMNS", "LINES") or (value.isdecimal() and len(value) <= LONGEST_SIZE)
    }
