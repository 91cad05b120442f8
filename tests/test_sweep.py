"""harness.flow.rounds and sweep: the decisions between their steps; the whole flow is tested in tests/integration."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from harness.flow import rounds
from harness.flow.execute import Job
from harness.flow.preview import SweepSettings
from harness.records import Artifact, Built, Reference, Refusal, RuntimeInfo, Status, Weights
from tests import outcomes

REFERENCE = Reference(digest="r", origin="o", inputs=("x",), outputs=("y",), examples=2, labelled=False)
ARTIFACT = Artifact(
    digest="a",
    model="m",
    variant="v",
    weights=Weights(kind="file", digest="w"),
    reference=REFERENCE,
    bytes=1,
    nodes=1,
    operators={},
)
ROW: dict[str, Any] = {"status": "measured", "artifact": {"digest": "a"}, "reference": {"digest": "r"}}


def job(built: Built) -> Job:
    """A job for what was built."""
    settings = SweepSettings(processes=1, time_per_case=0.1, ci_width=0.1)
    return Job(case=outcomes.case(), built=built, settings=settings, cache=Path())


@pytest.mark.parametrize(
    ("change", "valid"),
    [
        ({}, True),
        ({"status": "failed"}, False),
        ({"artifact": {"digest": "other"}}, False),
        ({"artifact": None}, False),
        ({"reference": {"digest": "other"}}, False),
    ],
)
def test_a_row_of_an_interrupted_sweep_stands_while_nothing_changed(change: dict[str, Any], valid: bool) -> None:
    """Failures are tried again; another artifact or other evaluation data make another number."""
    assert valid is rounds.still_valid(ROW | change, job(ARTIFACT))


def test_a_refusal_stands_while_it_is_the_same() -> None:
    """What was skipped stays skipped; what can be built now is measured."""
    skipped = Refusal(status=Status.SKIPPED, reason="")
    assert rounds.still_valid({"status": "skipped"}, job(skipped))
    assert not rounds.still_valid({"status": "unsupported"}, job(skipped))
    assert not rounds.still_valid({"status": "skipped"}, job(ARTIFACT))


@pytest.mark.parametrize(("version", "valid"), [("1.23.0", True), ("1.24.0", False)])
def test_a_row_of_another_runtime_does_not_stand(version: str, valid: bool) -> None:
    """A runtime that was asked for without a version may have been installed anew since."""
    runtime = RuntimeInfo(name="onnxruntime", version=version, package="onnxruntime")
    seen = {"name": "onnxruntime", "version": "1.23.0", "build": "", "language": "python", "package": "onnxruntime"}
    again = dataclasses.replace(job(ARTIFACT), runtime=runtime)
    assert valid is rounds.still_valid(ROW | {"measured_by": seen}, again)
