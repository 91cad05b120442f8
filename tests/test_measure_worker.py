"""harness.runtimes.onnxruntime.worker: what its own process has to see to."""

from __future__ import annotations

import gc
import importlib.util
import sys
import weakref
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from harness.runtimes import client


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The worker's module, loaded from its path as a script is."""
    path = Path(client.default_command()[1])
    monkeypatch.setattr(sys, "path", [str(path.parent), *sys.path])
    spec = importlib.util.spec_from_file_location("worker_script", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Node:
    """One input as a session describes it."""

    name, type, shape = "x", "tensor(float)", ("batch", 4)


class Session:
    """A session of an onnxruntime that keeps nothing of what is bound; releases up to 1.26 do not."""

    def __init__(self) -> None:
        self.seen: list[weakref.ref[Any]] = []

    def io_binding(self) -> Session:
        """Itself: one object serves as both."""
        return self

    def get_inputs(self) -> list[Node]:
        """One input."""
        return [Node()]

    def get_outputs(self) -> list[Node]:
        """None."""
        return []

    def bind_ortvalue_input(self, _: str, value: Any) -> None:
        """Look at the value without keeping it."""
        self.seen.append(weakref.ref(value))


def test_bound_inputs_stay_alive(worker: ModuleType, tmp_path: Path) -> None:
    """A session that reads freed memory crashes, or times something else than the examples."""
    np.save(tmp_path / "x.npy", np.ones((2, 4), np.float32))
    one = worker.Worker()
    one.session = Session()
    one.sessions = [one.session]
    one.bind({"feeds": {"x": {"concatenated": str(tmp_path / "x.npy")}}, "batch": 2, "batch_axes": {"x": 0}}, "cpu")
    gc.collect()
    value = one.session.seen[0]()
    assert value is not None
    assert np.array_equal(np.ones((2, 4), np.float32), value.numpy())
