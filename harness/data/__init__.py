"""Where calibration and evaluation examples come from: one module per data set.

A module here that declares `OPTIONS` is a data source, called like its file. It states

- `OPTIONS`, the keys that the zoo's entry may have for it (its docstring's first line says what it is),
- `PACKAGES`, distribution -> module of what its examples depend on,
- `examples(request, split)`, which yields `base.Row`s (or whole `base.Example`s) one at a time, and
- `digest(request)`, which names what the examples depend on; and where its labels are classes that have names,
- `class_names(request)`, name -> number.

Nothing outside its file knows a source. `harness.data.base` says more of examples. Nothing is held in memory as a
whole, and the calibration and the evaluation examples are never the same. Importing a source is cheap: what it needs
is imported inside its functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from harness.options import Option
from harness.registry import Registry

SEED: Final = Option(name="seed", type=int, default=0, at_least=0, at_most=2**32 - 1, doc="seed of the random numbers")
"""The option of every source that draws its examples."""

BROKEN: Final = Option(
    name="broken",
    type=float,
    default=0.1,
    at_least=0,
    at_most=1,
    doc="the share of files that may be damaged; each is left out and named",
)
"""The option of every source that reads one file for each example."""

DRAWN: Final = frozenset({"random", "tokens", "photos", "shapes", "digits"})
"""Sources whose splits are apart by how they are made; a repeated example is chance, and no leak."""

_SOURCES: Registry[tuple[Option, ...]] = Registry(__name__, "OPTIONS", "data source")
names, module, options = _SOURCES.names, _SOURCES.module, _SOURCES.get


def packages(name: str) -> Mapping[str, str]:
    """Distribution -> module of what a data source's examples depend on."""
    declared: Mapping[str, str] = module(name).PACKAGES
    return declared


def summary(name: str) -> str:
    """What a data source is: the first line of its docstring, without the full stop."""
    return (module(name).__doc__ or "").strip().splitlines()[0].rstrip(".")
