"""Which build to ship: the fastest case inside its budget, what it costs, and what was passed over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from harness import budget, confirmation
from harness.budget import ShipChoice
from harness.report import links, wording
from harness.report.data import Data
from harness.report.figures.base import short
from harness.report.pages.tables import against_baseline
from harness.report.parts import Cell, Table, num, text
from harness.store.query import natural
from harness.store.rows import Row, measured_apart, run_start

PASSED: Final = 3
"""Faster cases that are named with the reason why they are not it."""

APART: Final = 6
"""Other runs and runtimes that are named, each with its variants."""


ONE_LINE: Final = 24
"""Longest name that is kept on one line."""

LONGEST: Final = 60
"""Longest name that is not cut."""


def ship(data: Data) -> Table:
    """The fastest case inside the budget, per host, model, weights and target.

    Chosen among rows of one run and runtime (`harness.budget.choices`); rows of others are named and not compared.
    """
    found: list[tuple[Any, list[Cell], str, Mapping[str, str]]] = []
    for host, rows in comparable(data.among):
        for (model, target), choice in budget.choices(rows).items():
            cells = [name(model, links.model(model)), text(target, kind="nowrap"), *_choice(choice)]
            found.append(((natural(model), natural(target)), cells, _apart(choice), {"host": host}))
    found.sort(key=lambda entry: entry[0])
    several = any(apart for _, _, apart, _ in found)
    return Table(
        columns=(
            "model", "target", "ship", "median [95% interval]#", "against baseline [95%]#", "cost",
            "tied with", "faster, but", "weights", "confirmed", *(["measured apart, not compared"] if several else []),
        ),
        rows=[[*cells, text(apart or wording.NONE, kind="long")] if several else cells for _, cells, apart, _ in found],
        facets=[facets for *_, facets in found],
        lead=2,
        caption="The fastest build inside its budget",
    )  # fmt: skip


def comparable(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Rows in groups that may be set against each other: same model, weights and host; hosts as they come."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if row["weights"]:
            key = (row["fingerprint"], row["model"], row["weights"]["digest"])
            groups.setdefault(key, []).append(row)
    return [(key[0], group) for key, group in groups.items()]


def _choice(choice: ShipChoice) -> list[Cell]:
    best, rows = choice.best, choice.rows
    kinds = {row["weights"]["kind"] for row in rows if row["weights"]}
    weights = Cell(text=", ".join(sorted(kinds)), kind="seeded" if "seeded" in kinds else "")
    if best is None:
        absent = [num(wording.NONE, None), num(wording.NONE, None), *[text(wording.NONE)] * 3]
        return [text(_none(rows), kind="none long"), *absent, weights, text(wording.NONE)]
    found = confirmation.stored(best)
    ties = list(found.tied) if found else [row["variant"] for row in choice.tied]
    return [
        name(best["variant"], links.case(best["case"]), "best"),
        num(wording.latency(best), best["latency"]["median_s"]),
        against_baseline(best, rows),
        _prose("; ".join(filter(None, [cost(best), budget.remark(best)])), "mid"),
        text(
            ", ".join(ties) or wording.NONE,
            title="their intervals overlap: the data cannot tell them apart" if ties else "",
        ),
        _prose(_passed(best, rows, ties)),
        weights,
        _prose(found.verdict if found else confirmation.UNCONFIRMED),
    ]


def _prose(said: str, kind: str = "long") -> Cell:
    """A cell of a sentence, which gets room only where it is long."""
    return text(said, kind=kind if len(said) > ONE_LINE else "")


def _apart(choice: ShipChoice) -> str:
    """Rows of other runs and runtimes, with what they were measured on; and the choice's run where they are newer."""
    found = measured_apart([dict(row) for row in choice.apart], [dict(choice.rows[0])])
    more = f" and {len(found) - APART} more" if len(found) > APART else ""
    chosen = f"chosen in the run of {run_start(choice.rows[0])}; apart: " if choice.superseded else ""
    return chosen + "; ".join(found[:APART]) + more if found else ""


def name(of: str, href: str, kind: str = "") -> Cell:
    """A cell of a name: on one line where it is short, cut where it would push everything else aside."""
    kept = short(of, LONGEST)
    fits = "nowrap" if len(of) <= ONE_LINE else ""
    return text(kept, href=href, kind=f"{kind} {fits}".strip(), title="" if kept == of else of)


def _none(rows: Sequence[Mapping[str, Any]]) -> str:
    """Why nothing can be recommended."""
    verdicts = [budget.excess(row) for row in rows if row["latency"] and budget.can_ship(row)]
    if not verdicts:
        return "none: no case was measured in its own arithmetic"
    if all(verdict is None for verdict in verdicts):
        return "cannot tell: no accuracy or fidelity budget, or nothing to judge it by"
    return "none inside the budget: " + "; ".join(sorted({verdict for verdict in verdicts if verdict})[:3])


def cost(row: Mapping[str, Any]) -> str:
    """What a case loses, and how much it may: accuracy where there are labels, else fidelity."""
    limits = row.get("budget") or {}
    drop, share, least = (limits.get(name) for name in ("accuracy_drop", "accuracy_share", "fidelity_db"))
    may = [f"-{drop * 100:.2f}"] if drop is not None else []
    may += [f"{share:.1%} of fp32's"] if share is not None else []
    found = []
    labelled = (row.get("accuracy") or {}).get("value") is not None
    if labelled:
        found.append(f"accuracy {wording.accuracy(row)}" + (f", budget {' and '.join(may)}" if may else ""))
    if not (labelled and may):  # then fidelity decides
        close = wording.closeness(row)  # the agreement stands on the model's page
        found.append(f"fidelity {close}" + ("" if least is None else f", budget {least:g} dB"))
    if budget.judged(row).verdict == budget.CANNOT_TELL:
        found.append("the interval holds losses beyond it")
    return "; ".join(found)


def _passed(best: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], ties: Sequence[str]) -> str:
    """Faster cases that were not chosen, and why; those that it is tied with have a column of their own."""
    found = []
    for row in sorted(rows, key=lambda row: (row["latency"] or {}).get("median_s") or 0.0):
        median = (row["latency"] or {}).get("median_s")
        if median is None or median >= best["latency"]["median_s"] or row["variant"] in ties:
            continue
        found.append(f"{row['variant']}: {_why_not(row)}")
    more = f" and {len(found) - PASSED} more" if len(found) > PASSED else ""
    return "; ".join(found[:PASSED]) + more or wording.NONE


def _why_not(row: Mapping[str, Any]) -> str:
    """Why a case that is faster was not chosen."""
    if not budget.can_ship(row):
        return str(row["status"])
    judged = budget.judged(row)
    return judged.phrase or (
        "not judged" if judged.verdict == budget.UNKNOWN else "not the fastest where it was measured side by side"
    )
