"""One file with half its convolutions in int8, profiled again and again beside two busy loops: is its status a fact?

    python benchmarks/status.py [--times 20] [--spinners 2]

Prints how often each status came, by the rule that counts multiplications (`harness.measure.placement`) and by shares
of time against a threshold of one half, which is where such a file stands on the edge.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from harness.measure import coordinator, placement
from harness.measure.coordinator import Observed, Workload
from harness.records import Target

CPU = Target(name="cpu", provider="CPUExecutionProvider", intra_threads=1)
LAYERS, CHANNELS, SIDE = 8, 32, 24


def half_quantized(folder: Path, layers: int = LAYERS) -> Path:
    """A network of equal convolutions, the second half of which is in int8 (QDQ): `folder`/half.onnx."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from onnxruntime.quantization import quantize_static

    rng = np.random.default_rng(0)
    nodes, held = [], []
    for layer in range(layers):
        weights = rng.standard_normal((CHANNELS, CHANNELS, 3, 3)) / np.sqrt(9 * CHANNELS)
        held.append(numpy_helper.from_array(weights.astype(np.float32), f"w{layer}"))
        nodes.append(helper.make_node("Conv", [f"x{layer}", f"w{layer}"], [f"c{layer}"], f"conv{layer}", pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"c{layer}"], [f"x{layer + 1}"], f"relu{layer}"))
    shape = [1, CHANNELS, SIDE, SIDE]
    graph = helper.make_graph(
        nodes,
        "half",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"x{layers}", TensorProto.FLOAT, shape)],
        held,
    )
    source = folder / "float.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), source)

    class Reader:
        """Two examples for calibration."""

        left = 2

        def get_next(self) -> dict[str, Any] | None:
            """The next one."""
            self.left -= 1
            return {"x0": rng.standard_normal(shape).astype(np.float32)} if self.left >= 0 else None

    floats = [f"conv{layer}" for layer in range(layers // 2)]
    quantize_static(source, folder / "half.onnx", Reader(), nodes_to_exclude=floats, op_types_to_quantize=["Conv"])
    return folder / "half.onnx"


def workload(model: Path, shape: tuple[int, ...], name: str = "x0") -> Workload:
    """The model with one example of noise."""
    feed = model.with_suffix(".npy")
    np.save(feed, np.random.default_rng(1).standard_normal(shape).astype(np.float32))
    target = dataclasses.replace(CPU, batch=shape[0])
    return Workload(model=model, target=target, optimization="all", feeds={name: feed}, dims={})


def observed(work: Workload, folder: Path) -> Observed:
    """One evaluation as a sweep makes it: a process of its own, about 20 profiled runs."""
    return coordinator.observe(work, examples=1, folder=folder)


@contextmanager
def spinning(loops: int) -> Iterator[None]:
    """Busy loops beside whatever runs in here."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for one in busy:
            one.kill()
            one.wait()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--spinners", type=int, default=2)
    asked = parser.parse_args()
    by_work: Counter[str] = Counter()
    by_time: Counter[str] = Counter()
    shares = []
    with tempfile.TemporaryDirectory() as name, spinning(asked.spinners):
        folder = Path(name)
        work = workload(half_quantized(folder), (1, CHANNELS, SIDE, SIDE))
        for _ in range(asked.times):
            seen = observed(work, folder)
            status, why = placement.judge("int8", CPU.provider, seen.placement, placement.computation(seen.nodes))
            by_work[f"{status}: {why}"] += 1
            share = sum(seen.arithmetic.get(kind, 0.0) for kind in placement.CLAIMS["int8"])
            shares.append(share)
            by_time["at least half" if share >= 0.5 else "less than half"] += 1
    for title, found in (("by multiplications", by_work), ("by time", by_time)):
        print(title)
        for text, times in found.most_common():
            print(f"  {times:3} of {asked.times}  {text}")
    print(f"share of compute time in int8: {min(shares):.0%} to {max(shares):.0%}")


if __name__ == "__main__":
    main()
