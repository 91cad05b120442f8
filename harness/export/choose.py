"""What a person asked to be exported -> the stored row that stands for it: a model's winner, or a named case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from harness import budget, confirmation
from harness.errors import CaseIdError, UsageError
from harness.records import case_id
from harness.records.case_id import CaseId
from harness.store import query
from harness.store.rows import Row
from harness.suggest import suggest


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportChoice:
    """A stored row, and why it is this one.

    Attributes:
        row: of a case with an artifact.
        why: a sentence for the README.
    """

    row: Row
    why: str


def choose(results: Path, what: str, target: str = "") -> ExportChoice:
    """The row of what was asked for.

    Args:
        results: the results folder.
        what: a model, whose build to ship is taken; `model/variant`; or a case.
        target: a label such as `cpu-t2-b1`, a target's name, or a glob of either; empty where there is one only.

    Raises:
        UsageError: if nothing of it was measured, nothing can be shipped, or several targets have an answer.
        StoreError: if the results folder cannot be listed.
    """
    model, variant, label = _parts(what)
    if label and target:
        raise UsageError(f"{what} names its target: omit --target {target}")
    found = query.query(results)
    stored = [row for row in found.rows if row["model"] == model]
    if not stored:
        known = dict.fromkeys(row["model"] for row in found.rows)
        hint = suggest(model, known) if known else "measure something first: harness sweep --models " + model
        raise UsageError(f"{model}: nothing is stored of it in {results}; {hint}")
    rows = [row for row in stored if not target or _fits(row, target)]
    if not rows:
        labels = sorted({row["target"] for row in stored}, key=query.natural)
        raise UsageError(f"--target {target}: {suggest(target, labels)}")
    if variant:
        return _named(what, variant, label, rows)
    return _winner(model, [row for row in found.among if row["model"] == model and (not target or _fits(row, target))])


def _parts(what: str) -> tuple[str, str, str]:
    """Model, variant and label; the last two are empty where only a model is named.

    Raises:
        UsageError: if it is none of the three.
    """
    if "/" not in what:
        return what, "", ""
    try:
        model, variant = case_id.artifact_of(what)
        return model, variant, CaseId.parse(what).label if what.count("/") > 1 else ""
    except CaseIdError as error:
        raise UsageError(f"{what}: give a model, model/variant, or a case such as {case_id.EXAMPLE}") from error


def _fits(row: Row, target: str) -> bool:
    return any(fnmatchcase(str(row[key]), target) for key in ("target", "target_name"))


def _named(what: str, variant: str, label: str, rows: Sequence[Row]) -> ExportChoice:
    own = [row for row in rows if row["variant"] == variant and label in ("", row["target"])]
    if not own:
        known = dict.fromkeys(row["case"] if label else f"{row['model']}/{row['variant']}" for row in rows)
        raise UsageError(f"{what}: nothing is stored of it; {suggest(what, known)}")
    made = [row for row in own if (row.get("artifact") or {}).get("digest") and row.get("latency")]
    if not made:
        raise UsageError(f"{what} has no numbers: {own[0]['status']}: {own[0].get('reason') or 'no reason was given'}")
    row = _only(made, what)
    doubts = [f"outside its budget: {over}" if (over := budget.excess(row)) else "", budget.remark(row)]
    remarks = "; ".join(filter(None, doubts))
    return ExportChoice(row=row, why=f"{row['case']} was asked for by name{f' ({remarks})' if remarks else ''}.")


def _winner(model: str, rows: Sequence[Row]) -> ExportChoice:
    choices = budget.choices(rows)
    best = [choice.best for choice in choices.values() if choice.best is not None]
    if not best:
        numbers = [row for choice in choices.values() for row in choice.rows]
        if not numbers:
            raise UsageError(f"{model} has no numbers: {rows[0]['status']}: {rows[0].get('reason') or 'not known why'}")
        over = (
            "no case is inside its budget"
            if any(choice.missed for choice in choices.values())
            else "it has no budget to judge by"
        )
        raise UsageError(
            f"{model} has no build to ship: {over}; name one, such as: harness export {numbers[0]['case']}"
        )
    row = _only(best, model)
    choice = choices[row["model"], row["target"]]
    confirmed = confirmation.stored(row)
    said = [
        f"{row['variant']} is the fastest build of {model} inside its budget on {row['target']}",
        _times(row, choice, confirmed),
        confirmed.verdict if confirmed else confirmation.UNCONFIRMED,
        choice.judgement.phrase if choice.judgement else "",
        budget.remark(row),
    ]
    return ExportChoice(row=row, why="; ".join(filter(None, said)) + ".")


def _times(row: Row, choice: budget.ShipChoice, confirmed: confirmation.ConfirmedChoice | None) -> str:
    """How many times as fast as the baseline; empty for that itself.

    What was measured in the blocks that decided counts: the medians of a sweep can say that the choice is the slower.
    """
    base = budget.baseline(row)
    if row["variant"] == base:
        return ""
    if confirmed is not None and confirmed.ratio is not None:
        return f"{confirmed.ratio:.2f} times as fast as {confirmed.baseline}{confirmed.basis}"
    times = budget.speedup(row, choice.rows)
    return f"{times:.2f} times as fast as {base}" if times else ""


def _only(rows: Sequence[Mapping[str, Any]], what: str) -> Row:
    """The one row.

    Raises:
        UsageError: if there are several, which are on several targets.
    """
    if len(rows) > 1:
        named = ", ".join(f"{row['target']} ({row['variant']})" for row in rows)
        raise UsageError(f"{what} has numbers on several targets: choose one with --target: {named}")
    return dict(rows[0])
