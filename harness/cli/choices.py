"""The build to ship of every model and target in words, for whichever output shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness import budget, confirmation
from harness.cli import tables

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
        basis: what says that it is good enough.
        doubt: what has to be said wherever it is recommended; mostly empty.
        apart: rows that were measured apart and not compared; mostly empty.
    """

    model: str
    target: str
    variant: str = ""
    why_none: str = ""
    median: str = ""
    seconds: str = ""
    factor: str = ""
    state: str = ""
    basis: str = ""
    doubt: str = ""
    apart: str = ""


def spoken(rows: Sequence[Row]) -> list[SpokenChoice]:
    """The fastest case inside the budget, for each model and target; rows of other runs are not compared."""
    return [_spoken(model, target, choice) for (model, target), choice in budget.choices(rows).items()]


def _spoken(model: str, target: str, choice: budget.ShipChoice) -> SpokenChoice:
    best = choice.best
    apart = tables.brief([tables.apart(row, choice.rows[0]) for row in choice.apart])
    if best is None:
        judged = any(budget.excess(row) is not None for row in choice.rows)
        why = "no case is inside the budget" if judged else "no budget or no way to judge it: set one in the zoo"
        return SpokenChoice(model=model, target=target, why_none=why, apart=apart)
    found = confirmation.stored(best)
    speedup = budget.speedup(best, choice.rows)
    if found is None:
        ties = [row["variant"] for row in budget.tied(best, choice.rows)]
        overlaps = f"; its interval overlaps {', '.join(ties)}" if ties else ""
        factor = f"{speedup:.2f}x {budget.baseline(best)}" if speedup else ""
        state = f"{confirmation.UNCONFIRMED}{overlaps}"
    else:
        factor, state = found.factor, found.verdict
    return SpokenChoice(
        model=model,
        target=target,
        variant=best["variant"],
        median=tables.interval(best["latency"]),
        seconds=tables.seconds(best["latency"]["median_s"]),
        factor=factor,
        state=state,
        basis=basis(best),
        doubt=budget.remark(best),
        apart=apart,
    )


def basis(row: Row) -> str:
    """What a choice rests on."""
    if row.get("accuracy"):
        judged = budget.judged(row)
        stated = f"; {judged.phrase}" if judged.verdict == budget.CANNOT_TELL else ""
        return f"{row['accuracy']['metric']} {tables.accuracy(row)} points{stated}"
    weights = (row.get("weights") or {}).get("kind", "unknown")
    return f"fidelity {tables.fidelity(row)}, {weights} weights"
