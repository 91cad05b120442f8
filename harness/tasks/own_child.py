"""The child that calls a metric of the user's own: whatever it does there, harness's own process goes on.

Run as `python -m harness.tasks.own_child`: the first line of stdin names the function, each further one an example; an
answer on each line of what was stdout, all JSON. What the function prints goes to stderr. When stdin ends, the parent
is gone, and the child goes too.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness import importable, jobs, ort_values, values
from harness.errors import BuildError

MOST_SAID = 2_000
"""Characters of what an error says."""


def main() -> int:
    """Say what the function says of itself, and then of each example, until the parent closes stdin."""
    channel = jobs.private_channel()
    asked: queue.Queue[Any] = queue.Queue()
    threading.Thread(target=_read, args=(asked,), daemon=True).start()
    job = asked.get()
    sys.path[:0] = job["first"]
    sys.path += job["last"]
    try:
        function = importable.target(job["name"], "task")
        about = {name: str(getattr(function, name, "")) for name in ("direction", "unit", "__name__")}
    except BaseException as error:  # noqa: BLE001 # whatever a module does when it is imported
        jobs.send(channel, problem=_told(error, whole=isinstance(error, BuildError)))
        return 0
    jobs.send(channel, about=about)
    while True:
        example = asked.get()
        try:
            found = [float(function(outputs, label)) for outputs, label in _sides(Path(example["file"]), example)]
        except BaseException as error:  # noqa: BLE001 # whatever a function of the user's does
            jobs.send(channel, problem=f"{job['name']} failed on example {example['place']}: {_told(error)}")
        else:
            jobs.send(channel, values=found)


def _read(asked: queue.Queue[Any]) -> None:
    """Queue what the parent asks; its end is the end, whatever is being done."""
    for line in sys.stdin:
        asked.put(json.loads(line))
    os._exit(1)


def _sides(file: Path, example: Mapping[str, Any]) -> list[tuple[dict[str, Any], Any]]:
    """Each side's outputs by name, with the label: what one call is given."""
    with np.load(file, allow_pickle=False) as held:
        found = ort_values.unpack(held)
    sides = []
    for part, kinds, names in zip(found, example["types"], example["names"], strict=True):
        *outputs, label = [values.typed(value, kind) for value, kind in zip(part, kinds, strict=True)]
        sides.append((dict(zip(names, outputs, strict=True)), label))
    return sides


def _told(error: BaseException, *, whole: bool = False) -> str:
    said = str(error) if whole else f"{type(error).__name__}: {error}"
    return said[:MOST_SAID]


if __name__ == "__main__":
    sys.exit(main())
