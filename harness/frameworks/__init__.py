"""Where models come from: one module per framework, which states everything that the rest must know of it.

A module here that holds a `FRAMEWORK` (see `base.Framework`) is a framework, called like its file in the zoo's key
`source`. Reading the descriptors imports none of the frameworks themselves; only the build child calls `load`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.registry import Registry

if TYPE_CHECKING:
    from harness.frameworks.base import Framework

_FRAMEWORKS: Registry[Framework] = Registry(__name__, "FRAMEWORK", "source")
names, get = _FRAMEWORKS.names, _FRAMEWORKS.get
