"""What onnxruntime calls nodes that it makes of others, and of which family an operator is. Pure."""

from __future__ import annotations

import re

SUFFIX = re.compile(r"(_nchwc|_token_\d+|_fused|/MatmulTransposeFusion/|/GatherSliceToSplitFusion)+$")
"""What onnxruntime adds to a node's or a tensor's name when it makes another one of it."""

_FAMILY = re.compile(r"^(?:QLinear|DynamicQuantize|Nhwc|Fused|Q(?=[A-Z]))+|(?:Integer(?:ToFloat)?|NBits)$")


MOVES = (
    "Cast", "ReorderInput", "ReorderOutput", "Transpose", "MemcpyToHost", "MemcpyFromHost", "QuantizeLinear",
    "DequantizeLinear", "Identity",
)  # fmt: skip
"""Operators that compute nothing of the network's own, where the runtime inserts them."""


def plainly(name: str) -> str:
    """A name without what onnxruntime adds."""
    return SUFFIX.sub("", name)


def family(operator: str) -> str:
    """What an operator is of, whatever it was fused with and whatever it computes in: `Conv` of `NhwcFusedConv`.

    A Gemm is a MatMul with an Add, and onnxruntime makes it of them.
    """
    plain = _FAMILY.sub("", operator) or operator
    return "MatMul" if plain == "Gemm" else plain


_INTEGERS = re.compile(r"^(?:Nhwc)?(?:QLinear|DynamicQuantize|Q(?=[A-Z]))|Integer(?:ToFloat)?$|NBits$")


def on_integers(operator: str) -> bool:
    """Whether an operator of the graph that was run takes integers, such as QLinearConv or MatMulNBits."""
    return operator not in MOVES and _INTEGERS.search(operator) is not None


QUANTIZED = ("", "_quant", "_Q4", "_Q8")
"""What quantizers add to the name of a node that they put in the place of another."""


def quantized(layer: str) -> tuple[str, ...]:
    """What a layer of the float32 network may be called in a build that was quantized from it."""
    return tuple(f"{layer}{end}" for end in QUANTIZED)
