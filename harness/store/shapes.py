"""What the open columns hold: readers rely on it, and a file that others wrote may have anything there.

A column of `JSON` is text whose keys are open-ended, and whose kind is not: shares by provider are numbers, whatever
the providers. What is of another kind reads as absent, and so does a number that JSON does not have (NaN, 1e999).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final


def _number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(one is not None and _number(one) for one in value.values())


def _settings(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_plain, value.values()))


def _objects(value: Any) -> bool:
    return isinstance(value, list) and all(map(_object, value))


def _steps(value: Any) -> bool:
    return _objects(value) and all(
        isinstance(one.get("kind"), str) and isinstance(one.get("options"), dict) for one in value
    )


def _fusion(value: Any) -> bool:
    counts = ("before", "after", "patterns", "found")
    return isinstance(value, dict) and all(value.get(name) is None or _counts(value[name]) for name in counts)


def _counts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(one, int) for one in value.values())


def _limits(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_numbers_or_none, value.values()))


def _numbers_or_none(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_number, value.values()))


def _choice(value: Any) -> bool:
    if not isinstance(value, dict) or not all(isinstance(value.get(name), str) for name in ("state", "best")):
        return False
    lists = [value.get(name) or [] for name in ("tied", "slower")]
    return (
        all(isinstance(one, list) and all(isinstance(name, str) for name in one) for one in lists)
        and all(_number(value.get(name)) for name in ("ratio", "low", "high"))
        and all(
            isinstance(value.get(name, kind()), kind)
            for name, kind in (("baseline", str), ("reason", str), ("blocks", int))
        )
    )


SHAPES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "crashes": _objects,
    "choice": _choice,
    "fidelity_parts": _objects,
    "metrics": _objects,
    "metric_budgets": _limits,
    **dict.fromkeys(("placement", "time_share", "arithmetic", "computation", "floor_s"), _numbers),
    **dict.fromkeys(("behind", "kernels", "limits", "operators", "placed"), _counts),
    "fusion": _fusion,
    "steps": _steps,
    **dict.fromkeys(("provider_options", "session_config", "versions"), _settings),
    **dict.fromkeys(("host", "settings", "noise"), _object),
}
"""Whether a value is what a column holds."""


def shaped(name: str, value: Any) -> Any:
    """The value of an open column, or None where it is of another kind."""
    found = finite(value)
    return found if name not in SHAPES or SHAPES[name](found) else None


def finite(value: Any) -> Any:
    """JSON's value with None for every number that is not finite."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
