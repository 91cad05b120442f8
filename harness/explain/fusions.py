"""Which patterns of a network became one node, and why the others did not. Read in the child alone.

A pattern is looked for in the network as it was exported, and what became of it in the graph that was really run: it
was fused where the tensor between its nodes is gone from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from harness.explain.names import MOVES, family, plainly
from harness.explain.wiring import MADE_BY_RUNTIME, Wiring, attribute

if TYPE_CHECKING:
    import onnx

FUSED, MISSED, UNTRACED = "fused", "missed", "not traced"
"""What became of a place. `not traced` where none of its names is left in the graph that was run."""

ACTIVATIONS = ("Relu", "LeakyRelu", "Sigmoid", "Tanh", "Clip", "HardSigmoid")
"""What onnxruntime takes into a Conv or Gemm on the CPU, from the extended level on."""

OTHER_ACTIVATIONS = ("HardSwish", "Elu", "Selu", "Softplus", "PRelu", "Mish", "Gelu")
"""What it does not."""

BEFORE_FUSION = {"disabled": "no pattern is fused", "basic": "activations are taken in from `extended` on"}

LISTED = 3
"""Readers of a tensor that a reason names."""


class Traces:
    """Which node of the graph that was run a node of the network is, or was taken into."""

    def __init__(self, run: Wiring) -> None:
        """Look the graph over.

        Args:
            run: the graph as the session ran it.
        """
        self._by_name: dict[str, onnx.NodeProto] = {}
        self._making: dict[str, onnx.NodeProto] = {}
        for node in run.nodes:
            plain = plainly(node.name)
            self._by_name[plain] = node
            if node.op_type in MOVES:
                continue  # it makes what another node computed
            self._making.setdefault(plain, node)  # a fused node is often called by the tensor that it makes
            for name in node.output:
                for one in (name, *(name.removesuffix(end) for end in MADE_BY_RUNTIME)):
                    self._making.setdefault(one, node)

    def of(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        """By its name, or by what it makes; None where nothing of it is left."""
        return self._by_name.get(node.name) or self._making.get(node.output[0])


def places(
    exported: onnx.ModelProto, ran: onnx.ModelProto, *, optimization: str, provider: str
) -> list[dict[str, Any]]:
    """Every place of a named pattern, what became of it, and why.

    Args:
        exported: the network as it was exported.
        ran: the graph as the session ran it.
        optimization: the session's level.
        provider: what the target asked for.

    Returns:
        For each `pattern`, `nodes` (names), `operators`, `status` and `why` (empty where it was fused).
    """
    before, after = Wiring(exported), Wiring(ran)
    traces = Traces(after)
    found = []
    for pattern, nodes in candidates(before):
        status, why = became(before, nodes, traces, optimization=optimization, provider=provider)
        found.append(
            {
                "pattern": pattern,
                "nodes": [node.name for node in nodes],
                "operators": [node.op_type for node in nodes],
                "status": status,
                "why": why,
            }
        )
    return found


def candidates(graph: Wiring) -> Iterator[tuple[str, list[onnx.NodeProto]]]:
    """The places of the patterns, each node first of one place at most: the longest that it begins."""
    for node in graph.nodes:
        if node.op_type in ("Conv", "ConvTranspose"):
            norm = _reader(graph, node, ("BatchNormalization",))
            last = norm or node
            active = _reader(graph, last, (*ACTIVATIONS, *OTHER_ACTIVATIONS))
            chain = [one for one in (node, norm, active) if one is not None]
            if len(chain) > 1:
                names = [node.op_type, *(["BN"] if norm is not None else [])]
                yield "+".join([*names, *([active.op_type] if active is not None else [])]), chain
        elif node.op_type in ("MatMul", "Gemm"):
            added = _reader(graph, node, ("Add",))
            active = _reader(graph, node, ACTIVATIONS) if node.op_type == "Gemm" else None
            other = added if added is not None and _adds_constant(graph, added, node.output[0]) else active
            if other is not None:
                yield f"{node.op_type}+{other.op_type}", [node, other]
        elif node.op_type == "Add":
            norm = _reader(graph, node, ("LayerNormalization",))
            if norm is not None:
                yield "Add+LayerNormalization", [node, norm]
        elif node.op_type == "Erf":
            outer = _reader(graph, node, ("Add",))
            if outer is not None:
                yield "Gelu", [node, outer]


def became(
    graph: Wiring, nodes: list[onnx.NodeProto], traces: Traces, *, optimization: str, provider: str
) -> tuple[str, str]:
    """What became of one place: its status, and why it was not fused.

    A node whose name and tensor are gone was taken into the one before it.
    """
    ran = [traces.of(node) for node in nodes]
    if not any(ran):
        return UNTRACED, "none of its names is in the graph that was run: it was rewritten, or computed beforehand"
    held = ran[0]
    for place, one in enumerate(ran[1:], start=1):
        if one is None or one is held:
            continue
        if held is None and family(one.op_type) == family(nodes[0].op_type):
            held = one  # what was fused is called by what it makes
            continue
        done = f"{' and '.join(node.op_type for node in nodes[:place])} became one; " if place > 1 else ""
        first, second = nodes[place - 1], nodes[place]
        return MISSED, done + reason(graph, first, second, held, optimization=optimization, provider=provider)
    return FUSED, ""


def reason(
    graph: Wiring,
    first: onnx.NodeProto,
    second: onnx.NodeProto,
    ran: onnx.NodeProto | None,
    *,
    optimization: str,
    provider: str,
) -> str:
    """Why two nodes did not become one; `ran` is what became of the first."""
    between = first.output[0]
    readers = graph.readers.get(between, [])
    if between in graph.outputs:
        return f"what is between them, `{between}`, is an output of the model"
    if len(readers) > 1:
        named = ", ".join(one.name or one.op_type for one in readers[:LISTED])
        more = f" and {len(readers) - LISTED} more" if len(readers) > LISTED else ""
        return f"what is between them, `{between}`, is used {len(readers)} times: by {named}{more}"
    if optimization == "disabled" or (optimization == "basic" and second.op_type != "BatchNormalization"):
        return f"the session's optimization is `{optimization}`, at which {BEFORE_FUSION[optimization]}"
    return (
        _integers(first, second, ran)
        or _weights(graph, first)
        or _unsupported(graph, first, second)
        or _elsewhere(second, provider)
        or "onnxruntime left them apart, and none of the reasons that are known here holds"
    )


def _integers(first: onnx.NodeProto, second: onnx.NodeProto, ran: onnx.NodeProto | None) -> str:
    """What quantization made of the first, as a reason."""
    kind = "" if ran is None else ran.op_type
    if kind.startswith(("QLinear", "QGemm")) or kind.endswith(("Integer", "NBits")):
        return f"{first.op_type} runs on integers ({kind}), where {second.op_type} is an operator of its own"
    if kind and first.op_type in ("Conv", "MatMul", "Gemm") and family(kind) != family(first.op_type):
        return f"{first.op_type} was taken apart: what it makes comes from a {kind} here, which takes nothing in"
    return ""


def _weights(graph: Wiring, first: onnx.NodeProto) -> str:
    if first.op_type not in ("Conv", "ConvTranspose", "Gemm") or len(first.input) < 2:  # noqa: PLR2004
        return ""
    loose = next((name for name in first.input[1:] if name and not graph.is_constant(name)), None)
    return f"the weights `{loose}` of {first.op_type} are not constant" if loose else ""


def _unsupported(graph: Wiring, first: onnx.NodeProto, second: onnx.NodeProto) -> str:
    kind, why = second.op_type, ""
    if kind == "BatchNormalization":
        why = _unfolded(graph, first, second)
    elif kind in OTHER_ACTIVATIONS:
        why = f"onnxruntime takes {', '.join(ACTIVATIONS)} into {first.op_type}, and {kind} not"
    elif first.op_type == "ConvTranspose":
        why = "onnxruntime takes activations into Conv, not into ConvTranspose"
    elif kind == "Clip":
        loose = next((name for name in second.input[1:] if name and not graph.is_constant(name)), None)
        why = f"the limit `{loose}` of Clip is not constant" if loose else ""
    elif kind == "Add":
        why = _no_gemm(graph, first)
    elif kind == "LayerNormalization" and (axis := attribute(second, "axis")) not in {None, -1}:
        why = f"the LayerNormalization is over axis {axis}, not the last"
    return why


def _no_gemm(graph: Wiring, first: onnx.NodeProto) -> str:
    """Why a MatMul and the Add behind it do not become a Gemm."""
    ranks = [graph.rank(name) for name in first.input]
    known = [rank for rank in ranks if rank is not None]
    if any(rank != 2 for rank in known):  # noqa: PLR2004 # a Gemm has two dimensions
        return f"a Gemm takes two dimensions, and {first.op_type} multiplies {' and '.join(map(str, ranks))}"
    return ""


def _unfolded(graph: Wiring, first: onnx.NodeProto, norm: onnx.NodeProto) -> str:
    """Why a BatchNormalization is not folded into the weights before it."""
    if first.op_type == "ConvTranspose":
        return "onnxruntime folds a BatchNormalization into Conv, not into ConvTranspose"
    if attribute(norm, "training_mode"):
        return "the BatchNormalization has training_mode=1, so that it computes its statistics in every run"
    if len([one for one in norm.output if one]) > 1:
        return "the BatchNormalization gives out its statistics as well"
    loose = next((name for name in norm.input[1:] if not graph.is_constant(name)), None)
    return f"`{loose}` of the BatchNormalization is not constant" if loose else ""


def _elsewhere(second: onnx.NodeProto, provider: str) -> str:
    if provider == "CPUExecutionProvider":
        return ""
    return f"{provider} compiles or runs {second.op_type} in its own way, which the graph does not show"


def _reader(graph: Wiring, node: onnx.NodeProto, kinds: tuple[str, ...]) -> Any:
    """The first reader of a node's output that is of these operators, in the graph's order; None without."""
    return next((one for one in graph.readers.get(node.output[0], []) if one.op_type in kinds), None)


def _adds_constant(graph: Wiring, node: onnx.NodeProto, given: str) -> bool:
    return all(graph.is_constant(name) for name in node.input if name != given)
