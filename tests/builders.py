"""Tiny ONNX models, good and bad, made with `onnx.helper`: the fixtures that tests of every module share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

OPSET = 17
"""What the exporter of this project writes by default, and every supported onnxruntime reads."""

IR_VERSION = 8
"""The IR version that belongs to `OPSET`."""


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    *,
    weights: Sequence[onnx.TensorProto] = (),
    opsets: Sequence[onnx.OperatorSetIdProto] = (),
) -> Path:
    """Write one graph to `path`, creating its folder, and give the path back."""
    graph = helper.make_graph(list(nodes), "tiny", list(inputs), list(outputs), list(weights))
    opset_imports = [helper.make_opsetid("", OPSET), *opsets]
    model = helper.make_model(graph, opset_imports=opset_imports, producer_name="tests", ir_version=IR_VERSION)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def value(name: str, shape: Sequence[int | str] | None, dtype: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    """An input or output; string entries of `shape` are dynamic axes."""
    return helper.make_tensor_value_info(name, dtype, shape)


def weight(name: str, *shape: int, seed: int = 0) -> onnx.TensorProto:
    """A float32 initializer of `shape`, sampled from a normal distribution."""
    array = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return numpy_helper.from_array(array, name)


def one_node(path: Path) -> Path:
    """`y = relu(x)` over float32 [batch, 4]: the smallest model that does something."""
    node = helper.make_node("Relu", ["x"], ["y"], "relu")
    return save(path, [node], [value("x", ["batch", 4])], [value("y", ["batch", 4])])


def tiny_conv(path: Path) -> Path:
    """Conv, BatchNormalization, Relu, average pool and a MatMul + Add head: float32 [batch, 1, 8, 8] -> [batch, 4].

    Every named fusion of a convolutional network is in it, and a MatMul for weight-only quantization.
    """
    ones, zeros = np.ones(8, np.float32), np.zeros(8, np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "conv.weight"], ["conv"], "conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["conv", "bn.scale", "bn.bias", "bn.mean", "bn.var"], ["bn"], "bn"),
        helper.make_node("Relu", ["bn"], ["relu"], "relu"),
        helper.make_node("AveragePool", ["relu"], ["pool"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["pool"], ["flat"], "flatten"),
        helper.make_node("MatMul", ["flat", "head.weight"], ["head"], "head"),
        helper.make_node("Add", ["head", "head.bias"], ["y"], "bias"),
    ]
    weights = [
        weight("conv.weight", 8, 1, 3, 3),
        numpy_helper.from_array(ones * 2, "bn.scale"),
        numpy_helper.from_array(zeros + 0.5, "bn.bias"),
        numpy_helper.from_array(zeros + 0.25, "bn.mean"),
        numpy_helper.from_array(ones * 3, "bn.var"),
        weight("head.weight", 128, 4, seed=1),
        weight("head.bias", 4, seed=2),
    ]
    return save(path, nodes, [value("x", ["batch", 1, 8, 8])], [value("y", ["batch", 4])], weights=weights)


def conv_only(path: Path) -> Path:
    """One convolution, float32 [batch, 1, 8, 8] -> [batch, 4, 8, 8]; weight-only quantization has nothing to take."""
    node = helper.make_node("Conv", ["x", "w"], ["y"], "conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    ends = [value("x", ["batch", 1, 8, 8])], [value("y", ["batch", 4, 8, 8])]
    return save(path, [node], *ends, weights=[weight("w", 4, 1, 3, 3)])


def no_inputs(path: Path) -> Path:
    """A model that computes a constant: no inputs at all."""
    node = helper.make_node("Relu", ["w"], ["y"], "relu")
    return save(path, [node], [], [value("y", [2, 2])], weights=[weight("w", 2, 2)])


def string_input(path: Path) -> Path:
    """A model whose input holds strings."""
    node = helper.make_node("Identity", ["text"], ["y"], "identity")
    text, out = value("text", ["batch"], TensorProto.STRING), value("y", ["batch"], TensorProto.STRING)
    return save(path, [node], [text], [out])


def zero_dim(path: Path) -> Path:
    """A model whose input has a dimension of size zero."""
    node = helper.make_node("Relu", ["x"], ["y"], "relu")
    return save(path, [node], [value("x", ["batch", 0, 4])], [value("y", ["batch", 0, 4])])


def unknown_op(path: Path) -> Path:
    """A model with an operator, in a domain of its own, that no runtime knows."""
    node = helper.make_node("Frobnicate", ["x"], ["y"], "frobnicate", domain="com.example")
    ends = [value("x", ["batch", 4])], [value("y", ["batch", 4])]
    return save(path, [node], *ends, opsets=[helper.make_opsetid("com.example", 1)])


def not_a_number(path: Path) -> Path:
    """A model that is well formed and computes log(-1 - x*x): NaN for every input."""
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["square"], "square"),
        helper.make_node("Neg", ["square"], ["negative"], "negative"),
        helper.make_node("Sub", ["negative", "one"], ["below"], "below"),
        helper.make_node("Log", ["below"], ["y"], "log"),
    ]
    one = numpy_helper.from_array(np.ones(1, np.float32), "one")
    return save(path, nodes, [value("x", ["batch", 4])], [value("y", ["batch", 4])], weights=[one])


def external_data(folder: Path, location: str = "weights.bin") -> Path:
    """`model.onnx` in `folder` whose MatMul weight lies in the file `location` beside it."""
    node = helper.make_node("MatMul", ["x", "w"], ["y"], "matmul")
    ends = [value("x", ["batch", 64])], [value("y", ["batch", 64])]
    path = save(folder / "model.onnx", [node], *ends, weights=[weight("w", 64, 64)])
    model = onnx.load(path)
    path.unlink()
    onnx.save(model, path, save_as_external_data=True, location=location, size_threshold=0)
    return path


def escaping_data(folder: Path) -> Path:
    """`model.onnx` in `folder` whose external data claims to lie in the folder above."""
    path = external_data(folder)
    model = onnx.load(path, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = "../weights.bin"
    path.write_bytes(model.SerializeToString())
    (folder / "weights.bin").rename(folder.parent / "weights.bin")
    return path


def truncated(path: Path) -> Path:
    """A good model, cut in the middle."""
    whole = tiny_conv(path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path
