"""harness.gate.sides.build: the job and the events that gates of other commits send and read."""

from __future__ import annotations

import dataclasses

import pytest

from harness.build.pipeline import BuildEvent
from harness.errors import UsageError
from harness.flow.plan import Selection
from harness.gate.sides import build
from harness.records import CaseId


def test_event_comes_back() -> None:
    """Every field that versions have in common; what a later one adds is dropped, what is missing is the default."""
    event = BuildEvent(model="m", variant="fp32", step="export", state="done", seconds=1.5, detail="a detail")
    sent = build.event_to_json(event)
    assert event == build.event_from_json(sent | {"later": 1})
    assert dataclasses.replace(event, seconds=0.0, detail="") == build.event_from_json(
        {key: sent[key] for key in ("model", "variant", "step", "state")}
    )


@pytest.mark.parametrize(
    "selection",
    [Selection(), Selection(models=("a*", "b"), threads=(1, 2)), Selection(variants=("fp32",), batch=(8,))],
)
def test_selection_comes_back(selection: Selection) -> None:
    """Only what is chosen is sent, and it is read as it was."""
    sent = build.selection_to_json(selection)
    assert all(sent.values())
    assert selection == build.selection_from_json(sent)


def test_selection_of_the_first_gates() -> None:
    """They sent every key; lists that are empty and nulls choose nothing."""
    sent = {"models": ["m"], "variants": [], "targets": [], "threads": None, "batch": [1]}
    assert Selection(models=("m",), batch=(1,)) == build.selection_from_json(sent)


def test_selection_by_something_unknown() -> None:
    """A later gate may choose by what this version does not know: to ignore that would build other cases."""
    with pytest.raises(UsageError, match="does not know how to choose cases by scenario"):
        build.selection_from_json({"models": ["m"], "scenario": ["server"]})
    assert Selection() == build.selection_from_json({"scenario": [], "size": None})


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("m/fp32/cpu-t1-b1", True),
        ("m/fp32/cpu-t1", True),
        ("m/fp32/cpu-t1-b8", False),
        ("m/fp32/cpu-t2-b1", False),
        ("m/fp32/cpu-t1-i2-b1", False),
        ("m/fp32", False),
    ],
)
def test_case_by_name(asked: str, expected: bool) -> None:
    """A batch of 1 may be omitted; nothing else."""
    assert expected is build.is_named(asked, "m/fp32/cpu-t1-b1")


def test_selection_of_a_case() -> None:
    """A case stands for its model, variant, target, threads and batch."""
    case = CaseId(model="m", variant="fp32", target="cpu", intra_threads=2, batch=8)
    expected = Selection(models=("m",), variants=("fp32",), targets=("cpu",), threads=(2,), batch=(8,))
    assert expected == build.of_case(case)
