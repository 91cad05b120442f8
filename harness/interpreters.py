"""Interpreters and the environments that they belong to: what is installed there, and what a cached one is known by.

::

    <kind>/<digest>/venv/       the environment, never moved, since its scripts name their own path
    <kind>/<digest>/meta.json   written last: without it, nothing here is believed

`harness.runtimes.environments` makes them.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from harness import processes, sealed
from harness.errors import UsageError

META = "meta.json"
ASK_DEADLINE_S = 120.0
RUN_DEADLINE_S = 3600.0
"""Installing an environment with a framework takes several gigabytes."""


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


def known(place: Path) -> Environment | None:
    """What an earlier call has made there; None where it is not whole. A hit marks it as used."""
    try:
        content = sealed.opened(place / META, sealed.place_entry(place)).content
        python = interpreter(place / "venv")
        # exists() follows the link: the Python that it was made from may have been removed.
        if content is None or not python.exists():
            return None
        environment = Environment(
            python=str(python), installed=dict(content["installed"]), digest=str(content["digest"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    sealed.mark_used(place / META)
    return environment


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


def run(command: Sequence[str], *, deadline_s: float = RUN_DEADLINE_S) -> subprocess.CompletedProcess[str]:
    """Run a command without this project's modules on its path; what cannot be started has exit code 127."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    return processes.run_text(command, deadline_s=deadline_s, environment=environment)


def last_lines(done: subprocess.CompletedProcess[str], lines: int = 4) -> str:
    """The end of what a command said, on one line."""
    said = [line.strip() for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
    return " | ".join(said[-lines:]) or f"exit code {done.returncode}"
