"""One small network in many forms that onnxruntime all runs: what converters must cope with."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "float16": TensorProto.FLOAT16}
WIDTH = 32


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A form of the network.

    Attributes:
        opset, ir: of the file.
        dtype: of its weights, inputs and outputs.
        constants: weights stand in Constant nodes.
        fed: weights are inputs as well, as below IR 4 they must be.
        shuffled: a seed for the order of the nodes; None keeps it.
        names: how nodes are called: `own`, `none` or `odd`.
        batch: the first axis of the inputs: a name, a number or -1.
        parts: what the network has beside its core.
    """

    opset: int = 17
    ir: int = 8
    dtype: str = "float32"
    constants: bool = False
    fed: bool = False
    shuffled: int | None = None
    names: str = "own"
    batch: str | int = "batch"
    parts: frozenset[str] = frozenset()


PARTS = (
    "convolution", "embedding", "branch", "loop", "function", "sparse", "resize", "unused", "passed", "shown", "stale",
    "contributed", "norm", "quantized",
)  # fmt: skip


def feed(mutant: Mutant) -> dict[str, Any]:
    """One example for a mutant's inputs."""
    rng = np.random.default_rng(3)
    values: dict[str, Any] = {"x": rng.standard_normal((1, WIDTH)).astype(mutant.dtype)}
    if "convolution" in mutant.parts:
        values["image"] = rng.standard_normal((1, 3, 8, 8)).astype(mutant.dtype)
    if "embedding" in mutant.parts:
        values["ids"] = rng.integers(0, 50, (1, 4))
    if "unused" in mutant.parts:
        values["unused"] = np.zeros((1, 2), np.int64)
    return values


def save(mutant: Mutant, path: Path) -> Path:
    """Write the network in this form."""
    onnx.save(_Maker(mutant).model(), path)
    return path


class _Maker:
    def __init__(self, mutant: Mutant) -> None:
        self.mutant, self.kind = mutant, TYPES[mutant.dtype]
        self.rng = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, np.ndarray[Any, Any]] = {}
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.functions: list[onnx.FunctionProto] = []
        self.domains: set[str] = set()

    def model(self) -> onnx.ModelProto:
        """The whole file."""
        mutant = self.mutant
        current = self.core()
        for part in PARTS:
            if part in mutant.parts and hasattr(self, part):
                current = getattr(self, part)(current)
        head = self.add("MatMul", current, self.weight("head", WIDTH, 8))
        self.add("Add", head, self.weight("bias", 8), output="y")
        self.outputs.append(self.value("y", [mutant.batch, 8]))
        return self.file()

    def core(self) -> str:
        """Two products with an activation between them."""
        self.inputs.append(self.value("x", [self.mutant.batch, WIDTH]))
        hidden = self.add("Relu", self.add("MatMul", "x", self.weight("w1", WIDTH, 64)))
        return self.add("Tanh", self.add("MatMul", hidden, self.weight("w2", 64, WIDTH)))

    def convolution(self, current: str) -> str:
        """An image beside the row."""
        self.inputs.append(self.value("image", [self.mutant.batch, 3, 8, 8]))
        conv = self.add("Conv", "image", self.weight("kernel", WIDTH, 3, 3, 3), pads=[1, 1, 1, 1])
        scale = [self.weight(name, WIDTH, ones=True) for name in ("gamma", "beta", "mean", "var")]
        norm = self.add("BatchNormalization", conv, *scale)
        flat = self.add("Flatten", self.add("GlobalAveragePool", self.add("Relu", norm)))
        return self.add("Add", current, flat)

    def embedding(self, current: str) -> str:
        """A table that is looked up."""
        self.inputs.append(helper.make_tensor_value_info("ids", TensorProto.INT64, [self.mutant.batch, 4]))
        rows = self.add("Gather", self.weight("table", 50, WIDTH), "ids")
        self.weights["one"] = np.array([1, 4], np.int64)
        weighted = self.add("MatMul", self.weight("mix", 1, 4), rows)
        self.weights["flat"] = np.array([-1, WIDTH], np.int64)
        return self.add("Add", current, self.add("Reshape", weighted, "flat"))

    def branch(self, current: str) -> str:
        """An If whose bodies read what is around them."""
        self.weights["limit"] = np.asarray(-100, self.mutant.dtype)
        self.weight("w3", WIDTH, WIDTH)
        self.weights["first"] = np.zeros(1, np.int64)
        self.weights["pick"] = np.asarray(0, np.int64)
        value = self.add("Gather", self.add("Gather", current, "pick", axis=0), "pick", axis=0)
        double = np.asarray(2, self.mutant.dtype)
        then = helper.make_graph(
            [helper.make_node("MatMul", [current, "w3"], ["then.y"])], "then", [], [self.value("then.y", None)]
        )
        other = helper.make_graph(
            [helper.make_node("Mul", [current, "double"], ["else.y"])],
            "else",
            [],
            [self.value("else.y", None)],
            [numpy_helper.from_array(double, "double")],
        )
        below = self.add("Cast", value, to=TensorProto.FLOAT)
        self.weights["limit"] = np.asarray(-100, np.float32)
        condition = self.add("Not", self.add("Less", below, "limit"))
        return self.add("If", condition, then_branch=then, else_branch=other)

    def loop(self, current: str) -> str:
        """A Loop that multiplies its state by a weight around it."""
        self.weight("w4", WIDTH, WIDTH)
        self.weights["trips"] = np.asarray(2, np.int64)
        self.weights["go"] = np.asarray(True)  # the value of a tensor
        body = helper.make_graph(
            [
                helper.make_node("Identity", ["go.in"], ["go.out"]),
                helper.make_node("MatMul", ["state.in", "w4"], ["state.mid"]),
                helper.make_node("Tanh", ["state.mid"], ["state.out"]),
            ],
            "body",
            [
                helper.make_tensor_value_info("trip", TensorProto.INT64, []),
                helper.make_tensor_value_info("go.in", TensorProto.BOOL, []),
                self.value("state.in", None),
            ],
            [helper.make_tensor_value_info("go.out", TensorProto.BOOL, []), self.value("state.out", None)],
        )
        return self.add("Loop", "trips", "go", current, body=body)

    def function(self, current: str) -> str:
        """A product in a function of the model's own."""
        body = [helper.make_node("MatMul", ["a", "b"], ["c"]), helper.make_node("Relu", ["c"], ["d"])]
        opset = [helper.make_opsetid("", self.mutant.opset)]
        self.functions.append(helper.make_function("own", "Layer", ["a", "b"], ["d"], body, opset))
        self.domains.add("own")
        return self.add("Layer", current, self.weight("w5", WIDTH, WIDTH), domain="own")

    def resize(self, current: str) -> str:
        """A Resize with an empty roi and empty scales that are one tensor."""
        self.weights["square"] = np.array([-1, 1, 4, WIDTH // 4], np.int64)
        self.weights["empty"] = np.zeros(0, np.float32)
        self.weights["sizes"] = np.array([1, 1, 8, WIDTH // 4], np.int64)
        self.weights["half"] = np.array([-1, WIDTH * 2], np.int64)
        square = self.add("Reshape", current, "square")
        large = self.add("Resize", square, "empty", "empty", "sizes", mode="nearest")
        return self.add("MatMul", self.add("Reshape", large, "half"), self.weight("w6", WIDTH * 2, WIDTH))

    def contributed(self, current: str) -> str:
        """An operator of onnxruntime's own."""
        self.domains.add("com.microsoft")
        return self.add("FastGelu", current, self.weight("gelu", WIDTH), domain="com.microsoft")

    def norm(self, current: str) -> str:
        """A layer norm, written out or not."""
        return self.add("LayerNormalization", current, self.weight("scale", WIDTH, ones=True))

    def quantized(self, current: str) -> str:
        """A product whose weights are integers already."""
        self.weights["q"] = self.rng.integers(-100, 100, (WIDTH, WIDTH)).astype(np.int8)
        self.weights["q.scale"], self.weights["q.zero"] = np.asarray(0.002, np.float32), np.asarray(0, np.int8)
        return self.add("MatMul", current, self.add("DequantizeLinear", "q", "q.scale", "q.zero"))

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """A node, and the name of its output."""
        name = output or f"t{len(self.nodes)}"
        called = {"own": f"n{len(self.nodes)}", "none": "", "odd": f"/a b:{len(self.nodes)}/é"}
        self.nodes.append(helper.make_node(kind, inputs, [name], called[self.mutant.names], **attributes))
        return name

    def weight(self, name: str, *shape: int, ones: bool = False) -> str:
        """A weight, and its name."""
        values = np.ones(shape) if ones else self.rng.standard_normal(shape) / np.sqrt(shape[0])
        self.weights[name] = values.astype(self.mutant.dtype)
        return name

    def value(self, name: str, shape: Sequence[int | str] | None) -> onnx.ValueInfoProto:
        """A tensor of the network's own type."""
        return helper.make_tensor_value_info(name, self.kind, shape)

    def file(self) -> onnx.ModelProto:
        """What was collected, as a model."""
        mutant = self.mutant
        tensors = [numpy_helper.from_array(array, name) for name, array in self.weights.items()]
        sparse: list[onnx.SparseTensorProto] = []
        if "sparse" in mutant.parts:
            found = next(one for one in tensors if one.name == "w2")
            tensors.remove(found)
            array = numpy_helper.to_array(found)
            places = np.arange(0, array.size, 3)
            values = numpy_helper.from_array(array.reshape(-1)[places], "w2")
            sparse.append(helper.make_sparse_tensor(values, numpy_helper.from_array(places, "places"), array.shape))
        if mutant.constants:
            self.nodes = [helper.make_node("Constant", [], [one.name], value=one) for one in tensors] + self.nodes
            tensors = []
        if "unused" in mutant.parts:
            self.inputs.insert(0, helper.make_tensor_value_info("unused", TensorProto.INT64, [mutant.batch, 2]))
        if "passed" in mutant.parts:
            self.outputs.append(self.value("x", [mutant.batch, WIDTH]))
        if "shown" in mutant.parts:
            self.outputs.append(self.value("w1", [WIDTH, 64]))
        if mutant.shuffled is not None:
            random.Random(mutant.shuffled).shuffle(self.nodes)  # an order, not a secret
        fed = [helper.make_tensor_value_info(one.name, one.data_type, list(one.dims)) for one in tensors]
        graph = helper.make_graph(
            self.nodes, "g", [*self.inputs, *(fed if mutant.fed or mutant.ir < 4 else [])], self.outputs, tensors
        )
        graph.sparse_initializer.extend(sparse)
        if "stale" in mutant.parts:
            graph.value_info.append(self.value("t0", [7, 7]))
        opsets = [
            helper.make_opsetid("", mutant.opset),
            *(helper.make_opsetid(name, 1) for name in sorted(self.domains)),
        ]
        return helper.make_model(graph, opset_imports=opsets, ir_version=mutant.ir, functions=self.functions)
