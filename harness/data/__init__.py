"""Where calibration and evaluation examples come from: one module per data set.

A module here that declares `OPTIONS` is a data source, called like its file. It states

- `OPTIONS`, the keys that the zoo's entry may have for it (its docstring's first line says what it is),
- `PACKAGES`, distribution -> module of what its examples depend on,
- `examples(request, split)`, which yields `base.Row`s (or whole `base.Example`s) one at a time, and
- `digest(request)`, which names what the examples depend on.

Nothing outside its file knows a source. `harness.data.base` says more of examples. Nothing is held in memory as a
whole, and the calibration and the evaluation examples are never the same. Importing a source is cheap: what it needs
is imported inside its functions.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping
from types import ModuleType
from typing import Final

from harness.options import Option

SEED: Final = Option(name="seed", type=int, default=0, at_least=0, at_most=2**32 - 1, doc="seed of the random numbers")
"""The option of every source that draws its examples."""


def names() -> tuple[str, ...]:
    """The names of all data sources, in alphabetical order."""
    return tuple(modules())


def options(name: str) -> tuple[Option, ...]:
    """The options of a data source."""
    declared: tuple[Option, ...] = modules()[name].OPTIONS
    return declared


def packages(name: str) -> Mapping[str, str]:
    """Distribution -> module of what a data source's examples depend on."""
    declared: Mapping[str, str] = modules()[name].PACKAGES
    return declared


def summary(name: str) -> str:
    """What a data source is: the first line of its docstring, without the full stop."""
    return (modules()[name].__doc__ or "").strip().splitlines()[0].rstrip(".")


@functools.cache
def modules() -> dict[str, ModuleType]:
    """Name -> module of every data source, in alphabetical order."""
    found = sorted(one.name for one in pkgutil.iter_modules(__path__))
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in found}
    return {name: module for name, module in modules.items() if hasattr(module, "OPTIONS")}
