"""One input again and again against inputs that rotate: trees, a convolutional network and an encoder, in one run.

Each model is paired with itself (`harness.measure.pairs`, as a gate pairs two builds): one side is fed its first
example every time, the other rotates through the evaluation examples. Branch predictors and caches learn a single
input; the ratio says how much too fast that reads.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import onnx
from common import host, prepared
from onnx import TensorProto, helper

from harness.measure.coordinator import Workload
from harness.measure.pairs import PairSpec, measure_pair
from harness.records import Target
from harness.runtimes.client import Client
from harness.stats import paired

FEATURES, DEPTH, EXAMPLES = 30, 9, 64
FORESTS = (200, 500)
MODELS = (("digits_cnn", "fp32-fused"), ("mobilenetv3", "fp32-fused"), ("minilm", "fp32-fused"))


def forest(path: Path, trees: int) -> Path:
    """A file with so many complete random trees, as a random forest of that depth has them."""
    rng = np.random.default_rng(trees)
    inner = 2**DEPTH - 1
    every = 2 * inner + 1
    columns: dict[str, list[object]] = {name: [] for name in ("tree", "node", "feature", "value", "mode", "yes", "no")}
    leaves: dict[str, list[object]] = {"tree": [], "node": [], "weight": []}
    for tree in range(trees):
        for node in range(every):
            branch = node < inner
            columns["tree"].append(tree)
            columns["node"].append(node)
            columns["feature"].append(int(rng.integers(FEATURES)) if branch else 0)
            columns["value"].append(float(rng.normal(0, 0.5)) if branch else 0.0)
            columns["mode"].append("BRANCH_LEQ" if branch else "LEAF")
            columns["yes"].append(2 * node + 1 if branch else 0)
            columns["no"].append(2 * node + 2 if branch else 0)
            if not branch:
                leaves["tree"].append(tree)
                leaves["node"].append(node)
                leaves["weight"].append(float(rng.normal()))
    ensemble = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function="AVERAGE",
        nodes_treeids=columns["tree"],
        nodes_nodeids=columns["node"],
        nodes_featureids=columns["feature"],
        nodes_values=columns["value"],
        nodes_modes=columns["mode"],
        nodes_truenodeids=columns["yes"],
        nodes_falsenodeids=columns["no"],
        target_treeids=leaves["tree"],
        target_nodeids=leaves["node"],
        target_ids=[0] * len(leaves["tree"]),
        target_weights=leaves["weight"],
    )
    graph = helper.make_graph(
        [ensemble],
        "forest",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def of_forest(folder: Path, trees: int) -> Workload:
    """A forest on one thread, one example at a time, through as many as rotate at most."""
    feed = folder / "x.npy"
    np.save(feed, np.random.default_rng(0).normal(size=(EXAMPLES, FEATURES)).astype(np.float32))
    return Workload(
        model=forest(folder / f"forest{trees}.onnx", trees),
        target=Target(name="cpu", provider="CPUExecutionProvider", intra_threads=1, batch=1),
        optimization="all",
        feeds={"x": feed},
        dims={"batch": 1},
        batch_axes={"x": 0},
        rotate=EXAMPLES,
    )


def told(name: str, work: Workload, pairs: int) -> None:
    """Print how much longer rotating inputs take."""
    sides = {"base": dataclasses.replace(work, rotate=1), "head": work}
    spec = PairSpec(workloads=sides, clients=dict.fromkeys(sides, Client))
    seen = paired.ratio_interval([measure_pair(spec).log_ratio for _ in range(pairs)])
    bounds = f"{seen.low:.2f} to {seen.high:.2f}" if seen.bounded else "-"
    print(f"| {name} | {work.rotate} | {seen.ratio:.2f}x | {bounds} | {pairs} |", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--only", nargs="+", help="parts of the names")
    asked = parser.parse_args()
    print(host())
    print("| model | inputs that rotate | rotating / fixed | 95% interval | pairs |")
    print("| --- | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory(prefix="harness-inputs-") as folder:
        named = {f"{trees} trees": lambda trees=trees: of_forest(Path(folder), trees) for trees in FORESTS}
        named |= {f"{model}/{variant}": lambda m=model, v=variant: prepared(m, v) for model, variant in MODELS}
        for name, make in named.items():
            if not asked.only or any(part in name for part in asked.only):
                told(name, make(), asked.pairs)


if __name__ == "__main__":
    main()
