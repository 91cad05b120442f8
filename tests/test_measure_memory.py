"""harness.measure.memory: what the model takes, and not what stands before it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from harness.measure import coordinator, memory
from harness.measure.coordinator import Workload
from harness.measure.pacing import Pace
from harness.records import Target

LINUX = pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux to tell what a process holds")
TABLE = """\
55d0c0000000-55d0c0010000 r-xp 00000000 08:01 11 /usr/bin/python3
Size:                 64 kB
Rss:                  60 kB
Anonymous:             4 kB
7f00a0000000-7f00a1000000 rw-p 00000000 00:00 0
Rss:                 900 kB
Anonymous:           900 kB
7f00b0000000-7f00b1000000 r--s 00000000 08:01 12                         /models/a b/weights.bin
Rss:                2000 kB
Anonymous:             0 kB
7f00c0000000-7f00c1000000 r--s 00000000 08:01 13                         /models/a b2/weights.bin
Rss:                8000 kB
Anonymous:             0 kB
"""


def test_own_pages_and_the_models_files_are_added_up() -> None:
    """Anonymous pages anywhere; of mapped files those in the model's folder, and not in one that begins like it."""
    assert (4 + 900 + 2000) * 1024 == memory.total(TABLE, "/models/a b")
    assert (4 + 900) * 1024 == memory.total(TABLE, "/elsewhere")
    assert memory.total("Size: 4 kB\n", "/models") is None


def test_unknown_stays_unknown() -> None:
    """No such process, no such system; what was freed meanwhile is not a negative size."""
    assert memory.held_bytes(2**30, Path("/")) is None
    assert memory.added(None, 5) is None
    assert memory.added(5, None) is None
    assert 0 == memory.added(7, 5)
    assert 2 == memory.added(5, 7)


@LINUX
def test_a_growth_of_this_process_is_seen(tmp_path: Path) -> None:
    """More than an allocator keeps for later: 64 MB that were written."""
    before = memory.held_bytes(os.getpid(), tmp_path)
    held = np.ones(2**23)
    grown = memory.added(before, memory.held_bytes(os.getpid(), tmp_path))
    assert grown is not None
    assert 0.9 * held.nbytes < grown < 1.5 * held.nbytes


def weights(folder: Path, megabytes: int, *, external: bool) -> Workload:
    """A product with a matrix of so many megabytes, in the file or beside it."""
    folder.mkdir()
    columns = megabytes * 2**20 // 4 // 512
    held = numpy_helper.from_array(np.ones((512, columns), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "weights",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 512])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, columns])],
        [held],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "model.onnx", save_as_external_data=external, location="weights.bin")
    np.save(folder / "x.npy", np.ones((1, 512), np.float32))
    return Workload(
        model=folder / "model.onnx",
        target=Target(name="cpu", provider="CPUExecutionProvider", intra_threads=1),
        optimization="all",
        feeds={"x": folder / "x.npy"},
        dims={},
    )


@LINUX
@pytest.mark.parametrize("external", [False, True])
def test_what_a_model_takes_grows_with_its_weights(tmp_path: Path, external: bool) -> None:
    """By the 16 MB that one has more than the other, wherever its weights lie; Python and onnxruntime are not in it."""
    plan = Pace(budget_s=0.02, ci_width=0.0)
    small, large = (
        coordinator.time_process(weights(tmp_path / str(size), size, external=external), plan).samples.model_bytes or 0
        for size in (16, 32)
    )
    assert 16 * 2**20 < small < 40 * 2**20
    assert 0.9 < (large - small) / 2**24 < 1.1
