"""The gate's false-alarm rate and power on this host, today: with nothing changed, and with real slow-downs.

Small networks are paired with themselves and with copies of themselves that have extra nodes; the gate's own rule is
then played on the pairs that were recorded.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness import scratch
from harness.errors import HarnessError, UsageError
from harness.gate.model import GateSettings
from harness.gate.selftest import recording as recordings
from harness.gate.selftest import resample, slowing
from harness.gate.selftest.graphs import KINDS
from harness.gate.selftest.recording import Recording
from harness.gate.selftest.resample import Rate
from harness.gate.timing.rounds import SCREEN, TIME_LIMIT, Measured, MeasurePair, Rounds, RoundsWatcher
from harness.measure import coordinator, host
from harness.measure.coordinator import Workload
from harness.measure.pairs import PairSpec, measure_pair
from harness.processes import OutOfTime
from harness.records import Target
from harness.runtimes.client import Client
from harness.stats import paired
from harness.stats.paired import Interval

SHAPES: Mapping[str, tuple[int, ...]] = {"matmul": (64, 128), "conv": (1, 16, 32, 32), "mixed": (1, 16, 32, 32)}
"""What each network is fed."""

THREADS = (1, 2)
MOST_CASES = len(KINDS) * len(THREADS)
GATE_CASES = 60
GATES = 50
"""Gates played for one rate; the interval plays them again for every new drawing of the pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a recording says of the gate.

    Attributes:
        spread: of the log-ratios between pairs where nothing changed, by case.
        slowed: case -> the slow-down that its extra nodes really cost.
        per_case: chance of a false alarm of one case in a gate of that case alone.
        per_gate: chance of any false alarm in a gate of `gate_cases` cases.
        power: chance that the slowed case is confirmed, in a gate of that case alone.
        power_among: the same in a gate of `gate_cases` cases, all others unchanged.
        detectable: the smallest slow-down that a gate of this spread sees with a chance of 80%.
    """

    spread: Mapping[str, float]
    slowed: Mapping[str, Interval]
    per_case: Rate
    per_gate: Rate
    power: Rate
    power_among: Rate
    detectable: float
    gate_cases: int


def record(
    *,
    slow: float,
    cases: int,
    settings: GateSettings,
    watch: RoundsWatcher,
    rng: random.Random | None = None,
    nodes_for: Callable[[Workload, float, Path], int] = slowing.nodes_for,
) -> Recording:
    """Pair networks with themselves and with slowed copies, all interleaved: as many pairs of each as one gate takes.

    Args:
        slow: the slow-down to aim at, as a share.
        cases: how many, at most `MOST_CASES`.
        settings: numbers of pairs, bursts, and the time limit.
        watch: hears of everything.
        rng: gives every order.
        nodes_for: finds how many extra nodes slow a workload down by a share.

    Raises:
        BuildError: if a network cannot be made.
        WorkerError: if one cannot be measured.
        KeyboardInterrupt: passed on.
    """
    with scratch.folder("selftest") as place:
        works = dict(list(workloads(place).items())[:cases])
        specs: dict[str, PairSpec] = {}
        truth: dict[str, tuple[str, float, int]] = {}
        for name, work in works.items():
            folder = place / name
            nodes = nodes_for(work, slow, folder)
            for share, count in ((0.0, 0), (slow, nodes)):
                key = f"{name} {share:+.0%}"
                head = slowing.with_nodes(work, count, folder) if count else work
                specs[key] = slowing.pair_spec(work, head, bursts=settings.bursts, burst_s=settings.burst_s)
                truth[key] = (name, share, count)
        pairs = settings.screen_pairs + settings.confirm_pairs
        done = rounds(specs, pairs, settings, watch, rng or random.SystemRandom())
    return recorded(done, truth, settings)


def rounds(
    specs: Mapping[str, PairSpec],
    pairs: int,
    settings: GateSettings,
    watch: RoundsWatcher,
    rng: random.Random,
    *,
    pair: MeasurePair = measure_pair,
) -> Measured:
    """So many pairs of every pair spec, round after round; fewer where the time limit is over.

    Raises:
        HarnessError: if one broke: its networks are harness's own, so that the figures would mean nothing.
    """
    schedule = Rounds(specs, settings, watch, pair=pair, clock=time.monotonic, rng=rng)
    watch.phase(SCREEN, list(specs), pairs)
    try:
        schedule.rounds(list(specs), pairs, SCREEN)
    except OutOfTime:
        schedule.done.interrupted = TIME_LIMIT
    for name, broken in schedule.done.broken.items():
        raise HarnessError(f"{name}: {broken.reason}")
    return schedule.done


def recorded(done: Measured, truth: Mapping[str, tuple[str, float, int]], settings: GateSettings) -> Recording:
    """What was measured, with its circumstances."""
    with Client() as worker:
        runtime = worker.runtime
    circumstances = {
        "fingerprint": host.fingerprint(host.facts()),
        "runtime": f"{runtime.name} {runtime.version}",
        "recorded_at": coordinator.utc_now(),
        "bursts": settings.bursts,
        "burst_s": settings.burst_s,
    }
    return tuple(
        recordings.series(case, 1 + share, nodes, done.pairs[key], circumstances)
        for key, (case, share, nodes) in truth.items()
    )


def workloads(folder: Path) -> dict[str, Workload]:
    """Networks on one thread and on two, by name; written into `folder`.

    Raises:
        BuildError: if one cannot be made.
    """
    slowing.make([{"make": kind, "to": str(folder / f"{kind}.onnx")} for kind in KINDS])
    found = {}
    for threads in THREADS:
        for kind in KINDS:
            feed = folder / f"{kind}.npy"
            np.save(feed, np.random.default_rng(0).standard_normal(SHAPES[kind]).astype(np.float32))
            target = Target(name="cpu", provider="CPUExecutionProvider", intra_threads=threads, batch=SHAPES[kind][0])
            found[f"{kind}-t{threads}"] = Workload(
                model=folder / f"{kind}.onnx", target=target, optimization="all", feeds={"x": feed}, dims={}
            )
    return found


def figures(
    recording: Recording,
    slow: float,
    settings: GateSettings,
    *,
    gate_cases: int = GATE_CASES,
    gates: int = GATES,
    rng: random.Random | None = None,
) -> Figures:
    """What a recording says.

    Args:
        recording: pairs without a change, and with one of about `slow`.
        slow: which series count as slowed.
        settings: the rule to play.
        gate_cases: cases in a large gate.
        gates: gates to play for one rate.
        rng: draws.

    Raises:
        UsageError: if either kind of series is missing, or has fewer pairs than the rule takes.
    """
    rng = rng or random.Random(0)  # noqa: S311  (the same recording gives the same figures)
    null, slowed = recordings.of_truth(recording, 1.0), recordings.of_truth(recording, 1 + slow)
    for what, series in (("without a change", null), (f"slowed by {slow:.0%}", slowed)):
        if not series:
            raise UsageError(f"no pairs {what} were recorded")

    def alarm(cases: int) -> Rate:
        n = scaled(gates, cases)
        return resample.rate(lambda r: resample.any_alarm(r[0], cases, n, settings, rng), [null], rng)

    def seen(cases: int) -> Rate:
        n = scaled(gates, cases)
        return resample.rate(lambda r: resample.found_share(r[1], r[0], cases, n, settings, rng), [null, slowed], rng)

    return Figures(
        spread={name: paired.spread(values) for name, values in null.items()},
        slowed={name: paired.ratio_interval(values) for name, values in slowed.items()},
        per_case=alarm(1),
        per_gate=alarm(gate_cases),
        power=seen(1),
        power_among=seen(gate_cases),
        detectable=paired.detectable(
            centred(list(null.values())), pairs=(settings.screen_pairs, settings.confirm_pairs)
        ),
        gate_cases=gate_cases,
    )


def scaled(gates: int, cases: int) -> int:
    """More of the small gates, which are cheap and whose alarms are rare."""
    return gates if cases > 1 else gates * 10


def centred(series: Sequence[Sequence[float]]) -> list[float]:
    """All pairs, each about its own case's middle."""
    return [value - float(np.median(values)) for values in series for value in values]
