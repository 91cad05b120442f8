"""A gate takes results per example that a sweep stored, in place of running an artifact again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import WorkerError
from harness.flow.execute import evaluation_of
from harness.gate.checks import quality, stored
from harness.gate.checks.quality import EvaluatedOutputs
from harness.gate.model import Contender, Finding, Match
from harness.measure import host
from harness.records import Evaluation
from harness.store import examples
from harness.tasks import evaluation
from tests import outcomes, pairs
from tests.test_gate_quality import OBSERVED, SETTINGS, SURE, compared, outputs, wrong

SCORES = {"base": wrong(2), "head": wrong(30)}


def contender(role: str) -> Contender:
    """A side whose artifact is its own."""
    case = outcomes.case()
    runtime = {"name": "onnxruntime", "version": "1.31.1", "build": "b", "package": "onnxruntime", "digest": ""}
    built = outcomes.artifact(case, digest=f"artifact-{role}")
    return pairs.contender(role, built, case, runtime=runtime)


MATCH = Match(name="a", base=contender("base"), head=contender("head"))


def keep(results: Path, side: Contender, scores: Any) -> Path:
    """What a sweep keeps of a side's artifact, without running it."""
    found = evaluation.score(outputs(scores).given, "classification")
    key, _ = evaluation_of(side.case, side.built, stored.runtime_of(side), host.here())  # type: ignore[arg-type] # an artifact
    kept = Evaluation(
        fidelity=found.fidelity,
        accuracy=found.accuracy,
        kernels=OBSERVED.kernels,
        parts=found.parts,
        key=key,
        each=found.each,
        answers=found.answers,
        paired=found.paired,
        placement={"CPUExecutionProvider": 1.0},
    )
    examples.write(results, kept)
    return results / "examples" / f"{key}.parquet"


@pytest.fixture
def ran() -> list[str]:
    """The roles whose artifact was run."""
    return []


@pytest.fixture
def run(ran: list[str]) -> Iterator[quality.Computed]:
    """Runs a side, and notes it."""

    def computed(side: Contender) -> EvaluatedOutputs:
        ran.append(side.side.role)
        return outputs(SCORES[side.side.role])

    return computed  # type: ignore[return-value] # a fixture


def numbers(findings: tuple[Finding, ...]) -> list[Finding]:
    """Findings without their words."""
    return [dataclasses.replace(one, sentence="") for one in findings]


@pytest.mark.parametrize("kept", [("base",), ("head",), ("base", "head")])
def test_what_is_stored_is_not_run(tmp_path: Path, kept: tuple[str, ...], run: Any, ran: list[str]) -> None:
    """One side or both: the findings are those of the outputs themselves, and say whose answers are stored ones."""
    for role in kept:
        keep(tmp_path, contender(role), SCORES[role])
    found = quality.compare(MATCH, SETTINGS, run, tmp_path)
    assert [role for role in ("base", "head") if role not in kept] == ran
    wanted = compared(SCORES["base"], SCORES["head"])
    assert numbers(wanted.findings) == numbers(found.findings)
    assert all(f"({' and '.join(kept)} as stored, not run again)" in one.sentence for one in found.findings)
    assert {"Conv": 1} == found.observed["base"].kernels == found.observed["head"].kernels
    assert {"CPUExecutionProvider": 1.0} == found.observed[kept[0]].placement


def test_another_artifact_runtime_or_host_is_run(tmp_path: Path, run: Any, ran: list[str]) -> None:
    """The digest is of all that an evaluation depends on."""
    side = contender("base")
    place = keep(tmp_path, side, SCORES["base"])
    other = dataclasses.replace(side.side, runtime={**side.side.runtime, "version": "1.30.0"})
    assert stored.of(side, tmp_path) is not None
    assert stored.of(dataclasses.replace(side, side=other), tmp_path) is None
    assert stored.of(contender("head"), tmp_path) is None
    assert stored.of(dataclasses.replace(side, own_worker=("worker",)), tmp_path) is None

    place.write_bytes(place.read_bytes()[:-9])  # damaged: as if it were not there
    assert numbers(compared(SCORES["base"], SCORES["head"]).findings) == numbers(
        quality.compare(MATCH, SETTINGS, run, tmp_path).findings
    )
    assert ["base", "head"] == ran


def test_a_side_that_does_not_run_is_run_once(tmp_path: Path) -> None:
    """Its error is what there is to say, though the other side is stored."""
    keep(tmp_path, contender("base"), SCORES["base"])
    asked = []

    def fails(side: Contender) -> EvaluatedOutputs:
        asked.append(side.side.role)
        if side.side.role == "head":
            raise WorkerError("it died")
        return outputs(SURE)

    found = quality.compare(MATCH, SETTINGS, fails, tmp_path)
    assert found.broken is not None
    assert "head: it died" == found.broken.reason
    assert 1 == asked.count("head")


def test_without_labels_outputs_are_compared(tmp_path: Path, ran: list[str]) -> None:
    """Closeness of single examples is not stored, so that only labels can be judged by what is."""
    given = outputs(SURE, labelled=False).given
    assert evaluation.score(given, "classification").paired is None
    side = contender("base")
    keep(tmp_path, side, SURE)
    found = quality.compare(MATCH, SETTINGS, lambda _: outputs(SURE, labelled=False), tmp_path)
    assert ["fidelity"] == [one.metric for one in found.findings]
    assert "as stored" not in found.findings[0].sentence
