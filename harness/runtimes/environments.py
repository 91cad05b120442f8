"""Virtual environments in the cache: made once, whole or not there at all.

::

    <kind>/<digest>/venv/       the environment, never moved, since its scripts name their own path
    <kind>/<digest>/meta.json   written last: without it, nothing here is believed
    <kind>/.<digest>.lock       held while one process makes it and others wait

uv makes them where it is there, else `venv` and pip; where uv fails, pip is asked as well, because it may know
indexes and local wheels that uv does not.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import sealed
from harness.errors import StoreError, UsageError
from harness.interpreters import META, Environment, ask, describe, interpreter, key_of, known, last_lines, run
from harness.store import files

__all__ = [
    "META", "Environment", "ask", "describe", "ensure", "interpreter", "key_of", "known", "last_lines", "run", "silent",
]  # fmt: skip

LEAST_FREE = 1_000_000
"""Bytes without which nothing can be installed."""

LISTED = 8
"""Versions named in a message, the newest ones."""

OFFLINE = re.compile(
    r"NewConnectionError|Temporary failure in name resolution|Name or service not known|Network is unreachable"
    r"|Failed to establish a new connection|Max retries exceeded|dns error|Connection refused|error sending request"
    r"|Network connectivity is disabled",
    re.IGNORECASE,
)
NO_VERSION = re.compile(r"Could not find a version that satisfies the requirement (\S+).*?\(from versions: ([^)]*)\)")
OTHER_PYTHON = re.compile(r"versions that require a different python version: ([^\n]*)")
YANKED = re.compile(
    r"yanked version: .*?Reason for being yanked: ([^\n]*)|warning: `[^`]*` is yanked(?: \(reason: \"?([^\n]*?)\"?\))?",
    re.DOTALL,
)
"""What pip and uv say when the one version that was asked for was withdrawn by its publisher."""

Say = Callable[[str], None]
"""Hears in a few words what takes time."""


def silent(_: str) -> None:
    """Tells nobody."""


def ensure(
    place: Path,
    requirements: Sequence[str],
    *,
    what: str,
    prove: Sequence[str] = (),
    wheels_only: bool = False,
    say: Say = silent,
) -> Environment:
    """The environment at `place`, made now where it is not there yet.

    Args:
        place: its folder in the cache, named by `key_of`.
        requirements: arguments of `pip install`.
        what: what it is for, for people.
        prove: modules that must import in it.
        wheels_only: refuse to compile anything.
        say: hears when something is made.

    Raises:
        UsageError: a requirement cannot be had; the text says why, which versions there are, and how to go on.
        StoreError: the cache cannot be written.
    """
    if (found := known(place)) is not None:
        return found
    with files.Lock.wait(place.with_name(f".{place.name}.lock")):
        if (found := known(place)) is not None:  # another process made it while this one waited
            return found
        if (found := _described_again(place, what, say)) is not None:
            return found
        with files.guarded("make", place):
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
            place.unlink(missing_ok=True)
            place.mkdir(parents=True)
        say(f"installing {what}")
        try:
            python, withdrawn = _install(place / "venv", requirements, what, wheels_only=wheels_only)
            if withdrawn:
                say(f"{what} was yanked from its index: {withdrawn}")
            _prove(python, prove, what)
            environment = describe(str(python))
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        content = {
            "made_by": what,
            "created": time.time(),
            "requirements": list(requirements),
            "installed": dict(environment.installed),
            "digest": environment.digest,
            **({"yanked": withdrawn} if withdrawn else {}),
        }
        _stamp(place, content)
    return environment


def _described_again(place: Path, what: str, say: Say) -> Environment | None:
    """An environment that was made to the end and whose meta.json cannot be trusted: its interpreter tells the same.

    A file there, even a damaged one, says that all was installed: it is written last and whole. An environment is
    gigabytes and its packages may be out of reach today, so it is asked before it is made again.
    """
    found, python = sealed.opened(place / META, sealed.place_entry(place)), interpreter(place / "venv")
    if not found.damage or not (place / META).is_file() or not python.exists():
        return None
    try:
        environment = describe(str(python))
    except UsageError:
        return None
    say(f"asked again what is installed: {sealed.place_entry(place)} of the cache {found.damage}")
    content = {"made_by": what, "created": time.time()}
    _stamp(place, {**content, "installed": dict(environment.installed), "digest": environment.digest})
    return environment


def _stamp(place: Path, content: Mapping[str, Any]) -> None:
    files.write(place / META, sealed.seal(sealed.place_entry(place), content))


def _install(venv: Path, requirements: Sequence[str], what: str, *, wheels_only: bool) -> tuple[Path, str]:
    """Make the environment and install into it: its interpreter, and why what came was yanked, where it was."""
    binary = ["--only-binary", ":all:"] if wheels_only else []
    python = interpreter(venv)
    if (uv := shutil.which("uv")) is not None:
        made = run([uv, "venv", "--quiet", "--python", sys.executable, str(venv)])
        if made.returncode == 0:
            # Not quiet: uv would keep to itself that a version was yanked.
            made = run([uv, "pip", "install", "--python", str(python), *binary, *requirements])
        if made.returncode == 0:
            return python, _yanked(made)
        shutil.rmtree(venv, ignore_errors=True)
    made = run([sys.executable, "-m", "venv", str(venv)])
    if made.returncode:
        raise _unmade(what, made, venv)
    done = run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *binary, *requirements])
    if done.returncode:
        raise _not_installed(what, done, venv)
    return python, _yanked(done)


def _yanked(done: subprocess.CompletedProcess[str]) -> str:
    """Why a version that was installed had been withdrawn; empty where none was."""
    found = YANKED.search(f"{done.stdout}\n{done.stderr}")
    return " ".join((found[1] or found[2] or "no reason given").split()) if found else ""


def _python_needed(said: str, requirement: str) -> str:
    """Which Python the version needs that a requirement pins, such as `>=3.7,<3.11`; empty where pip does not say."""
    ignored, pinned = OTHER_PYTHON.search(said), requirement.partition("==")[2]
    if ignored is None or not pinned:
        return ""
    for one in ignored[1].split(";"):
        version, _, needed = one.strip().partition(" Requires-Python ")
        if version == pinned:
            return needed.strip()
    return ""


def _full(said: str, venv: Path) -> bool:
    """Whether the disk is full; installers that call others do not pass on why those failed."""
    place = venv if venv.exists() else venv.parent
    return "No space left" in said or (place.exists() and shutil.disk_usage(place).free < LEAST_FREE)


def _unmade(what: str, done: subprocess.CompletedProcess[str], venv: Path) -> UsageError | StoreError:
    if _full(f"{done.stdout}{done.stderr}", venv):
        return StoreError(f"No environment for {what}: the disk is full. Free some space with `harness cache --prune`.")
    return UsageError(
        f"No environment for {what} could be made: {last_lines(done).rstrip('.')}. Install uv, or the package that "
        f"brings Python's `venv` (python3-venv on Debian and Ubuntu), or give the path of an interpreter that has it."
    )


def _not_installed(what: str, done: subprocess.CompletedProcess[str], venv: Path) -> UsageError | StoreError:
    """Why pip failed: no such version, no network, no space, or the last lines that it wrote."""
    said = f"{done.stdout}\n{done.stderr}"
    if _full(said, venv):
        return StoreError(f"{what} was not installed: the disk is full. Free some space with `harness cache --prune`.")
    missing = NO_VERSION.search(said)
    versions = [one.strip() for one in missing[2].split(",")] if missing else []
    if missing and (needed := _python_needed(said, missing[1])):
        return UsageError(
            f"{what}: {missing[1]} needs Python {needed}, and this is Python {platform.python_version()}. Make an "
            f"environment of such a Python, install it there, and give the path of its interpreter."
        )
    if missing and versions not in ([], ["none"]):
        newest = ", ".join(versions[-LISTED:])
        span = f"{versions[0]} to {versions[-1]}, the newest being {newest}" if len(versions) > LISTED else newest
        return UsageError(
            f"{what}: there is no {missing[1]} for Python {platform.python_version()} on {sys.platform} "
            f"{platform.machine()}. pip finds {span}. Choose one of these, or give the path of an interpreter of "
            f"another Python that has it."
        )
    if OFFLINE.search(said):
        return UsageError(
            f"{what} is not in the cache, and the package index cannot be reached from here. Go online once, point "
            f"pip at an index or a folder of wheels that can be reached (PIP_INDEX_URL, PIP_FIND_LINKS), or give the "
            f"path of an interpreter that has it. pip said: {last_lines(done, 2)}"
        )
    if missing:
        return UsageError(
            f"{what}: pip finds no version of {missing[1]} at all. Is it spelt correctly? Is the index of pip "
            f"(`pip config list`) the right one? An interpreter that has it serves as well: give its path."
        )
    return UsageError(f"{what} could not be installed: {last_lines(done)}")


def _prove(python: Path, modules: Sequence[str], what: str) -> None:
    """Import what the environment is for.

    Raises:
        UsageError: it does not import.
    """
    code = "import sys; sys.path.pop(0)\n" + "".join(f"import {one}\n" for one in modules)
    done = run([str(python), "-c", code])
    if done.returncode:
        raise UsageError(f"{what} was installed and does not import: {last_lines(done)}")
