"""The environments of frameworks that do not run beside harness: made once, in the cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness import frameworks
from harness.frameworks import surroundings
from harness.runtimes import environments
from harness.runtimes.environments import Say, silent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.interpreters import Environment
    from harness.records import ModelSpec


WHAT = "framework "
"""What the environments of frameworks are called, before the framework's name and further packages."""


def ensure(model: ModelSpec, root: Path, say: Say = silent) -> None:
    """Have the environment of a model's framework ready, where it has one of its own.

    Args:
        model: the zoo entry.
        root: the cache's folder.
        say: hears before something is installed, which takes minutes.

    Raises:
        UsageError: it cannot be installed or imported, or the interpreter that the zoo names does not run or lacks
            something; the text says how to go on.
        StoreError: the cache cannot be written.
    """
    if surroundings.place_of(model) == surroundings.OWN:
        install(model.source, root, model.framework_env.packages, say)
    else:
        surroundings.require(model, root)


def install(source: str, root: Path, more: Sequence[str] = (), say: Say = silent) -> Environment:
    """A framework's own environment, made now where the cache does not have it.

    Raises:
        BuildError: there is no such framework.
        UsageError, StoreError: as `ensure`.
    """
    framework = frameworks.get(source)
    return environments.ensure(
        surroundings.folder(source, more, root),
        surroundings.requirements(source, more),
        what=f"{WHAT}{' with '.join([source, *more])}",
        prove=(*framework.packages.values(), *surroundings.NEEDED),
        say=say,
    )
