"""harness.gate.gate: the flow around pairs: what is left out, what is compared once, and what survives Ctrl-C."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.errors import BuildError, StoreError
from harness.gate import gate as flow
from harness.gate.checks import quality
from harness.gate.checks.quality import Quality
from harness.gate.checks.signature import Signature
from harness.gate.gate import GateRequest, GateSteps, gate
from harness.gate.model import Contender, GateSettings, Match, Pair, Report, Verdict, exit_code
from harness.gate.outputs import delivery
from harness.gate.timing import lock
from harness.gate.timing.rounds import Broken
from harness.measure.pairs import PairSpec
from harness.processes import OutOfTime
from harness.records import Artifact
from harness.store import files
from tests import outcomes, pairs
from tests.pairs import Quiet


class Watch(Quiet):
    """A watcher of a whole gate."""

    def __init__(self) -> None:
        super().__init__()
        self.evaluated: list[str] = []
        self.to_measure: list[str] = []

    def say(self, text: str) -> None:
        """Words."""

    def sides(self, base: object, head: object) -> None:
        """Both sides."""

    def building(self, event: object) -> None:
        """A build step."""

    def matched(self, matches: Any, to_measure: Any, settings: GateSettings) -> None:  # noqa: ARG002  (a watcher's)
        """What there is to do."""
        self.to_measure = list(to_measure)

    def evaluating(self, case: str) -> None:
        """Outputs are compared."""
        self.evaluated.append(case)


def matched(name: str, role: str, **target: Any) -> Contender:
    """A contender of a case."""
    return pairs.contender(role, case=outcomes.case(name, **target))


class World:
    """Everything that builds or measures, replaced: sides with given matches, pairs of given ratios.

    Attributes:
        ratios: match -> ratio of its pairs, or what its worker raises; 1 where none is given.
        compare: what comparing outputs gives.
        signatures: what reading signatures gives.
        refuses: why what is the same on both sides does not run.
    """

    def __init__(self, folder: Path) -> None:
        self.request = GateRequest(zoo=folder / "z.yaml", results=folder / "results", cache=folder / "cache")
        self.matches: tuple[Match, ...] = ()
        self.ratios: dict[str, Any] = {}
        self.compare: Callable[[Match, GateSettings], Quality] = lambda match, settings: Quality()
        self.signatures: Callable[[Sequence[Path]], Mapping[Path, Signature]] = lambda paths: {}
        self.on_pair: Callable[[], None] = lambda: None
        self.refuses: Callable[[Match], str | None] = lambda match: None
        self.count = 0

    def steps(self) -> GateSteps:
        """The steps of a gate in this world."""
        return GateSteps(
            resolve=lambda **asked: (pairs.side("base"), pairs.side("head")),
            build=lambda side, selection, cache, on_event: ((), (f"{side.role} note",)),
            match=lambda base, head: self.matches,
            read_signatures=self.signatures,
            compare_outputs=self.compare,
            measure_pair=self.pair,
            refuses=self.refuses,
        )

    def pair(self, spec: PairSpec, *, phase: str, rng: object, on_burst: object) -> Pair:  # noqa: ARG002  (what is given)
        """A pair of the ratio that its artifact stands for."""
        self.on_pair()
        model = spec.workloads["head"].model
        name = next(m.name for m in self.matches if m.head is not None and flow.path(m.head) == model)
        ratio = self.ratios.get(name, 1.0)
        if isinstance(ratio, BaseException):
            raise ratio
        self.count += 1
        return pairs.pair(ratio * pairs.wobble(self.count, 1.0), phase)

    def run(self, *matches: Match) -> tuple[Report, Watch]:
        """Gate these matches."""
        self.matches = matches
        watch = Watch()
        return gate(self.request, watch, steps=self.steps()), watch


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world of its own."""
    return World(tmp_path)


def match(name: str, **changes: Any) -> Match:
    """A match whose artifacts have digests of their own."""
    case = outcomes.case()
    built = dataclasses.replace(outcomes.artifact(case), digest=f"digest-of-{name}")
    both = {role: pairs.contender(role, built=built) for role in ("base", "head")}
    return Match(**{"name": name, **both, **changes})


def verdicts(report: Report) -> dict[str, Verdict]:
    """Case -> verdict."""
    return {case.name: case.verdict for case in report.cases}


@pytest.mark.parametrize(
    ("base", "head", "expected"),
    [("rotate", "rotate", 64), ("fixed", "fixed", 1), ("fixed", "rotate", 64), ("rotate", "fixed", 1)],
)
def test_both_sides_of_a_pair_are_fed_alike(base: str, head: str, expected: int) -> None:
    """Through as many examples; what the head's zoo says counts, since one that repeats an input looks faster."""
    one = match("a")
    sides: list[Contender] = []
    for contender, mode in ((one.base, base), (one.head, head)):
        assert contender is not None
        model = dataclasses.replace(contender.case.model, timed_inputs=mode)
        sides.append(dataclasses.replace(contender, case=dataclasses.replace(contender.case, model=model)))
    spec = flow.pair_spec(dataclasses.replace(one, base=sides[0], head=sides[1]), GateSettings())
    assert {"base": expected, "head": expected} == {role: work.rotate for role, work in spec.workloads.items()}


def test_every_case_gets_its_verdict(world: World) -> None:
    """Slow, crashed, quiet, the same, different and missing cases of one gate each get their own."""
    world.ratios = {"slow": 1.1, "dead": pairs.dies("base")}
    report, watch = world.run(
        match("quiet"),
        match("slow"),
        match("dead"),
        match("same", same="one file"),
        match("other", differs=("data: base a, head b",)),
        match("new", base=None),
    )
    assert {
        "quiet": Verdict.PASS,
        "slow": Verdict.REGRESSION,
        "dead": Verdict.FAILED,
        "same": Verdict.PASS,
        "other": Verdict.NOT_COMPARABLE,
        "new": Verdict.NOT_COMPARABLE,
    } == verdicts(report)
    assert ["quiet", "slow", "dead"] == watch.to_measure
    assert 1 == exit_code(report)
    assert ("base note", "head note") == report.notes
    assert report.spread is not None


def test_outputs_are_compared_once(world: World) -> None:
    """Cases that differ in threads alone share one comparison; what is the same needs none."""
    both = [
        match(f"t{n}", base=matched("m", "base", intra_threads=n), head=matched("m", "head", intra_threads=n))
        for n in (1, 2)
    ]
    _, watch = world.run(*both, match("same", same="one file"))
    assert ["t1"] == watch.evaluated


def test_remeasure_same(world: World) -> None:
    """What is the same is measured where that is asked for."""
    world.request = dataclasses.replace(world.request, settings=GateSettings(remeasure_same=True))
    report, _ = world.run(match("same", same="one file"))
    assert 8 == len(report.cases[0].pairs)


def test_broken_outputs_fail_before_any_pair(world: World) -> None:
    """A case whose outputs cannot be had is failed and not timed."""
    world.compare = lambda match, settings: Quality(broken=Broken(reason="head: outputs are not finite"))
    report, watch = world.run(match("a"))
    assert {"a": Verdict.FAILED} == verdicts(report)
    assert 0 == watch.pairs
    assert 4 == exit_code(report)


def test_ctrl_c_while_outputs_are_compared(world: World) -> None:
    """What is known by then is in the report; every case that needed pairs is inconclusive."""

    def interrupted(match: Match, settings: GateSettings) -> Quality:
        raise KeyboardInterrupt

    world.compare = interrupted
    report, _ = world.run(match("a"), match("same", same="one file"))
    assert {"a": Verdict.INCONCLUSIVE, "same": Verdict.PASS} == verdicts(report)
    assert ("Ctrl-C", 3) == (report.interrupted, exit_code(report))


def test_gate_measures_alone(world: World) -> None:
    """Pairs are measured under the host's lock; a gate that has nothing to measure does not ask for it."""
    path = world.request.cache / lock.LOCK
    held: list[bool] = []
    world.on_pair = lambda: held.append(files.Lock.attempt(path) is None)
    world.run(match("same", same="one file"))
    assert not path.exists()
    world.run(match("a"))
    assert {True} == set(held)


def test_files_that_cannot_be_read_are_named(world: World) -> None:
    """Where opsets and signatures cannot be compared, the report says so; the rest is judged."""

    def broken(paths: object) -> Any:
        raise BuildError("the process that reads ONNX files died")

    world.signatures = broken
    report, _ = world.run(match("a"))
    assert {"a": Verdict.PASS} == verdicts(report)
    assert any("were not compared" in note for note in report.notes)


def test_report_is_kept(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The report goes into a file of its own; a full disk is an error with a remedy, and leaves nothing half."""
    report, _ = world.run(match("a"))
    first, second = delivery.keep(report, tmp_path / "results"), delivery.keep(report, tmp_path / "results")
    assert first != second
    assert '"log_ratio"' in first.read_text()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"No space left.*free some space"):
        delivery.keep(report, tmp_path / "results")
    assert {first, second} == set((tmp_path / "results" / "gates").iterdir())


def test_results_are_tried_first(world: World, tmp_path: Path) -> None:
    """A results folder that cannot be one costs no measuring."""
    (tmp_path / "results").write_text("a file")
    with pytest.raises(StoreError):
        world.run(match("a"))


def test_key_is_what_decides_outputs() -> None:
    """The same artifact on another runtime is compared anew."""
    assert quality.key(pairs.contender("base")) != quality.key(pairs.contender("head"))


def test_other_weights_are_named_in_every_sentence(world: World) -> None:
    """Latency, memory and size of a model that was trained again are compared; nobody takes it for the same model."""
    both = match("again")
    assert both.head is not None
    assert isinstance(both.head.built, Artifact)
    weights = dataclasses.replace(both.head.built.weights, digest="cccccccccccc")
    head = dataclasses.replace(both.head, built=dataclasses.replace(both.head.built, weights=weights))
    world.ratios = {"again": 1.2}
    report, _ = world.run(dataclasses.replace(both, head=head))
    (case,) = report.cases
    assert Verdict.REGRESSION == case.verdict
    assert {"latency", "peak_memory", "size", "nodes"} <= {one.metric for one in case.findings}
    assert all(one.sentence.endswith("; the weights differ") for one in case.findings)


def test_what_runs_on_neither_side_is_not_compared(world: World) -> None:
    """The same file on both sides passes only where it runs; cases that differ in threads alone are tried once."""
    tried: list[str] = []

    def refuses(one: Match) -> str | None:
        tried.append(one.name)
        return "CUDAExecutionProvider is not here" if one.name == "cuda" else None

    world.refuses = refuses
    fine, cuda = match("fine", same="one file"), match("cuda", same="one file")
    report, watch = world.run(fine, dataclasses.replace(fine, name="again"), cuda)
    assert {"fine": Verdict.PASS, "again": Verdict.PASS, "cuda": Verdict.NOT_COMPARABLE} == verdicts(report)
    assert "runs on neither side: CUDAExecutionProvider is not here" == report.cases[2].reason
    assert ["fine", "cuda"] == tried
    assert [] == watch.to_measure
    assert 0 == exit_code(report)
    report, _ = world.run(cuda)
    assert 3 == exit_code(report)


def test_what_was_not_tried_in_time_has_not_passed(world: World) -> None:
    """Where the time limit ends the trying, the rest is inconclusive."""

    def refuses(one: Match) -> str | None:
        if one.name == "late":
            raise OutOfTime
        return None

    world.refuses = refuses
    report, _ = world.run(match("fine", same="one file"), match("late", same="one file"))
    assert {"fine": Verdict.PASS, "late": Verdict.INCONCLUSIVE} == verdicts(report)
    assert 3 == exit_code(report)
