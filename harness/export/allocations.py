"""What onnxruntime itself counts of the memory that one inference allocates, node by node.

`session.collect_node_memory_stats_to_file` of the session's options: the stock wheels have it (tried with 1.31.1). It
counts what is allocated and not what is released, so that the sum is the most that can be held at once; the least is
what shapes say is alive (`harness.predict.devices.live_bytes`). In a child, since the model runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from harness import jobs
from harness.processes import Limits, step_deadline_s

COMMAND: Final = (sys.executable, "-P", "-m", "harness.export.allocations_child")
SILENCE_S: Final = 120.0


def allocations(model: Path, sizes: Mapping[str, int]) -> dict[str, Any]:
    """What one inference on zeros allocates on the CPU, one thread, without a memory pattern.

    Args:
        model: the file.
        sizes: of its open axes.

    Returns:
        `allocated_bytes`, all of it added up; `largest_bytes` of one node with `largest_at`; `temporary_bytes`, the
        most that a kernel takes for itself while it runs, with `temporary_at`; `timeline`: in the order in which they
        run, every node that allocates, with its `bytes` and `temporary_bytes`. Else `reason`.
    """
    job = {"model": str(model), "sizes": dict(sizes)}
    limits = Limits(silence_s=min(SILENCE_S, step_deadline_s()))
    with jobs.child(COMMAND, job, environment=os.environ, limits=limits) as child:
        said = next(iter(child.messages()), None)
    if said is None:
        return {"reason": "the process that ran the model ended without an answer"}
    if "problem" in said:
        return {"reason": str(said["problem"])}
    return summed(said["timeline"])


def summed(timeline: list[dict[str, Any]]) -> dict[str, Any]:
    """The timeline, and what stands out in it."""
    largest = max(timeline, key=lambda one: one["bytes"], default=None)
    temporary = max(timeline, key=lambda one: one["temporary_bytes"], default=None)
    return {
        "allocated_bytes": sum(one["bytes"] for one in timeline),
        **({"largest_bytes": largest["bytes"], "largest_at": largest["node"]} if largest else {}),
        "temporary_bytes": temporary["temporary_bytes"] if temporary else 0,
        **({"temporary_at": temporary["node"]} if temporary and temporary["temporary_bytes"] else {}),
        "timeline": timeline,
    }
