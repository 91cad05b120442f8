"""Node: `run.mjs`, which needs onnxruntime-node of npm."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from harness.export.examples import released
from harness.export.examples.base import LanguageExample
from harness.runtimes.node import PACKAGE

SHARED: Final = (
    released.FILES / "javascript" / "check.mjs",
    released.RUNTIMES / "javascript" / "values.mjs",
    released.RUNTIMES / "javascript" / "session_config.mjs",
)
"""What Node and a page both import."""


def write(folder: Path) -> None:
    """The program, what it imports, and the package that it needs."""
    released.copied(folder, *SHARED, released.FILES / "node" / "run.mjs")
    released.package(folder, PACKAGE, "node run.mjs")


EXAMPLE = LanguageExample(write=write, start=lambda _: ("npm install --ignore-scripts", "node run.mjs"))
