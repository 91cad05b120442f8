"""Real slow-downs between releases of ONNX Runtime, each as the small model that shows it.

They are what a gate has to find without anybody having multiplied a number. The ratios were seen on two cores of an
x86-64 virtual machine with AVX2, one thread, CPU provider, as medians of fresh processes of either release in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from tests import builders

STUMPS, DEPTH = 100, 2
"""Trees of the ensemble, and their depth: 2 ** DEPTH leaves each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slowdown:
    """A model that a newer release of onnxruntime runs slower.

    Attributes:
        build: writes the model, whose one input is `x`: float32, `batch` on axis 0.
        base: the faster, older release.
        head: the slower, newer release.
        shape: of the input that showed it, the batch first.
        ratio: head over base, roughly.
    """

    build: Callable[[Path], Path]
    base: str
    head: str
    shape: tuple[int, ...]
    ratio: float

    def feed(self) -> np.ndarray:
        """The input that showed it."""
        return np.random.default_rng(0).standard_normal(self.shape).astype(np.float32)


def trees(path: Path) -> Path:
    """A TreeEnsembleRegressor of full trees over float32 [batch, 4]: many small trees for many rows."""
    draw = np.random.default_rng(0)
    inner = 2**DEPTH - 1
    size = 2 * inner + 1
    places = [(tree, node) for tree in range(STUMPS) for node in range(size)]
    leaves = [(tree, node) for tree, node in places if node >= inner]
    op = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        "trees",
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=[tree for tree, _ in places],
        nodes_nodeids=[node for _, node in places],
        nodes_featureids=[node % 4 if node < inner else 0 for _, node in places],
        nodes_values=[float(draw.standard_normal()) if node < inner else 0.0 for _, node in places],
        nodes_modes=["BRANCH_LEQ" if node < inner else "LEAF" for _, node in places],
        nodes_truenodeids=[2 * node + 1 if node < inner else 0 for _, node in places],
        nodes_falsenodeids=[2 * node + 2 if node < inner else 0 for _, node in places],
        target_treeids=[tree for tree, _ in leaves],
        target_nodeids=[node for _, node in leaves],
        target_ids=[0] * len(leaves),
        target_weights=[float(value) for value in draw.standard_normal(len(leaves))],
    )
    ends = [builders.value("x", ["batch", 4])], [builders.value("y", ["batch", 1])]
    return builders.save(path, [op], *ends, opsets=[helper.make_opsetid("ai.onnx.ml", 3)])


def elu(path: Path) -> Path:
    """Elu of what is positive, where it changes nothing; on negative numbers the newer release is the faster one."""
    nodes = [helper.make_node("Abs", ["x"], ["size"], "abs"), helper.make_node("Elu", ["size"], ["y"], "elu")]
    return _images(path, *nodes)


def lrn(path: Path) -> Path:
    """Local response normalization, as in AlexNet and GoogLeNet."""
    return _images(path, helper.make_node("LRN", ["x"], ["y"], "lrn", size=5))


def reduce_max(path: Path) -> Path:
    """The maximum over the first axis."""
    return _images(path, helper.make_node("ReduceMax", ["x"], ["y"], "max", axes=[0]), batch=1)


def _images(path: Path, *nodes: onnx.NodeProto, batch: int | str = "batch") -> Path:
    """Nodes over float32 [batch, 64, 56, 56]."""
    ends = [builders.value("x", ["batch", 64, 56, 56])], [builders.value("y", [batch, 64, 56, 56])]
    return builders.save(path, nodes, *ends)


IMAGES = (4, 64, 56, 56)

SLOWDOWNS: Mapping[str, Slowdown] = {
    "trees": Slowdown(build=trees, base="1.22.1", head="1.23.0", shape=(1000, 4), ratio=1.3),
    "elu": Slowdown(build=elu, base="1.20.0", head="1.21.0", shape=IMAGES, ratio=3.0),
    "lrn": Slowdown(build=lrn, base="1.20.0", head="1.21.0", shape=IMAGES, ratio=4.4),
    "reduce_max": Slowdown(build=reduce_max, base="1.20.0", head="1.21.0", shape=IMAGES, ratio=1.18),
}
"""By name. `onnxruntime==<base>` and `onnxruntime==<head>` are runtime specs."""
