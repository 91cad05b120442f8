"""What nodes take on a host: the time of their arithmetic or of their bytes, whichever is longer. Pure functions.

S. Williams, A. Waterman, D. Patterson: Roofline, Communications of the ACM 52(4), 2009.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from harness.errors import UsageError
from harness.predict.costs import COMPUTE, NodeCost
from harness.predict.host import HostSpec

NEAREST: Final[Mapping[str, tuple[str, ...]]] = {
    "float16": ("float32",), "bfloat16": ("float32",), "float64": ("float32",), "int8": ("float32",),
    "int4": ("int8", "float32"), "float32": (),
}  # fmt: skip
"""Whose peak holds where a host says none of a type, the first that it has."""

VISITS: Final = 50
"""Nodes of a tree that are visited while a node of the graph is started."""

LAUNCH, LAYER, CALL, WEIGHTS = "launch", "layer", "call", "weights"
"""Starting nodes, starting those with weights, one inference beside its nodes, and bringing its weights: parts of a
case that are calibrated beside its kinds of work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePrediction:
    """What one node takes.

    Attributes:
        seconds: with what starting it costs.
        bound: `compute`, `memory` or `launch`: which of these is the longest.
    """

    cost: NodeCost
    seconds: float
    bound: str


def predict(
    costs: Sequence[NodeCost], host: HostSpec, threads: int, factors: Mapping[str, float]
) -> tuple[NodePrediction, ...]:
    """What every node takes.

    Args:
        costs: of the nodes, in order.
        host: where they run.
        threads: that work on each.
        factors: label -> by how much it takes longer than the roofline, from `calibrate`; 1 where there is none.

    Raises:
        UsageError: the host says nothing of a type that is computed with, nor of one near it.
    """
    found, held = [], _held(costs)
    for one in costs:
        named, bound = node_parts(one, host, threads, held)
        seconds = {label: value * _factor(factors, label) for label, value in named.items()}
        launch = sum(value for label, value in seconds.items() if label in (LAUNCH, LAYER))
        whole = sum(seconds.values())
        if seconds.get(WEIGHTS, 0.0) > whole / 2:
            bound = "memory"
        found.append(NodePrediction(cost=one, seconds=whole, bound="launch" if launch >= whole / 2 else bound))
    return tuple(found)


def _factor(factors: Mapping[str, float], label: str) -> float:
    return factors.get(label, factors.get("*", 1.0))


def _held(costs: Iterable[NodeCost]) -> float:
    """The bytes of all weights: whether a cache holds them from one inference to the next."""
    return sum(one.weights for one in costs)


def call(host: HostSpec, factors: Mapping[str, float]) -> float:
    """The seconds of an inference beside its nodes."""
    return host.call_s * _factor(factors, CALL)


def node_parts(cost: NodeCost, host: HostSpec, threads: int, held: float) -> tuple[dict[str, float], str]:
    """The seconds of one node by what is calibrated, and whether `compute` or `memory` bounds its work.

    Args:
        cost: of it.
        host: where it runs.
        threads: that work on it.
        held: bytes of the weights of all nodes.

    Raises:
        UsageError: as `predict`.
    """
    if cost.kind == "free":
        return {}, "launch"
    work, bound = roof(cost, host, threads)
    heavy = cost.kind in COMPUTE and host.layer_s is not None
    found = {cost.label: work, LAYER if heavy else LAUNCH: host.layer_s if heavy else host.launch_s}
    if cost.weights:
        found[WEIGHTS] = cost.weights / host.moves(threads, held)
    return {label: seconds or 0.0 for label, seconds in found.items()}, bound


def roof(cost: NodeCost, host: HostSpec, threads: int) -> tuple[float, str]:
    """The seconds of a node's work without its weights, and what bounds them.

    Raises:
        UsageError: as `predict`.
    """
    moved = cost.moved - cost.weights
    memory = moved / host.moves(threads, moved)
    rate = host.rates.get(cost.label)
    if cost.kind in COMPUTE:
        compute = cost.flops / ((rate or peak(host, cost.type)) * host.faster(threads))
    elif cost.kind == "tree":
        compute = cost.flops * host.launch_s / VISITS
    else:
        compute = moved / (rate * host.faster(threads)) if rate else 0.0
    return max(compute, memory), "compute" if compute > memory else "memory"


def peak(host: HostSpec, type_: str) -> float:
    """FLOPs per second of one core.

    Raises:
        UsageError: as `predict`.
    """
    for one in (type_, *NEAREST.get(type_, ())):
        if one in host.flops:
            return host.flops[one]
    raise UsageError(f"--host {host.name}: `flops` says nothing of {type_}, which this case computes with")


def parts(costs: Sequence[NodeCost], host: HostSpec, threads: int) -> dict[str, float]:
    """Label -> seconds of the roofline over all nodes: what calibration gives each a factor of.

    Raises:
        UsageError: as `predict`.
    """
    sums: dict[str, float] = defaultdict(float)
    sums[CALL] = host.call_s
    held = _held(costs)
    for one in costs:
        for label, seconds in node_parts(one, host, threads, held)[0].items():
            sums[label] += seconds
    return dict(sums)
