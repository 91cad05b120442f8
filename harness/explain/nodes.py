"""Which node of an artifact each node of the graph that was run is: pure functions over names and a profile."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from harness.explain.model import NodeTime
from harness.explain.names import MOVES, family, plainly, quantized
from harness.explain.wiring import MADE_BY_RUNTIME
from harness.measure.closely import typical_s
from harness.measure.placement import BODIES, COMPUTE, NodeRow

Listed = Mapping[str, Any]
"""A node as `wiring.listed` has it."""

BETWEEN = (
    "Relu", "LeakyRelu", "Sigmoid", "Tanh", "Clip", "HardSigmoid", "HardSwish", "BatchNormalization", "Add", "Mul",
    "Sub", "Div", "QuantizeLinear", "DequantizeLinear", "Cast", "Transpose", "Reshape", "QuickGelu", "Gelu",
)  # fmt: skip
"""What may stand between a layer and the tensor that a fused node makes."""


def times(
    rows: Sequence[NodeRow], runs: int, ran: Sequence[Listed] | None, own: Sequence[Listed]
) -> tuple[NodeTime, ...]:
    """The nodes that were run, the longest first, with the artifact's node that each of them is.

    Args:
        rows: the profile, sums over the runs.
        runs: how many.
        ran: the nodes of the graph that was run; None where the runtime did not write it.
        own: the nodes of the artifact.
    """
    sums: dict[tuple[str, str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for row in rows:
        if row[1] in BODIES:
            continue
        held = sums[row[0], row[1], row[2]]
        held[0] += typical_s(row, runs)
        held[1] += row[4]
    origins = Origins(own)
    known = {one["name"]: one for one in ran or ()}
    found = [
        NodeTime(
            node=name,
            operator=operator,
            provider=provider,
            seconds=seconds,
            count=count / max(runs, 1),
            of=origins.of(name, operator, known.get(name)),
        )
        for (name, operator, provider), (seconds, count) in sums.items()
    ]
    return tuple(sorted(found, key=lambda one: -one.seconds))


class Origins:
    """The nodes of an artifact, by name and by what they make."""

    def __init__(self, own: Sequence[Listed]) -> None:
        """Look them over."""
        self._names = {one["name"]: one for one in own if one["name"]}
        self._maker = {output: one for one in own for output in one["outputs"]}

    def of(self, name: str, operator: str, ran: Listed | None) -> str:
        """The name of the node that a node of the run graph is or was made of; empty where there is none."""
        found = self._named(name) or self._making(ran)
        if found is None or (operator in MOVES and found["operator"] != operator):
            return ""
        if operator in COMPUTE and family(found["operator"]) != family(operator):
            found = self._behind(found, family(operator)) or found
        return str(found["name"])

    def _named(self, name: str) -> Listed | None:
        plain = plainly(name)
        return self._names.get(name) or self._names.get(plain) or self._maker.get(plain)

    def _making(self, ran: Listed | None) -> Listed | None:
        for output in (ran or {}).get("outputs", ()):
            for one in (output, *(output.removesuffix(end) for end in MADE_BY_RUNTIME)):
                if one in self._maker:
                    return self._maker[one]
        return None

    def _behind(self, node: Listed, wanted: str) -> Listed | None:
        """The nearest node of an operator's family before one, past what may have been taken into it."""
        waiting, seen = [node], {node["name"]}
        while waiting:
            one = waiting.pop(0)
            if family(one["operator"]) == wanted:
                return one
            if one["operator"] not in BETWEEN:
                continue
            for name in one["inputs"]:
                before = self._maker.get(name)
                if before is not None and before["name"] not in seen:
                    seen.add(before["name"])
                    waiting.append(before)
        return None


def by_layer(found: Sequence[NodeTime]) -> dict[str, float]:
    """Seconds of one inference by the artifact's node."""
    sums: dict[str, float] = defaultdict(float)
    for one in found:
        if one.of:
            sums[one.of] += one.seconds
    return dict(sums)


def of_layer(times: dict[str, float], layer: str) -> float | None:
    """What a layer of the float32 network takes in a build that was quantized from it; None where it has no node there.

    Args:
        times: as `by_layer` has them.
        layer: its name in the float32 network.
    """
    found = [times[name] for name in quantized(layer) if name in times]
    return sum(found) if found else None


def inserted(found: Sequence[NodeTime]) -> tuple[NodeTime, ...]:
    """What the runtime put in that computes nothing of the network's own: casts, reorders, copies."""
    return tuple(one for one in found if not one.of and one.operator in MOVES)


def by_operator(found: Sequence[NodeTime]) -> dict[str, tuple[float, float]]:
    """Operator -> seconds of one inference and how often it ran, the longest first."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for one in found:
        sums[one.operator][0] += one.seconds
        sums[one.operator][1] += one.count
    return {name: (held[0], held[1]) for name, held in sorted(sums.items(), key=lambda item: -item[1][0])}


def difference(first: Sequence[NodeTime], second: Sequence[NodeTime]) -> list[tuple[str, float, float]]:
    """Family of operators -> seconds of one inference on both sides, the largest difference first."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for place, side in enumerate((first, second)):
        for one in side:
            sums[family(one.operator)][place] += one.seconds
    found = [(name, held[0], held[1]) for name, held in sums.items()]
    return sorted(found, key=lambda one: -abs(one[2] - one[1]))
