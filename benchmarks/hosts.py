"""Hosts whose noise is known, for the benchmarks that simulate: one process, or several side by side."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from harness.records import Block, ProcessSamples, SideSamples

STARTED = "2026-01-31T10:15:00+00:00"
REFERENCE_NS = 250_000
"""What the reference workload takes at pace 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """A host. Shares are of the time; a standard deviation is that of the logarithm.

    Attributes:
        spread: standard deviation of a process about its case: the typical case's.
        unequal: by how much cases differ in that: the standard deviation of its logarithm.
        side_by_side: standard deviation of a process among others that are alive with it and take turns.
        slow_minutes: share of processes that are slower by a factor of 1.5 to 4 on their own.
        wander: standard deviation of a step of the pace from one process to the next.
        jumps: chance before each process that the pace doubles, or halves where it had doubled.
        reference: standard deviation of the reference workload about the pace.
        disturbed: share of its times that are up to twice as long on their own.
    """

    spread: float
    unequal: float = 0.5
    side_by_side: float = 0.02
    slow_minutes: float = 0.03
    wander: float = 0.01
    jumps: float = 0.01
    reference: float = 0.01
    disturbed: float = 0.02


HOSTS = {
    "quiet host": Noise(spread=0.01, side_by_side=0.01, slow_minutes=0.0, wander=0.002, jumps=0.0),
    "shared host": Noise(spread=0.03),
    "very noisy host": Noise(spread=0.10, side_by_side=0.04, slow_minutes=0.10, wander=0.03, jumps=0.03),
}


class SimulatedHost:
    """A host in time: every process moves its pace."""

    def __init__(self, noise: Noise, dice: random.Random) -> None:
        """At pace 1.

        Args:
            noise: what it is like.
            dice: decides everything.
        """
        self.noise, self.dice = noise, dice
        self.log_pace, self.doubled = 0.0, False
        self.spreads: dict[str, float] = {}

    def move(self) -> None:
        """The pace between two processes."""
        self.log_pace += self.dice.gauss(0, self.noise.wander)
        if self.dice.random() < self.noise.jumps:
            self.log_pace += math.log(2) * (-1 if self.doubled else 1)
            self.doubled = not self.doubled

    def reference(self) -> float:
        """One time of the reference workload, in units of pace 1."""
        alone = self.dice.uniform(1, 2) if self.dice.random() < self.noise.disturbed else 1.0
        return math.exp(self.log_pace + self.dice.gauss(0, self.noise.reference)) * alone

    def process(self, case: str, true_s: float) -> ProcessSamples:
        """A process of a case that takes so many seconds at pace 1."""
        self.move()
        spread = self.spreads.setdefault(case, self.noise.spread * math.exp(self.dice.gauss(0, self.noise.unequal)))
        alone = self.dice.uniform(1.5, 4) if self.dice.random() < self.noise.slow_minutes else 1.0
        median = round(1e9 * true_s * math.exp(self.log_pace + self.dice.gauss(0, spread)) * alone)
        return ProcessSamples(
            started_at=STARTED,
            session_ns=10 * median,
            first_inference_ns=2 * median,
            warmup_ns=(median,),
            samples_ns=(median,),
            steady=True,
            stop="time",
            reference_before_ns=round(REFERENCE_NS * self.reference()),
            reference_after_ns=round(REFERENCE_NS * self.reference()),
        )

    def block(self, true_s: Mapping[str, float]) -> Block:
        """Processes of several cases, alive together: all of them see the same pace."""
        self.move()
        members = {}
        for name, seconds in true_s.items():
            took = 1e9 * seconds * math.exp(self.log_pace + self.dice.gauss(0, self.noise.side_by_side))
            members[name] = SideSamples(session_ns=1, first_inference_ns=1, bursts_ns=(took,))
        return Block(members=members, started_at=STARTED)


def dice_of(seed: str) -> random.Random:
    """The same seed, the same figures."""
    return random.Random(seed)  # noqa: S311  (a simulation)


def median_of(samples: ProcessSamples) -> float:
    """The process's number, in nanoseconds."""
    return statistics.median(samples.samples_ns)
