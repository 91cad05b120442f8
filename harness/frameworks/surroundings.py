"""Where a framework runs: beside harness, in an environment of its own in the cache, or in a given interpreter.

Some frameworks are gigabytes that disagree with others about versions, so they have an environment of their own unless
the zoo's `framework_env` says otherwise. `harness.runtimes.framework_environments` makes it; here is only looked.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness import frameworks, interpreters
from harness.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.interpreters import Environment
    from harness.records import ModelSpec

BESIDE, OWN = "beside", "own"
KIND = "runtimes"
"""The folder of the cache in which all environments lie."""

NEEDED = ("numpy",)
"""What harness itself needs in the other interpreter, which is Python 3.11 or newer."""


def place_of(model: ModelSpec) -> str:
    """`beside`, `own`, or an interpreter's path."""
    asked = model.framework_env
    if asked.place:
        return asked.place
    return OWN if asked.packages or frameworks.get(model.source).apart else BESIDE


def is_apart(model: ModelSpec) -> bool:
    """Whether the framework runs in another interpreter than harness."""
    return place_of(model) not in (BESIDE, sys.executable)


def requirements(source: str, more: Iterable[str] = ()) -> tuple[str, ...]:
    """What pip is to install into a framework's own environment."""
    framework = frameworks.get(source)
    own = framework.requirements or (*framework.packages, *framework.export_packages)
    return tuple(dict.fromkeys((*own, *NEEDED, *more)))


def folder(source: str, more: Iterable[str], root: Path) -> Path:
    """Where a framework's own environment lies in a cache, whether it is there or not."""
    asked = sorted(one.replace(" ", "") for one in requirements(source, more))
    return root.absolute() / KIND / interpreters.key_of({"framework": asked})


def known(model: ModelSpec, root: Path) -> Environment | None:
    """The environment of a model whose framework runs apart; None beside harness, or where it is not there (yet)."""
    if not is_apart(model):
        return None
    place = place_of(model)
    if place == OWN:
        return interpreters.known(folder(model.source, model.framework_env.packages, root))
    try:
        return described(place)
    except UsageError:
        return None


@functools.cache
def described(python: str) -> Environment:
    """What is installed beside an interpreter, asked once.

    Raises:
        UsageError: it is none, or does not run.
    """
    if not Path(python).is_file():
        raise UsageError(f"framework_env: {python} is not a file; give the path of a Python interpreter")
    return interpreters.describe(python)


def require(model: ModelSpec, root: Path) -> None:
    """Say what is missing where a model's framework cannot run.

    Raises:
        UsageError: its environment is not there, or its interpreter does not run or lacks a package.
    """
    if not is_apart(model):
        return
    framework, place = frameworks.get(model.source), place_of(model)
    if place == OWN:
        if known(model, root) is None:
            raise UsageError(f"the environment of {framework.name} is not in the cache yet; a sweep or build makes it")
        return
    held = set(map(plain, described(place).installed))
    missing = [name for name in (*framework.packages, *NEEDED) if plain(name) not in held]
    if missing:
        raise UsageError(f"framework_env: {place} lacks {' and '.join(missing)}: install it there with its pip")


def versions(names: Iterable[str], around: Environment) -> dict[str, str]:
    """The versions of those of `names` that are installed where a framework runs."""
    held = {plain(name): version for name, version in around.installed.items()}
    return {name: held[plain(name)] for name in names if plain(name) in held}


def plain(name: str) -> str:
    """A distribution's name as packages compare it."""
    return name.lower().replace("_", "-").replace(".", "-")
