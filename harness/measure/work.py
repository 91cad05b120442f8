"""How much arithmetic a kernel does, from the shapes that it ran on: multiplications, and nothing that a clock says.

A processor that is busy elsewhere makes one and the same kernel ten times as slow; its shapes stay. So what a case
computes in is decided by these, and a time is only reported.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

Shape = Sequence[int]

MATMUL: Final = (
    "MatMul", "FusedMatMul", "MatMulInteger", "QLinearMatMul", "DynamicQuantizeMatMul", "MatMulIntegerToFloat",
    "MatMulNBits", "Gemm", "FusedGemm", "QGemm",
)  # fmt: skip
CONV: Final = ("Conv", "FusedConv", "NhwcFusedConv", "QLinearConv", "ConvInteger", "QConv")
TRANSPOSED: Final = ("ConvTranspose",)
ATTENTION: Final = ("Attention", "QAttention", "MultiHeadAttention", "GroupQueryAttention")
RECURRENT: Final = {"LSTM": 4, "DynamicQuantizeLSTM": 4, "GRU": 3}
"""Operator -> products with a weight matrix in one step."""


def multiplications(operator: str, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int | None:
    """How many multiplications one execution takes; None where the shapes do not tell.

    Args:
        operator: by its name.
        inputs: shapes of the inputs that the profile shows, in order. Weights may be missing: kernels pack them.
        outputs: shapes of the outputs.
    """
    if not inputs or not outputs:
        return None
    if operator in MATMUL:
        return _product(inputs[0], outputs[0])
    if operator in (*CONV, *TRANSPOSED):
        weights, side = kernel(inputs), outputs if operator in CONV else inputs
        return None if weights is None else math.prod(side[0]) * math.prod(weights[1:])
    if operator in ATTENTION:
        return _attention(inputs, outputs[0])
    if operator in RECURRENT:
        return _recurrent(RECURRENT[operator], inputs[0], outputs)
    return None


def lacks_kernel(operator: str, inputs: Sequence[Shape]) -> bool:
    """Whether a convolution's weights are not among the shapes, as where its kernel packed them."""
    return operator in (*CONV, *TRANSPOSED) and bool(inputs) and kernel(inputs) is None


def kernel(inputs: Sequence[Shape]) -> Shape | None:
    """The shape of a convolution's weights: of the rank of its input, whatever scales stand between them."""
    rank = len(inputs[0])
    return next((shape for shape in inputs[1:] if len(shape) == rank and rank > 2), None)  # noqa: PLR2004


def _product(left: Shape, out: Shape) -> int | None:
    """Of two matrices, from the left one and the result."""
    if not left:
        return None
    inner = left[-1]
    if len(left) > 1 and len(out) > 1 and left[-2] != out[-2] and left[-1] == out[-2]:  # transposed
        inner = left[-2]
    return math.prod(out) * inner


def _attention(inputs: Sequence[Shape], out: Shape) -> int | None:
    """Of scores and values; of the projections as well where the node has them (two inputs with an axis for time)."""
    query = inputs[0]
    if len(query) != 3 or len(out) != 3:  # noqa: PLR2004  (batch, time, hidden)
        return None
    batch, time, hidden = out
    keys = inputs[1] if len(inputs) > 1 and len(inputs[1]) == len(query) else None
    scores = 2 * batch * time * (keys[1] if keys else time) * hidden
    return scores if keys else scores + batch * time * query[-1] * 3 * hidden


def _recurrent(gates: int, sequence: Shape, outputs: Sequence[Shape]) -> int | None:
    """Of all steps: the input and the state, each with the weights of every gate."""
    state = next((shape for shape in outputs if len(shape) in (3, 4)), None)
    if len(sequence) != 3 or state is None:  # noqa: PLR2004  (time, batch, features)
        return None
    time, batch, features = sequence
    directions, hidden = (state[0] if len(state) == 3 else state[1]), state[-1]  # noqa: PLR2004
    return time * batch * directions * gates * hidden * (features + hidden)
