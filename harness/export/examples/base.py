"""What an example of a language is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageExample:
    """One language's program.

    Attributes:
        write: puts its files into the folder of an export, which is otherwise finished.
        below: the folder in it for model, settings and samples, where an application carries its files in one;
            empty where that is the export itself.
        start: what `session.json` says -> the commands that run it there, a line each, for the README.
    """

    write: Callable[[Path], None]
    start: Callable[[Mapping[str, Any]], tuple[str, ...]]
    below: str = ""
