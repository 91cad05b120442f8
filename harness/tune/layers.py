"""Mixed precision: which layers to keep in float, the noisiest for the least time first, and how many of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from harness import scratch
from harness.explain import cases, nodes
from harness.explain.asking import GraphReader
from harness.explain.cases import Say
from harness.explain.explain import Looking, compared, layers_of
from harness.explain.model import LayerLoss
from harness.explain.names import on_integers, quantized
from harness.flow.session import Session
from harness.records import Artifact, Case

EXAMPLES = 4
"""On so many examples tensors are compared: enough for an order, and what is chosen is evaluated on all of them."""

SECONDS = 0.25
"""Of inference for each stretch of a profile."""

FREE = 0.01
"""A layer whose time in float is longer by this share of an inference costs next to nothing."""

NOTABLE = 0.03
"""Layers that together lose less than this share of an inference are not worth another build."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTimes:
    """Where the time goes in a quantized build and in what it was quantized from, by layer.

    Attributes:
        artifact: what it was quantized from.
        quantized, plain: layer -> seconds of one inference.
        whole: seconds of the quantized build.
        integers: the layers that it runs on integers.
    """

    artifact: Artifact
    quantized: Mapping[str, float]
    plain: Mapping[str, float]
    whole: float
    integers: frozenset[str] = frozenset()


def profiled(session: Session, reader: GraphReader, case: Case, artifact: Artifact, say: Say) -> LayerTimes:
    """Profile a quantized build, and what it was quantized from.

    Raises:
        BuildError: their graphs cannot be read.
        UsageError: what it was quantized from cannot be built.
        WorkerError, WorkerRefusal: the runtime cannot run it.
    """
    twin = cases.before_quantizing(case)
    float_artifact = cases.built(session, twin, say)
    with scratch.folder("tune") as folder:
        look = Looking(session=session, reader=reader, seconds=SECONDS)
        own = look.at(case, artifact, folder / "own.onnx")
        plain = nodes.by_layer(look.at(twin, float_artifact, folder / "float.onnx").found)
    spent = nodes.by_layer(own.found)
    narrow = {one.of for one in own.found if on_integers(one.operator)}
    found = {layer: nodes.of_layer(spent, layer) for layer in plain}
    times = {layer: seconds for layer, seconds in found.items() if seconds is not None}
    integers = frozenset(layer for layer in times if not narrow.isdisjoint(quantized(layer)))
    whole = max(own.seen.nodes_s, 1e-9)
    return LayerTimes(artifact=float_artifact, quantized=times, plain=plain, whole=whole, integers=integers)


def worth(session: Session, reader: GraphReader, artifact: Artifact, times: LayerTimes) -> tuple[str, ...]:
    """The layers that bring noise, the one first that brings the most for what keeping it in float costs.

    Raises:
        BuildError: the tensors of both builds cannot be compared.
    """
    found = layers_of(compared(reader, session, artifact, times.artifact, EXAMPLES))
    return by_worth(found, times.quantized, times.plain, times.whole)


def by_worth(
    layers: Sequence[LayerLoss], times: Mapping[str, float], float_times: Mapping[str, float], whole: float
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


def slower(times: LayerTimes) -> tuple[str, ...]:
    """Layers that lose at least `FREE` of an inference by being quantized; none where they are not worth a build."""
    lost = {
        layer: (spent - times.plain[layer]) / times.whole
        for layer, spent in times.quantized.items()
        if layer in times.integers
    }
    found = [name for name in sorted(lost, key=lambda name: -lost[name]) if lost[name] >= FREE]
    return tuple(found) if sum(lost[name] for name in found) >= NOTABLE else ()


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
