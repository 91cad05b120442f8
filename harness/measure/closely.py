"""Where the time of an inference goes: a profile over many runs, beside the same runs without one.

A profile costs time itself, so that what its nodes add up to is compared with runs that were not profiled, taken before
and after it in the same process. Nothing here is a number of a sweep.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import WorkerRefusal
from harness.measure import placement, profile
from harness.measure.bursts import OPEN_DEADLINE_S, burst
from harness.measure.coordinator import PROFILE_DEADLINE_S, ClientFactory, Workload, placed
from harness.measure.placement import NodeRow
from harness.records import RuntimeInfo
from harness.runtimes.client import Client

SECONDS = 2.0
"""Of inference for each of the three stretches: without a profile, with one, and without again."""

FEWEST, MOST = 8, 300
"""Runs of each stretch."""

TYPICAL = 8
"""Where in a row the microseconds of a typical run stand."""

AGREES = 0.10
"""The nodes of a profile add up to the latency where they differ from it by no more than this share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseLook:
    """What a session was seen to do.

    Attributes:
        nodes: what each node took, sums over `runs`, as `placement.NodeRow`.
        runs: how many were profiled.
        latency_s: the median of the runs that were not.
        providers: provider -> nodes that it took; empty where the worker cannot tell.
        graph: where the graph that was run lies; None where the runtime did not write it.
        lacks: why there is no profile; empty where there is one.
    """

    nodes: Sequence[NodeRow]
    runs: int
    latency_s: float
    runtime: RuntimeInfo
    providers: dict[str, int]
    graph: Path | None = None
    lacks: str = ""

    @property
    def nodes_s(self) -> float:
        """What the nodes of one run add up to; bodies of loops and branches are counted by their own nodes."""
        return sum(typical_s(row, self.runs) for row in self.nodes if row[1] not in placement.BODIES)

    @property
    def disagreement(self) -> str:
        """What is said where the nodes do not add up to the latency; empty where they do, and without a profile."""
        if not self.nodes or not self.latency_s:
            return ""
        share = self.nodes_s / self.latency_s
        if abs(share - 1) <= AGREES:
            return ""
        why = (
            "starting nodes and the call itself take the rest"
            if share < 1
            else "profiling itself slows small nodes, or nodes run side by side"
        )
        return f"the nodes add up to {share:.0%} of the latency without a profile, more than 10% from it: {why}"


def typical_s(row: NodeRow, runs: int) -> float:
    """What a node takes in one of so many runs, in seconds: the typical one where the worker says it, else the mean."""
    return float(row[TYPICAL]) / 1e6 if len(row) > TYPICAL else float(row[5]) / 1e6 / max(runs, 1)


def look(workload: Workload, *, graph: Path, client: ClientFactory = Client, seconds: float = SECONDS) -> CloseLook:
    """Run a model without a profile, with one, and without again, all in one process.

    Args:
        workload: what to run.
        graph: where the graph that is run shall be written.
        client: starts the worker.
        seconds: of inference for each stretch.

    Raises:
        WorkerRefusal, WorkerError: as `coordinator.time_process`.
    """
    with client() as worker:
        opened = worker.ask("open", OPEN_DEADLINE_S, **workload.request())
        first_ns = burst(worker, 1, OPEN_DEADLINE_S)[0][0]
        typical_ns = burst(worker, 1, OPEN_DEADLINE_S)[0][0]
        runs = max(FEWEST, min(MOST, int(seconds * 1e9 / max(typical_ns, 1))))
        limit = 120.0 + 20.0 * runs * first_ns / 1e9
        plain = [*burst(worker, runs, limit)[0]]
        if "profile" in worker.lacks:
            return CloseLook(
                nodes=(),
                runs=0,
                latency_s=statistics.median(plain) / 1e9,
                runtime=worker.runtime,
                providers=dict(placed(opened)),
                lacks=str(worker.lacks["profile"]),
            )
        _open_profiled(worker, workload, graph)
        burst(worker, runs, limit)
        found = profile.take(worker, PROFILE_DEADLINE_S)
        worker.ask("open", OPEN_DEADLINE_S, **workload.request())
        burst(worker, 2, limit)
        plain += burst(worker, runs, limit)[0]
        return CloseLook(
            nodes=tuple(map(tuple, found["nodes"])),
            runs=int(found.get("runs", 1)),
            latency_s=statistics.median(plain) / 1e9,
            runtime=worker.runtime,
            providers=dict(placed(opened)),
            graph=graph if graph.exists() else None,
        )


def _open_profiled(worker: Client, workload: Workload, graph: Path) -> None:
    """Open with a profile, and with the graph written where the runtime can.

    A provider that compiles its nodes cannot write them, and a graph of 2 GB is more than one file holds.
    """
    request = workload.request(profile=True)
    if "graph" in (worker.hello.get("features") or ()):
        try:
            worker.ask("open", OPEN_DEADLINE_S, **request, graph=str(graph))
        except WorkerRefusal:
            graph.unlink(missing_ok=True)
        else:
            return
    worker.ask("open", OPEN_DEADLINE_S, **request)
