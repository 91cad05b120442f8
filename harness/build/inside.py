"""What is inside an ONNX file beyond its plain facts, and in what two files differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.build import patterns, precision
from harness.build.inspect import inspect

if TYPE_CHECKING:
    from pathlib import Path

    from harness.records import Json


def inside(path: Path) -> dict[str, Json]:
    """As `harness.build.inspect.inspect`, and what its graph is.

    Returns:
        In addition `precision`, `weight_bytes`, `quantized_share` (the share of initializers' elements that have 8 or
        fewer bits; None where there are no elements) and `unfused` (pattern -> places where it is left).

    Raises:
        BuildError: there is no such file, or it is not a whole ONNX model.
    """
    from harness.frameworks.onnx import parse

    found: dict[str, Any] = inspect(path)
    content = parse(path)
    held = found["initializers"].values()
    elements = sum(one["elements"] for one in held)
    return {
        **found,
        "precision": precision.of(content),
        "weight_bytes": sum(one["bytes"] for one in held),
        "quantized_share": precision.narrow_elements(content) / elements if elements else None,
        "unfused": {name: count for name, count in patterns.found(content).items() if count},
    }


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    """In what two files differ: fact -> before and after, only where these are not the same.

    Facts of dicts are taken apart, as `operators.Conv`; None stands for what a side does not have. The file's own name,
    its graph's name and its metadata are left out.
    """
    first, second = _flat(before), _flat(after)
    names = dict.fromkeys([*first, *second])
    return {
        name: [first.get(name), second.get(name)]
        for name in names
        if first.get(name) != second.get(name) and name.partition(".")[0] not in ("file", "graph", "metadata", "doc")
    }


def _flat(facts: Mapping[str, Any], lead: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in facts.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{lead}{name}.")
        elif name in ("inputs", "outputs"):
            found |= {f"{name}.{one['name']}": signature(one) for one in value}
        else:
            found[f"{lead}{name}"] = value
    return found


def signature(one: Mapping[str, Any]) -> str:
    """What an input or output takes, such as `float[batch,1,8,8]`; of a shape that is not stated the type alone."""
    shape = one["shape"]
    return (
        str(one["type"]) if shape is None else f"{one['type']}[{','.join('?' if a is None else str(a) for a in shape)}]"
    )
