"""What a framework's own interpreter answers, and how arrays go to it and back."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import errors, frameworks, reasons, values
from harness.frameworks import hub
from harness.records import wire

if TYPE_CHECKING:
    from harness.frameworks.base import Array, Loaded

KINDS = ("Skip", "Unsupported", "MissingExtra", "BuildError")
"""Errors that mean the same on the other side, the particular ones first."""


class FrameworkServer:
    """One model at a time, in memory once it was loaded."""

    def __init__(self) -> None:
        self._loaded: Loaded | None = None

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a request: what it is about, or the error that came of it."""
        try:
            return {"answer": self._do(request)}
        except Exception as error:  # noqa: BLE001 # the other side says it
            if not isinstance(error, errors.HarnessError):
                traceback.print_exc()
            kind = next((name for name in KINDS if isinstance(error, getattr(errors, name))), "BuildError")
            return {"error": kind, "text": reasons.reason_of(error, tool=True) + _how_to_add(error)}

    def _do(self, request: Mapping[str, Any]) -> dict[str, Any]:
        asked = request["do"]
        if asked == "load":
            return self._load(request)
        if self._loaded is None:
            raise ValueError("no model was loaded")
        folder = Path(request["folder"])
        if asked == "run":
            names = [one.name for one in self._loaded.model.inputs]
            found = self._loaded.run(dict(zip(names, read(folder, request["kinds"]), strict=True)))
            return {"kinds": write(folder, found, self._loaded.outputs, "o")}
        if asked == "export":
            self._loaded.export(request["options"], folder)
            return {}
        raise ValueError(f"there is no request {asked!r}")

    def _load(self, request: Mapping[str, Any]) -> dict[str, Any]:
        model = wire.model_from_json(request["model"])
        framework = frameworks.get(model.source)
        for variable, value in framework.environment.items():
            os.environ.setdefault(variable, value)
        sys.path += [path for path in request["paths"] if path not in sys.path]
        hub.remember(request["unreachable"])
        if framework.prepare is not None:
            framework.prepare()
        self._loaded = framework.load(model)
        return {
            "weights": wire.weights_to_json(self._loaded.weights),
            "origin": self._loaded.origin,
            "outputs": list(self._loaded.outputs),
            "facts": dict(self._loaded.facts),
        }


def _how_to_add(error: BaseException) -> str:
    """How to install a module that a person's own code wants beside the framework; nothing for any other error."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, ModuleNotFoundError):
        found = found.__cause__
    if found is None or not found.name:
        return ""
    return f" What it imports has to be where the framework runs: `framework_env: {{packages: [{found.name}]}}`."


def write(folder: Path, arrays: Sequence[Array], names: Sequence[str], prefix: str = "i") -> list[str]:
    """Write one file for each array, and say the types that NumPy's files cannot hold.

    Raises:
        ValueError: there are not as many arrays as names, or one is not an array of numbers, booleans or text.
    """
    import numpy as np

    kinds = []
    for place, (array, name) in enumerate(zip(arrays, names, strict=True)):
        held, kind = values.plain(array, name)
        np.save(folder / f"{prefix}{place}.npy", held, allow_pickle=False)
        kinds.append(kind)
    return kinds


def read(folder: Path, kinds: Sequence[str], prefix: str = "i") -> list[Array]:
    """The inverse of `write`."""
    import numpy as np

    return [
        values.typed(np.load(folder / f"{prefix}{place}.npy", allow_pickle=False), kind)
        for place, kind in enumerate(kinds)
    ]
