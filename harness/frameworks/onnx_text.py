"""Whether every text in a model is one: protobuf gives bytes, unasked, for a text that is not UTF-8."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

STRING: Final = 9
MESSAGE: Final = 11
"""Protobuf's numbers of the types of fields."""


def not_text(message: Any) -> str:
    """The first field, below a message, whose text is not UTF-8, such as `node.op_type`; empty where all are."""
    texts, inner = _fields(message.DESCRIPTOR)
    for name in texts:
        held = getattr(message, name)
        if isinstance(held, bytes) or (not isinstance(held, str) and any(isinstance(one, bytes) for one in held)):
            return name
    for name in inner:
        held = getattr(message, name)
        single = hasattr(held, "DESCRIPTOR")
        for one in ((held,) if message.HasField(name) else ()) if single else held:
            if found := not_text(one):
                return f"{name}.{found}"
    return ""


@cache
def _fields(descriptor: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of a message's texts, and of the messages in it."""
    return (
        tuple(field.name for field in descriptor.fields if field.type == STRING),
        tuple(field.name for field in descriptor.fields if field.type == MESSAGE),
    )
