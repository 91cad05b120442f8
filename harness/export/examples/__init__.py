"""Programs that open an export: one module per language, which declares an `EXAMPLE` and is called like the language.

An example writes what it needs into the folder of an export, where `session.json` says how the session is opened,
what feeds it and what it is to give (docs/export.md). Whatever it needs more is beside its module.
"""

from __future__ import annotations

from typing import Final

from harness.export.examples.base import LanguageExample
from harness.registry import Registry

__all__ = ["LanguageExample", "get", "names"]

_EXAMPLES: Final[Registry[LanguageExample]] = Registry(__name__, "EXAMPLE", "example")
names, get = _EXAMPLES.names, _EXAMPLES.get
