"""ONNX Runtime from Node: the package onnxruntime-node of npm."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from harness.errors import UsageError
from harness.runtimes import npm
from harness.runtimes.environments import Say
from harness.runtimes.languages import WorkerProgram, apart
from harness.runtimes.resolve import KIND

PACKAGE: Final = "onnxruntime-node"
VERSION: Final = "1.30.0"
"""The release where the zoo names none: written out, so that a number says what it belongs to."""

WORKER: Final = Path(__file__).with_name("worker.mjs")


def find(version: str, folder: str, root: Path, *, install: bool, say: Say) -> WorkerProgram:
    """What starts the worker.

    Args:
        version: of the package; empty for `VERSION`.
        folder: one whose `node_modules` has the package, instead of the cache.
        root: the cache's folder.
        install: whether npm may fetch the package.
        say: hears before that.

    Raises:
        UsageError: Node or the package cannot be had.
        StoreError: the cache cannot be written.
    """
    node = program()
    place = library(PACKAGE, version or VERSION, folder, root, install=install, say=say)
    # Collections are made to run between bursts, see the worker.
    return WorkerProgram(command=apart([node, "--expose-gc", str(WORKER), str(place)]), package=PACKAGE)


def program() -> str:
    """Where Node is.

    Raises:
        UsageError: it is not installed.
    """
    node = shutil.which("node")
    if node is None:
        raise UsageError(
            "there is no `node` on the PATH: install Node.js 18 or newer (nodejs.org, or apt install nodejs)"
        )
    return node


def library(package: str, version: str, folder: str, root: Path, *, install: bool, say: Say) -> Path:
    """The folder whose `node_modules` has a package: one's own, else one of the cache.

    Raises:
        UsageError: the folder does not have it, or it cannot be had.
        StoreError: the cache cannot be written.
    """
    return (
        given(folder, package)
        if folder
        else npm.ensure(root.absolute() / KIND, package, version, install=install, say=say)
    )


def given(folder: str, package: str) -> Path:
    """A folder of one's own that has a package of npm.

    Raises:
        UsageError: it has not.
    """
    place = Path(folder)
    if not npm.version_in(place, package):
        raise UsageError(f"{folder} has no node_modules/{package}: run `npm install {package}` in it")
    return place
