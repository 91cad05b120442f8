"""Modules of a package that declare something, found by the names of their files.

A module that assigns the package's attribute at the beginning of a line declares one; every other module is a helper.
To find the names, the files are read and none is imported, so that `harness list` and the zoo's checks start quickly
and a module may import what it likes; whatever is declared is imported when it is asked for.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Generic, TypeVar

from harness.errors import BuildError
from harness.suggest import suggest

Declared = TypeVar("Declared")


class Registry(Generic[Declared]):
    """What the modules of one package declare."""

    def __init__(self, package: str, attribute: str, word: str) -> None:
        """Nothing is read yet.

        Args:
            package: its full name.
            attribute: what a module that declares something assigns.
            word: what a message calls one of them.
        """
        self._package, self._attribute, self._word = package, attribute, word

    def names(self) -> tuple[str, ...]:
        """The names of all, in alphabetical order."""
        return _declaring(tuple(sys.modules[self._package].__path__), self._attribute)

    def module(self, name: str) -> ModuleType:
        """The module that declares `name`.

        Raises:
            BuildError: there is none of that name.
        """
        if name not in (valid := self.names()):
            raise BuildError(f"There is no {self._word} `{name}`; {suggest(name, valid)}.")
        return importlib.import_module(f"{self._package}.{name}")

    def get(self, name: str) -> Declared:
        """What is declared as `name`.

        Raises:
            BuildError: there is none of that name.
        """
        declared: Declared = getattr(self.module(name), self._attribute)
        return declared


@functools.cache
def _declaring(folders: tuple[str, ...], attribute: str) -> tuple[str, ...]:
    """The modules of a package's folders that assign `attribute`."""
    assigns = re.compile(rf"^{attribute}\b *[:=]", re.MULTILINE)
    found = []
    for folder in map(Path, folders):
        for one in pkgutil.iter_modules([str(folder)]):
            file = folder / one.name / "__init__.py" if one.ispkg else folder / f"{one.name}.py"
            if file.is_file() and assigns.search(file.read_text(encoding="utf-8")):
                found.append(one.name)
    return tuple(sorted(found))
