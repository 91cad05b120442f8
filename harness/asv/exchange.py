"""How asv's process and those of its benchmarks talk: variables of the environment, and files in the plugin's folder.

A name here is a format: the other side may be the harness of another commit.
"""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path
from typing import Any, Final

from harness.errors import UsageError
from harness.store.files import write

# What the environment says. The plugin sets the first one; the others are for asv.conf.json's matrix and for people.
FOLDER: Final = "HARNESS_ASV_FOLDER"
ZOO: Final = "HARNESS_ZOO"
WEIGHTS: Final = "HARNESS_WEIGHTS"
TIME_PER_CASE: Final = "HARNESS_TIME_PER_CASE"
PROCESSES: Final = "HARNESS_PROCESSES"

# What lies in the plugin's folder.
AXES_FILE: Final = "axes.json"
QUICK_FILE: Final = "quick.json"
NONE_FILE: Final = "no-case.json"
TARGETS_FILE: Final = "targets.json"
DIMENSIONS_FILE: Final = "dimensions.json"
WEIGHTS_FILE: Final = "weights.json"


def folder() -> Path:
    """Where answers are left.

    Raises:
        UsageError: without the plugin.
    """
    found = os.environ.get(FOLDER)
    if not found:
        raise UsageError(
            'asv runs without harness\'s plugin: list it in asv.conf.json, `"plugins": [".harness.asv_plugin"]`. It '
            "tells the benchmarks which case asv means; without it numbers could be booked on the wrong one."
        )
    return Path(found)


def handed_axes() -> list[list[str | int]] | None:
    """The axes that asv counts combinations by; None while it is looking for them.

    asv looks for benchmarks in one commit, then names a combination in every commit by its number alone. Counted on
    the axes of another commit's zoo, that number would mean another case.
    """
    axes = left(AXES_FILE)
    return None if axes is None else [[ast.literal_eval(value) for value in axis] for axis in axes]


def leave(name: str, content: Any) -> None:
    """Put a file into the plugin's folder."""
    write(folder() / name, json.dumps(content).encode())


def left(name: str) -> Any:
    """What such a file holds, None where there is none."""
    path = folder() / name
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
