"""What one node computes and moves, from the shapes of what it reads and makes: pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from harness.errors import UsageError
from harness.measure import work
from harness.measure.placement import PACKED

Listed = Mapping[str, Any]
"""A node as `harness.predict.shapes.nodes` has it."""

BYTES: Final[Mapping[str, float]] = {
    "float": 4, "double": 8, "float16": 2, "bfloat16": 2, "int8": 1, "uint8": 1, "bool": 1, "int16": 2, "uint16": 2,
    "int32": 4, "uint32": 4, "int64": 8, "uint64": 8, "int4": 0.5, "uint4": 0.5, "string": 16,
}  # fmt: skip

TREES: Final = ("TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor")
FREE: Final = (
    "Reshape", "Shape", "Size", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Constant", "Dropout", "Optional",
)  # fmt: skip
MATH: Final = (
    "Exp", "Log", "Erf", "Gelu", "FastGelu", "BiasGelu", "QuickGelu", "Sigmoid", "Tanh", "Softmax", "LogSoftmax", "Sin",
    "Cos", "Pow", "Sqrt", "LayerNormalization", "SkipLayerNormalization", "SimplifiedLayerNormalization",
    "SkipSimplifiedLayerNormalization", "EmbedLayerNormalization", "InstanceNormalization", "GroupNormalization",
    "HardSwish", "HardSigmoid", "Softplus", "Mish", "Elu", "Selu", "Reciprocal", "RMSNormalization", "Swish",
    "QLinearSigmoid", "QLinearSoftmax", "QLinearLeakyRelu",
)  # fmt: skip
MOVE: Final = (
    "Transpose", "Concat", "Slice", "Split", "Gather", "GatherND", "GatherElements", "Pad", "Resize", "Upsample",
    "Expand", "Tile", "QLinearConcat", "DepthToSpace", "SpaceToDepth", "ScatterND", "ScatterElements", "Where",
    "ConstantOfShape", "ReorderInput", "ReorderOutput",
)  # fmt: skip
CASTS: Final = ("Cast", "CastLike", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")
POOL: Final = (
    "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "QLinearAveragePool", "QLinearGlobalAveragePool",
    "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL2", "ReduceSumSquare", "ArgMax",
    "ArgMin", "TopK", "QLinearReduceMean", "CumSum", "NonMaxSuppression",
)  # fmt: skip
KINDS: Final = (
    (work.MATMUL, "product"), (work.ATTENTION, "attention"), (tuple(work.RECURRENT), "recurrent"), (TREES, "tree"),
    (FREE, "free"), (MATH, "math"), (MOVE, "move"), (CASTS, "cast"), (POOL, "pool"),
)  # fmt: skip
"""Operators and their kind; convolutions are told apart by their groups, and all others are `elementwise`."""

LOOPS: Final = ("Loop", "Scan", "If", "SequenceMap")
"""How often their bodies run, or which of them, no shape tells."""

COMPUTE: Final = ("conv", "depthwise", "plain-conv", "plain-depthwise", "product", "attention", "recurrent")
"""Kinds whose time the arithmetic decides; float32 convolutions are `plain` where the session does not block their
tensors, which its level `all` alone does. Of the others it is the bytes that they move."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCost:
    """What one node costs, whatever the host.

    Attributes:
        name, operator: as in the graph that is run.
        kind: what its time is like: one of `COMPUTE`, or `elementwise`, `math`, `pool`, `move`, `cast`, `tree`, `free`.
        type: of the arithmetic: float32, float16, bfloat16, float64, int8 or int4.
        flops: multiplications and additions.
        read, written: bytes of what it reads and makes.
        weights: bytes of its constants, among those read.
        inputs, outputs: names of the tensors that nodes before it made, and of what it makes, with their bytes.
    """

    name: str
    operator: str
    kind: str
    type: str
    flops: float
    read: float
    written: float
    weights: float = 0.0
    inputs: tuple[tuple[str, float], ...] = ()
    outputs: tuple[tuple[str, float], ...] = ()

    @property
    def moved(self) -> float:
        """Bytes read and written."""
        return self.read + self.written

    @property
    def label(self) -> str:
        """What is calibrated together, such as `conv/float32`."""
        return f"{self.kind}/{self.type}"


def costs(nodes: Iterable[Listed], optimization: str = "all") -> tuple[NodeCost, ...]:
    """What every node of a graph costs, at a session's level of optimization.

    Raises:
        UsageError: shapes do not tell it; the text names the first such node.
    """
    constant: set[str] = set()
    found = []
    for node in nodes:
        inputs = [[kind, shape, of_weight or name in constant, name] for kind, shape, of_weight, name in node["inputs"]]
        if node["op"] == "Constant" or (node["op"] in CASTS and inputs and all(one[2] for one in inputs)):
            constant |= {one[3] for one in node["outputs"]}  # done when the session is made
        else:
            found.append(cost({**node, "inputs": inputs}, optimization))
    return tuple(found)


def cost(node: Listed, optimization: str = "all") -> NodeCost:
    """What one node costs.

    Raises:
        UsageError: as `costs`.
    """
    op, inputs, outputs = node["op"], node["inputs"], node["outputs"]
    if op in LOOPS:
        raise UsageError(f"no prediction: the node {node['name']!r} is a {op}, and shapes do not tell what it runs")
    for kind, shape, _, name in (*inputs, *outputs):
        if shape is None and kind in BYTES:
            raise UsageError(f"no prediction: the shape of {name!r}, at the {op} {node['name']!r}, is not known")
    kind = _kind(node, optimization)
    free = kind == "free"
    of_weights = 0.0 if free else sum(size(one) for one in inputs if one[2])
    read = 0.0 if free else sum(map(size, inputs))
    if op in ("Gather", "EmbedLayerNormalization"):  # only the rows that are asked for are read
        read, of_weights = sum(map(size, outputs)), 0.0
    return NodeCost(
        name=node["name"],
        operator=op,
        kind=kind,
        type=_type(node),
        flops=_flops(node, kind),
        read=read,
        written=0.0 if free else sum(map(size, outputs)),
        weights=of_weights,
        inputs=tuple((one[3], size(one)) for one in inputs if not one[2]),
        outputs=tuple((one[3], size(one)) for one in outputs),
    )


def elements(shape: Sequence[int] | None) -> int:
    """How many a shape has; a scalar has one."""
    return math.prod(shape or ())


def size(value: Sequence[Any]) -> float:
    """The bytes of a tensor as a node lists it."""
    return elements(value[1]) * BYTES.get(value[0], 0.0)


def _kind(node: Listed, optimization: str) -> str:
    op = node["op"]
    if op in (*work.CONV, *work.TRANSPOSED):
        weight = work.kernel([one[1] or () for one in node["inputs"]])
        grouped = node["attributes"].get("group", 1) > 1
        kind = "depthwise" if grouped and weight is not None and weight[1] == 1 else "conv"
        return kind if optimization == "all" or _type(node) != "float32" else f"plain-{kind}"
    return next((kind for names, kind in KINDS if op in names), "elementwise")


def _type(node: Listed) -> str:
    """The element type of the arithmetic."""
    if node["op"] == PACKED:
        return "int4"
    types = [one[0] for one in (*node["inputs"], *node["outputs"])]
    if any(one in ("int8", "uint8") for one in types):
        return "int8"
    return next((one for one in ("float16", "bfloat16") if one in types), "float64" if "double" in types else "float32")


def _flops(node: Listed, kind: str) -> float:
    op, attributes = node["op"], node["attributes"]
    inputs, outputs = ([one[1] or () for one in node[side]] for side in ("inputs", "outputs"))
    if kind in COMPUTE:
        products = work.multiplications(op, inputs, outputs)
        if products is None:
            raise UsageError(f"no prediction: the shapes of the {op} {node['name']!r} do not tell what it computes")
        return 2.0 * products
    made = elements(outputs[0]) if outputs else 0
    if kind == "tree":
        return float(elements(inputs[0][:1]) * attributes["trees"] * attributes["depth"])
    if kind in ("free", "move", "cast"):
        return 0.0
    if kind == "pool":
        kernel = attributes.get("kernel_shape")
        return float(made * elements(kernel)) if kernel else float(elements(inputs[0]))
    return float(max([made, *map(elements, inputs[:1])]))
