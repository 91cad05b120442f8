"""The child that reads graphs and compares tensors, from the parent's side."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import harness
from harness import jobs
from harness.errors import BuildError

COMMAND = (sys.executable, "-P", "-m", "harness.explain.child")
"""`-P` keeps the working folder from shadowing what the child imports."""


class GraphReader:
    """One child that answers job after job; where it dies of one, the next has a child of its own."""

    def __init__(self) -> None:
        """Nothing is started yet."""
        self._held = contextlib.ExitStack()
        self._child: jobs.RunningChild | None = None
        self._answers: Iterator[dict[str, Any]] = iter(())

    def ask(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """The child's answer.

        Raises:
            BuildError: it could not answer; the text says why.
        """
        child = self._child
        if child is None:
            child = self._start(job)
        elif child.process.stdin is not None:
            with contextlib.suppress(OSError, ValueError):  # it has died: there will be no answer
                child.process.stdin.write(json.dumps(job) + "\n")
                child.process.stdin.flush()
        found = next(self._answers, None)
        if found is None:
            code, said = child.wait(), "".join(child.stderr).strip()
            self.close()
            how = child.watch.why or f"ended with exit code {code}"
            last = f"; its last stderr lines: {said[-400:]}" if said else ""
            raise BuildError(f"the process that reads graphs {how}{last}")
        if "problem" in found:
            raise BuildError(str(found["problem"]))
        return found

    def nodes(self, files: Mapping[str, Path]) -> dict[str, list[dict[str, Any]]]:
        """Name -> the nodes of that file, as `wiring.listed` has them.

        Raises:
            BuildError: a file could not be read.
        """
        return self.ask({"what": "nodes", "files": {name: str(path) for name, path in files.items()}})

    def close(self) -> None:
        """End the child, if there is one."""
        self._held.close()
        self._child = None

    def _start(self, job: Mapping[str, Any]) -> jobs.RunningChild:
        package = str(Path(harness.__file__).resolve().parents[1])
        paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        self._child = self._held.enter_context(jobs.child(COMMAND, job, environment=environment))
        self._answers = self._child.messages()
        return self._child


@contextlib.contextmanager
def reading() -> Iterator[GraphReader]:
    """A reader of graphs; afterwards its child is gone."""
    reader = GraphReader()
    try:
        yield reader
    finally:
        reader.close()
