"""Outputs that are sequences, maps or optionals: both sides' arrays by their place (`harness.leaves`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.leaves import leaves

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(slots=True, kw_only=True)
class Leaf:
    """One place of an output over all examples where both sides have it.

    Attributes:
        reference, output: an array per example, in the same order.
        missing: values that one side alone has, where the other has nothing at this place.
    """

    reference: Any = field(default_factory=list)
    output: Any = field(default_factory=list)
    missing: int = 0


def is_plain(values: Sequence[Any]) -> bool:
    """Whether these are arrays, as far as the first tells; they are not read."""
    return not len(values) or hasattr(values[0], "dtype")


def paired(reference: Sequence[Any], output: Sequence[Any]) -> dict[str, Leaf]:
    """Both sides' arrays by place, in the reference's order; a plain output is one leaf at the place ``."""
    if is_plain(reference) and is_plain(output):
        return {"": Leaf(reference=reference, output=output)}
    found: dict[str, Leaf] = {}
    for wanted, got in zip(reference, output, strict=True):
        ours, theirs = leaves(wanted), leaves(got)
        for place in (*ours, *(one for one in theirs if one not in ours)):
            leaf = found.setdefault(place, Leaf())
            if place in ours and place in theirs:
                leaf.reference.append(ours[place])
                leaf.output.append(theirs[place])
            else:
                leaf.missing += int((ours if place in ours else theirs)[place].size)
    return found
