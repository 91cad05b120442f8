"""What is known of a case once it was looked at closely: frozen, as JSON and back. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

FORMAT = 1
"""Of the JSON that is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTime:
    """One node of the graph that was run.

    Attributes:
        node: its name there.
        operator, provider: what ran it, and where.
        seconds: in one inference.
        count: how often it ran in one inference.
        of: the node of the artifact that it is, or that it was made of; empty where the runtime inserted it.
    """

    node: str
    operator: str
    provider: str
    seconds: float
    count: float = 1.0
    of: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionPlace:
    """One place of a pattern in the network as it was exported.

    Attributes:
        nodes: their names there.
        status: `fused`, `missed` or `not traced`.
        why: why it was missed.
        before_s, after_s: what its nodes take in one inference with all optimizations off, and what the one node takes
            that they became; None where a profile does not have them.
    """

    pattern: str
    nodes: tuple[str, ...]
    status: str
    why: str = ""
    before_s: float | None = None
    after_s: float | None = None

    @property
    def saved_s(self) -> float | None:
        """What fusing it saved, in seconds of one inference."""
        return None if self.before_s is None or self.after_s is None else self.before_s - self.after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorLoss:
    """One quantized tensor.

    Attributes:
        kind: `weight` or `activation`.
        here_db: signal to noise of quantizing it, then and there; None where that is exact or not known.
        so_far_db: signal to noise against the float32 network's, all errors before it included.
        share: noise to signal of quantizing it, the mean over its channels.
    """

    tensor: str
    kind: str
    here_db: float | None = None
    so_far_db: float | None = None
    share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerLoss:
    """One quantized layer, by the name of its node in the float32 network.

    Attributes:
        weights, inputs, output: names of tensors.
        weight_db, input_db: the worst signal to noise of quantizing its weights, and of what it reads.
        output_db: of what it makes, against float32's, all errors before it included.
        score: noise that it brings to signal; what the ranking follows.
        seconds: what it takes in one inference.
        float_seconds: what it takes where everything is float32; None where that was not seen.
    """

    layer: str
    operator: str
    weights: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    output: str = ""
    weight_db: float | None = None
    input_db: float | None = None
    output_db: float | None = None
    score: float = 0.0
    seconds: float | None = None
    float_seconds: float | None = None

    @property
    def cost_s(self) -> float | None:
        """What keeping it in float would add to one inference, from two profiles."""
        return None if self.seconds is None or self.float_seconds is None else self.float_seconds - self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftInFloat:
    """A layer that really was left in float, and what came of it.

    Attributes:
        closeness_db: fidelity of the build without it; None where there is none, or it is exact.
        gained_db: by how much that is closer than with it.
        metric, value, gained: the accuracy, and by how much it is better than with the layer quantized; None without
            labels.
        ratio: how many times as long as the build itself one inference takes, from live pairs; None where not measured.
        excess: why it is outside the budget; empty where it is inside, None where that is not known.
        reason: why there is no build; empty where there is one.
    """

    layer: str
    closeness_db: float | None = None
    gained_db: float | None = None
    metric: str = ""
    value: float | None = None
    gained: float | None = None
    ratio: float | None = None
    excess: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """Where a quantized build loses closeness to float32.

    Attributes:
        examples: on how many tensors were compared.
        layers: the worst first.
        confirmed: layers that really were left in float, the one that helps most first.
        closeness_db, metric, value: of the build itself.
        problem: why tensors could not be compared; empty where they were.
    """

    examples: int = 0
    tensors: tuple[TensorLoss, ...] = ()
    layers: tuple[LayerLoss, ...] = ()
    confirmed: tuple[LeftInFloat, ...] = ()
    closeness_db: float | None = None
    metric: str = ""
    value: float | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A case, looked at closely.

    Attributes:
        case: its id.
        made_at: UTC, ISO 8601.
        artifact: the artifact's digest.
        runtime: what ran it.
        fingerprint: of the host.
        latency_s: the median without a profile.
        nodes_s: what the nodes of one inference add up to.
        runs: how many were profiled.
        nodes: those of the graph that was run.
        providers: provider -> nodes that it took.
        places: of the named patterns.
        losses: of a quantized build; None of any other.
        notes: what a person should know, such as that nodes do not add up to the latency.
    """

    case: str
    made_at: str
    artifact: str
    runtime: str
    fingerprint: str
    latency_s: float
    nodes_s: float
    runs: int
    nodes: tuple[NodeTime, ...] = ()
    providers: Mapping[str, int] = field(default_factory=dict)
    places: tuple[FusionPlace, ...] = ()
    losses: Losses | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`.

        Raises:
            ValueError, LookupError, TypeError: it is another format, or not an explanation.
        """
        if content.get("format") != FORMAT:
            raise ValueError(f"format {content.get('format')!r}, expected {FORMAT}")
        losses = content.get("losses")
        return cls(
            **{
                **{one.name: content[one.name] for one in fields(cls)},
                "nodes": tuple(NodeTime(**one) for one in content["nodes"]),
                "places": tuple(FusionPlace(**{**one, "nodes": tuple(one["nodes"])}) for one in content["places"]),
                "losses": None if losses is None else losses_from_json(losses),
                "notes": tuple(content["notes"]),
            }
        )


def losses_from_json(content: Mapping[str, Any]) -> Losses:
    """The inverse of how `Explanation.to_json` writes losses."""
    lists = ("weights", "inputs")
    return Losses(
        **{
            **content,
            "tensors": tuple(TensorLoss(**one) for one in content["tensors"]),
            "layers": tuple(
                LayerLoss(**{**one, **{name: tuple(one[name]) for name in lists}}) for one in content["layers"]
            ),
            "confirmed": tuple(LeftInFloat(**one) for one in content["confirmed"]),
        }
    )
