"""From everything that was found of a match to its verdict: pure functions.

The verdict of a case is the gravest of its findings. What says nothing certain of a case (not compared, failed) is
decided before its findings are, and says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.gate.checks import costs
from harness.gate.checks.quality import Quality
from harness.gate.model import CaseVerdict, Contender, Finding, GateSettings, Match, Side, Verdict, counts, whole
from harness.gate.sides import matching
from harness.gate.text import sentences, summary
from harness.gate.timing import findings as timing
from harness.gate.timing.phases import Key
from harness.gate.timing.rounds import Broken, Measured
from harness.measure.pairs import SIDES
from harness.records import Refusal, Status
from harness.stats.paired import Confirmed

HARMLESS = (Status.UNSUPPORTED, Status.SKIPPED)


def without_measuring(match: Match, sides: Mapping[str, Side]) -> CaseVerdict | None:
    """The verdict of a match that nothing has to be measured for: a side lacks it, did not build it, or differs.

    Args:
        match: of both sides.
        sides: `base` and `head`, to name them.
    """
    for role, contender in (("base", match.base), ("head", match.head)):
        if contender is None:
            return verdict(match, Verdict.NOT_COMPARABLE, sentences.missing(role, sides[role].asked))
    refusals = {role: c.built for role, c in both(match).items() if isinstance(c.built, Refusal)}
    if refusals:
        return refused(match, refusals, sides)
    if match.differs:
        return verdict(match, Verdict.NOT_COMPARABLE, sentences.incomparable(match.differs))
    return None


def refused(match: Match, refusals: Mapping[str, Refusal], sides: Mapping[str, Side]) -> CaseVerdict:
    """A match of which a side has no artifact.

    What neither can do, or only head can, is nothing to compare; what base had and head lost has failed.
    """
    why = "; ".join(sentences.failed(role, sides[role].asked, one.reason) for role, one in refusals.items())
    harmless = all(one.status in HARMLESS for one in refusals.values())
    lost = "head" in refusals and "base" not in refusals
    if harmless and not lost:
        reasons = dict.fromkeys(one.reason for one in refusals.values())
        where = "both sides" if len(refusals) == len(SIDES) else f"base ({sides['base'].asked})"
        status = next(iter(refusals.values())).status
        return verdict(match, Verdict.NOT_COMPARABLE, f"{status} on {where}: {'; '.join(reasons)}")
    return verdict(match, Verdict.FAILED, why)


def broke(match: Match, broken: Broken, done: Sequence[Finding]) -> CaseVerdict:
    """A match that could not be measured to its end."""
    if set(broken.unsupported) in (set(SIDES), {"base"}):
        return verdict(match, Verdict.NOT_COMPARABLE, f"unsupported here: {broken.reason}")
    return verdict(match, Verdict.FAILED, broken.reason, done)


def judged(
    match: Match,
    done: Measured,
    family: Mapping[Key, Confirmed],
    settings: GateSettings,
    *,
    exact: Sequence[Finding],
    quality: Quality,
) -> CaseVerdict:
    """The verdict of a match whose two sides have artifacts that can be compared.

    Args:
        match: as it was measured, or left out as the same.
        done: everything that was measured.
        family: from `phases.confirmed`.
        settings: how the gate decides.
        exact: findings that need no statistics: size, nodes, structure.
        quality: of accuracy and fidelity.
    """
    naming = sentences.retrained if matching.retrained(match) else str
    pairs = tuple(done.pairs.get(match.name, ()))
    exact = (*exact, *costs.check(match, pairs))
    others = tuple(replace(one, sentence=naming(one.sentence)) for one in (*quality.findings, *exact))
    broken = quality.broken or done.broken.get(match.name)
    if broken is not None:
        return broke(match, broken, others)
    if match.name not in done.pairs:
        return CaseVerdict(
            name=match.name,
            verdict=whole(others, settings),
            findings=others,
            notes=(*match.notes, f"{summary.UNMEASURED}{match.same}"),
        )
    timed = timing.findings(match.name, done, family, settings)
    findings = (*(replace(one, sentence=naming(one.sentence)) for one in timed), *others)
    found = whole(findings, settings)
    open_ones = [one.sentence for one in findings if one.verdict is Verdict.INCONCLUSIVE and counts(one, settings)]
    return CaseVerdict(
        name=match.name,
        verdict=found,
        findings=findings,
        pairs=pairs,
        reason="; ".join(open_ones) if found is Verdict.INCONCLUSIVE else "",
        notes=match.notes,
    )


def verdict(match: Match, found: Verdict, reason: str, findings: Sequence[Finding] = ()) -> CaseVerdict:
    """A verdict with nothing but its reason."""
    return CaseVerdict(name=match.name, verdict=found, reason=reason, findings=tuple(findings), notes=match.notes)


def both(match: Match) -> dict[str, Contender]:
    """Role -> contender, of the sides that there are."""
    return {role: one for role, one in (("base", match.base), ("head", match.head)) if one is not None}
