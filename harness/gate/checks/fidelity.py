"""Whether head is as close to the framework's own outputs as base, output by output and part by part.

A part that died is a regression whatever the rest says: one mean over everything rises where the largest part gets a
little better and another one dies.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.gate.model import Contender, Finding, GateSettings, Verdict
from harness.gate.text import scores
from harness.records import PartFidelity
from harness.stats import correctness
from harness.tasks import fidelity as closeness
from harness.tasks.base import Evaluated
from harness.tasks.fidelity import ComparedPart

ORDER = (Verdict.REGRESSION, Verdict.INCONCLUSIVE, Verdict.PASS)
"""The one that decides first."""

Parts = dict[str, ComparedPart]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartJudgement:
    """What is said of one kind of parts.

    Attributes:
        base, head: in `unit`; None for exact and for what has no number.
    """

    verdict: Verdict
    sentence: str
    base: float | None = None
    head: float | None = None
    unit: str = "dB"


def fidelity(
    contender: Contender, base: Evaluated, head: Evaluated, settings: GateSettings, *, judged_by_labels: bool = False
) -> list[Finding]:
    """Closeness to the framework's own outputs; nothing where there is none to speak of, as for random outputs.

    Where the zoo sets a floor (`fidelity_db`, `fidelity_equal`), falling through it is the regression. Elsewhere a mean
    loss of any part beyond `max_fidelity_drop` (of equal values: `max_accuracy_drop`) is, where its bootstrap interval
    excludes less. With labels, accuracy has the word. A part that is dead, or holds values that are not numbers, in
    head alone is always a regression.

    Raises:
        ValueError: if names or shapes differ.
    """
    random = {*base.random, *head.random}
    was, now = (by_label(closeness.compared(side.reference, side.outputs, random)) for side in (base, head))
    return judged(contender, was, now, settings, examples=base.examples, judged_by_labels=judged_by_labels)


def by_label(parts: Iterable[ComparedPart]) -> Parts:
    """Parts by what sentences call them."""
    return {closeness.label(one.part): one for one in parts}


def judged(
    contender: Contender, was: Parts, now: Parts, settings: GateSettings, *, examples: int, judged_by_labels: bool
) -> list[Finding]:
    """As `fidelity`, of parts that were compared; where labels judge, none of them need its examples."""
    budget = contender.case.model.budget
    several = len(now) > 1
    found = [
        _faults(was, now),
        _ratios(was, now, budget.fidelity_db, settings.max_fidelity_drop, judged_by_labels, several)
        if examples > 1  # the centre of one example is the example
        else None,
        _shares(was, now, budget.fidelity_equal, settings.max_accuracy_drop, judged_by_labels, several),
    ]
    judged = sorted((one for one in found if one is not None), key=lambda one: ORDER.index(one.verdict))
    if not judged:
        return []
    worse = [one for one in judged if one.verdict is not Verdict.PASS] or judged
    numbers = next((one for one in judged if one.base is not None or one.head is not None), judged[0])
    return [
        Finding(
            metric="fidelity",
            verdict=judged[0].verdict,
            sentence="; ".join(one.sentence for one in worse),
            base=numbers.base,
            head=numbers.head,
            n=examples,
            unit=numbers.unit,
        )
    ]


def _faults(was: Parts, now: Parts) -> PartJudgement | None:
    """Parts that are dead or no numbers in head and were not in base."""
    ours, theirs = ({name: one.part for name, one in side.items()} for side in (was, now))
    fresh = [
        part
        for name, part in theirs.items()
        if part.status in ("dead", "not finite", "missing")
        and not (name in ours and ours[name].status == part.status and ours[name].unmatched >= part.unmatched)
        and not (name not in ours and _dead_whole(ours, part.output))
    ]
    return PartJudgement(verdict=Verdict.REGRESSION, sentence=scores.faults(closeness.faults(fresh))) if fresh else None


def _dead_whole(parts: dict[str, PartFidelity], output: str) -> bool:
    """Whether the whole output was dead already, so that none of its parts is."""
    return output in parts and parts[output].status == "dead"


def _ratios(
    was: Parts, now: Parts, floor: float | None, allowed: float, by_labels: bool, several: bool
) -> PartJudgement | None:
    """Decibels of floating-point parts."""
    before, after = _worst_db(was), _worst_db(now)
    if before is None or after is None:
        return None
    (before_db, _), (after_db, place) = before, after
    verdict = Verdict.PASS
    if floor is not None and (after_db >= floor or before_db >= floor):
        verdict = Verdict.PASS if after_db >= floor else Verdict.REGRESSION
    elif not by_labels:
        verdict, worse = _lost(was, now, allowed, exact=False, span=closeness.EXACT_DB)
        if worse:
            place = worse
            before_db, after_db = _db(was[worse]) or math.inf, _db(now[worse]) or math.inf
    limit = None if floor is not None or by_labels else allowed
    return PartJudgement(
        verdict=verdict,
        sentence=scores.fidelity(
            _finite(before_db),
            _finite(after_db),
            budget_db=floor,
            allowed_db=limit,
            judged_by="accuracy" if by_labels and floor is None else "",
            part=place if several else "",
        ),
        base=_finite(before_db),
        head=_finite(after_db),
    )


def _shares(
    was: Parts, now: Parts, floor: float | None, allowed: float, by_labels: bool, several: bool
) -> PartJudgement | None:
    """Shares of equal values of whole numbers, booleans and text."""
    names = [name for name, one in now.items() if one.part.equal is not None and name in was]
    if not names:
        return None
    place = min(names, key=lambda name: now[name].part.equal or 0.0)
    before, after = min(was[name].part.equal or 0.0 for name in names), now[place].part.equal or 0.0
    verdict = Verdict.PASS
    if floor is not None and (after >= floor or before >= floor):
        verdict = Verdict.PASS if after >= floor else Verdict.REGRESSION
    elif not by_labels:
        verdict, worse = _lost(was, now, allowed, exact=True, span=1.0)
        if worse:
            place = worse
            before, after = (side[worse].part.equal or 0.0 for side in (was, now))
    limit = None if floor is not None or by_labels else allowed
    return PartJudgement(
        verdict=verdict,
        sentence=scores.equal(before, after, budget=floor, allowed=limit, part=place if several else ""),
        base=before,
        head=after,
        unit="fraction",
    )


def _lost(was: Parts, now: Parts, allowed: float, *, exact: bool, span: float) -> tuple[Verdict, str]:
    """The verdict on the parts' mean losses, and which lost most; empty where none lost more than is allowed."""
    drops: dict[str, correctness.Drop] = {}
    for name, one in now.items():
        if name not in was or (one.part.equal is not None) is not exact:
            continue
        ours, theirs = was[name].each, one.each
        if ours and len(ours) == len(theirs) and _mean(ours) - _mean(theirs) > allowed:
            drops[name] = correctness.bootstrap_drop(ours, theirs, span=span)
    if not drops:
        return Verdict.PASS, ""
    sure = {name: drop for name, drop in drops.items() if drop.low > allowed}
    most = max(sure or drops, key=lambda name: drops[name].value)
    return Verdict.REGRESSION if sure else Verdict.INCONCLUSIVE, most


def _worst_db(parts: Parts) -> tuple[float, str] | None:
    """The least ratio of all, infinite where everything is exact, and whose it is; None where nothing has one."""
    found = {name: db for name, one in parts.items() if (db := _db(one)) is not None}
    if not found:
        return None
    place = min(found, key=lambda name: found[name])
    return found[place], place


def _db(one: ComparedPart) -> float | None:
    """Infinite where a part is the reference's own; None for what has no ratio."""
    part = one.part
    if part.equal is not None or part.status == closeness.RANDOM:
        return None
    return math.inf if part.max_abs == 0 and not part.unmatched else part.centred_sqnr_db


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _finite(decibels: float) -> float | None:
    """Decibels as findings hold them: None for exact."""
    return decibels if math.isfinite(decibels) else None
