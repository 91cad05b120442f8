"""What the worker reports beside a hand-written onnxruntime loop, and its floor beside a bare loop.

Two live processes take turns in short bursts, in random order, so that both see the same moments of a noisy host. One
number per pair of fresh processes: the median of the bursts' ratios.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import host, prepared, ratios

from harness.measure import coordinator
from harness.measure.coordinator import Workload
from harness.records import Target, ValueEntry
from harness.runtimes.client import Client

PLAIN = """
import json, sys, time, numpy, onnxruntime
model, feed, level = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
options.add_free_dimension_override_by_name("batch", 1)
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
binding = session.io_binding()
binding.bind_cpu_input(session.get_inputs()[0].name, numpy.load(feed)[0])
binding.bind_output(session.get_outputs()[0].name)
session.run_with_iobinding(binding)
for line in sys.stdin:
    times = []
    for _ in range(int(line)):
        start = time.perf_counter_ns()
        session.run_with_iobinding(binding)
        times.append(time.perf_counter_ns() - start)
    print(json.dumps(times), flush=True)
"""


def pair(work: Workload, bursts: int, n: int) -> tuple[float, float, float]:
    """One pair of fresh processes.

    Returns:
        The median log-ratio of worker to plain loop, the median difference in seconds, and the plain loop's median.
    """
    level = "ORT_DISABLE_ALL" if work.optimization == "disabled" else "ORT_ENABLE_ALL"
    (entry,) = work.entries().values()
    command = [sys.executable, "-c", PLAIN, str(work.model), entry["stacked"], level]
    logs, differences, plain_medians = [], [], []
    with (
        Client() as worker,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as loop,
    ):
        assert loop.stdin is not None
        assert loop.stdout is not None
        worker.ask("open", 120, **work.request())
        for index in range(bursts + 2):
            medians = {}
            for side in random.sample(("worker", "plain"), 2):
                if side == "worker":
                    times = worker.ask("burst", 120, n=n)["durations_ns"]
                else:
                    loop.stdin.write(f"{n}\n")
                    loop.stdin.flush()
                    times = json.loads(loop.stdout.readline())
                # The first run of a burst finds its caches cold; both sides drop it.
                medians[side] = statistics.median(times[1:] or times)
            if index >= 2:  # warm-up
                logs.append(math.log(medians["worker"] / medians["plain"]))
                differences.append((medians["worker"] - medians["plain"]) / 1e9)
                plain_medians.append(medians["plain"] / 1e9)
        loop.stdin.close()
    return statistics.median(logs), statistics.median(differences), statistics.median(plain_medians)


def main() -> None:
    """Run the pairs and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=12)
    arguments = parser.parse_args()
    print(host())
    resnet = prepared()
    seen = [pair(resnet, bursts=12, n=3) for _ in range(arguments.pairs)]
    ratios("resnet50/fp32 median, harness against a plain loop", [math.exp(log) for log, _, _ in seen])
    with tempfile.TemporaryDirectory() as folder:
        feed = Path(folder) / "x.npy"
        np.save(feed, np.ones((1, 1), np.float32))
        target = Target(name="cpu", provider="CPUExecutionProvider")
        feeds = {"x": ValueEntry(name="x", stacked=str(feed))}
        floor = Workload(model=coordinator.FLOOR_MODEL, target=target, optimization="all", feeds=feeds, dims={})
        seen = [pair(floor, bursts=40, n=1000) for _ in range(arguments.pairs)]
    difference = [seconds * 1e6 for _, seconds, _ in seen]
    print(
        f"floor, harness minus a bare loop: {statistics.median(difference):+.2f} us "
        f"(from {min(difference):+.2f} to {max(difference):+.2f}; "
        f"the loop itself {statistics.median(m for _, _, m in seen) * 1e6:.2f} us)"
    )


if __name__ == "__main__":
    main()
