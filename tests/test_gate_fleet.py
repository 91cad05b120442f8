"""harness.gate.fleet: pairs of a gate on several hosts, most of them made up and without Dask."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import itertools
import json
import math
import os
import queue
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.build.cache import Cache
from harness.errors import HarnessError, UsageError
from harness.fleet import clocks, engine, local
from harness.fleet.flights import FETCH_S, PATIENCE
from harness.fleet.model import FleetHost
from harness.gate.fleet import member, model
from harness.gate.fleet.model import PairAnswer, SentPair
from harness.gate.fleet.places import FleetPlaces
from harness.gate.fleet.rounds import FleetRounds, PlacedCase
from harness.gate.gate import gate
from harness.gate.model import GateSettings, Match, Report, Verdict
from harness.gate.outputs import as_json, junit, markdown
from harness.gate.timing.rounds import SCREEN, Broken
from harness.measure import usual_bursts
from harness.processes import OutOfTime
from harness.records import HostInfo, Pair
from harness.runtimes import resolve
from harness.stats import ranks, ratio, sequential
from harness.zoo import FleetSpec, HostWish
from tests import pairs, waiting
from tests.conftest import Project
from tests.fleets import MadeUpTask, keep
from tests.pairs import Quiet
from tests.test_fleet import free_port
from tests.test_gate_gate import World, match

A, B = "a" * 12, "b" * 12


class PairHosts:
    """Hosts that answer at once, each as the test wants it; it stands for its own client.

    Attributes:
        given: host and role's case of every pair.
        gone: what looking for a lost scheduler raises.
        ahead_s: by address: by how much a host's clock is ahead.
    """

    def __init__(self, *hosts: FleetHost, answer: Callable[[SentPair, str], MadeUpTask] | None = None) -> None:
        self.there, self.client, self.address, self.dashboard = list(hosts), self, "tcp://made:up", ""
        self.given: list[str] = []
        self.sent: list[Any] = []
        self.gone: HarnessError | None = None
        self.ahead_s: dict[str, float] = {}
        self._answer = answer or (lambda sent, where: measured(sent))

    def hosts(self) -> list[FleetHost]:
        """Who is there."""
        return self.there

    def revive(self, *_: object) -> bool:
        """Whether it was gone."""
        if self.gone is not None:
            raise self.gone
        return False

    def our_time(self, address: str, pair: Pair) -> Pair:
        """With its moment by the clock of this host."""
        return clocks.earlier(pair, self.ahead_s.get(address, 0.0))

    def ask(self, _call: object, addresses: Sequence[str], **arguments: Any) -> dict[str, Any]:
        """Take an entry."""
        self.sent.append((arguments["entry"], addresses))
        return {}

    def submit(self, _call: object, sent: SentPair, *, workers: Sequence[str], **options: Any) -> MadeUpTask:
        """Answer for the one host."""
        assert {"harness": 1} == options["resources"]
        self.given += workers
        return self._answer(sent, workers[0])


def measured(sent: SentPair, factor: float = 1.0) -> MadeUpTask:
    """A pair of this ratio."""
    return MadeUpTask("finished", PairAnswer(pair=pairs.pair(factor, sent.phase)))


def host(address: str, host_class: str = A, **more: Any) -> FleetHost:
    """A host with one slot and a CPU."""
    facts = HostInfo(fingerprint=host_class, facts={"cpu": f"cpu-{host_class[0]}"})
    known = {"name": address, "slots": 1, "host": facts, "providers": ("CPUExecutionProvider",), **more}
    return FleetHost(address=address, **known)


def sent_pair(tmp_path: Path) -> SentPair:
    """A pair of a made-up case."""
    return model.sent(in_cache(pairs.match(), tmp_path), GateSettings(), tmp_path)


def schedule(fleet: PairHosts, tmp_path: Path, names: Sequence[str] = ("m",), **more: Any) -> FleetRounds:
    """Rounds over cases of class A."""
    cases = {name: PlacedCase(sent=sent_pair(tmp_path), host_class=A) for name in names}
    settings = GateSettings(**more.pop("settings", {}))
    made: Any = fleet
    return FleetRounds(made, cases, settings, Quiet(), cache=lambda _: Cache(tmp_path), look_s=0.01, **more)


class LastFirst:
    """Answers of which the last one to arrive is heard first."""

    def __init__(self) -> None:
        self.there: list[Any] = []

    def put(self, item: Any) -> None:
        """One is there."""
        self.there.append(item)

    def get(self, *, timeout: float) -> Any:  # noqa: ARG002  # as a queue has it
        """The last."""
        if not self.there:
            raise queue.Empty
        return self.there.pop()


def test_an_idle_host_begins_the_next_pair_which_counts_in_its_turn(tmp_path: Path) -> None:
    """A look is at the pairs that were asked for by then, also where one of the next ones is measured before them."""
    fleet = PairHosts(host("one"), host("two"), answer=lambda sent, _: measured(sent, 1.0 + len(fleet.given)))
    rounds = schedule(fleet, tmp_path, answers=LastFirst())

    def ratios() -> list[int]:
        return [round(math.exp(pair.log_ratio)) for pair in rounds.done.pairs["m"]]

    rounds.rounds(["m"], 1, "confirm", ahead=1)
    assert (2, [2]) == (len(fleet.given), ratios())
    rounds.rounds(["m"], 1, "confirm")
    assert (2, [2, 3]) == (len(fleet.given), ratios())
    assert {"one", "two"} == set(fleet.given)


def test_a_pair_that_was_begun_early_is_forgotten_where_nobody_asks_for_it(tmp_path: Path) -> None:
    """Of another phase, of a case that is settled; and what became of no pair is measured in its turn."""
    fleet = PairHosts(host("one"), host("two"))
    rounds = schedule(fleet, tmp_path, ("m", "n"))
    rounds.rounds(["m"], 1, "screen", ahead=1)
    rounds.rounds(["m"], 1, "confirm", ahead=1)
    rounds.rounds(["n"], 2, "confirm")
    assert {"m": ["screen", "confirm"], "n": ["confirm"] * 2} == {
        name: [pair.phase for pair in found] for name, found in rounds.done.pairs.items()
    }
    rounds.rounds([], 3, "confirm")
    rounds.close()

    lost = PairHosts(
        host("one"),
        host("two"),
        answer=lambda sent, _: measured(sent) if len(lost.given) != 2 else MadeUpTask("error", OSError("away")),
    )
    rounds = schedule(lost, tmp_path, answers=LastFirst())
    rounds.rounds(["m"], 1, "confirm", ahead=1)
    rounds.rounds(["m"], 1, "confirm")
    assert (3, 2, {}) == (len(lost.given), len(rounds.done.pairs["m"]), rounds.done.broken)


def test_a_test_over_hosts_is_exact() -> None:
    """Of all signs that there could be, no more than a share p has a p as small, however hosts differ in noise."""
    sizes, where = (0.1, 0.2, 3.0, 1.0, 0.3, 2.0, 0.15), ("a", "a", "b", "b", "a", "b", "c")
    ps = sorted(
        ratio.signed_rank([s * x for s, x in zip(signs, sizes, strict=True)], 0.0, "greater", where)
        for signs in itertools.product((-1, 1), repeat=len(sizes))
    )
    assert all(place / len(ps) <= p + 1e-9 for place, p in enumerate(ps, 1) if p < 1 and p < ps[place % len(ps)])
    assert 2.0 ** -len(sizes) == ps[0]


def test_sizes_are_over_the_scale_of_their_host() -> None:
    """A host with much noise does not take all the high ranks; one host makes no strata."""
    quiet, noisy = [0.010, 0.011, 0.009, 0.012], [-0.005, 0.030, -0.020, 0.025]
    where = ["quiet"] * 4 + ["noisy"] * 4
    values = quiet + noisy
    sizes = ranks.aligned(values, where)
    assert sizes[7] / sizes[3] < values[7] / values[3]
    assert sorted(map(abs, noisy)) == [abs(noisy[k]) for k in sorted(range(4), key=lambda k: sizes[4 + k])]
    alone = sequential.signed_rank_p(values, planned=8, hosts=["one"] * 8)
    assert sequential.signed_rank_p(values, planned=8) == alone
    assert [0.0, 0.0] == ranks.aligned([0.0, 0.0], ["a", "b"])
    with pytest.raises(ValueError, match="2 hosts for 3 values"):
        ranks.aligned([1.0, 2.0, 3.0], ["a", "b"])


def test_the_hosts_of_a_class_share_the_pairs_of_a_case(tmp_path: Path) -> None:
    """As many each, and every pair says where it was measured; other classes, and refused hosts, get none."""
    fleet = PairHosts(host("one"), host("two"), host("other", B), host("old", refused="runs harness 99"))
    made = schedule(fleet, tmp_path, ("m", "n"))
    made.rounds(["m", "n"], 8, SCREEN)
    assert {"one": 8, "two": 8} == Counter(fleet.given)
    for name in ("m", "n"):
        assert {"one", "two"} == {pair.host for pair in made.done.pairs[name]}
        assert 8 == len(made.done.pairs[name])
    assert 1 == made.at_once(["m", "n"])
    assert 2 == made.at_once(["m"])


def test_a_pair_is_stored_by_the_clock_of_this_host(tmp_path: Path) -> None:
    """One that a host whose clock is an hour ahead measured began an hour before it says."""
    fleet = PairHosts(host("ahead"), host("right"))
    fleet.ahead_s = {"ahead": 3600.0}
    made = schedule(fleet, tmp_path)
    made.rounds(["m"], 4, SCREEN)
    began = datetime.fromisoformat(pairs.pair(1.0, SCREEN).started_at)
    for pair in made.done.pairs["m"]:
        off = timedelta(hours=1 if pair.host == "ahead" else 0)
        assert began - off == datetime.fromisoformat(pair.started_at)


def test_a_host_that_is_lost_costs_the_pair_that_it_had(tmp_path: Path) -> None:
    """Another one of its class measures it; what the lost one says later counts for nothing."""

    def answer(sent: SentPair, address: str) -> MadeUpTask:
        if address == "lost":
            fleet.there = [host("one")]
            return MadeUpTask("pending")
        return measured(sent)

    fleet, said = PairHosts(host("lost"), host("one"), answer=answer), list[str]()
    made = schedule(fleet, tmp_path, say=said.append)
    made.rounds(["m"], 6, SCREEN)
    assert ["one"] * 6 == [pair.host for pair in made.done.pairs["m"]]
    assert ["lost is gone: a pair of m is measured again"] == said
    assert {} == made.done.broken


def test_a_host_that_cannot_is_passed_over(tmp_path: Path) -> None:
    """For that case; where no host is left the case has failed, with what each of them said."""

    def answer(sent: SentPair, address: str) -> MadeUpTask:
        full = MadeUpTask("finished", PairAnswer(refused="no space left"))
        return full if address == "full" else measured(sent)

    made = schedule(PairHosts(host("full"), host("one"), answer=answer), tmp_path)
    made.rounds(["m"], 4, SCREEN)
    assert ["one"] * 4 == [pair.host for pair in made.done.pairs["m"]]
    made = schedule(PairHosts(host("full"), answer=answer), tmp_path)
    made.rounds(["m"], 4, SCREEN)
    assert {"m": Broken(reason="full: no space left")} == made.done.broken


def test_a_class_that_leaves_for_good_fails_its_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the fleet's patience, and no others."""
    monkeypatch.setenv(PATIENCE, "0.01s")
    made = schedule(PairHosts(host("other", B)), tmp_path)
    made.rounds(["m"], 4, SCREEN)
    assert f"no host of class {A} has been in the fleet for 0.01 s" == made.done.broken["m"].reason


def test_what_kills_every_worker_breaks_its_case(tmp_path: Path) -> None:
    """After a few attempts; the other cases go on."""

    class KilledWorker(Exception):
        """As Dask calls it."""

    fleet = PairHosts(host("one"), answer=lambda sent, _: MadeUpTask("error", KilledWorker("it")))
    made = schedule(fleet, tmp_path)
    made.rounds(["m"], 2, SCREEN)
    assert "its pairs were given to hosts 5 times: one was killed" == made.done.broken["m"].reason
    assert 5 == len(fleet.given)


def test_an_answer_whose_host_left_is_asked_for_again(tmp_path: Path) -> None:
    """The pair was done, and nobody has it any more: Dask would wait for it without end."""

    class Lost(MadeUpTask):
        def result(self, timeout: float | None = None) -> Any:
            assert timeout == FETCH_S
            raise TimeoutError

    fleet = PairHosts(host("one"), answer=lambda sent, _: measured(sent) if len(fleet.given) > 1 else Lost("finished"))
    made = schedule(fleet, tmp_path)
    made.rounds(["m"], 2, SCREEN)
    assert (2, 3) == (len(made.done.pairs["m"]), len(fleet.given))


def test_what_a_host_lacks_travels_to_it(tmp_path: Path) -> None:
    """Both sides' entries; then the same host measures. One that keeps nothing is passed over."""
    keep(Cache(tmp_path), {entry for _, entry in sent_pair(tmp_path).entries})

    def answer(sent: SentPair, address: str) -> MadeUpTask:
        forgets = address == "forgets" or not fleet.sent
        return MadeUpTask("finished", PairAnswer(missing=sent.entries)) if forgets else measured(sent)

    fleet = PairHosts(host("one"), answer=answer)
    made = schedule(fleet, tmp_path)
    made.rounds(["m"], 2, SCREEN)
    assert {"artifacts", "references"} == {entry[0] for (_, entry), _ in fleet.sent}
    assert 2 == len(made.done.pairs["m"])
    fleet.there = [host("forgets")]
    made.rounds(["m"], 1, SCREEN)
    assert "forgets: it does not keep what it is sent" == made.done.broken["m"].reason


def test_the_time_limit_ends_what_runs(tmp_path: Path) -> None:
    """No pair begins after it, and what was measured stays."""
    now = itertools.count()
    made = schedule(PairHosts(host("one")), tmp_path, settings={"time_limit_s": 9.0}, clock=lambda: float(next(now)))
    with pytest.raises(OutOfTime):
        made.rounds(["m"], 50, SCREEN)
    assert 0 < len(made.done.pairs["m"]) < 10


def fleet_places(fleet: PairHosts, root: Path, **more: Any) -> FleetPlaces:
    """What a gate sees of these hosts."""
    made: Any = fleet
    return FleetPlaces(made, root, **more)


def in_cache(found: Match, root: Path) -> Match:
    """A match whose artifacts lie in a cache."""
    both = {role: dataclasses.replace(getattr(found, role), cache=root) for role in ("base", "head")}
    return dataclasses.replace(found, **both)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world without building and measuring."""
    return World(tmp_path)


def gated(world: World, fleet: PairHosts, *names: str, **more: Any) -> Report:
    """A gate of these cases on a fleet."""
    root = world.request.cache
    world.matches = tuple(in_cache(match(name), root) for name in names)
    steps = dataclasses.replace(world.steps(), places=fleet_places(fleet, root, **more))
    return gate(world.request, Watching(), steps=steps)


class Watching(Quiet):
    """A watcher of a whole gate."""

    def say(self, text: str) -> None:
        """Words."""

    def sides(self, base: object, head: object) -> None:
        """Both sides."""

    def building(self, event: object) -> None:
        """A build step."""

    def matched(self, matches: object, to_measure: object, settings: object) -> None:
        """What there is to do."""

    def evaluating(self, case: str) -> None:
        """Outputs are compared."""


def test_a_regression_on_one_class_is_named_and_not_averaged(world: World) -> None:
    """Every class has a verdict of its own, and the report says which hosts measured how much."""
    places_of = {"one": A, "two": A, "slow": B}
    count = itertools.count()

    def answer(sent: SentPair, address: str) -> MadeUpTask:
        return measured(sent, (1.2 if address == "slow" else 1.0) * pairs.wobble(next(count), 1.0))

    fleet = PairHosts(*(host(name, where) for name, where in places_of.items()), answer=answer)
    report = gated(world, fleet, "m")
    assert {f"m@{A}": Verdict.PASS, f"m@{B}": Verdict.REGRESSION} == {one.name: one.verdict for one in report.cases}
    assert f"m: a regression on {B} alone; pass on {A}" == report.notes[0]
    assert {"one": A, "two": A, "slow": B} == {one.name: one.host_class for one in report.hosts}
    assert {4} == {one.pairs for one in report.hosts if one.host_class == A}
    written = as_json.as_dict(report)
    assert [("one", 4), ("two", 4)] == [(one["name"], one["pairs"]) for one in written["hosts"]][:2]
    assert {"slow"} == {pair["host"] for one in written["cases"] if B in one["name"] for pair in one["pairs"]}
    for text in (markdown.render(report), junit.render(report)):
        assert f"hosts of class {A}" in text
        assert "cpu-a, one: 4 pairs, two: 4 pairs" in text
        assert B in text


def test_a_report_with_hosts_can_be_read_again(world: World, tmp_path: Path) -> None:
    """One class alone leaves the names of cases as they are, and its host is the report's."""
    report = gated(world, PairHosts(host("one"), host("two", B), host("three", B)), "m", hosts="any")
    assert (["m"], B) == ([one.name for one in report.cases], report.fingerprint)
    (tmp_path / "g.json").write_text(as_json.render(report), encoding="utf-8")
    assert report.hosts == as_json.load(tmp_path / "g.json").hosts
    assert {"two", "three"} == {one.name for one in report.hosts}


def test_a_scheduler_that_stays_away_leaves_the_gate_open(world: World) -> None:
    """What was measured until then is judged, and the report says what ended it."""
    count = itertools.count(1)

    def answer(sent: SentPair, _: str) -> MadeUpTask:
        if next(count) < 4:
            return measured(sent)
        fleet.gone = HarnessError("the scheduler is gone")
        return MadeUpTask("cancelled")

    fleet = PairHosts(host("one"), answer=answer)
    report = gated(world, fleet, "m")
    assert ("the loss of the fleet", 3) == (report.interrupted, len(report.cases[0].pairs))
    assert "run it again when the scheduler is back" in report.cases[0].findings[0].sentence


def test_who_is_asked(tmp_path: Path) -> None:
    """Hosts that a target wants and whose onnxruntime has its provider; nobody at all is said with the reason."""
    found = in_cache(match("m"), tmp_path)
    fleet = PairHosts(host("one"), host("bare", B, providers=()), host("old", refused="runs harness 99"))
    said: list[str] = []
    made = fleet_places(fleet, tmp_path, say=said.append)
    assert (["m"], ["old runs harness 99"]) == ([one.name for one in made.spread(found)], said)
    assert found.head is not None
    wish = {found.head.case.target.name: HostWish(label="pi*")}
    with pytest.raises(UsageError, match="no host of the fleet suits the target"):
        fleet_places(fleet, tmp_path, wishes=wish).spread(found)
    with pytest.raises(UsageError, match=r"no worker at tcp://made:up can measure: old runs harness 99"):
        fleet_places(PairHosts(host("old", refused="runs harness 99")), tmp_path)


def test_what_cannot_travel_is_refused(tmp_path: Path) -> None:
    """A path of this host, whichever part of a side it is; what lies in a cache of its own says so."""
    with pytest.raises(UsageError, match=r"head is measured on /opt/python, a path of this host"):
        model.check({"base": pairs.side("base"), "head": pairs.side("head", spec="/opt/python")})
    found = in_cache(match("m"), tmp_path / "sides" / "ab")
    assert {"sides/ab"} == {one.folder for one in model.sent(found, GateSettings(), tmp_path).sides}
    assert found.head is not None
    target = dataclasses.replace(found.head.case.target, runtime="node:/opt/node")
    head = dataclasses.replace(found.head, case=dataclasses.replace(found.head.case, target=target))
    with pytest.raises(UsageError, match=r"node:/opt/node, is a path of this host"):
        model.sent(dataclasses.replace(found, head=head), GateSettings(), tmp_path)


def test_another_onnxruntime_is_refused_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the host, before anything is timed: numbers of another release would be taken for those of this one."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    (side, _) = sent_pair(tmp_path).sides
    with pytest.raises(UsageError, match=r"beside harness, and base is measured on 9.9.9: install that there"):
        member.starter(dataclasses.replace(side, version="9.9.9"))
    other = dataclasses.replace(side, spec="onnxruntime==1.0")
    assert callable(member.starter(other, lambda spec, _: resolve.of_interpreter(sys.executable, spec)))


def test_a_made_up_gate_is_decided_in_less_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated: with four hosts a pair takes about a quarter of the time that it takes with one."""
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "benchmarks")
    bench: Any = importlib.import_module("gate_hosts")
    cost = {}
    for count in (1, 4):
        dice = bench.random.Random(3)
        found = bench.gate(["m0", "m1", "m2", "m3"], bench.hosts({"a": count}), bench.drawn(dice), dice)
        cost[count] = found.seconds / found.pairs
    assert 0.2 < cost[4] / cost[1] < 0.35


def test_options_of_a_fleet_need_one(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is refused with a sentence, and so is a scheduler that nobody is at: exit code 2."""
    pytest.importorskip("distributed", reason="the extra `fleet` is not installed")
    monkeypatch.setenv(PATIENCE, "0.2s")
    at = f"tcp://127.0.0.1:{free_port()}"
    assert "--hosts each goes with a fleet" in project.error("gate", "--base", "main", "--hosts", "each")
    assert "--hosts some: " in project.error("gate", "--base", "main", "--hosts", "some")
    assert "no-such-kind" in project.error("gate", "--base", "main", "--cache", "no-such-kind://bucket/cache")
    assert "no scheduler of Dask answers there" in project.error("gate", "--base", "main", "--scheduler", at)
    said = project.error("gate", "--base-python", "/opt/python", "--scheduler", at)
    assert "--base-python /opt/python is an interpreter of this host" in said


@pytest.mark.long
def test_a_gate_on_workers_of_dask(tmp_path: Path, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two files on two real workers, of which one is killed in mid-gate: the pairs that are asked for are all there."""
    pytest.importorskip("distributed", reason="the extra `fleet` is not installed")
    monkeypatch.setenv(usual_bursts.VARIABLE, "7x2ms")
    shutil.copy(project.root / "tiny.onnx", project.root / "other.onnx")
    with contextlib.ExitStack() as stack:
        spec = FleetSpec(scheduler=stack.enter_context(local.scheduler(free_port())))
        for number in range(2):
            cache = tmp_path / f"cache{number}"
            stack.enter_context(local.worker(spec, name=f"w{number}", cache=cache, slot=f"slot{number}"))
        with engine.Fleet(spec) as fleet:
            fleet.client.wait_for_workers(2, timeout=120)
            pids = fleet.ask(os.getpid, [one.address for one in fleet.hosts()])
        command = ["gate", "--base", "tiny.onnx", "--head", "other.onnx", "--scheduler", spec.scheduler]
        few = ("--metrics", "latency", "--pairs", "6,6", "--detect", "99%")
        started = project.start(*command, *few, "--json-file", "g.json", "--fail-on", "never", "--remeasure-same")
        stack.callback(started.kill)
        arrived = [tmp_path / f"cache{number}" / "artifacts" for number in range(2)]
        waiting.wait_for(lambda: any(place.is_dir() for place in arrived), waiting.alive(started))
        os.kill(next(iter(pids.values())), signal.SIGKILL)
        out, err = started.communicate(timeout=400)
    assert 0 == started.returncode, (out, err)
    written = json.loads((project.root / "g.json").read_text(encoding="utf-8"))
    (case,) = written["cases"]
    assert case["verdict"] not in ("failed", "not compared"), case
    screened = [pair for pair in case["pairs"] if pair["phase"] == "screen"]
    assert len(screened) >= 6
    assert sum(one["pairs"] for one in written["hosts"]) == len(case["pairs"])
    assert all(math.isfinite(pair["log_ratio"]) for pair in case["pairs"])
