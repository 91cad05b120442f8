"""What a case really ran on, and what that makes of its status: pure functions over a worker's answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from harness.records import Status

COMPUTE = (
    "Conv", "FusedConv", "NhwcFusedConv", "QLinearConv", "ConvInteger", "QConv", "ConvTranspose", "Gemm", "FusedGemm",
    "QGemm", "MatMul", "FusedMatMul", "MatMulInteger", "QLinearMatMul", "DynamicQuantizeMatMul", "MatMulIntegerToFloat",
    "MatMulNBits", "Attention", "MultiHeadAttention", "QAttention", "GroupQueryAttention", "DynamicQuantizeLSTM",
    "LSTM", "GRU", "Einsum", "TreeEnsembleRegressor", "TreeEnsembleClassifier",
)  # fmt: skip
"""Operators that do the arithmetic that a variant is named after; the rest moves and reshapes data."""

WEIGHTS_INT4 = ("MatMulNBits",)
DYNAMIC_INT8 = ("DynamicQuantizeMatMul", "DynamicQuantizeLSTM")
CLAIMS = {
    "float32": ("float",),
    "float16": ("float16",),
    "bfloat16": ("bfloat16",),
    "float64": ("double",),
    "int8": ("int8", "uint8"),
    "int4": ("int4",),
}
"""Precision that a recipe claims -> element types, as ONNX Runtime spells them, that honour the claim."""

FAITHFUL = 0.1
"""A variant is what it claims to be when at least this share of compute time ran in its arithmetic. The share is low
because reduced kernels are the quick ones, and because a recipe may leave parts out on purpose (a detection head, all
that is not a MatMul); work that is emulated shows no reduced kernel at all, or only at the borders."""

NodeRow = Sequence[str | int]
"""One row of a worker's profile: node, operator, provider, input types joined by commas, count, microseconds."""


def shares(nodes: Mapping[str, int]) -> dict[str, float]:
    """Provider -> share of nodes; empty where nothing was counted."""
    total = sum(nodes.values())
    return {provider: count / total for provider, count in nodes.items()} if total else {}


def kernels(rows: Sequence[NodeRow]) -> dict[str, int]:
    """Executed kernels by operator."""
    counts: Counter[str] = Counter()
    for _, operator, _, _, count, _ in rows:
        counts[str(operator)] += int(count)
    return dict(sorted(counts.items()))


def time_shares(rows: Sequence[NodeRow]) -> dict[str, float]:
    """Provider -> share of kernel time."""
    spent: Counter[str] = Counter()
    for _, _, provider, _, _, duration in rows:
        spent[str(provider)] += int(duration)
    return shares(spent)


def arithmetic(rows: Sequence[NodeRow]) -> dict[str, float]:
    """Element type -> share of the time of compute kernels, by the type of their first input."""
    spent: Counter[str] = Counter()
    for _, operator, _, types, _, duration in rows:
        if operator in COMPUTE:
            spent[element_type(str(operator), str(types))] += int(duration)
    return shares(spent)


def element_type(operator: str, types: str) -> str:
    """The element type that a compute kernel works in."""
    if operator in WEIGHTS_INT4:
        return "int4"
    if operator in DYNAMIC_INT8:  # takes floats and quantizes them inside the kernel
        return "int8"
    return types.split(",", 1)[0]


def judge(
    precision: str, provider: str, placement: Mapping[str, float], arithmetic_share: Mapping[str, float]
) -> tuple[Status, str]:
    """The status of a case that ran, and why.

    Args:
        precision: what the recipe claims.
        provider: what the target asked for, by its full name.
        placement: provider -> share of nodes, empty where unknown.
        arithmetic_share: element type -> share of compute time, empty where unknown or nothing computes.

    Returns:
        `unsupported` where the provider took no node, `emulated` where the work was done in another arithmetic than
        the variant claims, else `measured` with an empty reason or a remark about nodes elsewhere.
    """
    if placement and not placement.get(provider):
        others = ", ".join(sorted(placement))
        return Status.UNSUPPORTED, f"{provider} took no node of the graph; all ran on {others}"
    honest = sum(arithmetic_share.get(kind, 0.0) for kind in CLAIMS.get(precision, ()))
    if arithmetic_share and honest < FAITHFUL:
        ran = ", ".join(f"{share:.0%} {kind}" for kind, share in sorted(arithmetic_share.items(), key=lambda i: -i[1]))
        return Status.EMULATED, f"claims {precision}, but its compute time was {ran}"
    elsewhere = {p: s for p, s in placement.items() if p != provider and s}
    if elsewhere:
        return Status.MEASURED, "; ".join(
            f"{share:.0%} of the nodes fell back to {p}" for p, share in elsewhere.items()
        )
    return Status.MEASURED, ""
