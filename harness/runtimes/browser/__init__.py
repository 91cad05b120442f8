"""ONNX Runtime in a page: the package onnxruntime-web of npm, in the Chromium that is installed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from harness import scratch
from harness.errors import UsageError
from harness.paths import typed
from harness.runtimes import node
from harness.runtimes.environments import Say
from harness.runtimes.languages import WorkerProgram, apart

PACKAGE: Final = "onnxruntime-web"
VERSION: Final = "1.30.0"
"""The release where the zoo names none: written out, so that a number says what it belongs to."""

WORKER: Final = Path(__file__).with_name("worker.mjs")
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
VARIABLE: Final = "HARNESS_CHROMIUM"
"""The variable of the environment that names the browser."""


def find(version: str, folder: str, root: Path, *, install: bool, say: Say) -> WorkerProgram:
    """What starts the worker: Node, which starts the browser and serves the page to it.

    Args:
        version: of the package; empty for `VERSION`.
        folder: one whose `node_modules` has the package, instead of the cache.
        root: the cache's folder.
        install: whether npm may fetch the package.
        say: hears before that.

    Raises:
        UsageError: Node, a browser or the package cannot be had.
        StoreError: the cache cannot be written.
    """
    program, chromium = node.program(), browser()
    place = node.library(PACKAGE, version or VERSION, folder, root, install=install, say=say)
    prefix = f"{scratch.PREFIX}browser-{scratch.owner()}-"  # so that what a killed worker leaves is removed one day
    return WorkerProgram(command=apart([program, str(WORKER), str(place), chromium, prefix]), package=PACKAGE)


def browser() -> str:
    """Where Chromium, or a browser that is made of it, is.

    Raises:
        UsageError: none is there.
    """
    asked = os.environ.get(VARIABLE, "").strip()
    if asked:
        if found := shutil.which(str(typed(asked))):
            return found
        raise UsageError(f"{VARIABLE} is {asked}, which is not a program; name the browser's")
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    raise UsageError(
        f"there is no Chromium on the PATH: install it (apt install chromium, or Google Chrome), or name the browser "
        f"in {VARIABLE}"
    )
