"""What one worker process costs beyond its own inferences, beside a bare process and beside peers.

Cost is wall time minus the time spent inside inferences, and for harness its parts as well. Bare means: import
onnxruntime and create the session with the same options. Everything runs in turn, in random order within a round, so
that a slow minute hits all alike. On a busy host wall time says little: `--processor-time` compares what processes take
of the processor, of which a worker that times nothing is shown with the reference workload and the memory read, and
without.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from common import host, prepared, ratios

from harness.measure import memory, reference_workload
from harness.measure.coordinator import Workload, time_process
from harness.measure.pacing import Pace
from harness.runtimes.client import Client

WARMUPS, RUNS = 3, 10

BARE = """
import sys, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.inter_op_num_threads = 1
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
options.add_free_dimension_override_by_name("batch", 1)
onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
"""

LOOP = """
import json, os, time, numpy, onnxruntime
MODEL, FEED, NAME, INSIDE = (os.environ[k] for k in ("MODEL", "FEED", "NAME", "INSIDE"))
def session():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])
def timed(session, feed):
    start = time.perf_counter()
    session.run(None, feed)
    with open(INSIDE, "a") as file:
        file.write(f"{time.perf_counter() - start}\\n")
def feed():
    return {NAME: numpy.load(FEED)[0]}
"""

PYTEST = (
    LOOP
    + f"""
def test_run(benchmark):
    s, f = session(), feed()
    benchmark.pedantic(timed, args=(s, f), rounds={RUNS}, iterations=1, warmup_rounds={WARMUPS})
"""
)

ASV = (
    LOOP
    + f"""
class Run:
    repeat, number, rounds, warmup_time, timeout = {RUNS}, 1, 1, 0.3, 600
    def setup(self):
        self.s, self.f = session(), feed()
    def time_run(self):
        timed(self.s, self.f)
"""
)


def inside_and_wall(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Seconds inside inferences, and wall seconds, of a command that logs its inferences."""
    inside = folder / "inside.txt"
    inside.unlink(missing_ok=True)
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - start
    if not inside.exists():
        raise SystemExit(f"{command[0]} ran no inference:\n{done.stdout}\n{done.stderr}")
    return sum(map(float, inside.read_text(encoding="ascii").split())), wall


def bare(work: Workload) -> float:
    """Wall seconds of a process that only creates the session."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", BARE, str(work.model)], check=True)
    return time.perf_counter() - start


class WatchedClient(Client):
    """A client that adds up where the wall time of its worker goes, in seconds by part."""

    def __init__(self, parts: dict[str, float]) -> None:
        self.parts = parts
        start = time.perf_counter()
        super().__init__()
        self.parts["start-up"] = time.perf_counter() - start

    def ask(self, command: str, deadline_s: float, **arguments: Any) -> dict[str, Any]:
        """As the client's, timed."""
        start = time.perf_counter()
        reply = super().ask(command, deadline_s, **arguments)
        took = time.perf_counter() - start
        if command == "open":
            self.add("session", reply["session_ns"] / 1e9)
            self.add("inputs that rotate", took - reply["session_ns"] / 1e9)
        elif command == "burst":
            self.add("between inferences", took - sum(reply["durations_ns"]) / 1e9)
        else:
            self.add("reference workload", took)
        return reply

    def add(self, part: str, seconds: float) -> None:
        """Count the time of a part."""
        self.parts[part] = self.parts.get(part, 0.0) + seconds

    def close(self) -> None:
        """As the client's, timed."""
        start = time.perf_counter()
        super().close()
        self.add("end", time.perf_counter() - start)


def own(work: Workload, parts: dict[str, list[float]]) -> float:
    """Cost of one worker process of the harness; its parts are added to what was seen of them."""
    plan = Pace(budget_s=2.0, ci_width=0.0)
    now: dict[str, float] = {}
    start = time.perf_counter()
    samples = time_process(work, plan, client=lambda: WatchedClient(now)).samples
    wall = time.perf_counter() - start
    cost = wall - (samples.first_inference_ns + sum(samples.warmup_ns) + sum(samples.samples_ns)) / 1e9
    now["memory and the rest"] = cost - sum(now.values())
    for part, seconds in now.items():
        parts.setdefault(part, []).append(seconds)
    return cost


def processor_time(work: Workload, *, whole: bool) -> float:
    """Processor seconds of a worker that opens the model and times nothing, its coordinator's own included.

    Args:
        work: the case.
        whole: with the reference workload before and after, and with the memory that the model takes.
    """
    start = used()
    with Client() as worker:
        folder = work.model.parent
        if whole:
            memory.held_bytes(worker.pid, folder)
        worker.ask("open", 60.0, **work.request())
        if whole:
            reference_workload.take(worker)
            memory.held_bytes(worker.pid, folder)
            reference_workload.take(worker)
    return used() - start


def used() -> float:
    """Processor seconds of this process and of its children that have ended."""
    each = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in each)


def bare_processor_time(work: Workload) -> float:
    """Processor seconds of a process that only creates the session."""
    start = used()
    bare(work)
    return used() - start


def peers(work: Workload, folder: Path) -> dict[str, Callable[[], float]]:
    """Cost of the same under the peers that are installed."""
    ((name, entry),) = work.entries().items()
    environment = os.environ | {
        "MODEL": str(work.model),
        "FEED": entry["stacked"],
        "NAME": name,
        "INSIDE": str(folder / "inside.txt"),
        "PYTHONWARNINGS": "ignore",
    }
    (folder / "test_peer.py").write_text(PYTEST, encoding="utf-8")
    (folder / "peer").mkdir()
    (folder / "peer/__init__.py").touch()
    (folder / "peer/run.py").write_text(ASV, encoding="utf-8")
    configuration = {
        "version": 1,
        "project": "peer",
        "repo": ".",
        "branches": ["HEAD"],
        "benchmark_dir": "peer",
        "environment_type": "existing",
    }
    (folder / "asv.conf.json").write_text(json.dumps(configuration), encoding="utf-8")
    git = ["git", "-c", "user.name=b", "-c", "user.email=b@example.org"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "peer"]):
        subprocess.run([*git, *arguments], cwd=folder, check=True)
    machine = ["asv", "machine", "--yes", "--config", "asv.conf.json"]
    environment["HOME"] = str(folder)
    subprocess.run([sys.executable, "-m", *machine], cwd=folder, env=environment, check=True, capture_output=True)
    commands = {
        "pytest-benchmark": [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_peer.py"],
        "asv": [sys.executable, "-m", "asv", "run", "--python", "same"],
    }

    def cost(command: list[str]) -> Callable[[], float]:
        def measured() -> float:
            inside, wall = inside_and_wall(command, folder, environment)
            return wall - inside

        return measured

    return {peer: cost(command) for peer, command in commands.items()}


def main() -> None:
    """Run the rounds and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--peer-rounds", type=int, default=4)
    parser.add_argument("--processor-time", action="store_true", help="for a busy host, without peers and inferences")
    arguments = parser.parse_args()
    work = prepared()
    print(host())
    if arguments.processor_time:
        in_turn(
            {
                "bare": lambda: bare_processor_time(work),
                "a worker that opened": lambda: processor_time(work, whole=False),
                "a worker with the reference workload and memory": lambda: processor_time(work, whole=True),
            },
            arguments.rounds,
        )
        return
    parts: dict[str, list[float]] = {}
    folder = Path(tempfile.mkdtemp(prefix="harness-bench-"))
    try:
        subjects: dict[str, Callable[[], float]] = {"bare": lambda: bare(work), "harness": lambda: own(work, parts)}
        costs = in_turn(subjects, arguments.rounds, peers(work, folder), arguments.peer_rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    typical = statistics.median(costs["bare"])
    for part, seconds in parts.items():
        print(f"    {part}: {statistics.median(seconds):.3f} s, {statistics.median(seconds) / typical:.0%} of bare")


def in_turn(
    subjects: Mapping[str, Callable[[], float]],
    rounds: int,
    others: Mapping[str, Callable[[], float]] | None = None,
    other_rounds: int = 0,
) -> dict[str, list[float]]:
    """Run everything in random order within a round, and print each against `bare`, the first subject.

    Args:
        subjects: what costs seconds, by name.
        rounds: how many of each.
        others: what takes part in the first rounds only.
        other_rounds: in how many.

    Returns:
        The seconds of every round, by name.
    """
    others = others or {}
    for subject in subjects.values():
        subject()  # files into the page cache
    costs: dict[str, list[float]] = {name: [] for name in [*subjects, *others]}
    for index in range(rounds):
        now = {**subjects, **(others if index < other_rounds else {})}
        for name in random.sample(list(now), len(now)):
            costs[name].append(now[name]())
    for name in list(costs)[1:]:
        ratios(f"{name} against a bare process", [a / b for a, b in zip(costs[name], costs["bare"], strict=False)])
        print(f"    {statistics.median(costs[name]):.2f} s against {statistics.median(costs['bare']):.2f} s")
    return costs


if __name__ == "__main__":
    main()
