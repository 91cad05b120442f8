"""Virtual environments in the cache: made once, whole or not there at all.

::

    <kind>/<digest>/venv/       the environment, never moved, since its scripts name their own path
    <kind>/<digest>/meta.json   written last: without it, nothing here is believed
    <kind>/.<digest>.lock       held while one process makes it and others wait

uv makes them where it is there, else `venv` and pip; where uv fails, pip is asked as well, because it may know
indexes and local wheels that uv does not.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from harness import processes, sealed
from harness.errors import StoreError, UsageError
from harness.store import files

META = "meta.json"
INSTALL_DEADLINE_S = 3600.0
"""An environment with a framework is several gigabytes."""

ASK_DEADLINE_S = 120.0

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

Say = Callable[[str], None]
"""Hears in a few words what takes time."""


def silent(_: str) -> None:
    """Tells nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """A finished environment.

    Attributes:
        python: its interpreter.
        installed: distribution -> version, by lower-case name.
        digest: of what is installed and of the Python that it is for.
    """

    python: str
    installed: Mapping[str, str]
    digest: str


def key_of(content: Mapping[str, Any]) -> str:
    """What an environment is known by: what was asked for, this Python and this platform."""
    asked = {**content, "python": platform.python_version(), "implementation": sys.implementation.name}
    asked["platform"] = [sys.platform, platform.machine(), *platform.libc_ver()]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:32]


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
            python = _install(place / "venv", requirements, what, wheels_only=wheels_only)
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
        }
        _stamp(place, content)
    return environment


def known(place: Path) -> Environment | None:
    """What an earlier call has made there; None where it is not whole. A hit marks it as used."""
    try:
        content = sealed.opened(place / META, _entry(place)).content
        python = interpreter(place / "venv")
        # exists() follows the link: the Python that it was made from may have been removed.
        if content is None or not python.exists():
            return None
        environment = Environment(
            python=str(python), installed=dict(content["installed"]), digest=str(content["digest"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    try:
        os.utime(place / META)
    except OSError:
        return environment  # a cache that may only be read serves all the same
    return environment


def _described_again(place: Path, what: str, say: Say) -> Environment | None:
    """An environment that was made to the end and whose meta.json cannot be trusted: its interpreter tells the same.

    A file there, even a damaged one, says that all was installed: it is written last and whole. An environment is
    gigabytes and its packages may be out of reach today, so it is asked before it is made again.
    """
    found, python = sealed.opened(place / META, _entry(place)), interpreter(place / "venv")
    if not found.damage or not (place / META).is_file() or not python.exists():
        return None
    try:
        environment = describe(str(python))
    except UsageError:
        return None
    say(f"asked again what is installed: {_entry(place)} of the cache {found.damage}")
    content = {"made_by": what, "created": time.time()}
    _stamp(place, {**content, "installed": dict(environment.installed), "digest": environment.digest})
    return environment


def _stamp(place: Path, content: Mapping[str, Any]) -> None:
    files.write(place / META, sealed.seal(_entry(place), content))


def _entry(place: Path) -> str:
    return f"{place.parent.name}/{place.name}"


def interpreter(venv: Path) -> Path:
    """Where a virtual environment keeps its Python."""
    return venv / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def describe(python: str) -> Environment:
    """What is installed beside an interpreter.

    Raises:
        UsageError: it is not a Python interpreter, or does not run.
    """
    if python == sys.executable:
        return _own()
    code = (
        "import importlib.metadata as m, json, platform\n"
        "found = {(d.metadata['Name'] or '').lower(): d.version for d in m.distributions()}\n"
        "print(json.dumps([platform.python_version(), platform.machine(), found]))"
    )
    answer = ask(python, code)
    if answer.returncode:
        raise UsageError(f"{python} is not a Python interpreter that runs: {last_lines(answer)}")
    try:
        version, machine, found = json.loads(answer.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        raise UsageError(f"{python} is not a Python interpreter: it answered {answer.stdout[:80]!r}") from None
    return _environment(python, version, machine, found)


@functools.cache
def _own() -> Environment:
    """What is installed beside this interpreter: read once, since a running program keeps what it has imported."""
    found = {(one.metadata["Name"] or "").lower(): one.version for one in metadata.distributions()}
    return _environment(sys.executable, platform.python_version(), platform.machine(), found)


def _environment(python: str, version: str, machine: str, found: Mapping[str, str]) -> Environment:
    digest = hashlib.sha256(json.dumps([version, machine, found], sort_keys=True).encode()).hexdigest()
    return Environment(python=python, installed=dict(sorted(found.items())), digest=digest)


def ask(python: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run a few lines in another interpreter; the working folder shadows none of its modules."""
    return run([python, "-c", f"import sys; sys.path.pop(0)\n{code}"], deadline_s=ASK_DEADLINE_S)


def run(command: Sequence[str], *, deadline_s: float = INSTALL_DEADLINE_S) -> subprocess.CompletedProcess[str]:
    """Run a command without this project's modules on its path; what cannot be started has exit code 127."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    return processes.run_text(command, deadline_s=deadline_s, environment=environment)


def last_lines(done: subprocess.CompletedProcess[str], lines: int = 4) -> str:
    """The end of what a command said, on one line."""
    said = [line.strip() for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
    return " | ".join(said[-lines:]) or f"exit code {done.returncode}"


def _install(venv: Path, requirements: Sequence[str], what: str, *, wheels_only: bool) -> Path:
    """Make the environment and install into it."""
    binary = ["--only-binary", ":all:"] if wheels_only else []
    python = interpreter(venv)
    if (uv := shutil.which("uv")) is not None:
        made = run([uv, "venv", "--quiet", "--python", sys.executable, str(venv)])
        if made.returncode == 0:
            made = run([uv, "pip", "install", "--quiet", "--python", str(python), *binary, *requirements])
        if made.returncode == 0:
            return python
        shutil.rmtree(venv, ignore_errors=True)
    made = run([sys.executable, "-m", "venv", str(venv)])
    if made.returncode:
        raise _unmade(what, made, venv)
    done = run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *binary, *requirements])
    if done.returncode:
        raise _not_installed(what, done, venv)
    return python


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
    done = ask(str(python), "".join(f"import {one}\n" for one in modules))
    if done.returncode:
        raise UsageError(f"{what} was installed and does not import: {last_lines(done)}")
