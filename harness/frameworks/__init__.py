"""Where models come from: one module per framework, which states everything that the rest must know of it.

A module here that holds a `FRAMEWORK` (see `base.Framework`) is a framework, called like its file in the zoo's key
`source`. Reading the descriptors imports none of the frameworks themselves; only the build child calls `load`.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil

from harness.errors import BuildError
from harness.frameworks.base import Framework
from harness.suggest import suggest


def names() -> tuple[str, ...]:
    """The names of all frameworks, in alphabetical order."""
    return tuple(_all())


def get(name: str) -> Framework:
    """The framework called `name`.

    Raises:
        BuildError: there is none of that name.
    """
    if name not in _all():
        raise BuildError(f"There is no source `{name}`; {suggest(name, names())}.")
    return _all()[name]


@functools.cache
def _all() -> dict[str, Framework]:
    found: dict[str, Framework] = {}
    for name in sorted(one.name for one in pkgutil.iter_modules(__path__)):
        framework = getattr(importlib.import_module(f"{__name__}.{name}"), "FRAMEWORK", None)
        if framework is not None:
            found[name] = framework
    return found
