"""The examples that a build answers unlike the reference: pictures with their boxes, or text beside each other."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.store import examples as kept
from harness.store.examples import ExampleResult
from harness.store.rows import Row

MOST = 12
"""Examples on a page, the worst first."""

PNG_SIDES = slice(16, 24)
"""Where a PNG says how wide and how high it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownAnswer:
    """What one side says of an example.

    Attributes:
        who: `truth`, `reference` or `build`.
        text: in words; empty where there are boxes alone.
        boxes: left, top, width and height as shares of the picture in percent, and a label.
    """

    who: str
    text: str
    boxes: tuple[tuple[float, float, float, float, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownExample:
    """One example.

    Attributes:
        name: its number, or a pair's two.
        value, reference: in the metric's unit.
        picture: what it was shown, as an address that holds it; empty where that is not a picture.
    """

    name: str
    value: str
    reference: str
    picture: str
    answers: tuple[ShownAnswer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedExamples:
    """The examples of a case that changed the most.

    Attributes:
        summary: how many changed, in a sentence.
        command: what lists all of them.
    """

    summary: str
    command: str
    shown: tuple[ShownExample, ...]


def of(results: Path, row: Row) -> ChangedExamples | None:
    """The examples of a row; None where none are kept, or none changed."""
    if not row.get("evaluation"):
        return None
    try:
        found = kept.read(results, row["evaluation"])
    except StoreError:  # rows that were imported alone
        return None
    first = [one for one in found if one.metric == found[0].metric]
    changed = sorted((one for one in first if one.drop), key=lambda one: (-one.drop, one.examples))
    if not changed:
        return None
    worse = sum(one.drop > 0 for one in changed)
    return ChangedExamples(
        summary=f"By {first[0].metric}, {worse} of {len(first)} examples are worse than the reference's own and "
        f"{len(changed) - worse} better.",
        command=f"harness examples {row['case']}",
        shown=tuple(_shown(one) for one in changed[:MOST]),
    )


def _shown(one: ExampleResult) -> ShownExample:
    picture = one.pictures[0] if one.pictures else b""
    across, down = struct.unpack(">II", picture[PNG_SIDES]) if len(picture) >= PNG_SIDES.stop else (0, 0)
    sides = (across * one.shrunk, down * one.shrunk)
    answers = [("truth", one.truth), ("reference", one.reference_answer), ("build", one.answer)]
    return ShownExample(
        name=", ".join(map(str, one.examples)),
        value=f"{one.value:.4g}",
        reference=f"{one.reference:.4g}",
        picture=f"data:image/png;base64,{base64.b64encode(picture).decode('ascii')}" if picture else "",
        answers=tuple(_answer(who, said, sides) for who, said in answers if said is not None),
    )


def _answer(who: str, said: Any, sides: tuple[int, int]) -> ShownAnswer:
    if isinstance(said, Mapping) and isinstance(said.get("boxes"), list) and all(sides):
        scores = said.get("scores") or [None] * len(said["boxes"])
        boxes = []
        for corners, kind, score in zip(said["boxes"], said["classes"], scores, strict=True):
            left, right = (100 * edge / sides[0] for edge in (corners[0], corners[2]))
            top, bottom = (100 * edge / sides[1] for edge in (corners[1], corners[3]))
            label = f"{kind}" if score is None else f"{kind} {score:.2f}"
            boxes.append((round(left, 2), round(top, 2), round(right - left, 2), round(bottom - top, 2), label))
        return ShownAnswer(who=who, text=f"{len(boxes)} boxes", boxes=tuple(boxes))
    return ShownAnswer(who=who, text=_text(said))


def _text(said: Any) -> str:
    if isinstance(said, Mapping):
        return "; ".join(f"{key} {_text(value)}" for key, value in said.items())
    return " | ".join(map(_text, said)) if isinstance(said, list) else str(said)
