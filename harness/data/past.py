"""What a decoder keeps of the tokens that it has read: keys and values, which the network itself computes.

An example whose tokens before are known (`Example.before`) is fed what the network keeps of them, and not numbers that
no text has: so an artifact is calibrated and compared on what it meets in use, and a runtime that keeps keys and values
itself can be asked the same question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from harness.data.base import DataRequest, Example
    from harness.records import InputSpec

IDS = "input_ids"
PAST, PRESENT = "past_key_values.", "present."
"""What exporters call keys and values: those that are taken, and those that are given back."""

LENGTH = 2
"""The axis that counts tokens: [batch, heads, past, width]."""


def kept(inputs: Iterable[InputSpec]) -> list[InputSpec]:
    """The inputs that are keys and values."""
    return [spec for spec in inputs if spec.name.startswith(PAST)]


def length(request: DataRequest) -> int | None:
    """How many tokens lie behind, where the network can compute what it keeps of them: from none, and of each layer.

    None where it has no such inputs, where none lie behind, where their number is fixed, or where more than tokens
    would have to be known.
    """
    past = kept(request.inputs)
    others = [spec.name for spec in request.inputs if spec not in past]
    if not past or others != [IDS] or request.model_source != "transformers":
        return None
    axes = {spec.shape[LENGTH] if len(spec.shape) > LENGTH else None for spec in past}
    axis = axes.pop() if len(axes) == 1 else None
    return request.dims.get(axis) or None if isinstance(axis, str) else None


def feed(
    example: Example, inputs: Iterable[InputSpec], run: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> Mapping[str, Any]:
    """What an example is fed, with what the network keeps of the tokens before.

    Args:
        example: of the data source.
        inputs: those of the model.
        run: one inference: a whole feed -> the outputs by name.
    """
    if example.before is None:
        return example.feed
    past = kept(inputs)
    nothing = {spec.name: example.feed[spec.name][:, :, :0] for spec in past}
    answers = run({IDS: example.before, **nothing})
    return {**example.feed, **{spec.name: answers[PRESENT + spec.name.removeprefix(PAST)] for spec in past}}
