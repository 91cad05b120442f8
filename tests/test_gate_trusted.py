"""harness.gate.trusted: what is judged does not loosen its own rules unseen."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness.gate import accepted_changes
from harness.gate.accepted_changes import Accepted
from harness.gate.model import Match
from harness.gate.trusted import added_acceptances, with_budgets_of_base
from harness.records import Budget
from tests import outcomes, pairs


def match(kind: str, base: Budget, head: Budget) -> Match:
    """A case with a budget on either side."""
    both = {}
    for role, budget in (("base", base), ("head", head)):
        case = outcomes.case()
        case = dataclasses.replace(case, model=dataclasses.replace(case.model, budget=budget))
        one = pairs.contender(role, case=case)
        both[role] = dataclasses.replace(one, side=dataclasses.replace(one.side, kind=kind))
    return Match(name="m", base=both["base"], head=both["head"])


@pytest.mark.parametrize("of_head", [False, True])
def test_a_change_cannot_loosen_its_budget(of_head: bool) -> None:
    """The base's applies unless somebody asks for head's, and the report names the difference either way."""
    (found,) = with_budgets_of_base([match("tree", Budget(fidelity_db=20.0), Budget(fidelity_db=1.0))], of_head=of_head)
    assert found.head is not None
    assert (1.0 if of_head else 20.0) == found.head.case.model.budget.fidelity_db
    assert "the zoos differ in the budget (fidelity_db: base 20.0, head 1.0); " in found.notes[-1]
    assert ("head's applies" if of_head else "base's applies") in found.notes[-1]


def test_equal_budgets_and_cases_are_left_alone() -> None:
    """Two cases that are set against each other have budgets of their own."""
    same = match("tree", Budget(fidelity_db=20.0), Budget(fidelity_db=20.0))
    cases = match("case", Budget(fidelity_db=20.0), Budget(fidelity_db=1.0))
    assert (same, cases) == with_budgets_of_base([same, cases])


def test_acceptances_of_head_are_named(tmp_path: Path) -> None:
    """They apply, and the report says whose they are; those that base has as well need no word."""
    old, new = (
        Accepted(
            case=f"{name}/fp32/cpu-t1-b1",
            metric="latency",
            before="a" * 40,
            after="b" * 40,
            finding="slower",
            reason="it is",
            who="me",
            when="2026-01-01",
        )
        for name in "mn"
    )
    sides = []
    for role, entries in (("base", (old,)), ("head", (old, new))):
        folder = tmp_path / role
        folder.mkdir()
        accepted_changes.add(folder / accepted_changes.FILE, entries)
        kind = "commit" if role == "base" else "tree"
        sides.append(dataclasses.replace(pairs.side(role), zoo=folder / "z.yaml", kind=kind))
    (note,) = added_acceptances(*sides)
    assert "head itself accepts a change of n/fp32/cpu-t1-b1, latency" in note
    assert () == added_acceptances(sides[1], sides[0])
