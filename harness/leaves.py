"""Values as plain arrays: those of sequences, maps and optionals by their place, such as `[0]` or `[0]{2}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

KEYS = " keys"
"""Behind a map's place: its keys themselves, as an array."""


def leaves(value: Any, place: str = "") -> dict[str, Array]:
    """Every array of a value, by its place; an optional without a value has none.

    A map of single numbers, as a classifier's probabilities by class are, is one array over its sorted keys.
    """
    import numpy as np

    if value is None:
        return {}
    if isinstance(value, Mapping):
        ordered = sorted(value, key=lambda key: (str(type(key)), key))
        if value and all(np.ndim(value[key]) == 0 and not isinstance(value[key], Mapping) for key in ordered):
            held = np.asarray([value[key] for key in ordered])
            return {place: held, f"{place}{KEYS}": np.asarray(ordered)}
        found: dict[str, Array] = {}
        for key in ordered:
            found |= leaves(value[key], f"{place}{{{key}}}")
        return found
    if isinstance(value, (list, tuple)):
        found = {}
        for index, item in enumerate(value):
            found |= leaves(item, f"{place}[{index}]")
        return found
    return {place: np.asarray(value)}


def numbers(array: Any) -> Array:
    """Any floating-point array in double precision; complex ones with their two parts along a last axis."""
    import numpy as np

    held = np.asarray(array)
    if held.dtype.kind == "c":
        held = np.stack([held.real, held.imag], axis=-1)
    return np.asarray(held, dtype=np.float64)


def copied(value: Any) -> Any:
    """A value that no longer depends on the file that it was read from."""
    if isinstance(value, Mapping):
        return {key: copied(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [copied(one) for one in value]
    return value.copy() if hasattr(value, "copy") else value
