"""Mixed precision: which layers to keep in float, the noisiest for the least time first, and how many of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness import scratch
from harness.explain import cases, nodes
from harness.explain.asking import GraphReader
from harness.explain.cases import Say
from harness.explain.explain import Looking, compared, layers_of
from harness.explain.model import LayerLoss
from harness.flow.session import Session
from harness.records import Artifact, Case

EXAMPLES = 4
"""On so many examples tensors are compared: enough for an order, and what is chosen is evaluated on all of them."""

SECONDS = 0.5
"""Of inference for each stretch of a profile."""

FREE = 0.01
"""A layer whose time in float is longer by this share of an inference costs next to nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedLayers:
    """The layers of a quantized build.

    Attributes:
        worth: those that bring noise, the one first that brings the most for what keeping it in float costs.
        slower: those that take longer on integers than in float, the worst first.
    """

    worth: tuple[str, ...]
    slower: tuple[str, ...]


def ranked(session: Session, reader: GraphReader, case: Case, artifact: Artifact, say: Say) -> RankedLayers:
    """Compare a build with what it was quantized from, tensor by tensor and node by node.

    Raises:
        BuildError: their tensors cannot be compared.
        UsageError: what it was quantized from cannot be built.
        WorkerError, WorkerRefusal: the runtime cannot run it.
    """
    twin = cases.before_quantizing(case)
    float_artifact = cases.built(session, twin, say)
    with scratch.folder("tune") as folder:
        look = Looking(session=session, reader=reader, seconds=SECONDS)
        own = look.at(case, artifact, folder / "own.onnx")
        spent = nodes.by_layer(own.found)
        float_times = nodes.by_layer(look.at(twin, float_artifact, folder / "float.onnx").found)
    layers = layers_of(compared(reader, session, artifact, float_artifact, EXAMPLES))
    found = {one.layer: nodes.of_layer(spent, one.layer) for one in layers}
    times = {name: seconds for name, seconds in found.items() if seconds is not None}
    whole = max(own.seen.nodes_s, 1e-9)
    return RankedLayers(
        worth=by_worth(layers, times, float_times, whole), slower=slower(layers, times, float_times, whole)
    )


def by_worth(
    layers: Sequence[LayerLoss], times: dict[str, float], float_times: dict[str, float], whole: float
) -> tuple[str, ...]:
    """Layers with noise, by noise for what keeping them in float costs.

    Args:
        layers: with their scores.
        times: seconds of one inference by layer, quantized.
        float_times: the same in float.
        whole: of the whole build.
    """

    def worth(one: LayerLoss) -> float:
        cost = (float_times.get(one.layer, 0.0) - times.get(one.layer, 0.0)) / whole
        return one.score / max(cost, FREE)

    return tuple(one.layer for one in sorted(layers, key=worth, reverse=True) if one.score > 0)


def slower(
    layers: Sequence[LayerLoss], times: dict[str, float], float_times: dict[str, float], whole: float
) -> tuple[str, ...]:
    """Layers that lose at least `FREE` of an inference by being quantized."""
    lost = {
        one.layer: (times[one.layer] - float_times[one.layer]) / whole
        for one in layers
        if one.layer in times and one.layer in float_times
    }
    return tuple(name for name in sorted(lost, key=lambda name: -lost[name]) if lost[name] >= FREE)


def fewest(most: int, keeps: Callable[[int], bool | None]) -> int | None:
    """The smallest number of layers in float that keeps the budget, as far as one more keeps it no worse.

    Doubled until it is kept, then halved in between: about twice the logarithm of `most` builds.

    Args:
        most: layers that there are.
        keeps: builds, evaluates and says whether the budget is kept; None where the time is over.

    Returns:
        None where not even all of them keep it, or the time was over before one did.
    """
    below, at = 0, 1
    while True:
        at = min(at, most)
        kept = keeps(at)
        if kept is None or (not kept and at == most):
            return None
        if kept:
            break
        below, at = at, at * 2
    while at - below > 1:
        middle = (at + below) // 2
        kept = keeps(middle)
        if kept is None:
            break
        below, at = (below, middle) if kept else (middle, at)
    return at
