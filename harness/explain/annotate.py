"""A copy of an artifact whose nodes say in their metadata what they take and what they lose, as viewers show it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.explain import nodes
from harness.explain.model import Explanation, LayerLoss
from harness.units import seconds

PREFIX = "harness."
"""What the keys begin with."""


def write(artifact: Path, found: Explanation, target: Path) -> int:
    """Write the copy, without external data, which viewers do not need.

    Args:
        artifact: the file; it stays as it is.
        found: what is known of its nodes.
        target: the copy.

    Returns:
        How many nodes say something.
    """
    import onnx

    content = onnx.load(artifact, load_external_data=False)
    times = nodes.by_layer(found.nodes)
    losses = {one.layer: one for one in found.losses.layers} if found.losses else {}
    said = 0
    for node in content.graph.node:
        facts = facts_of(times.get(node.name), losses.get(node.name), found.nodes_s)
        said += bool(facts)
        for key, value in facts.items():
            entry: Any = node.metadata_props.add()
            entry.key, entry.value = f"{PREFIX}{key}", value
    for key, value in (("case", found.case), ("explained", found.made_at), ("runtime", found.runtime)):
        entry = content.metadata_props.add()
        entry.key, entry.value = f"{PREFIX}{key}", value
    onnx.save(content, target)
    return said


def facts_of(spent: float | None, loss: LayerLoss | None, whole: float) -> dict[str, str]:
    """What a node's metadata say of it; nothing of one that was taken into another and lost nothing."""
    found: dict[str, str] = {}
    if spent is not None:
        found |= {"time": seconds(spent), "share of time": f"{spent / whole:.1%}" if whole else ""}
    if loss is not None:
        found["noise"] = f"{loss.score:.3g}"
        for name, value in (
            ("weights", loss.weight_db),
            ("inputs", loss.input_db),
            ("output against float32", loss.output_db),
        ):
            if value is not None:
                found[name] = f"{value:.1f} dB"
        if loss.cost_s is not None:
            found["in float costs"] = seconds(loss.cost_s)
    return {key: value for key, value in found.items() if value}
