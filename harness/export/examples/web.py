"""A page: onnxruntime-web of npm, and a server whose headers let the page have threads."""

from __future__ import annotations

from pathlib import Path

from harness.export.examples import node, released
from harness.export.examples.base import LanguageExample
from harness.runtimes.browser import PACKAGE


def write(folder: Path) -> None:
    """The page, its server, what both import, and the package that they need."""
    own = [released.FILES / "web" / name for name in ("index.html", "page.mjs", "serve.mjs")]
    released.copied(folder, *node.SHARED, *own)
    released.package(folder, PACKAGE, "node serve.mjs")


EXAMPLE = LanguageExample(
    write=write,
    start=lambda _: (
        "npm install --ignore-scripts",
        "node serve.mjs                    # then open the address that it prints",
        "node serve.mjs --check chromium   # the same without a window; exit code 0 where it is as expected",
    ),
)
