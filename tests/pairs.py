"""Pairs, pair specs and contenders made of chosen numbers: what the tests of the gate share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.errors import WorkerError
from harness.gate.model import Contender, Match, Pair, Side, SideSamples
from harness.measure.coordinator import Workload
from harness.measure.pairs import PairSpec
from harness.records import Artifact, Case, Refusal, Target
from harness.runtimes.client import Client
from tests import outcomes

SIZES = (0.001, 0.0016, 0.0004, 0.0014, 0.0007)


def wobble(place: int, noise: float) -> float:
    """A factor about 1 for the place-th pair: quiet, balanced and without ties."""
    size = SIZES[place // 2 % len(SIZES)] * (1 + place / 100)
    return math.exp(noise * (size if place % 2 else -size))


def pair(ratio: float = 1.0, phase: str = "screen", **ratios: float) -> Pair:
    """A pair whose head is `ratio` times as slow; `first`, `session` and `memory` set those ratios."""
    base = side_samples(1.0, {})
    return Pair(
        phase=phase,
        log_ratio=math.log(ratio),
        base=base,
        head=side_samples(ratio, ratios),
        started_at="2026-01-31T10:15:02+00:00",
        order="bh",
    )


def side_samples(ratio: float, ratios: dict[str, float]) -> SideSamples:
    """One side of a pair, in multiples of a millisecond, of 50 MB of peak memory and of 10 MB of the model's."""
    return SideSamples(
        session_ns=round(5_000_000 * ratios.get("session", 1.0)),
        first_inference_ns=round(3_000_000 * ratios.get("first", 1.0)),
        bursts_ns=(1_000_000 * ratio,) * 7,
        peak_rss_bytes=round(50_000_000 * ratios.get("peak", 1.0)),
        model_bytes=round(10_000_000 * ratios.get("memory", 1.0)),
    )


def many(count: int, ratio: float = 1.0, phase: str = "screen", noise: float = 1.0, **ratios: float) -> list[Pair]:
    """Pairs about a ratio, with quiet noise times `noise`."""
    found = []
    for i in range(count):
        factor = wobble(i, noise)
        found.append(pair(ratio * factor, phase, **{name: value * factor for name, value in ratios.items()}))
    return found


def pair_spec() -> PairSpec:
    """A spec that nothing is measured of."""
    work = Workload(
        model=Path("nothing.onnx"),
        target=Target(name="cpu", provider="CPUExecutionProvider"),
        optimization="all",
        feeds={},
        dims={},
    )
    return PairSpec(workloads={"base": work, "head": work}, clients={"base": Client, "head": Client})


class Script:
    """Measures pairs by the book: a ratio per case, or what happens instead.

    Attributes:
        asked: (case, phase) of every pair, in order.
    """

    def __init__(self, specs: dict[str, PairSpec], ratios: dict[str, Any], noise: float = 1.0) -> None:
        self.names = {id(spec): name for name, spec in specs.items()}
        self.ratios, self.noise = ratios, noise
        self.asked: list[tuple[str, str]] = []
        self.counts: dict[str, int] = {}

    def __call__(self, of: PairSpec, *, phase: str, rng: object, on_burst: Any) -> Pair:  # noqa: ARG002  (what is given)
        """One pair."""
        name = self.names[id(of)]
        self.asked.append((name, phase))
        on_burst()
        ratio = self.ratios[name]
        if callable(ratio):
            ratio = ratio(len(self.asked))
        if isinstance(ratio, BaseException):
            raise ratio
        place = self.counts[name] = self.counts.get(name, 0) + 1
        return pair(float(ratio) * wobble(place, self.noise), phase)


def dies(role: str = "head") -> WorkerError:
    """What a worker of one side that crashes raises."""
    return WorkerError(f"{role}: the worker died during `burst` (exit code 3)")


class Quiet:
    """A watcher that remembers what it heard."""

    def __init__(self) -> None:
        self.phases: list[tuple[str, tuple[str, ...], int]] = []
        self.broken: dict[str, str] = {}
        self.ticks = self.pairs = 0

    def phase(self, name: str, cases: Sequence[str], pairs: int) -> None:
        """A phase begins."""
        self.phases.append((name, tuple(cases), pairs))

    def tick(self) -> None:
        """Time has passed."""
        self.ticks += 1

    def paired(self, case: str, pair: Pair) -> None:  # noqa: ARG002  (what a watcher hears)
        """A pair is done."""
        self.pairs += 1

    def broke(self, case: str, reason: str) -> None:
        """A case is lost."""
        self.broken[case] = reason


def side(role: str, **changes: Any) -> Side:
    """A side that was asked for as `main` (base) or `working tree` (head)."""
    found: dict[str, Any] = {
        "role": role,
        "asked": "main" if role == "base" else "working tree",
        "kind": "commit" if role == "base" else "tree",
        "zoo": Path("model_zoo.yaml"),
        "python": "python",
        "worker": ("python", f"{role}.py"),
        **changes,
    }
    return Side(**found)


def contender(
    role: str, built: Artifact | Refusal | None = None, case: Case | None = None, **changes: Any
) -> Contender:
    """One side's part of a match."""
    of = case or outcomes.case()
    return Contender(side=side(role, **changes), case=of, built=built or outcomes.artifact(of), cache=Path("cache"))


def match(name: str = "digits_cnn/fp32/cpu-t1-b1", **changes: Any) -> Match:
    """A match of two contenders with artifacts."""
    return Match(**{"name": name, "base": contender("base"), "head": contender("head"), **changes})
