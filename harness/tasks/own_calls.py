"""A metric of the user's own, called in a process of its own: with a deadline, a memory limit, and no way to end ours.

One process serves one artifact. It is given an example at a time, as a file that only stays for as long as that takes.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import harness
from harness import jobs, ort_values, scratch, source_files, values
from harness.errors import TaskError

COMMAND = (sys.executable, "-P", "-m", "harness.tasks.own_child")
"""`-P` keeps the working folder from shadowing what the child imports."""

DIRECTIONS = ("higher", "lower")
LONGEST_NAME = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What one side answers to labelled examples: outputs by name, one array per example."""

    outputs: Mapping[str, Sequence[Any]]
    labels: Sequence[Any]

    def at(self, place: int) -> list[Any]:
        """The outputs of one example, and its label behind them."""
        return [*(held[place] for held in self.outputs.values()), self.labels[place]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSays:
    """What a function says of itself, and of each side's outputs, example by example."""

    called: str
    unit: str
    direction: str
    sides: tuple[tuple[float, ...], ...]


def asked(name: str, sides: Sequence[Answered], first: Sequence[str]) -> FunctionSays:
    """The function's number for every example of each side.

    Args:
        name: `module:function`.
        sides: each with as many examples.
        first: folders that its module is looked for in before all others.

    Raises:
        TaskError: it cannot be imported, raises, does not end, ends its process, or gives something else than a
            finite number; or its `direction` is neither of the two.
        OutOfTime: the end that `processes.ending_at` set came first.
    """
    with _running(name, first) as process, scratch.folder("metric") as folder:
        about = process.about()
        direction = about["direction"] or DIRECTIONS[0]
        if direction not in DIRECTIONS:
            raise TaskError(f"task: {name} has the direction {direction!r}; valid: {', '.join(DIRECTIONS)}")
        file = folder / "example.npz"
        found = [process.call(file, place, sides) for place in range(len(sides[-1].labels))]
    called = about["__name__"] or name.rpartition(":")[2]
    each = tuple(tuple(one[side] for one in found) for side in range(len(sides)))
    return FunctionSays(called=called, unit=about["unit"], direction=direction, sides=each)


@contextlib.contextmanager
def _running(name: str, first: Sequence[str]) -> Iterator[_Calls]:
    """The child with the function's name; afterwards it is gone, with all that it started."""
    package = str(Path(harness.__file__).resolve().parents[1])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    # Where its code's digest was read, such as a folder that a test runner has put on the path.
    found = source_files.root_of(name)
    job = {"name": name, "first": list(first), "last": [] if found is None else [str(found)]}
    with jobs.child(COMMAND, job, environment=environment) as child:
        yield _Calls(name, child)


class _Calls:
    """A running child, from the parent's side."""

    def __init__(self, name: str, child: jobs.RunningChild) -> None:
        self._name, self._child = name, child
        self._messages = child.messages()
        self._where = "was imported"

    def about(self) -> dict[str, str]:
        """What the function's attributes say."""
        found = self.answer().get("about")
        if not isinstance(found, dict):
            raise TaskError(f"{self._name} wrote into the answers of its process")
        return {name: str(found.get(name, ""))[:LONGEST_NAME] for name in ("direction", "unit", "__name__")}

    def call(self, file: Path, place: int, sides: Sequence[Answered]) -> list[float]:
        """What the function says of one example of each side."""
        self._where = f"was at example {place}"
        parts = [[_plain(value) for value in side.at(place)] for side in sides]
        np.savez(file, **ort_values.pack([[value for value, _ in part] for part in parts]))
        message = {
            "place": place,
            "file": str(file),
            "types": [[kind for _, kind in part] for part in parts],
            "names": [list(side.outputs) for side in sides],
        }
        stream = self._child.process.stdin
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):  # it has died: there will be no answer
                stream.write(json.dumps(message) + "\n")
                stream.flush()
        found = self.answer().get("values")
        if not isinstance(found, list) or len(found) != len(sides) or not all(isinstance(one, float) for one in found):
            raise TaskError(f"{self._name} wrote into the answers of its process")
        for one in found:
            if not math.isfinite(one):
                raise TaskError(f"{self._name} gives {one} for example {place}: expected a finite number")
        return found

    def answer(self) -> dict[str, Any]:
        """The next answer."""
        found = next(self._messages, None)
        if found is None:
            code, said = self._child.wait(), " | ".join(filter(None, (line.strip() for line in self._child.stderr)))
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            raise TaskError(
                f"{self._name}: its process {self._child.watch.why or how} while it {self._where}"
                + (f"; its last stderr lines: {said[-400:]}" if said else "")
            )
        if "problem" in found:
            raise TaskError(str(found["problem"]))
        return found


def _plain(value: Any) -> tuple[Any, str]:
    """A value as `ort_values.pack` takes it, and ONNX's name of its type where NumPy has none."""
    structured = value is None or isinstance(value, dict | list | tuple)
    return (value, "") if structured else values.plain(value, "a label or an output")
