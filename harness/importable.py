"""A person's own code, named as `module:attribute`: imported where it is run, and nowhere else."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from harness.errors import BuildError
from harness.suggest import similar

PATTERN = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"


def target(name: str, whose: str) -> Any:
    """The callable, from an importable module; the working folder is looked at last, so that it shadows nothing.

    Args:
        name: `module:attribute`.
        whose: the framework or the data source that wants it, which messages begin with.

    Raises:
        BuildError: the module cannot be imported, or has no such callable.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise BuildError(f"{whose}: `{name}` is not of the form `module:callable`.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise BuildError(f"{whose}: the module `{module_name}` of `{name}` cannot be imported: {error}.") from error
    except Exception as error:  # whatever a module does when it is imported
        raise BuildError(
            f"{whose}: importing the module `{module_name}` of `{name}` failed: {type(error).__name__}: {error}."
        ) from error
    found: Any = module
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        names = [one for one in vars(module) if not one.startswith("_") and callable(getattr(module, one))]
        raise BuildError(f"{whose}: {module_name} has no callable `{attribute}`{similar(attribute, names)}.")
    return found
