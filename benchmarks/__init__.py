"""asv's benchmark folder: `sweep` is the suite; the other files are scripts and tests, which asv shall not import.

asv imports every module that its benchmark package lists. The scripts need what asv's environments do not have, so the
package lists its suite alone; an import by name finds every file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType

FOLDER = str(Path(__file__).parent)


class Suites:
    """Finds as Python does, and lists the suite alone."""

    def __init__(self) -> None:
        self.find = FileFinder(FOLDER, (SourceFileLoader, SOURCE_SUFFIXES)).find_spec

    def find_spec(self, name: str, target: ModuleType | None = None) -> ModuleSpec | None:
        """As `importlib.machinery.FileFinder`."""
        return self.find(name, target)

    def iter_modules(self, prefix: str = "") -> Iterator[tuple[str, bool]]:
        """What `pkgutil` lists."""
        yield f"{prefix}sweep", False


sys.path_importer_cache[FOLDER] = Suites()
