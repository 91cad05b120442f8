"""Text for a terminal, a pipe or a log that cannot hold all of its characters."""

from __future__ import annotations

import codecs
import io
from typing import TextIO

MICROSECONDS = " µs"
"""What ASCII has a usual spelling for: `37.4 us`. Anywhere else, as in a path, a micro sign is not a `u`."""

HANDLER = "harness.spelled"

WITHOUT = ("strict", "backslashreplace")
"""What Python does by default where standard output and standard error cannot hold a character: raise, escape it."""


def spell_out(*streams: TextIO) -> None:
    """Let streams write what their encoding lacks by its usual spelling, or as an escape, instead of raising."""
    codecs.register_error(HANDLER, _spelled)
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper) and stream.errors in WITHOUT:
            stream.reconfigure(errors=HANDLER)


def _spelled(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object
    return "".join(
        "u" if text[max(0, place - 1) : place + 2] == MICROSECONDS else _escaped(text[place])
        for place in range(error.start, error.end)
    ), error.end


def _escaped(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode()
