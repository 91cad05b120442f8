"""The build to ship of every model and target in words, for whichever output shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness import budget, confirmation
from harness.cli import tables
from harness.records import case_id
from harness.store.rows import measured_apart, run_start

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpokenChoice:
    """One model's choice on one target.

    Attributes:
        variant: the build; empty where there is none.
        why_none: why not.
        median: such as `12.3 ms [12.1, 12.6]`.
        seconds: the median alone.
        factor: how many times as fast as the baseline; empty where not known.
        state: whether that is confirmed, and what was not told apart.
        brief: the state in a word or three.
        detail: what `state` says beyond them; mostly empty.
        speedup: the factor alone with its interval, such as `3.30x [3.21, 3.38]`; empty where not known.
        baseline: what it is faster than.
        basis: what says that it is good enough.
        doubt: what has to be said wherever it is recommended; mostly empty.
        apart: what was measured apart and not compared, and the choice's run where that is newer; mostly empty.
    """

    model: str
    target: str
    variant: str = ""
    why_none: str = ""
    median: str = ""
    seconds: str = ""
    factor: str = ""
    state: str = ""
    brief: str = ""
    detail: str = ""
    speedup: str = ""
    baseline: str = ""
    basis: str = ""
    doubt: str = ""
    apart: str = ""

    @property
    def case(self) -> str:
        """The case, such as `resnet50/int8-static/cpu-t2-b1`; without a build `resnet50/*/cpu-t2-b1`."""
        return case_id.case_name(self.model, self.variant or "*", self.target)


def spoken(rows: Sequence[Row]) -> list[SpokenChoice]:
    """The fastest case inside the budget, for each model and target; rows of other runs are not compared."""
    return [spoken_choice(choice) for choice in budget.choices(rows).values()]


NO_BUDGET = "no budget or no way to judge it: set one in the zoo"


def spoken_choice(choice: budget.ShipChoice) -> SpokenChoice:
    """One of `harness.budget.choices` in words."""
    best, (model, target) = choice.best, (choice.rows[0][key] for key in ("model", "target"))
    apart = _apart(choice)
    if best is None:
        why = "no case is inside the budget" if choice.missed else _unjudged(choice)
        return SpokenChoice(model=model, target=target, why_none=why, apart=apart)
    found = confirmation.stored(best)
    speedup = budget.speedup(best, choice.rows)
    if found is None:
        ties = [row["variant"] for row in choice.tied]
        overlaps = f"; its interval overlaps {', '.join(ties)}" if ties else ""
        factor = f"{speedup:.2f}x {budget.baseline(best)}" if speedup else ""
        alone = f"{speedup:.2f}x" if speedup else ""
        brief, state = confirmation.UNCONFIRMED, f"{confirmation.UNCONFIRMED}{overlaps}"
    else:
        factor, brief, state = found.factor, found.state, found.verdict
        bounds = "" if found.low is None or found.high is None else f" [{found.low:.2f}, {found.high:.2f}]"
        alone = "" if found.ratio is None else f"{found.ratio:.2f}x{bounds}"
    return SpokenChoice(
        model=model,
        target=target,
        variant=best["variant"],
        median=tables.interval(best["latency"]),
        seconds=tables.seconds(best["latency"]["median_s"]),
        factor=factor,
        state=state,
        brief=brief,
        detail="" if brief in (state, confirmation.CONFIRMED) else state,
        speedup=alone,
        baseline=budget.baseline(best) if alone else "",
        basis=basis(best),
        doubt=budget.remark(best),
        apart=apart,
    )


def _unjudged(choice: budget.ShipChoice) -> str:
    """Why no case could be held against a budget."""
    measured = (row for row in choice.rows if row.get("latency"))
    return next(filter(None, (budget.unjudged(row, choice.excesses) for row in measured)), NO_BUDGET)


def _apart(choice: budget.ShipChoice) -> str:
    """Rows that are not compared; and of when the choice is, where they are newer."""
    if not choice.apart:
        return ""
    rows = [dict(row) for row in choice.apart]
    said = f"not compared: {tables.brief(measured_apart(rows, [dict(choice.rows[0])]))}"
    if not choice.superseded:
        return said
    return f"chosen in the run of {run_start(choice.rows[0])}; {said}"


def basis(row: Row) -> str:
    """What a choice rests on."""
    if row.get("accuracy"):
        judged = budget.judged(row)
        stated = f"; {judged.phrase}" if judged.verdict == budget.CANNOT_TELL else ""
        return f"{row['accuracy']['metric']} {tables.accuracy(row)} points{stated}"
    weights = (row.get("weights") or {}).get("kind", "unknown")
    return f"fidelity {tables.fidelity(row)}, {weights} weights"
