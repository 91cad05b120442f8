"""Changes that somebody accepted: a small file beside the zoo, written by `harness gate --accept`, read by reviewers.

An entry silences one change and no later one: it names the commits that the change lies between and the largest ratio
(or the worst value) that it covers. It applies only to a comparison whose own commits enclose that change. Once the
base contains the change, it is part of what head is compared with, and the entry has no effect any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from harness.errors import UsageError
from harness.gate.nouns import CaseVerdict, Finding, Report, Side, Verdict, gravest
from harness.gate.outputs.phrases import short
from harness.gate.outputs.sentences import spoken
from harness.suggest import suggest

ALARMS = frozenset({Verdict.REGRESSION})
"""Verdicts that can be accepted: a failure or a doubt is not a change."""

COMMITTED = frozenset({"commit", "tree"})
"""Kinds of sides that a commit tells from others."""

LARGER_IS_BETTER = frozenset({"accuracy", "fidelity"})

Contains = Callable[[str, str], bool | None]
"""`contains(commit, other)`: whether `other` is `commit` or one of its ancestors; None where git cannot tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """One accepted change.

    Attributes:
        case, metric: as a report names them.
        before, after: the change lies after the one and not after the other: commits, or what the sides were called
            where they are no commits (such as `onnxruntime==1.22.1`).
        up_to: the largest ratio (head over base) that it covers; None where the metric is no ratio.
        worst: the worst value of head that it covers, for metrics with values but without a ratio.
        finding: what was found, for people; a metric with neither ratio nor value must be found in these words again.
        reason, who, when: why it is accepted, by whom, and the day (ISO 8601).
        until: the last day on which it applies; None sets no end.
    """

    case: str
    metric: str
    before: str
    after: str
    finding: str
    reason: str
    who: str
    when: str
    up_to: float | None = None
    worst: float | None = None
    until: str | None = None


def apply(report: Report, accepted: Sequence[Accepted], *, contains: Contains, today: str) -> Report:
    """The report with accepted findings marked: they stay visible and fail nothing.

    Args:
        report: as it was judged.
        accepted: the file's entries.
        contains: how commits follow one another.
        today: ISO 8601, for entries that end.
    """
    if not accepted:
        return report
    notes: list[str] = []
    cases = tuple(_apply(report, case, accepted, contains, today, notes) for case in report.cases)
    return replace(report, cases=cases, notes=(*report.notes, *dict.fromkeys(notes)))


def entries(
    report: Report, case: str, *, metric: str | None, reason: str, who: str, when: str, until: str | None = None
) -> tuple[Accepted, ...]:
    """What accepting a case's regressions writes down: one entry for each metric that got worse.

    Raises:
        UsageError: if there is no such case, it has no regression, or the change cannot be tied to commits.
    """
    # Reports say `m/v on cpu-t1`, and that is what people copy.
    found = next((one for one in report.cases if case in (one.name, spoken(one.name))), None)
    if found is None:
        raise UsageError(f"--accept {case}: {_no_such_case(report, case)}")
    alarms = [f for f in found.findings if f.verdict in ALARMS and metric in (None, f.metric)]
    if not alarms:
        of_metric = f" of {metric}" if metric else ""
        raise UsageError(
            f"--accept {case}: the gate found no regression{of_metric} there (it is: {found.verdict.value}), "
            "so there is nothing to accept"
        )
    return tuple(
        Accepted(
            case=found.name,
            metric=finding.metric,
            before=before,
            after=after,
            finding=finding.sentence,
            reason=reason,
            who=who,
            when=when,
            until=until,
            up_to=_up_to(finding),
            worst=finding.head if _up_to(finding) is None else None,
        )
        for finding in alarms
        for before, after in [_between(report, finding)]
    )


def merged(old: Sequence[Accepted], new: Sequence[Accepted]) -> tuple[Accepted, ...]:
    """Entries in the order of the file; a new one takes the place of one for the same change."""
    kept = {_identity(entry): entry for entry in (*old, *new)}
    return tuple(sorted(kept.values(), key=_identity))


def covers(entry: Accepted, finding: Finding, between: tuple[str, str], contains: Contains) -> bool | None:
    """Whether an entry is about this finding of its case; None where git cannot tell how their commits lie.

    The two ranges of commits must overlap: the end of one lies inside the other.
    """
    if entry.metric != finding.metric or not _no_worse(entry, finding):
        return False
    before, after = between
    inside = _inside(entry.after, before, after, contains), _inside(after, entry.before, entry.after, contains)
    if True in inside:
        return True
    return None if None in inside else False


def _apply(
    report: Report,
    case: CaseVerdict,
    accepted: Sequence[Accepted],
    contains: Contains,
    today: str,
    notes: list[str],
) -> CaseVerdict:
    mine = [entry for entry in accepted if entry.case == case.name]
    if not mine or not any(finding.verdict in ALARMS for finding in case.findings):
        return case
    findings = []
    for finding in case.findings:
        entry = _entry_for(report, finding, mine, contains, today, notes) if finding.verdict in ALARMS else None
        findings.append(replace(finding, verdict=Verdict.PASS, accepted=_why(entry)) if entry else finding)
    if findings == list(case.findings):
        return case
    verdict = gravest(tuple(finding.verdict for finding in findings)) if case.verdict in ALARMS else case.verdict
    return replace(case, findings=tuple(findings), verdict=verdict)


def _entry_for(
    report: Report,
    finding: Finding,
    mine: Sequence[Accepted],
    contains: Contains,
    today: str,
    notes: list[str],
) -> Accepted | None:
    between = _ends(report, finding)
    for entry in mine:
        if between is None or not all(between) or entry.metric != finding.metric:
            continue
        covered = covers(entry, finding, between, contains)
        if covered and entry.until is not None and today > entry.until:
            notes.append(f"{entry.case}: the {entry.metric} change was accepted until {entry.until} only")
        elif covered:
            return entry
        elif covered is None:
            notes.append(
                f"{entry.case}: whether the change accepted at {short(entry.after)} is this one cannot be told, since "
                "git does not know that commit here (a shallow clone needs fetch-depth: 0)"
            )
    return None


def _why(entry: Accepted) -> str:
    # The address stays in the file: reports are read by more people.
    return f"{entry.reason} ({entry.who.partition(' <')[0]}, {entry.when})"


def _no_worse(entry: Accepted, finding: Finding) -> bool:
    ratio = _ratio(finding)
    if entry.up_to is not None:
        # What a noisier host cannot tell from the accepted change is not called a larger one.
        return ratio is not None and min(ratio, finding.low or ratio) <= entry.up_to
    if entry.worst is not None:
        if finding.head is None:
            return False
        return finding.head >= entry.worst if entry.metric in LARGER_IS_BETTER else finding.head <= entry.worst
    return finding.sentence == entry.finding


def _up_to(finding: Finding) -> float | None:
    """The largest ratio that is still the same change: above it by twice the interval's half, as noise may put it."""
    ratio = _ratio(finding)
    if ratio is None:
        return None
    slack = 2 * max((finding.high or ratio) - ratio, 0.0)
    # Rounded up, so that an exact metric is covered by its own entry.
    return round(ratio + slack + 5e-5, 4)


def _ratio(finding: Finding) -> float | None:
    if finding.metric in LARGER_IS_BETTER:
        return None
    if finding.ratio is not None:
        return finding.ratio
    if finding.base and finding.head is not None:
        return finding.head / finding.base
    return None


def _inside(commit: str, before: str, after: str, contains: Contains) -> bool | None:
    """Whether a commit is in the history of `after` but not in that of `before`."""
    if commit == after:
        return True
    reached, already = contains(after, commit), contains(before, commit)
    if reached is None or already is None:
        return None
    return reached and not already


def _ends(report: Report, finding: Finding) -> tuple[str, str] | None:
    if finding.commits is not None:
        return finding.commits
    if report.base is None or report.head is None:
        return None
    base, head = _named(report.base), _named(report.head)
    if base == head and {report.base.kind, report.head.kind} <= COMMITTED:
        # One commit on two runtimes: what it was measured on tells the sides apart.
        return _measured_on(report.base), _measured_on(report.head)
    return base, head


def _between(report: Report, finding: Finding) -> tuple[str, str]:
    if finding.commits is None and report.head is not None and report.head.dirty:
        raise UsageError(
            "the change is not committed, so accepting it cannot be tied to it and would silence later ones too: "
            "commit it, run the gate again, then accept"
        )
    ends = _ends(report, finding)
    if ends is None or not all(ends) or ends[0] == ends[1]:
        raise UsageError(
            f"the {finding.metric} change does not lie between two commits or two runtimes, and an entry that is tied "
            "to neither would silence later changes too: change the budget or --max-slowdown instead"
        )
    return ends


def _named(side: Side) -> str:
    """What ties a side to its place: its commit, or the runtime's name and version; empty where there is neither."""
    if side.kind in COMMITTED:
        return side.commit or ""
    if side.kind == "runtime":
        return side.asked
    return _measured_on(side) if side.kind == "interpreter" else ""


def _measured_on(side: Side) -> str:
    """The runtime's name and version; empty where its worker did not say both."""
    name, version = side.runtime.get("name"), side.runtime.get("version")
    return f"{name}=={version}" if name and version else ""


def _no_such_case(report: Report, case: str) -> str:
    names = [one.name for one in report.cases]
    return f"the report has no such case; {suggest(case, names)}"


def _identity(entry: Accepted) -> tuple[str, str, str, str]:
    return entry.case, entry.metric, entry.after, entry.before
