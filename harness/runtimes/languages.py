"""Runtimes in other languages than Python: each a worker in a folder of its own that speaks the protocol.

A language's folder has the worker and a `find` that says what starts it: a command, the package that its onnxruntime
came from, and a digest that tells builds apart. What is missing is a `UsageError` that says what to install.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness.errors import UsageError
from harness.runtime_spec import language, unknown
from harness.runtimes.environments import Say, silent

REPLIES: Final = "HARNESS_REPLIES"
"""The variable that tells a worker which descriptor its replies go to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerProgram:
    """What starts a worker in another language.

    Attributes:
        package: the distribution that its onnxruntime came from, such as `onnxruntime-node`.
        digest: tells builds of one version apart.
    """

    command: tuple[str, ...]
    package: str = ""
    digest: str = ""


def find(spec: str, root: Path, *, install: bool = True, say: Say = silent) -> WorkerProgram:
    """What starts the worker of a runtime such as `node` or `cpp==1.30.0`; packages are fetched into the cache.

    Args:
        spec: see `harness.runtime_spec`.
        root: the cache's folder.
        install: whether to fetch and to build what the cache does not have.
        say: hears before that is done.

    Raises:
        UsageError: it cannot be had here; the text says what to install.
        StoreError: the cache cannot be written.
    """
    found = language(spec)
    if found is None:
        raise UsageError(f"runtime {unknown(spec)}")
    name, version, folder = found
    # One module per language, loaded when it is asked for.
    module: Any = importlib.import_module(f"harness.runtimes.{name}")
    program: WorkerProgram = module.find(version, folder, root, install=install, say=say)
    return program


def apart(command: Sequence[str]) -> tuple[str, ...]:
    """A command whose replies have a descriptor of their own: what libraries print goes to stderr.

    On Windows, whose shell cannot do that, it is the command as it is.
    """
    if os.name != "posix":
        return tuple(command)
    return ("/bin/sh", "-c", f'{REPLIES}=3 exec "$@" 3>&1 1>&2', "worker", *command)
