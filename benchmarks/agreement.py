"""The reported median beside a hand-written onnxruntime loop, and the floor beside a bare loop, interleaved."""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import host, prepared, ratios

from harness.measure import coordinator
from harness.measure.coordinator import Workload, time_process
from harness.measure.pacing import Pace
from harness.records import Target

PLAIN = """
import json, sys, time, numpy, onnxruntime
model, feed, level, seconds = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
options.add_free_dimension_override_by_name("batch", 1)
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
array = numpy.load(feed)[:1]
binding = session.io_binding()
binding.bind_cpu_input(session.get_inputs()[0].name, array)
binding.bind_output(session.get_outputs()[0].name)
times = []
until = time.perf_counter() + seconds
while time.perf_counter() < until:
    start = time.perf_counter_ns()
    session.run_with_iobinding(binding)
    times.append(time.perf_counter_ns() - start)
keep = times[len(times) // 4:]
print(json.dumps(sorted(keep)[len(keep) // 2]))
"""


def plain(work: Workload, seconds: float) -> float:
    """Median of a plain loop in a process of its own, in seconds."""
    level = "ORT_DISABLE_ALL" if work.optimization == "disabled" else "ORT_ENABLE_ALL"
    (feed,) = work.feeds.values()
    command = [sys.executable, "-c", PLAIN, str(work.model), str(feed), level, str(seconds)]
    return float(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)) / 1e9


def own(work: Workload, seconds: float) -> float:
    """Median as the harness measures it, in seconds."""
    return statistics.median(time_process(work, Pace(budget_s=seconds, ci_width=0.0)).samples.samples_ns) / 1e9


def compare(work: Workload, rounds: int, seconds: float) -> tuple[list[float], list[float]]:
    """Medians of both, measured in turn, the order within a round at random."""
    ours, theirs = [], []
    for _ in range(rounds):
        for side in random.sample(("own", "plain"), 2):
            (ours if side == "own" else theirs).append((own if side == "own" else plain)(work, seconds))
    return ours, theirs


def main() -> None:
    """Run the rounds and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    print(host())
    ours, theirs = compare(prepared(), arguments.rounds, 3.0)
    ratios("resnet50/fp32 median, harness against a plain loop", [a / b for a, b in zip(ours, theirs, strict=True)])
    print(f"    medians over all rounds: {statistics.median(ours) / statistics.median(theirs):.3f}x")
    with tempfile.TemporaryDirectory() as folder:
        feed = Path(folder) / "x.npy"
        np.save(feed, np.ones(1, np.float32))
        target = Target(name="cpu", provider="CPUExecutionProvider")
        floor = Workload(model=coordinator.FLOOR_MODEL, target=target, optimization="all", feeds={"x": feed}, dims={})
        ours, theirs = compare(floor, arguments.rounds, 0.5)
    difference = [(a - b) * 1e6 for a, b in zip(ours, theirs, strict=True)]
    print(
        f"floor, harness minus a bare loop: {statistics.median(difference):+.2f} us "
        f"(from {min(difference):+.2f} to {max(difference):+.2f}; "
        f"the loop itself {statistics.median(theirs) * 1e6:.2f} us)"
    )


if __name__ == "__main__":
    main()
