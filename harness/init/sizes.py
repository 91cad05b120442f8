"""Sizes for the open axes of files, tried out in a child: `python -m harness.init.sizes`.

A file that no size fits, or that takes the child down, has none here: then its build looks once more, and says what is
wrong with it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness import jobs
from harness.init import models
from harness.processes import Limits, step_deadline_s
from harness.records import InputSpec

LARGEST_BYTES = 512 * 1024 * 1024
"""A larger file is not loaded merely to know its sizes: its build finds them."""

SILENCE_S = 60.0
"""How long one file may take: a loop that never ends must not hold up what only needs for its sizes."""

COMMAND = (sys.executable, "-P", "-m", "harness.init.sizes")

Sizes = Mapping[str, int]


def find(paths: Sequence[Path], command: Sequence[str] = COMMAND) -> dict[Path, Sizes | None]:
    """Sizes for the open axes of each file, which `command` looks for; None where none are known to fit."""
    found: dict[Path, Sizes | None] = {}
    left = list(dict.fromkeys(paths))
    while left:
        limits = Limits(silence_s=min(SILENCE_S, step_deadline_s()))
        with jobs.child(command, {"paths": list(map(str, left))}, environment=os.environ, limits=limits) as child:
            for said in child.messages():
                found[Path(said["path"])] = said["sizes"]
        left = [path for path in left if path not in found]
        if left:  # it took the child down
            found[left.pop(0)] = None
    return found


def of(path: Path, inputs: Sequence[InputSpec]) -> Sizes | None:
    """Sizes for the open axes of one file, found in this process.

    Args:
        path: the file.
        inputs: what it takes, with names for the open axes.

    Returns:
        Axis -> size, nothing where no axis but the batch is open; None where no size is known to fit.
    """
    from harness.frameworks import onnx

    if not models.guessed(inputs):
        return {}
    try:
        if path.stat().st_size > LARGEST_BYTES:
            return None
        return onnx.open_sizes(replace(models.file_model(path), inputs=tuple(inputs)))
    except Exception:  # noqa: BLE001 # whatever is wrong with one file is its own failure, later and with its reason
        return None


def main() -> int:
    """Answer for one file after the other."""
    channel = jobs.private_channel()
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=jobs.leave_with_parent, daemon=True).start()
    for name in request["paths"]:
        path = Path(name)
        try:
            inputs = models.file_inputs(path)
        except Exception:  # noqa: BLE001 # as above
            inputs = ()
        found = of(path, inputs)
        jobs.send(channel, path=name, sizes=None if found is None else dict(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
