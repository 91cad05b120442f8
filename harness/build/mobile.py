"""What CoreML, NNAPI, XNNPACK or QNN would take of a graph, as onnxruntime's own checker counts it.

For the latter two it has no list of operators; theirs is in `harness.build.mobile_operators`. All need a device or a
build of onnxruntime that is not here, so that nothing is timed: the share of nodes and the number of partitions is
what can be said. The checker is a part of onnxruntime's package and imports onnx, hence the child.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness import jobs
from harness.build.mobile_operators import QNN, SOURCES, XNNPACK
from harness.processes import Limits, step_deadline_s

COMMAND: Final = (sys.executable, "-P", "-m", "harness.build.mobile_child")
SILENCE_S: Final = 120.0

NAMED: Final = 6
"""Operators that would stay behind and are named."""

NNAPI: Final = "NnapiExecutionProvider"
CHECKED: Final = ("CoreMLExecutionProvider", NNAPI, XNNPACK, QNN)


@dataclass(frozen=True, slots=True, kw_only=True)
class MobileUse:
    """What a provider would take of a graph.

    Attributes:
        form: CoreML's form of model that takes more of it, `MLProgram` or `NeuralNetwork`; empty for NNAPI.
        nodes: of the graph, after onnxruntime's basic optimizations, its subgraphs included.
        taken: how many of them the provider would run.
        partitions: into how many pieces they fall.
        operators: those that it does not know, or takes under conditions that some node does not meet.
        source: where the operators that it takes are from; empty for the checker's own lists.
    """

    form: str
    nodes: int
    taken: int
    partitions: int
    operators: tuple[str, ...] = ()
    source: str = ""

    @property
    def share(self) -> float:
        """Of the nodes."""
        return self.taken / self.nodes if self.nodes else 0.0

    def __str__(self) -> str:
        """For people."""
        form = f" as {self.form}" if self.form else ""
        named = ", ".join(self.operators[:NAMED])
        rest = f" and {len(self.operators) - NAMED} more" if len(self.operators) > NAMED else ""
        behind = f"; {'not taken' if self.source else 'not known to it'}: {named}{rest}" if named else ""
        pieces = "1 partition" if self.partitions == 1 else f"{self.partitions} partitions"
        by = self.source or "onnxruntime's usability checker"
        return f"not timed, it needs its device; {by}: {self.taken} of {self.nodes} nodes in {pieces}{form}{behind}"


def usable(provider: str, model: Path, sizes: Mapping[str, int]) -> MobileUse | str:
    """What a provider would take of a file, or why that cannot be known.

    Args:
        provider: one of `CHECKED`.
        model: the file.
        sizes: of its open axes.
    """
    limits = Limits(silence_s=min(SILENCE_S, step_deadline_s()))
    job = {"provider": provider, "model": str(model), "sizes": dict(sizes)}
    with jobs.child(COMMAND, job, environment=os.environ, limits=limits) as child:
        said = next(iter(child.messages()), None)
    if said is None:
        return "onnxruntime's usability checker ended without an answer"
    if "why_not" in said:
        reader = "harness" if provider in SOURCES else "onnxruntime's usability checker"
        return f"{reader} cannot read it: {said['why_not']}"
    return MobileUse(**{**said, "operators": tuple(said["operators"])}, source=SOURCES.get(provider, ""))
