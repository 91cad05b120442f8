"""What of a gate's rules head may change: budgets are the base's unless it is asked otherwise, and changes are said."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from harness.errors import UsageError
from harness.gate import accepted_changes
from harness.gate.model import Match, Side
from harness.gate.sides.matching import FILE
from harness.records import Budget

OWN = ("case", FILE)
"""Sides that are set against each other for themselves: each of them has its own budget."""


def with_budgets_of_base(matches: Sequence[Match], *, of_head: bool = False) -> tuple[Match, ...]:
    """The matches, judged by the budget that the base's zoo has for the model; a note where head's is another.

    Args:
        matches: as they were matched.
        of_head: keep head's budget; the note then says so.
    """
    return tuple(_with_budget(one, of_head=of_head) for one in matches)


def _with_budget(match: Match, *, of_head: bool) -> Match:
    base, head = match.base, match.head
    if base is None or head is None or head.side.kind in OWN or base.side.kind in OWN:
        return match
    was, now = base.case.model.budget, head.case.model.budget
    if was == now:
        return match
    differs = "; ".join(
        f"{field.name}: base {getattr(was, field.name)}, head {getattr(now, field.name)}"
        for field in dataclasses.fields(Budget)
        if getattr(was, field.name) != getattr(now, field.name)
    )
    which = "head's applies, as it was asked for" if of_head else "base's applies (--budgets head applies the other)"
    notes = (*match.notes, f"the zoos differ in the budget ({differs}); {which}")
    if of_head:
        return dataclasses.replace(match, notes=notes)
    model = dataclasses.replace(head.case.model, budget=was)
    judged = dataclasses.replace(head, case=dataclasses.replace(head.case, model=model))
    return dataclasses.replace(match, head=judged, notes=notes)


def added_acceptances(base: Side, head: Side) -> tuple[str, ...]:
    """Notes on the changes that head accepts and base does not: they come from what is judged."""
    if base.kind != "commit":
        return ()
    try:
        known = accepted_changes.read(accepted_changes.beside(base.zoo))
        new = [one for one in accepted_changes.read(accepted_changes.beside(head.zoo)) if one not in known]
    except UsageError:  # whoever applies the file says what is wrong with it
        return ()
    return tuple(
        f"head itself accepts a change of {one.case}, {one.metric} in {accepted_changes.FILE}: review it like code"
        for one in new
    )
