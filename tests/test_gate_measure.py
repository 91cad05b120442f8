"""harness.gate.timing.rounds: which pair is next, and what becomes of a gate that is cut short."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import screening
from harness.errors import WorkerRefusal
from harness.gate.model import GateSettings, Pair, Verdict
from harness.gate.timing import findings, phases
from harness.gate.timing.rounds import CONFIRM, SCREEN, Broken, Measured, measure
from tests import pairs, workers
from tests.pairs import Quiet, Script

SETTINGS = GateSettings(screen_pairs=8, confirm_pairs=20)


def run(
    ratios: dict[str, Any],
    *,
    settings: GateSettings = SETTINGS,
    noise: float = 1.0,
    clock: Callable[[], float] = lambda: 0.0,
) -> tuple[Measured, Script, Quiet]:
    """Measure cases of these ratios."""
    specs = {name: pairs.pair_spec() for name in ratios}
    script, watch = Script(specs, ratios, noise), Quiet()
    choose = phases.chooser(settings)
    done = measure(specs, settings, choose, watch, pair=script, clock=clock, rng=random.Random(1))
    return done, script, watch


def test_cases_are_interleaved() -> None:
    """Every round holds each case once, in an order of its own."""
    _, script, _ = run({"a": 1.0, "b": 1.0, "c": 1.0})
    names = [name for name, _ in script.asked]
    rounds = [tuple(names[i : i + 3]) for i in range(0, len(names), 3)]
    assert 8 == len(rounds)
    assert all({"a", "b", "c"} == set(one) for one in rounds)
    assert len(set(rounds)) > 1


def test_flagged_cases_get_fresh_pairs() -> None:
    """A case that looks slower is measured again, and nothing else is."""
    done, script, watch = run({"same": 1.0, "slow": 1.05})
    assert ("slow",) == done.flagged
    assert 8 == script.asked.count(("slow", CONFIRM))  # without exception slower: settled at the first look
    assert 0 == script.asked.count(("same", CONFIRM))
    assert [SCREEN, CONFIRM] == [name for name, _, _ in watch.phases]
    assert 24 == watch.pairs


def test_faster_cases_are_confirmed_as_well() -> None:
    """An improvement is a claim like any other."""
    done, _, _ = run({"fast": 0.9})
    assert ("fast",) == done.flagged


def test_wide_spread_is_screened_further() -> None:
    """Where the spread hides a change, screening goes on to three times the pairs, and not for ever."""
    done, script, _ = run({"quiet": 1.0, "loud": 1.0}, noise=1.0)
    assert 8 == script.asked.count(("loud", SCREEN))
    done, script, _ = run({"loud": 1.0}, noise=200.0)
    assert 24 == script.asked.count(("loud", SCREEN))
    assert () == done.flagged


def test_looking_changed_does_not_end_screening() -> None:
    """A case whose spread is too wide is screened further also where it looks slower: flagging is asked once."""
    _, script, _ = run({"loud": 1.05}, noise=200.0)
    assert 24 == script.asked.count(("loud", SCREEN))


def test_an_obvious_change_is_not_screened_further() -> None:
    """Twice as slow at a spread of a sixth: no pair more is spent on seeing what eight of them show."""
    done, script, _ = run({"slow": 2.0}, noise=200.0)
    assert 8 == script.asked.count(("slow", SCREEN))
    assert ("slow",) == done.flagged


def test_a_case_in_doubt_is_confirmed_to_the_end() -> None:
    """What the looks do not settle gets all its pairs; one settled case (beside another, at 14) ends no other's."""
    wide = [0.07, -0.02, 0.09, -0.03, 0.06, 0.05, 0.03, 0.04]
    ratios: dict[str, Any] = {"slow": 1.3, "open": lambda n: math.exp(wide[n % len(wide)] + n * 1e-5)}
    done, script, _ = run(ratios)
    assert {"slow", "open"} == set(done.flagged)
    assert 14 == script.asked.count(("slow", CONFIRM))
    assert 20 == script.asked.count(("open", CONFIRM))


def test_screening_goes_on_for_the_family_there_is() -> None:
    """What is enough beside nothing flagged is not beside many: nobody stops who would end inconclusive for it."""
    ratios = {"open": 1.0, **{f"slow{i}": 1.2 for i in range(30)}}
    specs = {name: pairs.pair_spec() for name in ratios}
    wide = (0.069, -0.04, 0.01, -0.02, 0.015, -0.026, 0.059, 0.049)
    measured = dict.fromkeys(ratios, 0)
    names = {id(one): name for name, one in specs.items()}

    def one(of: Any, *, phase: str, rng: object, on_burst: Any) -> Pair:
        name = names[id(of)]
        place = measured[name] = measured[name] + 1
        noise = math.exp(wide[place % len(wide)] * (1 + place / 1000)) if name == "open" else pairs.wobble(place, 1.0)
        return pairs.pair(ratios[name] * noise, phase)

    def screened(of: dict[str, Any]) -> tuple[int, Verdict]:
        measured.update(dict.fromkeys(measured, 0))
        done = measure(of, SETTINGS, phases.chooser(SETTINGS), Quiet(), pair=one, rng=random.Random(1))
        found = findings.latency("open", done, phases.confirmed(done, SETTINGS), SETTINGS)
        return len(phases.of_phase(done.pairs["open"], SCREEN)), found.verdict

    alone, beside = screened({"open": specs["open"]}), screened(specs)
    assert alone[0] < beside[0] < 24
    assert {Verdict.PASS} == {alone[1], beside[1]}


@pytest.mark.parametrize("spread", screening.SPREADS)
def test_false_alarms_of_the_whole_schedule(spread: float) -> None:
    """However long screening goes on, a case that did not change is called slower or faster in 0.5% at most."""
    alone = screening.simulated(1, spread, 600)
    assert alone.either <= 0.005 + 2 * math.sqrt(0.005 / 600)
    assert screening.simulated(60, spread, 4).any_slower <= 0.5


def test_broken_case_fails_and_the_others_go_on() -> None:
    """A worker of one side that crashes takes its case out; every other case gets all its pairs."""
    done, script, watch = run({"good": 1.0, "bad": lambda n: pairs.dies() if n > 6 else 1.0})
    assert "the worker died" in done.broken["bad"].reason
    assert done.broken["bad"].reason.startswith("head: ")
    assert 8 == len(done.pairs["good"])
    assert 1 == sum(n > 6 and name == "bad" for n, (name, _) in enumerate(script.asked, 1))
    assert ["bad"] == list(watch.broken)


def test_time_limit_stops_between_pairs() -> None:
    """No pair begins after the limit; what was measured stays."""
    seconds = [0.0]

    def one(_: int) -> float:
        seconds[0] += 1
        return 1.0

    done, script, _ = run({"a": one}, settings=GateSettings(time_limit_s=2.5), clock=lambda: seconds[0])
    assert "time limit" == done.interrupted
    assert 3 == len(done.pairs["a"]) == len(script.asked)


def test_short_time_goes_to_what_looks_changed() -> None:
    """A limit that two wide cases could fill with screening leaves the slower one its fresh pairs."""
    seconds = [0.0]

    def clock() -> float:
        return seconds[0]

    def later(ratio: float, spread: float) -> Callable[[int], float]:
        count = iter(range(1000))

        def one(_: int) -> float:
            seconds[0] += 1
            return ratio * pairs.wobble(next(count), spread)

        return one

    ratios = {"slow": later(1.2, 1.0), "wide": later(1.0, 200.0), "wider": later(1.0, 210.0)}
    done, script, _ = run(ratios, settings=GateSettings(time_limit_s=46.0), clock=clock)
    assert ("slow",) == done.flagged
    assert 8 == script.asked.count(("slow", CONFIRM))
    assert script.asked.count(("wide", SCREEN)) < 24


def test_short_time_decides_some_cases_rather_than_none() -> None:
    """Six cases look faster and two slower; there is time for the first look at three: those that look slower first."""
    seconds = [0.0]

    def taking(ratio: float) -> Callable[[int], float]:
        def one(_: int) -> float:
            seconds[0] += 1
            return ratio

        return one

    ratios = {f"fast{i}": taking(0.9) for i in range(6)} | {f"slow{i}": taking(1.2) for i in range(2)}
    limit = 8.0 * (len(ratios) + 3) + 0.5
    done, script, _ = run(ratios, settings=GateSettings(time_limit_s=limit), clock=lambda: seconds[0])
    assert set(ratios) == set(done.flagged)
    confirmed = {name for name in ratios if script.asked.count((name, CONFIRM)) >= 8}
    assert {"slow0", "slow1"} <= confirmed
    assert 3 == len(confirmed)


def test_time_limit_shorter_than_a_pair() -> None:
    """With a limit that is over at once nothing is measured, and it says why."""
    now = iter(range(1000))
    done, script, _ = run({"a": 1.0}, settings=GateSettings(time_limit_s=0.5), clock=lambda: float(next(now)))
    assert ("time limit", []) == (done.interrupted, script.asked)


@pytest.mark.parametrize("after", [1, 5, 12, 22])
def test_ctrl_c_keeps_what_was_measured(after: int) -> None:
    """Ctrl-C in any phase ends measuring and loses no pair before it."""
    done, _, _ = run({"a": 1.0, "slow": lambda n: KeyboardInterrupt() if n >= after else 1.05})
    assert "Ctrl-C" == done.interrupted
    assert sum(map(len, done.pairs.values())) >= after - 1


@pytest.mark.parametrize(
    ("refusing", "expected"),
    [
        (("base", "head"), Broken(reason="base: no kernel; head: no kernel", unsupported=("base", "head"))),
        (("head",), Broken(reason="head: no kernel", unsupported=("head",))),
    ],
)
def test_refusal_asks_the_other_side(tmp_path: Path, refusing: tuple[str, ...], expected: Broken) -> None:
    """What nothing here can run is distinguished from what head alone cannot: each side is tried by itself."""
    bodies = {
        True: "send({'ok': False, 'kind': 'not_implemented', 'message': 'no kernel'})",
        False: "send({'ok': True, 'durations_ns': [1000]})",
    }
    clients = {}
    for role in ("base", "head"):
        (tmp_path / role).mkdir()
        clients[role] = workers.worker(tmp_path / role, bodies[role in refusing])
    spec = dataclasses.replace(pairs.pair_spec(), clients=clients)
    script = Script({"a": spec}, {"a": WorkerRefusal("not_implemented", "head: no kernel")})
    done = measure({"a": spec}, SETTINGS, phases.chooser(SETTINGS), Quiet(), pair=script)
    assert expected == done.broken["a"]


def test_refusal_of_another_kind_is_a_failure() -> None:
    """Memory that runs out is nobody's missing kernel."""
    done, _, _ = run({"a": WorkerRefusal("memory", "base: no memory")})
    assert Broken(reason="base: no memory") == done.broken["a"]
