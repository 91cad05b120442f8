"""A model whose framework runs in another interpreter, as every other one: NumPy in, NumPy out, and an .onnx file."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import json
import math
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness
from harness import errors, frameworks, jobs, processes, scratch, source_files, values
from harness.data import base as data
from harness.errors import BuildError
from harness.frameworks import base, hub, serving
from harness.processes import Limits
from harness.records import DataSpec, Json, Weights, wire

if TYPE_CHECKING:
    from harness.frameworks.base import Array
    from harness.interpreters import Environment
    from harness.records import ModelSpec

SCRIPT = Path(__file__).with_name("served.py")
UNLIMITED = Limits(silence_s=math.inf, memory_bytes=2**62, end=None)
"""Whoever watches the build child watches its family: the limits are set there."""

TRACED = 2
"""Evaluation examples that are handed over, to trace a network with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelApart(base.Loaded):
    """A model in the memory of another process."""

    process: Served = field(repr=False)

    def run(self, feed: Mapping[str, Array]) -> list[Array]:
        """The outputs, as the framework computes them there.

        Raises:
            BuildError: it failed there, or its process died.
        """
        names = [one.name for one in self.model.inputs]
        with scratch.folder("feed") as folder:
            kinds = serving.write(folder, [feed[name] for name in names], names)
            answer = self.process.ask("run", folder=str(folder), kinds=kinds)
            return serving.read(folder, answer["kinds"], "o")

    def export(self, options: Mapping[str, Json], folder: Path) -> None:
        """Write `folder`/model.onnx there.

        Raises:
            BuildError: the exporter failed, or its process died.
        """
        self.process.ask("export", folder=str(folder), options=dict(options))


class Served:
    """A running process of a framework, which answers one request after the other; it ends with this one."""

    def __init__(self, python: str, what: str) -> None:
        self._command, self._what = (python, "-I", str(SCRIPT)), what
        self._stack = contextlib.ExitStack()
        self._child: jobs.RunningChild | None = None
        self._messages: Iterator[dict[str, Any]] = iter(())

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """The answer to a request; the first one starts the process.

        Raises:
            BuildError: what was asked failed there, or the process died.
        """
        request = {"do": do, **more}
        if self._child is None:
            atexit.register(self._stack.close)
            try:
                self._child = self._stack.enter_context(
                    jobs.child(self._command, request, environment=os.environ, limits=UNLIMITED)
                )
            except OSError as error:
                raise BuildError(f"{self._what}: {self._command[0]} does not start: {error.strerror}") from error
            self._messages = self._child.messages()
        elif (pipe := self._child.process.stdin) is not None:
            with contextlib.suppress(OSError, ValueError):  # it is gone: why is said below
                pipe.write(json.dumps(request) + "\n")
                pipe.flush()
        for message in self._messages:
            if "answer" in message:
                return dict(message["answer"])
            if "error" in message:
                raise getattr(errors, message["error"])(message["text"])
        raise BuildError(self._obituary(do, self._child))

    def end(self) -> None:
        """End the process now."""
        if self._child is not None:
            processes.end(self._child.process)

    def _obituary(self, do: str, child: jobs.RunningChild) -> str:
        code = child.wait()
        self._stack.close()  # its stderr has been read to the end then
        how = f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        words = " | ".join(line.strip() for line in list(child.stderr)[-LAST_WORDS:] if line.strip())
        return f"{self._what}: the framework's process {how} during `{do}`" + (f": {words}" if words else "")


LAST_WORDS = 4
"""Lines of a dead process's stderr that a message has."""


def load(model: ModelSpec, around: Environment) -> ModelApart:
    """Load a model in another interpreter.

    Its data are handed over as files: the calibration examples, and a few to trace with. So the framework's environment
    needs nothing of what the data source stands on.

    Raises:
        BuildError: as the framework's own `load`, or the process does not start or dies.
    """
    process = Served(around.python, model.source)
    # They are read while the model is loaded, and perhaps again by an export.
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    folder = stack.enter_context(scratch.folder("examples"))
    answer = process.ask(
        "load",
        model=wire.model_to_json(handed_over(model, folder)),
        unreachable=dict(hub.known_answers),
        paths=_paths(model),
    )
    return ModelApart(
        weights=Weights(**answer["weights"]),
        origin=f"{answer['origin']} in {_where(around)}",
        outputs=tuple(answer["outputs"]),
        model=model,
        facts=answer["facts"],
        process=process,
    )


def _where(around: Environment) -> str:
    return f"an environment of its own ({around.digest[:8]})"


def handed_over(model: ModelSpec, folder: Path) -> ModelSpec:
    """The model with its data as .npz files in a folder: whole feeds, calibration examples before those to trace with.

    Raises:
        BuildError: as the data source.
    """
    import numpy as np

    request = data.DataRequest.of(model)
    fits = frameworks.get(model.source).fits
    calibration = list(data.apart(request, []) if fits else data.stream(request, "calibration"))
    traced = itertools.islice(data.stream(request, "evaluation"), TRACED)
    count = len(calibration)
    total = count
    for total, example in enumerate([*calibration, *traced], 1):
        arrays: dict[str, Any] = {name: values.plain(array, name)[0] for name, array in example.feed.items()}
        if example.label is not None and not isinstance(example.label, Mapping):
            arrays[LABELS] = np.asarray(example.label)
        np.savez(folder / f"{total:06}.npz", **arrays)
    spec = DataSpec(
        name=model.data.name,
        source="npz",
        calibration=count * request.rows,
        evaluation=(total - count) * request.rows,
        options={"path": str(folder), "labels": LABELS},
    )
    return replace(model, data=spec)


LABELS = "labels of harness"
"""What no input is called."""


def _paths(model: ModelSpec) -> list[str]:
    """Where the user's own code may lie: what PYTHONPATH says, and the callable's project; looked at last there."""
    package = str(Path(harness.__file__).resolve().parents[1])
    given = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != package]
    if frameworks.get(model.source).runs_user_code:
        root = source_files.root_of(model.id)
        if root is not None and not source_files.installed(root) and str(root) != package:
            given.append(str(root))
    return list(dict.fromkeys(given))
