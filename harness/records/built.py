"""What was built, or why it was not. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.records.asked import Json, Step
from harness.records.status import Status
from harness.records.values import ValueEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The weights that were really used.

    Attributes:
        kind: `pretrained`, `seeded`, `trained`, or `file` for a model that came as .onnx.
        digest: of the parameters' names, types, shapes and bytes.
        reason: why this kind, where it is not the one that was asked for; else empty.
    """

    kind: str
    digest: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Evaluation examples and the fp32 framework's outputs on them, kept in the cache under `digest`.

    Attributes:
        origin: what computed the outputs, such as `torch 2.13.0`.
        inputs, outputs: names in order.
        examples: how many; an example is a whole feed.
        labelled: whether true labels are stored with them.
        feeds, answers, labels: where the values lie, from the reference's own folder. A label that is one array has one
            entry with an empty name, a label that is a mapping has one per key.
        before: the tokens that a decoder has read before each example, of which its keys and values are; none where it
            has no such inputs, where these are random, and in references of earlier versions.
        batch_axes: input name -> the axis along which examples can be joined to a batch; empty where there is none.
        rows: rows of data in one example: the fixed batch size of the model, else 1.
        why_no_batch: the reason where there is no batch axis; empty where there is one, and in old entries.
        notes: what a person should know, such as what of the feeds is a guess.
        random: the outputs that are other numbers in another run; none in references of earlier versions.
    """

    digest: str
    origin: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    examples: int
    labelled: bool
    feeds: tuple[ValueEntry, ...] = ()
    answers: tuple[ValueEntry, ...] = ()
    labels: tuple[ValueEntry, ...] = ()
    before: tuple[ValueEntry, ...] = ()
    batch_axes: Mapping[str, int] = field(default_factory=dict)
    rows: int = 1
    why_no_batch: str = ""
    notes: tuple[str, ...] = ()
    random: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """The .onnx file that a recipe produced (with its external data, if any), kept in the cache under `digest`.

    Attributes:
        digest: of everything that went in: weights, options, recipe, calibration data, tool versions, ISA.
        bytes: the size of all its files.
        nodes: the number of graph nodes, subgraphs included.
        operators: nodes by operator, domain-qualified outside the default one.
        fusion: what the fuse step did: `before`, `after` (nodes by operator) and `patterns` (name -> count).
        stated: what the file says of its arithmetic: `weights` (element type -> elements that are computed with in it)
            and `packed` (MatMulNBits node -> bits, accuracy level); empty where an earlier version built it.
        seconds: how long its own last step took to build.
        steps: the recipe's steps, resolved, so that the artifact says how to make it again.
        precision: what its arithmetic really is, where no step of the recipe decides that; empty where one does.
    """

    digest: str
    model: str
    variant: str
    weights: Weights
    reference: Reference
    bytes: int
    nodes: int
    operators: Mapping[str, int]
    fusion: Mapping[str, Json] = field(default_factory=dict)
    stated: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    precision: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why there is no artifact: skipped, unsupported or failed, with the reason."""

    status: Status
    reason: str


Built = Artifact | Refusal
