"""Counting the named fusions: how many places a graph had for each, and how many of them became one node."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import onnx

NAMES = ("Conv+BN", "Conv+Relu", "Conv+BN+Relu", "Gemm/MatMul+Add", "attention", "LayerNorm", "Gelu")

ATTENTION = ("Attention", "MultiHeadAttention", "GroupQueryAttention", "PackedAttention")
LAYER_NORM = ("LayerNormalization", "SkipLayerNormalization", "EmbedLayerNormalization", "SimplifiedLayerNormalization")
GELU = ("Gelu", "FastGelu", "BiasGelu")
BETWEEN_SCORES_AND_SOFTMAX = ("Add", "Div", "Mul", "Where", "Cast", "Sub", "Reshape", "Identity")


class _Graph:
    """A graph with its wiring: who makes a tensor, and who reads it."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.nodes = list(model.graph.node)
        self.maker = {output: node for node in self.nodes for output in node.output if output}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.outputs = {one.name for one in model.graph.output}

    def of(self, kinds: Iterable[str]) -> list[onnx.NodeProto]:
        """Nodes of these operators."""
        wanted = set(kinds)
        return [node for node in self.nodes if node.op_type in wanted]

    def only_reader(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        """The one node that reads the first output; None when several do, or the graph gives it out."""
        name = node.output[0]
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self.outputs else None

    def followed(self, kinds: Iterable[str], then: str) -> list[onnx.NodeProto]:
        """Nodes of type `then` whose input comes from one of `kinds` and goes nowhere else."""
        readers = (self.only_reader(node) for node in self.of(kinds))
        return [reader for reader in readers if reader is not None and reader.op_type == then]


def found(model: onnx.ModelProto) -> dict[str, int]:
    """How many places of each named pattern a graph has, still unfused."""
    graph = _Graph(model)
    normalised = graph.followed(["Conv"], "BatchNormalization")
    after_norm = [graph.only_reader(node) for node in normalised]
    return {
        "Conv+BN": len(normalised),
        "Conv+Relu": len(graph.followed(["Conv"], "Relu")),
        "Conv+BN+Relu": sum(node is not None and node.op_type == "Relu" for node in after_norm),
        "Gemm/MatMul+Add": len(graph.followed(["Gemm", "MatMul"], "Add")),
        "attention": _attentions(graph),
        "LayerNorm": _decomposed_norms(graph) + len(graph.followed(["Add"], "LayerNormalization")),
        "Gelu": len(graph.of(["Erf"])),
    }


def fused(before: onnx.ModelProto, after: onnx.ModelProto) -> dict[str, int]:
    """How many of the patterns became one node between two graphs of the same network.

    A Conv+BN+Relu counts when the BatchNormalization is folded and the Relu is taken in. A Relu behind a Conv
    is taken in at the extended level only (FusedConv), and not where a residual Add stands between. LayerNorm counts
    decomposed ones that became one node, and those that took in the Add before them.
    """
    had, has = found(before), found(after)
    one, two = _Graph(before), _Graph(after)
    taken_in = _activations(two)["Relu"] - _activations(one)["Relu"]
    triples = min(had["Conv+BN+Relu"], had["Conv+BN"] - has["Conv+BN"], taken_in)

    def gained(kinds: tuple[str, ...]) -> int:
        return len(two.of(kinds)) - len(one.of(kinds))

    counts: Mapping[str, int] = {
        "Conv+BN": had["Conv+BN"] - has["Conv+BN"],
        "Conv+Relu": min(taken_in - triples, had["Conv+Relu"]),
        "Conv+BN+Relu": triples,
        "Gemm/MatMul+Add": had["Gemm/MatMul+Add"] - has["Gemm/MatMul+Add"],
        "attention": gained(ATTENTION),
        "LayerNorm": gained(LAYER_NORM) + gained(("SkipLayerNormalization",)),
        "Gelu": gained(GELU),
    }
    return {name: max(0, counts[name]) for name in NAMES}


def _activations(graph: _Graph) -> Counter[str]:
    """The activations that convolutions took in: FusedConv, and the Conv of the NCHWc layout."""
    kinds = (
        attribute.s.decode()
        for node in graph.of(["FusedConv", "Conv"])
        for attribute in node.attribute
        if attribute.name == "activation"
    )
    return Counter(kinds)


def _attentions(graph: _Graph) -> int:
    """Softmax with a MatMul above it, past scaling and masking, and a MatMul below it."""
    count = 0
    for node in graph.of(["Softmax"]):
        below = [reader.op_type for output in node.output for reader in graph.readers.get(output, [])]
        above = graph.maker.get(node.input[0])
        while above is not None and above.op_type in BETWEEN_SCORES_AND_SOFTMAX:
            makers = [graph.maker[name] for name in above.input if name in graph.maker]
            above = next((one for one in makers if one.op_type in ("MatMul", *BETWEEN_SCORES_AND_SOFTMAX)), None)
        count += above is not None and above.op_type == "MatMul" and "MatMul" in below
    return count


def _decomposed_norms(graph: _Graph) -> int:
    """ReduceMean -> Sub -> Pow (or Mul) -> ReduceMean: a LayerNorm written out."""
    count = 0
    for sub in graph.of(["Sub"]):
        makers = [graph.maker.get(name) for name in sub.input]
        squares = [reader for reader in graph.readers.get(sub.output[0], []) if reader.op_type in ("Pow", "Mul")]
        means = [reader for square in squares for reader in graph.readers.get(square.output[0], [])]
        count += any(maker is not None and maker.op_type == "ReduceMean" for maker in makers) and any(
            reader.op_type == "ReduceMean" for reader in means
        )
    return count
