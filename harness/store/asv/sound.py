"""Whether what stands in asv's files has the shape that asv gives it: all that a reader may rely on, checked once.

Each function returns what is wrong, empty where nothing is. Values themselves may be anything that asv stores.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

ENDLESS = ("stats_ci_99_a", "stats_ci_99_b", "stats_q_25", "stats_q_75")
"""Columns of numbers that may be infinite, as intervals of few samples are, or NaN."""

NUMBERS = ("started_at", "duration", "stats_number", "stats_repeat", *ENDLESS)
TEXTS = ("name", "unit", "code", "version", "type", "pretty_name")


def header(found: Mapping[str, Any]) -> str:
    """Of a result file, beside its numbers."""
    if not isinstance(found.get("commit_hash"), str) or not isinstance(found.get("params"), dict):
        return "it names no commit or no machine"
    if not all(_scalar(value) for value in found["params"].values()):
        return "a parameter of its environment is not a text"
    for name in ("requirements", "env_vars", "harness_weights"):
        held = found.get(name) or {}
        if not isinstance(held, dict) or not all(_scalar(value) for value in held.values()):
            return f"{name} is not a mapping of texts"
    if not _number(found.get("date")):
        return "its date is not a number"
    return "" if _scalar(found.get("env_name")) else "the name of its environment is not a text"


def columns(name: str, found: Mapping[str, Any]) -> str:
    """Of one benchmark's numbers, beside their count."""
    if not all(isinstance(value, str) for axis in found.get("params") or [] for value in axis):
        return f"a parameter of {name} is not a text"
    if not _scalar(found.get("version")):
        return f"the version of {name} is not a text"
    for column in NUMBERS:
        value = found.get(column)
        fits = _any_number if column in ENDLESS else _number
        if not all(fits(one) for one in (value if isinstance(value, list) else [value])):
            return f"{name} has {value!r:.80} as {column}"
    samples = found.get("samples") or []
    if not all(one is None or (isinstance(one, list) and all(map(_any_number, one))) for one in samples):
        return f"a sample of {name} is not a number"
    return ""


def benchmarks(found: Mapping[str, Any]) -> str:
    """Of benchmarks.json."""
    for name, one in found.items():
        if not isinstance(one, dict):
            return f"{name} is not described by a mapping"
        names, axes = one.get("param_names") or [], one.get("params")
        if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
            return f"the names of the parameters of {name} are not texts"
        if not isinstance(axes, list) or not all(isinstance(axis, list) for axis in axes):
            return f"{name} has no parameters"
        if not all(isinstance(value, str) for axis in axes for value in axis):
            return f"a parameter of {name} is not a text"
        if wrong := next((key for key in TEXTS if not _scalar(one.get(key))), None):
            return f"{wrong} of {name} is not a text"
    return ""


def machine(found: Mapping[str, Any]) -> str:
    """Of machine.json."""
    return "" if all(_scalar(value) for value in found.values()) else "a fact of the machine is not a text"


def _scalar(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float))


def _any_number(value: Any) -> bool:
    return value is None or isinstance(value, (int, float))


def _number(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and math.isfinite(value))
