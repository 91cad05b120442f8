"""How often a sweep names one of k identical builds as better, and how often it finds one that is really faster.

    python -m benchmarks.identical --sweeps 20 --copies 4

Copies of one file compete by the sweep's own rules: rounds of fresh processes select, blocks of live processes confirm.
Then one of them is replaced by a build that does 5% less work. Both figures are rates over sweeps of one run, beside
the rule that looks at the sweep's intervals alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks import common
from harness import confirmation
from harness.measure import coordinator
from harness.measure.coordinator import Workload
from harness.measure.pacing import Pace
from harness.measure.pairs import GroupSpec, measure_block
from harness.measure.rounds import turns
from harness.records import Target
from harness.runtimes.client import Client
from harness.stats import estimate

LAYERS = 40
SIDE = 96


def chain(path: Path, layers: int) -> Path:
    """A file with so many matrix products one after the other, none of which can be left out."""
    weight = numpy_helper.from_array(np.full((SIDE, SIDE), 1 / SIDE, np.float32), "w")
    nodes = [helper.make_node("MatMul", [f"x{i}" if i else "x", "w"], [f"x{i + 1}"]) for i in range(layers)]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [SIDE, SIDE])],
        [helper.make_tensor_value_info(f"x{layers}", TensorProto.FLOAT, [SIDE, SIDE])],
        [weight],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def works(folder: Path, layers: Mapping[str, int]) -> dict[str, Workload]:
    """A workload for each name."""
    np.save(folder / "x.npy", np.full((SIDE, SIDE), 0.5, np.float32))
    target = Target(name="cpu", provider="CPUExecutionProvider", batch=SIDE)
    return {
        name: Workload(
            model=chain(folder / f"{name}.onnx", count),
            target=target,
            optimization="disabled",
            feeds={"x": folder / "x.npy"},
            dims={},
        )
        for name, count in layers.items()
    }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NamedBest:
    """What one sweep said: by its intervals alone, and after confirming."""

    by_intervals: str
    sure_by_intervals: bool
    confirmed: confirmation.ConfirmedChoice


def one_sweep(given: Mapping[str, Workload], *, processes: int, seconds: float, blocks: int, seed: str) -> NamedBest:
    """Rounds, candidates, blocks, decision: as `harness sweep` does it."""
    pace = Pace(budget_s=seconds / processes, ci_width=0.02)
    samples: dict[str, list[coordinator.ProcessSamples]] = {name: [] for name in given}
    for turn in turns(list(given), processes=processes, seed=seed):
        samples[turn.case].append(coordinator.time_process(given[turn.case], pace).samples)
    rows = [
        {"variant": name, "latency": dataclasses.asdict(estimate.latency(found, 0.02))}
        for name, found in samples.items()
    ]
    rows.sort(key=lambda row: row["latency"]["median_s"])
    first = rows[0]
    sure = all(row["latency"]["ci95_low_s"] > first["latency"]["ci95_high_s"] for row in rows[1:])
    compete, cut = confirmation.candidates(rows)
    names = [str(row["variant"]) for row in compete]
    spec = GroupSpec(workloads={name: given[name] for name in names}, clients=dict.fromkeys(names, Client))
    rng = random.Random(seed)  # noqa: S311  (an order, no secret)
    measured = [measure_block(spec, rng=rng) for _ in range(blocks)]
    decided = confirmation.decide(names, "", measured, cut=[str(row["variant"]) for row in cut])
    return NamedBest(by_intervals=str(first["variant"]), sure_by_intervals=sure, confirmed=decided)


def main() -> None:
    """Run both experiments and print their rates."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sweeps", type=int, default=20)
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of inference per case")
    parser.add_argument("--blocks", type=int, default=12)
    asked = parser.parse_args()
    print(common.host())
    copies = {f"same{i}": LAYERS for i in range(asked.copies)}
    faster = {**copies, "same0": LAYERS * 95 // 100}
    for title, layers in (("identical", copies), ("one 5% faster", faster)):
        with tempfile.TemporaryDirectory(prefix="harness-identical-") as folder:
            given = works(Path(folder), layers)
            found = [
                one_sweep(
                    given,
                    processes=asked.processes,
                    seconds=asked.seconds,
                    blocks=asked.blocks,
                    seed=f"{title}/{number}",
                )
                for number in range(asked.sweeps)
            ]
        named = sum(one.confirmed.state == confirmation.CONFIRMED for one in found)
        some = sum(bool(one.confirmed.slower) for one in found)
        sure = sum(one.sure_by_intervals for one in found)
        right = sum(one.confirmed.state == confirmation.CONFIRMED and one.confirmed.best == "same0" for one in found)
        best = sum(one.confirmed.best == "same0" for one in found)
        print(
            f"{title}: of {len(found)} sweeps of {asked.copies} builds {named} confirm one, {some} find some slower; "
            f"by intervals alone {sure}; same0 is named in {best}, confirmed in {right}"
        )


if __name__ == "__main__":
    main()
