"""harness.fleet.executor: where jobs go, and what becomes of them, on hosts that are made up and need no Dask."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.build.cache import Cache
from harness.cli.remaining import Remaining
from harness.errors import HarnessError
from harness.fleet import flights
from harness.fleet.executor import FleetExecutor
from harness.fleet.flights import entries_of
from harness.fleet.model import FleetAnswer, FleetHost, SentJob
from harness.flow.execute import Job
from harness.flow.preview import SweepSettings
from harness.flow.progress import ProcessOutcome
from harness.flow.session import TriedTargets
from harness.records import HostInfo, Status
from harness.zoo import HostWish
from tests import outcomes
from tests.fleets import MadeUpTask, keep


class NoWatch:
    """Looks away."""

    def started(self, case: object) -> None:
        """A job was given away."""

    def preparing(self, text: str) -> None:
        """Something is said."""

    def tick(self) -> None:
        """Never called."""


class MadeUpFleet:
    """Hosts that answer at once, each as the test wants it; it stands for its own client.

    Attributes:
        given: case, process and host of every task.
        sent: entries that were sent to a host.
    """

    def __init__(self, *hosts: FleetHost, answer: Callable[[SentJob, str], MadeUpTask] | None = None) -> None:
        self.there, self.client, self.address = list(hosts), self, "tcp://made:up"
        self.given: list[tuple[str, int, str]] = []
        self.sent: list[Any] = []
        self._answer = answer or finished

    def hosts(self) -> list[FleetHost]:
        """Who is there."""
        return [*self.there]

    def revive(self, *_: object) -> bool:
        """It was never gone."""
        return False

    def leave_out(self, address: str, why: str) -> None:
        """It is refused from now on."""
        self.there = [dataclasses.replace(one, refused=why) if one.address == address else one for one in self.there]

    def our_time(self, _address: str, noun: Any) -> Any:
        """All clocks agree."""
        return noun

    def ask(self, _call: object, addresses: Sequence[str], **arguments: Any) -> dict[str, Any]:
        """Take an entry."""
        self.sent.append((arguments["entry"], addresses))
        return {}

    def submit(self, _call: object, sent: SentJob, *, workers: Sequence[str], **options: Any) -> MadeUpTask:
        """Answer for the first of the workers."""
        assert {"harness": 1} == options["resources"]
        self.given.append((sent.job.case.id, sent.job.process, workers[0]))
        return self._answer(sent, workers[0])


def host(address: str, host_class: str = "a" * 12, **more: Any) -> FleetHost:
    """A host with one slot."""
    return FleetHost(address=address, slots=1, host=HostInfo(fingerprint=host_class), **more)


def finished(sent: SentJob, address: str) -> MadeUpTask:
    """A process that was measured."""
    found = ProcessOutcome(case=sent.job.case, process=sent.job.process, started_at=address)
    return MadeUpTask("finished", FleetAnswer(address=address, outcome=found))


def jobs(*names: str, processes: int = 1) -> list[Job]:
    """Jobs of these models, in rounds; `m/fp16` is a variant of m."""
    made = []
    for process in range(processes):
        for name in names:
            model, _, variant = name.partition("/")
            case = outcomes.case(model, variant or "fp32")
            settings = SweepSettings(processes=processes, time_per_case=0.1, ci_width=0.1)
            artifact = outcomes.artifact(case)
            made.append(Job(case=case, built=artifact, settings=settings, cache=Path(), process=process))
    return made


def run(fleet: MadeUpFleet, tmp_path: Path, wanted: Sequence[Job], **more: Any) -> list[ProcessOutcome]:
    """What comes of jobs on a fleet."""
    made = FleetExecutor(fleet, tmp_path, look_s=0.02, **more)  # type: ignore[arg-type]
    return list(made.run(wanted, NoWatch()))


def test_what_is_compared_stays_on_one_class(tmp_path: Path) -> None:
    """Variants and processes of a model; models are spread over the classes, and a wish or an earlier run decides."""
    fleet = MadeUpFleet(host("one", "a" * 12), host("two", "b" * 12))
    assert 12 == len(run(fleet, tmp_path, jobs("m", "m/fp16", "n", "n/fp16", processes=3)))
    places = {(case.split("/")[0], address) for case, _, address in fleet.given}
    assert 2 == len(places) == len({address for _, address in places})
    assert 12 == len(set(fleet.given))

    resumed = [dataclasses.replace(one, host_class="b" * 12) for one in jobs("m")]
    fleet.given.clear()
    run(fleet, tmp_path, resumed)
    wish = {jobs("m")[0].case.target.name: HostWish(host_class="b" * 12)}
    run(fleet, tmp_path, jobs("m"), wishes=wish)
    run(fleet, tmp_path, jobs("m"), only="b" * 12)
    assert ["two"] * 3 == [address for _, _, address in fleet.given]


def test_a_host_that_leaves_for_good_fails_its_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With that as the reason, after the fleet's patience; one that was refused does not count."""
    monkeypatch.setenv(flights.PATIENCE, "0.01s")
    found = run(MadeUpFleet(host("other", refused="runs harness 99")), tmp_path, jobs("m", "n", processes=2))
    assert [Status.FAILED] * 4 == [one.ends for one in found]
    why = "no host that suits the target has been in the fleet for 0.01 s; other runs harness 99"
    assert {why} == {one.reason for one in found}


def test_the_first_answer_counts(tmp_path: Path) -> None:
    """A host is gone while it measures: the process goes to another, and what the first one says later is nothing."""
    late: list[tuple[SentJob, str]] = []

    def answer(sent: SentJob, address: str) -> MadeUpTask:
        if not late:
            late.append((sent, address))
            fleet.there = [host("two")]
            return MadeUpTask("pending")
        return finished(sent, address)

    fleet = MadeUpFleet(host("one"), answer=answer)
    said: list[str] = []
    found = run(fleet, tmp_path, jobs("m", processes=2), say=said.append)
    assert [(0, "two"), (1, "two")] == sorted((one.process, one.started_at) for one in found)
    assert "its host is gone; it is measured again" in said[0]


def test_what_kills_its_worker_each_time_has_crashed(tmp_path: Path) -> None:
    """Only that process; the case goes on."""

    class KilledWorker(Exception):
        """As Dask calls it."""

    def answer(sent: SentJob, address: str) -> MadeUpTask:
        return MadeUpTask("error", KilledWorker("it")) if sent.job.process == 0 else finished(sent, address)

    found = run(MadeUpFleet(host("one"), answer=answer), tmp_path, jobs("m", processes=2))
    assert [(0, None), (1, None)] == [(one.process, one.ends) for one in found]
    assert "was killed each time" in found[0].reason
    assert "" == found[1].reason


def test_what_a_host_lacks_is_sent_to_it(tmp_path: Path) -> None:
    """Artifact and reference, and then the same host measures."""
    keep(Cache(tmp_path), entries_of(jobs("m")[0]))

    def answer(sent: SentJob, address: str) -> MadeUpTask:
        if fleet.sent:
            return finished(sent, address)
        return MadeUpTask("finished", FleetAnswer(address=address, missing=sent.entries))

    fleet = MadeUpFleet(host("one"), host("two"), answer=answer)
    (found,) = run(fleet, tmp_path, jobs("m"))
    assert {"artifacts", "references"} == {entry[0] for entry, _ in fleet.sent}
    assert {(found.started_at,)} == {tuple(addresses) for _, addresses in fleet.sent}


def test_a_reason_needs_no_host(tmp_path: Path) -> None:
    """A case that cannot be measured anywhere is settled here."""
    unusable = [dataclasses.replace(one, unusable="no such device") for one in jobs("m")]
    fleet = MadeUpFleet()
    assert [("no such device", Status.UNSUPPORTED)] == [
        (one.reason, one.ends) for one in run(fleet, tmp_path, unusable)
    ]
    assert [] == fleet.given


def test_a_host_without_room_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it says so itself or cannot take what it is sent: others measure, and with none left it is the reason."""
    keep(Cache(tmp_path), entries_of(jobs("m")[0]))

    def answer(sent: SentJob, address: str) -> MadeUpTask:
        if address == "full":
            return MadeUpTask("finished", FleetAnswer(address=address, unfit="cannot write into /cache: it is full"))
        if address == "small":
            return MadeUpTask("finished", FleetAnswer(address=address, missing=sent.entries))
        return finished(sent, address)

    class SmallHost(MadeUpFleet):
        def ask(self, *_: object, **__: Any) -> dict[str, Any]:
            """It does not fit."""
            return {"small": ("no space left on device", True)}

        def submit(self, _call: object, sent: SentJob, *, workers: Sequence[str], **options: Any) -> MadeUpTask:
            """Answer for the first in the order of the alphabet."""
            return super().submit(_call, sent, workers=sorted(workers), **options)

    said: list[str] = []
    fleet = SmallHost(host("full"), host("small"), host("two"), answer=answer)
    found = run(fleet, tmp_path, jobs("m", processes=3), say=said.append)
    assert ["two"] * 3 == [one.started_at for one in found]
    assert all("no space left" in one or "it is full" in one for one in said)
    assert {"full": 3, "small": 3, "two": 3} == Counter(address for _, _, address in fleet.given)
    fleet.given.clear()
    run(fleet, tmp_path, jobs("n"))
    assert ["two"] == [address for _, _, address in fleet.given]

    monkeypatch.setenv(flights.PATIENCE, "0.01s")
    (lost,) = run(MadeUpFleet(host("full"), answer=answer), tmp_path, jobs("m"))
    assert Status.FAILED is lost.ends
    assert "; full cannot write into /cache: it is full" in lost.reason


def test_a_host_that_lacks_a_runtime_measures_what_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others of its class measure that target, however many lack it; where nobody is left, what each said is why."""
    monkeypatch.setenv(flights.PATIENCE, "0.01s")
    without = [f"bare{number}" for number in range(12)]

    def answer(sent: SentJob, address: str) -> MadeUpTask:
        if address in without and sent.job.case.model.name == "m":
            return MadeUpTask("finished", FleetAnswer(address=address, lacks="onnxruntime 9.9 cannot be installed"))
        return finished(sent, address)

    class InOrder(MadeUpFleet):
        def submit(self, _call: object, sent: SentJob, *, workers: Sequence[str], **options: Any) -> MadeUpTask:
            """Answer for the first in the order of the alphabet."""
            return super().submit(_call, sent, workers=sorted(workers), **options)

    said: list[str] = []
    fleet = InOrder(*map(host, (*without, "whole")), answer=answer)
    found = run(fleet, tmp_path, jobs("m", processes=1), say=said.append)
    assert (["whole"], 12) == ([one.started_at for one in found], len(said))
    assert said[0].endswith("cannot measure cpu: onnxruntime 9.9 cannot be installed")
    assert not any(one.refused for one in fleet.there)
    (lost,) = run(InOrder(*map(host, without), answer=answer), tmp_path, jobs("m"))
    assert Status.FAILED is lost.ends
    assert "bare0: onnxruntime 9.9 cannot be installed" in lost.reason


def test_a_runtime_that_some_hosts_lack(tmp_path: Path) -> None:
    """A class that has it measures; where no class has it, the reason is the target's."""

    class Lacking(MadeUpFleet):
        lack = frozenset({"one"})

        def submit(self, _call: object, sent: Any, *, workers: Sequence[str], **options: Any) -> MadeUpTask:
            """Try a target where one is sent, and else measure."""
            if not isinstance(sent, list):
                return super().submit(_call, sent, workers=workers, **options)
            name = sent[0].target.name
            lacks = set(workers) <= self.lack
            return MadeUpTask("finished", TriedTargets(absent={name: "openvino is not installed"} if lacks else {}))

    fleet = Lacking(host("one", "a" * 12), host("two", "b" * 12))
    executor = FleetExecutor(fleet, tmp_path)  # type: ignore[arg-type]
    wanted = jobs("m", "n", processes=2)
    cases = [one.case for one in wanted]
    assert {} == executor.try_targets(cases, tmp_path).absent
    assert 4 == len(list(executor.run(wanted, NoWatch())))
    assert {"two"} == {address for _, _, address in fleet.given}
    fleet.lack = frozenset({"one", "two"})
    tried = FleetExecutor(fleet, tmp_path).try_targets(cases, tmp_path)  # type: ignore[arg-type]
    assert {wanted[0].case.target.name: "openvino is not installed"} == tried.absent


def test_what_is_asked_of_a_host_that_left_is_not_waited_for(tmp_path: Path) -> None:
    """Dask would keep the task for it; here its hosts are named."""

    class Kept(MadeUpTask):
        def result(self, timeout: float | None = None) -> Any:
            assert timeout is not None
            raise TimeoutError

    class Leaving(MadeUpFleet):
        def submit(self, *_: object, **__: object) -> MadeUpTask:
            """Take it, and go."""
            self.there = []
            return Kept("pending")

    executor = FleetExecutor(Leaving(host("one")), tmp_path)  # type: ignore[arg-type]
    with pytest.raises(HarnessError, match="one left the fleet"):
        executor.try_targets([jobs("m")[0].case], tmp_path)


def test_what_is_under_way_is_said(tmp_path: Path) -> None:
    """So much on so many hosts, and what was lost; the time left is for whole turns of the hosts."""
    fleet = MadeUpFleet(host("one"), host("two"), host("old", refused="runs harness 99"))
    made = FleetExecutor(fleet, tmp_path)  # type: ignore[arg-type]
    seen = [made.underway() for _ in made.run(jobs("a", "b", "c"), NoWatch())]
    assert 2 == made.at_once()
    assert "0 on 2 hosts" == seen[-1]
    assert "3 on 4 hosts, 2 lost and measured again" == flights.underway(3, 4, 2)

    left = Remaining(processes=9, process_s=10.0, at_once=4)
    assert 3 * 10.0 == left.measuring()
    for _ in range(4):
        left.took(3.0)
    assert 2 * 4 * 3.0 == left.measuring()
