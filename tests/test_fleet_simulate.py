"""harness.fleet.simulate: the real executor on hosts that are made up, in time that is."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from harness.fleet import simulate
from harness.fleet.simulate import SimulatedSweep
from tests import histories
from tests.conftest import Project
from tests.outcomes import measured

SWEEP = SimulatedSweep(hosts=10, cases=300, durations_s=(5.0,))


def test_without_failures_it_is_what_arithmetic_says() -> None:
    """30 rounds of 10 equal processes; every process has its one answer."""
    found = simulate.simulate(SWEEP)
    each = 5.0 + simulate.OVERHEAD_S
    assert (300, 0, 0, 0, 0, 300) == (
        found.answers, found.crashed, found.missing, found.twice, found.failures, found.tasks
    )  # fmt: skip
    assert pytest.approx(30 * each) == found.bound_s
    assert pytest.approx(30 * each) == found.makespan_s
    assert pytest.approx(1.0) == found.busy
    assert found.cost_s > 0


def test_within_a_tenth_of_the_bound_where_hosts_fail() -> None:
    """Unequal processes, two in a hundred of which take their host down: all are answered once, near the bound."""
    asked = SimulatedSweep(hosts=20, cases=1000, processes=2, fail_rate=0.02, durations_s=(2.0, 5.0, 5.0, 11.0))
    found = simulate.simulate(asked)
    assert (2000, 0, 0, 0) == (found.answers, found.crashed, found.missing, found.twice)
    assert 20 < found.failures < 80
    assert 0 < found.lost_s < found.failures * 12
    assert 1 < found.over_bound < 1.1
    assert found == replace(simulate.simulate(asked), cost_s=found.cost_s)
    assert found.makespan_s != simulate.simulate(replace(asked, seed=2)).makespan_s


def test_who_always_dies_is_given_up() -> None:
    """A process that kills its workers each time counts as crashed, once."""
    found = simulate.simulate(SimulatedSweep(hosts=3, cases=4, fail_rate=1.0))
    assert (0, 4, 0, 0) == (found.answers, found.crashed, found.missing, found.twice)
    assert found.failures >= 4 * (simulate.TIMES_LOST + 1)


def test_durations_are_drawn_evenly() -> None:
    """Each of them is about as frequent, and a case keeps its own."""
    asked = SimulatedSweep(hosts=1, cases=3000, durations_s=(1.0, 2.0, 3.0))
    jobs = [*simulate.jobs_of(asked)]
    drawn = Counter(simulate.duration_of(asked, job) for job in jobs)
    assert all(900 < count < 1100 for count in drawn.values())
    assert 3000 == len({job.case.id for job in jobs}) == len({simulate.place_of(job.case) for job in jobs})


def test_hosts_that_fit_a_night() -> None:
    """One less is too few; where one process is longer than the night, no number is enough."""
    asked = SimulatedSweep(hosts=1, cases=300, durations_s=(5.0,))
    tried: list[int] = []
    hosts, found = simulate.fewest_hosts(asked, 300.0, lambda n, _: tried.append(n))
    assert (6, True) == (hosts, found.makespan_s <= 300.0)
    assert simulate.simulate(replace(asked, hosts=5)).makespan_s > 300.0
    assert tried == [6]
    _, found = simulate.fewest_hosts(asked, 4.0)
    assert found.makespan_s > 4.0


def test_classes_share_the_groups() -> None:
    """Groups are spread over classes of hosts by their number: two halves take as long as one whole."""
    found = simulate.simulate(replace(SWEEP, classes=2))
    assert (300, 0) == (found.answers, found.twice)
    assert found.over_bound < 1.1


def test_the_verb(tmp_path: Path) -> None:
    """Sentences, facts, recorded times, and what does not go together."""
    project = Project(tmp_path)
    out = project.run("fleet", "simulate", "--hosts", "5", "--cases", "20", "--processes", "2", "--fail-rate", "0%")
    assert "40 processes on 5 hosts: 40.4 s, 1.000 times the least" in out
    assert "0 given up, 0 missing, 0 twice" in out
    assert "to judge and store it" in out
    assert "however many hosts there are" not in out
    busy = project.run(
        "fleet", "simulate", "--hosts", "400", "--cases", "800", "--processes", "1", "--process-time", "1ms"
    )
    assert "the sweep takes at least" in busy
    arguments = ("fleet", "simulate", "--cases", "100", "--processes", "1", "--json")
    night = json.loads(project.run(*arguments, "--night", "1m"))
    assert 10 == night["hosts"]
    assert 0 < night["cost_s"] < night["storing_s"]
    histories.store(tmp_path / "results", histories.sweep_of("1" * 40), measured())
    found = json.loads(project.run(*arguments, "--process-time", "results"))
    assert simulate.OVERHEAD_S < found["longest_s"] < simulate.OVERHEAD_S + 1
    (tmp_path / "empty").mkdir()
    for given, said in (
        (["--fail-rate", "80%"], "a share from 0% to 50%"),
        (["--night", "soon"], "a time above 0"),
        (["--night", "8h", "--hosts", "3"], "leave out --hosts"),
        (["--process-time", "0s"], "a time above 0"),
        (["--process-time", "nowhere"], "or a results folder"),
        (["--process-time", "empty"], "no process was measured there"),
        (["--hosts", "2", "--classes", "3"], "there are 2 hosts"),
        (["--cases", "10000000", "--processes", "1000"], "at most 100,000,000 processes"),
        (["tcp://a:1"], "simulate take none"),
        (["--night", "1s", "--cases", "3"], "one process alone takes 5.05 s"),
    ):
        assert said in project.error("fleet", "simulate", *given)
    assert "belong to `harness fleet simulate`" in project.error("fleet", "hosts", "--night", "8h")
