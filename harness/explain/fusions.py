"""Which patterns of a network became one node, and why the others did not. Read in the child alone.

A pattern is looked for in the network as it was exported, and what became of it in the graph that was really run: it
was fused where the tensor between its nodes is gone from there.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from harness.explain.wiring import MADE_BY_RUNTIME, Wiring, attribute

if TYPE_CHECKING:
    import onnx

FUSED, MISSED, UNTRACED = "fused", "missed", "not traced"
"""What became of a place. `not traced` where none of its names is left in the graph that was run."""

ACTIVATIONS = ("Relu", "LeakyRelu", "Sigmoid", "Tanh", "Clip", "HardSigmoid")
"""What onnxruntime takes into a Conv or Gemm on the CPU, from the extended level on."""

OTHER_ACTIVATIONS = ("HardSwish", "Elu", "Selu", "Softplus", "PRelu", "Mish", "Gelu")
"""What it does not."""

SUFFIX = re.compile(r"(_nchwc|_token_\d+|_fused|/MatmulTransposeFusion/|/GatherSliceToSplitFusion)+$")
"""What onnxruntime adds to a node's or a tensor's name when it makes another one of it."""

BEFORE_FUSION = {"disabled": "no pattern is fused", "basic": "activations are taken in from `extended` on"}

LISTED = 3
"""Readers of a tensor that a reason names."""


class Traces:
    """What of a network's names is left in the graph that was run."""

    def __init__(self, run: Wiring) -> None:
        """Gather them.

        Args:
            run: the graph as the session ran it.
        """
        self.tensors: set[str] = set()
        self.nodes: set[str] = set()
        self.integer: set[str] = set()
        for node in run.nodes:
            plain = plainly(node.name)
            self.nodes.add(plain)
            self.tensors.add(plain)  # a fused node is often called by the tensor that it makes
            if node.op_type.startswith(("QLinear", "QGemm")) or node.op_type.endswith(("Integer", "NBits")):
                self.integer.update([plain, *(end for name in node.output for end in _ends(name))])
            self.tensors.update(end for name in node.output for end in _ends(name))

    def has(self, node: onnx.NodeProto) -> bool:
        """Whether a node is there: by its name, or by what it makes."""
        return node.name in self.nodes or node.output[0] in self.tensors


def _ends(name: str) -> tuple[str, ...]:
    """A tensor's name, and what it was called before it was quantized."""
    return (name, *(name.removesuffix(end) for end in MADE_BY_RUNTIME))


def plainly(name: str) -> str:
    """A name without what onnxruntime adds."""
    return SUFFIX.sub("", name)


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
    """What became of one place: its status, and why it was not fused."""
    gone = []
    for first, second in itertools.pairwise(nodes):
        between = first.output[0] not in traces.tensors
        gone.append(between or not traces.has(second))
    if not any(traces.has(node) for node in nodes):
        return UNTRACED, "none of its names is in the graph that was run: it was rewritten, or computed beforehand"
    if all(gone):
        return FUSED, ""
    at = gone.index(False)
    first, second = nodes[at : at + 2]
    if {first.name, first.output[0]} & traces.integer:
        return MISSED, f"{first.op_type} runs on integers, where {second.op_type} is an operator of its own"
    return MISSED, reason(graph, first, second, optimization=optimization, provider=provider)


def reason(graph: Wiring, first: onnx.NodeProto, second: onnx.NodeProto, *, optimization: str, provider: str) -> str:
    """Why two nodes did not become one."""
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
        _weights(graph, first)
        or _unsupported(graph, first, second)
        or _elsewhere(second, provider)
        or "onnxruntime left them apart, and none of the reasons that are known here holds"
    )


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
