"""harness.gate.gate: the flow around pairs: what is left out, what is compared once, and what survives Ctrl-C."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from harness.errors import BuildError, StoreError
from harness.gate import gate as flow
from harness.gate.checks import quality, signature
from harness.gate.checks.quality import Quality
from harness.gate.gate import GateRequest, gate
from harness.gate.model import Contender, GateSettings, Match, Pair, Report, Verdict, exit_code
from harness.gate.sides import matching
from harness.gate.sides import resolve as sides
from harness.gate.timing import lock
from harness.gate.timing.rounds import Broken
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


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Everything that builds or measures, replaced: sides with given matches, pairs of given ratios."""
    told: dict[str, Any] = {"matches": (), "ratios": {}, "compare": lambda match, settings: Quality()}
    monkeypatch.setattr(sides, "resolve", lambda **asked: (pairs.side("base"), pairs.side("head")))
    monkeypatch.setattr(flow, "contenders", lambda side, selection, cache, on_event: ((), (f"{side.role} note",)))
    monkeypatch.setattr(matching, "match", lambda base, head: told["matches"])
    monkeypatch.setattr(signature, "read", lambda paths: told.get("anatomies", {}))
    monkeypatch.setattr(quality, "compare", lambda *arguments: told["compare"](*arguments))  # noqa: PLW0108  (set later)
    monkeypatch.setattr(flow, "pair_spec", lambda match, settings: told.setdefault(match.name, pairs.contest()))

    def one(contest: Any, *, phase: str, rng: object, on_burst: Any) -> Pair:
        name = next(key for key, value in told.items() if value is contest)
        ratio = told["ratios"].get(name, 1.0)
        if isinstance(ratio, BaseException):
            raise ratio
        place = told["count"] = told.get("count", 0) + 1
        return pairs.pair(ratio * pairs.wobble(place, 1.0), phase)

    told["pair"] = one
    told["request"] = GateRequest(zoo=tmp_path / "z.yaml", results=tmp_path / "results", cache=tmp_path / "cache")
    return told


def run(world: dict[str, Any], *matches: Match) -> tuple[Report, Watch]:
    """Gate these matches."""
    world["matches"] = matches
    watch = Watch()
    return gate(world["request"], watch, pair=world["pair"]), watch


def verdicts(report: Report) -> dict[str, Verdict]:
    """Case -> verdict."""
    return {case.name: case.verdict for case in report.cases}


def test_every_case_gets_its_verdict(world: dict[str, Any]) -> None:
    """Slow, crashed, quiet, the same, different and missing cases of one gate each get their own."""
    world["ratios"] = {"slow": 1.1, "dead": pairs.dies("base")}
    report, watch = run(
        world,
        pairs.match("quiet"),
        pairs.match("slow"),
        pairs.match("dead"),
        pairs.match("same", same="one file"),
        pairs.match("other", differs=("data: base a, head b",)),
        pairs.match("new", base=None),
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


def test_outputs_are_compared_once(world: dict[str, Any]) -> None:
    """Cases that differ in threads alone share one comparison; what is the same needs none."""
    both = [
        pairs.match(f"t{n}", base=matched("m", "base", intra_threads=n), head=matched("m", "head", intra_threads=n))
        for n in (1, 2)
    ]
    _, watch = run(world, *both, pairs.match("same", same="one file"))
    assert ["t1"] == watch.evaluated


def test_remeasure_same(world: dict[str, Any]) -> None:
    """What is the same is measured where that is asked for."""
    world["request"] = dataclasses.replace(world["request"], settings=GateSettings(remeasure_same=True))
    report, _ = run(world, pairs.match("same", same="one file"))
    assert 8 == len(report.cases[0].pairs)


def test_broken_outputs_fail_before_any_pair(world: dict[str, Any]) -> None:
    """A case whose outputs cannot be had is failed and not timed."""
    world["compare"] = lambda match, settings: Quality(broken=Broken(reason="head: outputs are not finite"))
    report, watch = run(world, pairs.match("a"))
    assert {"a": Verdict.FAILED} == verdicts(report)
    assert 0 == watch.pairs
    assert 4 == exit_code(report)


def test_ctrl_c_while_outputs_are_compared(world: dict[str, Any]) -> None:
    """What is known by then is told; every case that needed pairs is inconclusive."""

    def interrupted(match: Match, settings: GateSettings) -> Quality:
        raise KeyboardInterrupt

    world["compare"] = interrupted
    report, _ = run(world, pairs.match("a"), pairs.match("same", same="one file"))
    assert {"a": Verdict.INCONCLUSIVE, "same": Verdict.PASS} == verdicts(report)
    assert ("Ctrl-C", 3) == (report.interrupted, exit_code(report))


def test_gate_measures_alone(world: dict[str, Any]) -> None:
    """Pairs are measured under the host's lock; a gate that has nothing to measure does not ask for it."""
    path = world["request"].cache / lock.LOCK
    pair, held = world["pair"], []

    def one(*arguments: Any, **more: Any) -> Pair:
        held.append(files.Lock.attempt(path) is None)
        return pair(*arguments, **more)  # type: ignore[no-any-return]

    world["pair"] = one
    run(world, pairs.match("same", same="one file"))
    assert not path.exists()
    run(world, pairs.match("a"))
    assert {True} == set(held)


def test_files_that_cannot_be_read_are_told(world: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where opsets and signatures cannot be compared, the report says so; the rest is judged."""

    def broken(paths: object) -> Any:
        raise BuildError("the process that reads ONNX files died")

    monkeypatch.setattr(signature, "read", broken)
    report, _ = run(world, pairs.match("a"))
    assert {"a": Verdict.PASS} == verdicts(report)
    assert any("were not compared" in note for note in report.notes)


def test_report_is_kept(world: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The report goes into a file of its own; a full disk is an error with a remedy, and leaves nothing half."""
    report, _ = run(world, pairs.match("a"))
    first, second = flow.keep(report, tmp_path / "results"), flow.keep(report, tmp_path / "results")
    assert first != second
    assert '"log_ratio"' in first.read_text()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"No space left.*free some space"):
        flow.keep(report, tmp_path / "results")
    assert {first, second} == set((tmp_path / "results" / "gates").iterdir())


def test_results_are_tried_first(world: dict[str, Any], tmp_path: Path) -> None:
    """A results folder that cannot be one costs no measuring."""
    (tmp_path / "results").write_text("a file")
    with pytest.raises(StoreError):
        run(world, pairs.match("a"))


def test_key_is_what_decides_outputs() -> None:
    """The same artifact on another runtime is compared anew."""
    assert quality.key(pairs.contender("base")) != quality.key(pairs.contender("head"))
