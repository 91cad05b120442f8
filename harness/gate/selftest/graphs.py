"""Graphs that cost what is asked: small networks to try a gate on, and extra nodes that slow a model down for real.

Run as `python -m harness.gate.selftest.graphs` with one job per line on stdin, since whoever measures imports no onnx:
`{"make": kind, "to": path}` writes a network, `{"slow": path, "nodes": n, "width": w, "to": path}` a copy of a model
with n more nodes. The answer to each is a line of JSON: `{}`, or `{"error": why}`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BuildError
from harness.graphs import load, opset, save

if TYPE_CHECKING:
    import onnx

OPSET = 17
IR_VERSION = 8
LEAST_OPSET = 13
ROWS = 8
"""Rows of the matrices in the extra nodes: some work to each, beside its launch."""

KINDS = ("matmul", "conv", "mixed")
"""Networks of about a millisecond on one core: products of matrices, convolutions, and convolutions among element-wise
nodes. They differ in how much they compute and how much they move."""


def network(kind: str) -> onnx.ModelProto:
    """A network of one of `KINDS`, float32, input `x`, output `y`.

    Raises:
        BuildError: if there is no such kind.
    """
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []

    def weight(name: str, *shape: int) -> str:
        scale = 1 / np.sqrt(np.prod(shape[1:]))  # keeps the values of a long chain in range
        weights.append(numpy_helper.from_array((rng.standard_normal(shape) * scale).astype(np.float32), name))
        return name

    def then(operator: str, before: str, *others: str, **attributes: Any) -> str:
        name = f"{operator.lower()}{len(nodes)}"
        nodes.append(helper.make_node(operator, [before, *others], [name], name, **attributes))
        return name

    last = "x"
    shape: tuple[int, ...] = (1, 16, 32, 32)
    if kind == "matmul":
        shape = (64, 128)
        for i in range(24):
            last = then("Tanh", then("MatMul", last, weight(f"w{i}", 128, 128)))
    elif kind in ("conv", "mixed"):
        for i in range(6 if kind == "conv" else 3):
            last = then("Conv", last, weight(f"w{i}", 16, 16, 3, 3), kernel_shape=[3, 3], pads=[1, 1, 1, 1])
            for operator in ("Relu",) if kind == "conv" else ("Sigmoid", "Sqrt", "Tanh", "Softplus"):
                last = then(operator, last)
    else:
        raise BuildError(f"there is no network {kind!r}; available: {', '.join(KINDS)}")
    nodes.append(helper.make_node("Identity", [last], ["y"], "last"))
    given, made = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y"))
    graph = helper.make_graph(nodes, kind, [given], [made], initializer=weights)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="harness"
    )


def slow_down(model: onnx.ModelProto, nodes: int, width: int) -> onnx.ModelProto:
    """Add a chain of `nodes` matrix products, each [8, width] x [width, width], that nothing can optimize away.

    It begins at the model's first input and ends in an output of its own, `slowed`; the other outputs stay the same.

    Raises:
        BuildError: if the model has no input, its first input holds no numbers, or its opset is older than 13.
    """
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    known = {value.name for value in graph.initializer}
    inputs = [value for value in graph.input if value.name not in known]
    if not inputs or inputs[0].type.tensor_type.elem_type in (TensorProto.UNDEFINED, TensorProto.STRING):
        raise BuildError("the model has no numeric input that extra nodes could begin at")
    if opset(model) < LEAST_OPSET:
        raise BuildError(f"the model has opset {opset(model)}; extra nodes need {LEAST_OPSET}")
    matrix = np.eye(width, dtype=np.float32)
    graph.initializer.extend(
        [
            numpy_helper.from_array(matrix, "slowed.w"),
            numpy_helper.from_array(np.full((ROWS, width), 1e-3, np.float32), "slowed.first"),
            numpy_helper.from_array(np.array([-1], np.int64), "slowed.flat"),
            numpy_helper.from_array(np.array([0], np.int64), "slowed.zero"),
            numpy_helper.from_array(np.array([1], np.int64), "slowed.one"),
        ]
    )
    graph.node.extend(
        [
            # One number of the input: a shape alone would be folded into a constant, and the chain with it.
            helper.make_node("Reshape", [inputs[0].name, "slowed.flat"], ["slowed.all"], "slowed.all"),
            helper.make_node("Slice", ["slowed.all", "slowed.zero", "slowed.one"], ["slowed.some"], "slowed.some"),
            helper.make_node("Cast", ["slowed.some"], ["slowed.float"], "slowed.float", to=TensorProto.FLOAT),
            helper.make_node("Mul", ["slowed.first", "slowed.float"], ["slowed.0"], "slowed.mul"),
        ]
    )
    for i in range(nodes):
        end = "slowed" if i == nodes - 1 else f"slowed.{i + 1}"
        graph.node.append(helper.make_node("MatMul", [f"slowed.{i}", "slowed.w"], [end], f"slowed.matmul{i}"))
    graph.output.append(helper.make_tensor_value_info("slowed", TensorProto.FLOAT, [ROWS, width]))
    return model


def serve(job: dict[str, Any]) -> None:
    """Do one job.

    Raises:
        BuildError: as `network` and `slow_down`.
        OSError: if a file cannot be read or written.
    """
    made = network(job["make"]) if "make" in job else slow_down(load(Path(job["slow"])), job["nodes"], job["width"])
    save(made, Path(job["to"]))


def main() -> None:
    """Answer every job on stdin."""
    for line in sys.stdin:
        try:
            serve(json.loads(line))
        except (BuildError, OSError) as error:
            answer = {"error": str(error)}
        else:
            answer = {}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
