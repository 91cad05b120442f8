"""Gemm with constant weights taken apart into MatMul and Add, which is what weight-only quantization knows.

GPT-2's layers and most classifiers are exported as Gemm; the sum is the same number for number but for its order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx


def taken_apart(model: onnx.ModelProto, exclude: Sequence[str]) -> int:
    """Replace every plain Gemm of the main graph whose weights are an initializer, in place.

    The MatMul has the Gemm's name. A Gemm that scales, that transposes its input, or that is excluded stays.

    Args:
        model: with its weights loaded; its nodes have names.
        exclude: names of nodes that stay what they are.

    Returns:
        How many were replaced.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    weights = {one.name: one for one in graph.initializer}
    nodes, replaced = list(graph.node), 0
    turned: dict[str, str] = {}
    for place in range(len(nodes) - 1, -1, -1):
        node = nodes[place]
        settings: dict[str, Any] = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        plain = settings.get("alpha", 1.0) == 1.0 and settings.get("beta", 1.0) == 1.0 and not settings.get("transA")
        if node.op_type != "Gemm" or not plain or node.input[1] not in weights or node.name in exclude:
            continue
        weight = node.input[1]
        if settings.get("transB"):
            if weight not in turned:
                turned[weight] = f"{weight}_turned"
                array = numpy_helper.to_array(weights[weight])
                graph.initializer.append(numpy_helper.from_array(array.T.copy(), turned[weight]))
            weight = turned[weight]
        biased = len(node.input) > 2 and bool(node.input[2])  # noqa: PLR2004 # Gemm's third input is its bias
        product = f"{node.output[0]}_product" if biased else node.output[0]
        made = [helper.make_node("MatMul", [node.input[0], weight], [product], node.name)]
        if biased:
            made.append(helper.make_node("Add", [product, node.input[2]], [node.output[0]], f"{node.name}_bias"))
        nodes[place : place + 1] = made
        replaced += 1
    if replaced:
        del graph.node[:]
        graph.node.extend(nodes)
        used = {name for node in nodes for name in node.input} | {one.name for one in graph.output}
        for name in turned:
            if name not in used:
                graph.initializer.remove(weights[name])
    return replaced
