"""Does `explain` find the layer that was made bad on purpose? Twenty networks, each with another such layer.

A network of eight convolutions and a matrix product, quantized with one scale per tensor. In one layer a weight that
meets nothing but zeros is made 6 to 30 times as large as the largest of the others: the network computes what it did,
and the scale of that layer's weights is as much coarser. Counted is how often that layer comes first in the ranking by
errors of tensors, and first among those that were really left in float.

    python benchmarks/blame.py --seeds 20
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnx
from common import host
from onnx import helper, numpy_helper

from harness import zoo as zoos
from harness.explain.explain import ExplainRequest, explain
from harness.records import CaseId

LAYERS, CHANNELS, SIZE = 8, 12, 12
DEAD = 3
"""The channel that every layer gives out as zero."""

NET = """\
data: {noise: {source: random, calibration: 8, evaluation: 8}}
models:
  net:
    source: onnx
    id: net.onnx
    data: noise
    inputs: {x: {dtype: float32, shape: [batch, 1, SIZE, SIZE]}}
    budget: {fidelity_db: 20}
"""
"""The model of a zoo: `network`'s file, with SIZE for its pixels."""

ZOO = f"""
version: 1
variants:
  fp32: {{precision: float32, steps: [export]}}
  int8: {{precision: int8, steps: [export, quantize: {{method: static, per_channel: false}}]}}
targets: {{cpu: {{provider: cpu, threads: [1]}}}}
{NET}"""


def network(path: Path, seed: int, channels: int = CHANNELS, size: int = SIZE) -> str:
    """Write the network, and give the name of the layer that is bad."""
    rng = np.random.default_rng(seed)
    bad, factor = int(rng.integers(1, LAYERS + 1)), rng.uniform(6, 30)
    nodes, weights, before = [], [], "x"
    for number in range(LAYERS):
        inputs = channels if number else 1
        weight = rng.standard_normal((channels, inputs, 3, 3)) * np.sqrt(2 / (inputs * 9))
        bias = rng.standard_normal(channels) * 0.1
        weight[DEAD], bias[DEAD] = 0, -1
        if number == bad:
            weight[0, DEAD, 1, 1] = factor * np.abs(weight).max()
        arrays = {f"w{number}": weight, f"b{number}": bias}
        weights += [numpy_helper.from_array(one.astype(np.float32), name) for name, one in arrays.items()]
        pads = [1, 1, 1, 1]
        nodes += [
            helper.make_node("Conv", [before, *arrays], [f"c{number}"], f"layer{number}", pads=pads),
            helper.make_node("Relu", [f"c{number}"], [f"r{number}"], f"relu{number}"),
        ]
        before = f"r{number}"
    product = rng.standard_normal((channels * size * size, 10)) / size
    if bad == LAYERS:
        product[DEAD * size * size, 0] = factor * np.abs(product).max()
    weights.append(numpy_helper.from_array(product.astype(np.float32), "head.weight"))
    nodes += [
        helper.make_node("Flatten", [before], ["flat"], "flatten"),
        helper.make_node("MatMul", ["flat", "head.weight"], ["y"], f"layer{LAYERS}"),
    ]
    ends = [
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)]
        for name, shape in (("x", ["batch", 1, size, size]), ("y", ["batch", 10]))
    ]
    graph = helper.make_graph(nodes, "net", *ends, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return f"layer{bad}"


def main() -> None:
    """Count, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    count = parser.parse_args().seeds
    print(host())
    ranked = confirmed = 0
    for seed in range(count):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            bad = network(folder / "net.onnx", seed)
            (folder / "model_zoo.yaml").write_text(ZOO.replace("SIZE", str(SIZE)), encoding="utf-8")
            request = ExplainRequest(
                zoo=zoos.load(folder / "model_zoo.yaml"),
                case=CaseId.parse("net/int8/cpu-t1"),
                cache=folder / "cache",
                results=folder / "results",
                confirm=3,
                seconds=0.01,
                blocks=0,
            )
            losses = explain(request, lambda _: None).losses
        assert losses is not None
        first, left = losses.layers[0].layer, losses.confirmed[0]
        ranked += first == bad
        confirmed += left.layer == bad
        gained = left.gained_db or 0.0
        print(
            f"seed {seed}: bad {bad}, ranked first {first}, confirmed first {left.layer} ({gained:+.1f} dB)", flush=True
        )
    print(f"the bad layer was first by errors of tensors in {ranked} of {count}, confirmed first in {confirmed}")


if __name__ == "__main__":
    main()
