"""What a case really ran on, and what that makes of its status: pure functions over a worker's answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from harness.measure.work import lacks_kernel, multiplications
from harness.records import Status

CPU = "CPUExecutionProvider"
SHAPES = 6
"""Where in a row the shapes of its inputs stand; those of its outputs follow."""

COMPUTE = (
    "Conv", "FusedConv", "NhwcFusedConv", "QLinearConv", "ConvInteger", "QConv", "ConvTranspose", "Gemm", "FusedGemm",
    "QGemm", "MatMul", "FusedMatMul", "MatMulInteger", "QLinearMatMul", "DynamicQuantizeMatMul", "MatMulIntegerToFloat",
    "MatMulNBits", "Attention", "MultiHeadAttention", "QAttention", "GroupQueryAttention", "DynamicQuantizeLSTM",
    "LSTM", "GRU", "Einsum", "TreeEnsemble", "TreeEnsembleRegressor", "TreeEnsembleClassifier",
)  # fmt: skip
"""Operators that do the arithmetic that a variant is named after; the rest moves and reshapes data."""

PACKED = "MatMulNBits"
"""Weights of few bits, which it unpacks; what it multiplies in is another matter (`inside`)."""

DYNAMIC_INT8 = ("DynamicQuantizeMatMul", "DynamicQuantizeLSTM")
BODIES = ("If", "Loop", "Scan", "SequenceMap")
"""Operators whose time is that of the nodes in their bodies, which have rows of their own."""

INT8_WEIGHTS = "int8 weights"
CLAIMS = {
    "float32": ("float",),
    "float64": ("double",),
    "float16": ("float16",),
    "bfloat16": ("bfloat16",),
    "int8": ("int8", "uint8", INT8_WEIGHTS),
    "int4": ("int4",),
}
"""Precision that a recipe or a file claims -> element types, as ONNX Runtime spells them, that honour the claim."""

PRECISIONS = {kind: precision for precision, kinds in CLAIMS.items() for kind in kinds}

FAITHFUL, UNFAITHFUL = 0.9, 0.1
"""Shares of the computation in the arithmetic that is claimed: from the first on a case is what it claims to be, below
the second it is emulated, and in between it is mixed. A tenth may be left out on purpose: an encoder's scores, the
last layer of a network."""

INT8_LEVEL = 4
"""The accuracy level from which on the CPU provider's MatMulNBits quantizes what it multiplies."""

NodeRow = Sequence[Any]
"""One row of a worker's profile: node, operator, provider, input types joined by commas, count, microseconds, and where
the worker says so the shapes of inputs and of outputs. Count and microseconds are sums over the runs."""

Packed = Mapping[str, Sequence[int]]
"""A file's MatMulNBits nodes by name: bits of a weight, accuracy level."""


def shares(nodes: Mapping[str, int]) -> dict[str, float]:
    """Provider -> share of nodes; empty where nothing was counted."""
    total = sum(nodes.values())
    return {provider: count / total for provider, count in nodes.items()} if total else {}


def kernels(rows: Sequence[NodeRow], runs: int = 1) -> dict[str, int]:
    """Executed kernels of one run by operator; the rounded mean where runs differ, at least one."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row[1]] += row[4]
    return {operator: max(round(count / runs), 1) for operator, count in sorted(counts.items())}


def behind(rows: Sequence[NodeRow], provider: str, runs: int = 1) -> dict[str, int]:
    """Operator -> executed kernels of one run that another provider ran; empty where the provider ran them all."""
    return kernels([row for row in rows if row[2] != provider], runs)


def time_shares(rows: Sequence[NodeRow]) -> dict[str, float]:
    """Provider -> share of kernel time."""
    spent: Counter[str] = Counter()
    for row in rows:
        if row[1] not in BODIES:
            spent[row[2]] += row[5]
    return shares(spent)


def arithmetic(rows: Sequence[NodeRow], packed: Packed | None = None) -> dict[str, float]:
    """Element type -> share of the time of compute kernels."""
    spent: Counter[str] = Counter()
    for row in rows:
        if row[1] in COMPUTE:
            spent[element_type(row, packed or {})] += row[5]
    return shares(spent)


def computation(rows: Sequence[NodeRow], packed: Packed | None = None) -> dict[str, float]:
    """Element type -> share of the multiplications of compute kernels, as often as they ran: the same for every run.

    A kernel whose shapes do not tell counts as the mean of those that do; where none does, kernels are counted.
    """
    known = [(row, _multiplications(row)) for row in rows if row[1] in COMPUTE]
    weighed = [(row[4], work) for row, work in known if work is not None]
    executions = sum(count for count, _ in weighed)
    typical = sum(count * work for count, work in weighed) / executions if executions else 1.0
    done: dict[str, float] = {}
    for row, work in known:
        kind = element_type(row, packed or {})
        done[kind] = done.get(kind, 0.0) + row[4] * (typical if work is None else work)
    total = sum(done.values())
    return {kind: amount / total for kind, amount in done.items()} if total else {}


def lacks_shapes(rows: Sequence[NodeRow], packed: Packed | None = None) -> bool:
    """Whether some kernel's work, or the bits of its weights, would be known, had it not packed its weights."""
    return any(_lacks(row, packed or {}) for row in rows)


def with_shapes(rows: Sequence[NodeRow], unpacked: Sequence[NodeRow], packed: Packed | None = None) -> list[NodeRow]:
    """The rows with the shapes that the same nodes showed in a session that packs nothing."""
    found = {(row[0], row[1]): row[SHAPES:] for row in unpacked}
    return [
        [*row[:SHAPES], *found.get((row[0], row[1]), row[SHAPES:])] if _lacks(row, packed or {}) else row
        for row in rows
    ]


def _lacks(row: NodeRow, packed: Packed) -> bool:
    """Whether a profile has the shapes of a node's inputs, without those of the weights that are needed."""
    if len(row) <= SHAPES:
        return False
    if row[1] == PACKED:  # one that the runtime itself made of another is in no file
        return row[0] not in packed and _blocks(row) is None
    return lacks_kernel(row[1], row[SHAPES])


def _blocks(row: NodeRow) -> Sequence[int] | None:
    """The shape [columns, blocks, bytes] of packed weights; None where the kernel has packed them once more."""
    return next((shape for shape in row[SHAPES][1:] if len(shape) == 3), None)  # noqa: PLR2004


def element_type(row: NodeRow, packed: Packed) -> str:
    """The element type that a compute kernel works in; of weights that are packed, theirs."""
    operator, types = row[1], row[3]
    if operator == PACKED:
        bits = packed[row[0]][0] if row[0] in packed else _bits(row)
        return INT8_WEIGHTS if bits == 8 else f"int{bits}"  # noqa: PLR2004
    if operator in DYNAMIC_INT8:  # takes floats and quantizes them inside the kernel
        return "int8"
    return str(types.split(",", 1)[0])


def inside(rows: Sequence[NodeRow], packed: Packed) -> str:
    """In which arithmetic packed weights were multiplied, as a sentence's part; empty where there are none.

    The CPU provider multiplies integers from accuracy level 4 on and floats below it; others unpack to the type of
    the activations. A node that the runtime itself made of another says no level.
    """
    found: dict[str, int] = {}
    for row in rows:
        if row[1] != PACKED:
            continue
        kind = str(row[3].split(",", 1)[0])
        level = packed[row[0]][1] if row[0] in packed else None
        if row[2] != CPU:
            said = f"{PRECISIONS.get(kind, kind)} on {row[2]}"
        elif level is None:
            said = "an arithmetic that the runtime chose"
        elif level >= INT8_LEVEL:
            said = f"int8 (accuracy level {level})"
        else:
            said = f"float32 (accuracy level {level})"
        bits = packed[row[0]][0] if row[0] in packed else _bits(row)
        text = f"weights of {bits} bits are multiplied in {said}"
        found[text] = found.get(text, 0) + 1
    return "; ".join(found)


BEFORE_KERNELS = ("disabled", "basic")
LEFT_APART = (
    "the variant has `optimization: {}`, and onnxruntime joins quantize and dequantize nodes to 8-bit kernels at "
    "`extended` and `all` only"
)
"""Levels at which a graph with QDQ nodes computes in floats, and what is then the cause."""


def claim(precision: str, weights: Mapping[str, int]) -> str:
    """The precision that a case is judged by: the recipe's, or the file's own where the recipe changes nothing.

    Args:
        precision: of the recipe; float32 where none of its steps makes another.
        weights: element type -> elements of the weights that the file computes with; empty where unknown.
    """
    if precision != "float32" or not weights:
        return precision
    sums: Counter[str] = Counter()
    for kind, elements in weights.items():
        sums[PRECISIONS.get(kind, kind)] += elements
    return max(sums, key=lambda name: (sums[name], name == precision))


def judge(
    precision: str,
    provider: str,
    placement: Mapping[str, float],
    computed: Mapping[str, float],
    optimization: str = "all",
) -> tuple[Status, str]:
    """The status of a case that ran, and why.

    Args:
        precision: what the recipe or the file claims.
        provider: what the target asked for, by its full name.
        placement: provider -> share of nodes, empty where unknown.
        computed: element type -> share of the computation, empty where unknown or nothing computes.
        optimization: the level that the session ran with, as the recipe has it.

    Returns:
        `unsupported` where the provider took no node, `emulated` where less than a tenth was computed in the arithmetic
        that is claimed, `mixed` where less than nine tenths were, `unverified` where it is not float32 that is claimed
        and no operator tells, else `measured`, with an empty reason or a remark about nodes elsewhere.
    """
    if placement and not placement.get(provider):
        others = ", ".join(sorted(placement))
        return Status.UNSUPPORTED, f"{provider} took no node of the graph; all ran on {others}"
    if not computed:
        if precision == "float32":
            return Status.MEASURED, _elsewhere(provider, placement)
        why = f"claims {precision}, and no operator in the profile shows in which arithmetic it computed"
        return Status.UNVERIFIED, "; ".join(filter(None, [why, _elsewhere(provider, placement)]))
    # Rounded, so that a sum of shares that is nine tenths on paper is not below them in binary.
    honest = round(sum(computed.get(kind, 0.0) for kind in CLAIMS.get(precision, (precision,))), 9)
    ran = ", ".join(f"{share:.0%} {kind}" for kind, share in sorted(computed.items(), key=lambda i: (-i[1], i[0])))
    cause = LEFT_APART.format(optimization) if precision == "int8" and optimization in BEFORE_KERNELS else ""
    if honest < UNFAITHFUL:
        why = f"claims {precision}, but its computation was {ran}"
        return Status.EMULATED, "; ".join(filter(None, [why, cause]))
    if honest < FAITHFUL:
        why = f"{honest:.0%} of compute in {precision} ({ran})"
        return Status.MIXED, "; ".join(filter(None, [why, cause, _elsewhere(provider, placement)]))
    return Status.MEASURED, _elsewhere(provider, placement)


def _elsewhere(provider: str, placement: Mapping[str, float]) -> str:
    """Which share of the nodes did not run where it was asked for."""
    found = {p: s for p, s in placement.items() if p != provider and s}
    return "; ".join(f"{share:.0%} of the nodes fell back to {p}" for p, share in found.items())


def _multiplications(row: NodeRow) -> int | None:
    """How many one execution takes; None where the row does not tell."""
    return multiplications(row[1], *row[SHAPES : SHAPES + 2]) if len(row) > SHAPES + 1 else None


def _bits(row: NodeRow) -> int:
    """Bits of a packed weight, from the weights' shape [columns, blocks, bytes]; 4 where no session showed it."""
    weights = _blocks(row) if len(row) > SHAPES else None
    if weights is None or not row[SHAPES][0]:
        return 4
    inner, (_, blocks, size) = row[SHAPES][0][-1], weights
    held = {bits: blocks * size * 8 // bits for bits in (4, 8, 2)}  # inputs that these blocks hold
    exact = [bits for bits, elements in held.items() if elements == inner]
    padded = [bits for bits, elements in held.items() if elements - elements // blocks < inner < elements]
    return next(iter(exact + padded), 4)
