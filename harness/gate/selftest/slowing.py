"""Real slow-downs of a known size: copies of a model with extra nodes, as many as cost the share that is asked for.

What a node costs is measured and not computed: first with so many that their cost stands out of the noise, then the
number is scaled. What the slow-down truly is, the recorded pairs say themselves.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import processes
from harness.errors import BuildError
from harness.measure.coordinator import Workload
from harness.measure.pairs import PairSpec, measure_pair
from harness.measure.usual_bursts import BURST_S, BURSTS
from harness.records import Pair
from harness.runtimes.client import Client

MODULE = "harness.gate.selftest.graphs"
DEADLINE_S = 600.0

WIDTH = 32
"""Columns of the matrices in extra nodes."""

FIXED_NODES = 4
"""Nodes that lead from the input to the chain, whatever its length; they cost about as much as those of the chain."""

FIRST_NODES = 16
FULL_SHARE = 0.12
"""A cost this large, as a share of the model's own time, stands out of the noise of a few pairs. A larger one would
stand out better, and be scaled down too far: many nodes cost less each than few."""

MOST_NODES = 4096
PAIRS = 5


def make(jobs: Sequence[Mapping[str, Any]]) -> None:
    """Have a child write models; see `harness.gate.selftest.graphs` for the jobs.

    Raises:
        BuildError: if one cannot be made.
    """
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    done = processes.run_text(
        (sys.executable, "-P", "-m", MODULE),
        deadline_s=DEADLINE_S,
        stdin="".join(json.dumps(job) + "\n" for job in jobs),
        environment={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    if done.returncode == processes.TIMED_OUT:
        raise BuildError(f"making {len(jobs)} models took longer than {DEADLINE_S:.0f} s")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    for answer in answers:
        if "error" in answer:
            raise BuildError(answer["error"])
    if len(answers) != len(jobs):
        words = " | ".join(done.stderr.strip().splitlines()[-3:])
        raise BuildError(f"the process that makes models ended with exit code {done.returncode}: {words}")


def pair_spec(base: Workload, head: Workload, *, bursts: int = BURSTS, burst_s: float = BURST_S) -> PairSpec:
    """Two workloads against each other, both on the onnxruntime beside harness."""
    return PairSpec(
        workloads={"base": base, "head": head},
        clients={"base": Client, "head": Client},
        bursts=bursts,
        burst_s=burst_s,
    )


def with_nodes(work: Workload, nodes: int, folder: Path) -> Workload:
    """A copy of the workload's model with so many extra nodes; made where `folder` does not have it.

    Raises:
        BuildError: as `make`.
    """
    path = folder / f"{nodes}.onnx"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        make([{"slow": str(work.model), "nodes": nodes, "width": WIDTH, "to": str(path)}])
    return dataclasses.replace(work, model=path)


def nodes_for(
    work: Workload,
    slow: float,
    folder: Path,
    *,
    pairs: int = PAIRS,
    copy: Callable[[Workload, int, Path], Workload] | None = None,
    pair: Callable[[PairSpec], Pair] = measure_pair,
) -> int:
    """How many extra nodes slow a workload down by about the share `slow`.

    Args:
        work: the workload.
        slow: the share.
        folder: where slowed copies lie.
        pairs: measured for each number of nodes that is tried.
        copy: makes a slowed copy; `with_nodes` where none is given.
        pair: measures one pair.

    Raises:
        BuildError: as `make`, or if no number of nodes does.
        WorkerError: as `measure_pair`.
    """
    nodes = FIRST_NODES
    while True:
        slowed = pair_spec(work, (copy or with_nodes)(work, nodes, folder))
        share = math.expm1(statistics.median(pair(slowed).log_ratio for _ in range(pairs)))
        if share >= FULL_SHARE or nodes >= MOST_NODES:
            break
        # Toward the share that stands out, not past it by much, however wrong the first figure is.
        nodes = min(MOST_NODES, nodes * max(2, min(8, round(1.3 * FULL_SHARE / max(share, 0.01)))))
    if share <= 0:
        raise BuildError(f"{nodes} extra nodes do not slow {work.model} down: its inference takes too long for them")
    return scaled(nodes, slow / share)


def scaled(nodes: int, factor: float) -> int:
    """The number of extra nodes that costs `factor` times as much as `nodes` do; at least one."""
    return max(1, round((nodes + FIXED_NODES) * factor) - FIXED_NODES)
