"""benchmarks/early_stop.py, identical.py, coverage.py and gate_power.py: what their simulations are made of."""

from __future__ import annotations

import dataclasses
import math
import random
from pathlib import Path
from typing import Any

import pytest

from tests import outcomes

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a script as `python benchmarks/...` has it."""
    import importlib

    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module


def test_a_simulated_sweep_stops_slow_cases_and_never_the_best(scripts: Any) -> None:
    """With early stop it runs fewer processes of the very same host and cases."""
    early, hosts = scripts("early_stop"), scripts("hosts")
    given = early.builds(hosts.dice_of("a"), 3, 5)
    noise = hosts.HOSTS["shared host"]
    fixed, stopping = (early.simulated(hosts.dice_of("b"), given, noise, early=one) for one in (False, True))
    assert 3 * 5 * early.PROCESSES == fixed.processes > stopping.processes
    assert {} == fixed.why
    assert (0, 0) == (stopping.stopped, stopping.missed)
    assert stopping.seconds < fixed.seconds


def test_a_case_that_really_wins_and_is_stopped_is_counted(scripts: Any) -> None:
    """A rule that stops whatever it can is found out."""
    early, hosts = scripts("early_stop"), scripts("hosts")
    given = early.builds(hosts.dice_of("a"), 3, 5)

    def everything(rows: Any, *_: Any, over: Any, **__: Any) -> dict[str, str]:
        return {row["case"]: "at least 9.9x v1" for row in rows[1:] if row["case"] not in over}

    found = early.simulated(hosts.dice_of("b"), given, hosts.HOSTS["shared host"], early=True, rule=everything)
    assert found.stopped == found.missed > 0
    assert found.false > 0


def test_drift_leaves_rounds_their_coverage_and_takes_it_from_cases(scripts: Any) -> None:
    """Five processes one after the other share a minute, those of five rounds do not; earlier days know the rest."""
    coverage = scripts("coverage")
    host = coverage.Drifting(memory_s=120.0)
    by = {order: coverage.simulated(order, host, cases=20, sweeps=12, seed=1) for order in ("round", "case")}
    mean = {order: [sum(one.shares) / len(one.shares) for one in found] for order, found in by.items()}
    assert max(mean["case"]) < 0.6
    assert 0.75 < mean["round"][0] <= mean["round"][1] <= mean["round"][2]
    assert mean["round"][2] > 0.95


def test_a_recording_is_replayed(scripts: Any) -> None:
    """Independent processes are covered, and a host that wanders is not where they follow each other."""
    coverage, dice = scripts("coverage"), random.Random(2)
    steady = {"a": [math.exp(dice.gauss(0, 0.02)) for _ in range(60)]}
    assert sum(coverage.replayed(steady, steady, 1)[0].shares) / 56 > 0.8
    wandering = {"a": [math.exp(0.01 * number + dice.gauss(0, 0.001)) for number in range(60)]}
    assert sum(coverage.replayed(wandering, steady, 1)[0].shares) / 56 < 0.3


def test_three_looks_take_fewer_pairs_than_one(scripts: Any) -> None:
    """Of a change that is obvious; one that is not there is confirmed by neither."""
    power = scripts("gate_power")
    settings, dice = power.GateSettings(), random.Random(4)
    slow = [0.18 + dice.gauss(0, 0.02) for _ in range(28)]
    assert ("slower", 28) == power.settled(slow, settings, looks=False)
    said, pairs = power.settled(slow, settings, looks=True)
    assert ("slower", True) == (said, pairs < 28)
    same = [(-1) ** number * 0.02 for number in range(28)]
    assert ("", 8) == power.settled(same, settings, looks=True)


def test_sweeps_of_identical_builds_are_counted() -> None:
    """One that names the first build as confirmed, one that finds another slower, one that tells nothing apart."""
    from benchmarks.identical import Counted
    from harness.confirmation import CONFIRMED, TIED
    from harness.flow.sweep import Swept

    def swept(**choice: Any) -> Swept:
        rows = [
            {
                "latency": {"median_s": 1.0 + place, "ci95_low_s": 0.9 + place, "ci95_high_s": 1.1 + place},
                "choice": {"best": "same0", "baseline": "", **choice},
            }
            for place in range(2)
        ]
        return Swept(run=outcomes.run(), rows=tuple(rows), samples=Path(), asv_files=(), why_no_asv="")

    counted = Counted()
    counted.add(swept(state=CONFIRMED, slower=["same1"]))
    counted.add(swept(state=TIED, tied=["same1"], slower=["same2"]))
    counted.add(swept(state=TIED, best="same1", tied=["same0"]))
    assert (3, 1, 2, 1, 2, 3) == (
        counted.sweeps,
        counted.confirmed,
        counted.slower,
        counted.right,
        counted.first,
        counted.by_intervals,
    )


def test_a_simulated_block_shares_the_hosts_pace(scripts: Any) -> None:
    """Whatever the pace, the ratio of two members is that of their times."""
    hosts = scripts("hosts")
    quiet = dataclasses.replace(hosts.HOSTS["quiet host"], side_by_side=0.0, wander=0.5)
    machine = hosts.SimulatedHost(quiet, hosts.dice_of("c"))
    for _ in range(3):
        members = machine.block({"a": 1.0, "b": 0.95}).members
        assert pytest.approx(0.95) == members["b"].bursts_ns[0] / members["a"].bursts_ns[0]
