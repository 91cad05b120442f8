"""What every output says first: the verdict in one line, the cases in the order of what matters, and the sides."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Sequence

from harness.gate.model import (
    GRAVITY,
    CaseVerdict,
    Finding,
    MeasuringHost,
    Report,
    Side,
    Verdict,
    exit_code,
    latency_unjudged,
)
from harness.gate.text import commits
from harness.gate.text.phrases import short
from harness.units import count, seconds, share

QUIET = frozenset({Verdict.PASS, Verdict.NOT_COMPARABLE})
"""Verdicts of findings that need no words beside others."""

MOST_NAMED = 3
"""Cases of one verdict and sentence that are named; the others are counted."""


def following(report: Report) -> list[tuple[str, str]]:
    """(what for, command) of what may come after a regression; two cases or files are a choice, and have none."""
    worse = next((case for case in ordered(report.cases) if case.verdict is Verdict.REGRESSION), None)
    if worse is None or (report.head is not None and report.head.kind in ("case", "file")):
        return []
    history = "--history " if in_history(report) else ""
    first = "commit it, run the gate again, and then " if report.head is not None and report.head.dirty else ""
    found = [(f"{first}accept it", f"harness gate {history}--accept {shlex.quote(worse.name)} --reason '...'")]
    timed = any(one.metric == "latency" and one.verdict is Verdict.REGRESSION for one in worse.findings)
    kinds = {one.kind for one in (report.base, report.head) if one is not None}
    if timed and kinds == {"commit"} and report.base is not None and report.head is not None:
        ends = f"--good {shlex.quote(report.base.asked)} --bad {shlex.quote(report.head.asked)}"
        found.append(("find the commit", f"harness bisect {shlex.quote(worse.name)} {ends}"))
    return found


def in_history(report: Report) -> bool:
    """Whether the report is about stored results and not about two sides."""
    return report.base is None and report.head is None


def overall(report: Report) -> Verdict:
    """The verdict that stands for the whole report, in step with `nouns.exit_code`."""
    return {0: Verdict.PASS, 1: Verdict.REGRESSION, 3: Verdict.INCONCLUSIVE, 4: Verdict.FAILED}[exit_code(report)]


def counts(report: Report) -> dict[Verdict, int]:
    """How many cases have each verdict that occurs, gravest first."""
    found = Counter(case.verdict for case in report.cases)
    return {verdict: found[verdict] for verdict in reversed(GRAVITY) if found[verdict]}


def series_counts(report: Report) -> dict[Verdict, int]:
    """The same for a history, whose every finding is a series of its own: a case may be judged in size alone."""
    found = Counter(finding.verdict for case in report.cases for finding in case.findings)
    return {verdict: found[verdict] for verdict in reversed(GRAVITY) if found[verdict]}


def headline(report: Report) -> str:
    """The verdict of the whole gate as one sentence: `Regression: 1 of 12 cases got worse; 9 pass, 2 inconclusive.`."""
    history = in_history(report)
    tally = series_counts(report) if history else counts(report)
    unit = "series" if history else "case"
    total = count(sum(tally.values()), unit, "series" if history else "cases")
    verdict = overall(report)
    n = tally.get(verdict, 0)
    match verdict:
        case Verdict.REGRESSION:
            text = f"Regression: {n} of {total} got worse"
        case Verdict.FAILED:
            text = f"Failed: {n} of {total} could not be compared"
        case Verdict.INCONCLUSIVE if latency_unjudged(report):
            text = f"Inconclusive: {_latency_unjudged(report)}"
        case Verdict.INCONCLUSIVE if n:
            text = f"Inconclusive: {n} of {total} could not be decided"
        case Verdict.INCONCLUSIVE if report.interrupted and tally:
            text = f"Inconclusive: stopped after {total}"
        case Verdict.INCONCLUSIVE:
            text = "Inconclusive: nothing was compared"
        case _:
            judged = tally.get(Verdict.PASS, 0) + tally.get(Verdict.IMPROVEMENT, 0)
            text = f"Pass: none of {judged:,} {'series' if history else 'cases'} got worse"
            text = f"Pass: the one {unit} that was judged did not get worse" if judged == 1 else text
    words = {**PLURAL, Verdict.NOT_COMPARABLE: "not judged"} if history else PLURAL
    rest = [f"{n} {words[v]}" for v, n in tally.items() if v != verdict]
    silenced = sum(1 for case in report.cases if any(finding.accepted for finding in case.findings))
    rest += [f"{silenced} with an accepted change"] if silenced else []
    same = sum(1 for case in report.cases if any(note.startswith(UNMEASURED) for note in case.notes))
    rest += [f"{same} the same on both sides and not measured"] if same else []
    stopped = [f"stopped by {report.interrupted}"] if report.interrupted else []
    return "; ".join([text, *([", ".join(rest)] if rest else []), *stopped]) + "."


def _latency_unjudged(report: Report) -> str:
    """That a history could judge no latency, which sizes that passed must not hide, and why mostly."""
    series = latency_unjudged(report)
    found = [one.sentence for case in report.cases for one in case.findings if one.metric == "latency"]
    (sentence, _), *_ = Counter(found).most_common(1)
    subject = "the one series of latency could not" if series == 1 else f"none of {series:,} series of latency could"
    return f"{subject} be judged ({sentence.partition(commits.NOT_JUDGED)[2]})"


SIGNATURE = "signature"
"""The metric of what a model takes and gives."""

UNMEASURED = "not measured: "
"""How the note of a case begins that is the same on both sides."""

PLURAL = {
    Verdict.PASS: "passed",
    Verdict.IMPROVEMENT: "improved",
    Verdict.NOT_COMPARABLE: "not compared",
    Verdict.INCONCLUSIVE: "inconclusive",
    Verdict.FAILED: "failed",
    Verdict.REGRESSION: "got worse",
}


def ordered(cases: Sequence[CaseVerdict]) -> list[CaseVerdict]:
    """What matters first: gravest verdict, then the largest change of that kind, then the name."""
    return sorted(cases, key=lambda case: (-GRAVITY.index(case.verdict), -_worst(case), case.name))


def telling(case: CaseVerdict) -> list[Finding]:
    """The findings of a case that deserve words: all that are not quiet, first those that its verdict rests on.

    The others follow, gravest first; latency where all are quiet.

    Inputs or outputs that changed are named in any case: whoever calls the model must know.
    """
    loud = [f for f in case.findings if f.verdict not in QUIET or f.accepted]
    changed = [f for f in case.findings if f.metric == SIGNATURE and f not in loud]
    if loud:
        return [*sorted(loud, key=lambda f: (not rests_on(case, f), -GRAVITY.index(f.verdict))), *changed]
    timed = [f for f in case.findings if f.metric == "latency"]
    return [*(timed or case.findings[:1]), *(f for f in changed if f not in case.findings[:1] or timed)]


def rests_on(case: CaseVerdict, finding: Finding) -> bool:
    """Whether a case's verdict stands on a finding."""
    return finding.verdict is case.verdict


def said(finding: Finding) -> str:
    """A finding's sentence, with who accepted it."""
    return f"{finding.sentence} [accepted: {finding.accepted}]" if finding.accepted else finding.sentence


def sentence(case: CaseVerdict) -> str:
    """Everything that is to be said of a case, without its name."""
    return "; ".join(sentences(case))


def sentences(case: CaseVerdict) -> tuple[str, ...]:
    """The same, one for each finding."""
    parts = [said(finding) for finding in telling(case)]
    if case.reason and case.reason not in parts:
        # A reason that a finding's sentence holds already says nothing twice.
        parts = [case.reason, *parts] if not any(case.reason in part for part in parts) else parts
    return tuple(parts) or (case.verdict.value,)


def ratio(finding: Finding) -> float | None:
    """The ratio that is shown of a finding; that of a few pairs, which nothing bounds, says nothing."""
    open_ended = finding.verdict is Verdict.INCONCLUSIVE and finding.low is None
    return None if open_ended else finding.ratio


def needs_a_reader(case: CaseVerdict) -> bool:
    """Whether anything is to be said of a case; of one that just passed there is not."""
    named = any(finding.accepted or finding.metric == SIGNATURE for finding in case.findings)
    return case.verdict is not Verdict.PASS or named


def grouped(cases: Sequence[CaseVerdict]) -> list[tuple[Verdict, str, str]]:
    """(verdict, names, sentence), in order; cases of which the same is to be said stand together."""
    return [(verdict, names, "; ".join(parts)) for verdict, names, parts in grouped_sentences(cases)]


def grouped_sentences(cases: Sequence[CaseVerdict]) -> list[tuple[Verdict, str, tuple[str, ...]]]:
    """(verdict, names, a sentence for each finding), as `grouped`."""
    groups: dict[tuple[Verdict, tuple[str, ...]], list[str]] = {}
    for case in cases:
        groups.setdefault((case.verdict, sentences(case)), []).append(case.name)
    return [(verdict, _names(names), parts) for (verdict, parts), names in groups.items()]


def _names(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {count(more, 'more case')}" if more > 0 else "")


def side(of: Side | None) -> str:
    """A side for people: as it was asked for, its commit, whether it is dirty, its runtime."""
    if of is None:
        return "-"
    return _side(of, [*_state(of), *_runtime(of)])


def sides(report: Report) -> str:
    """What was compared, in one line; of sides that differ in the runtime alone, that first."""
    base, head = report.base, report.head
    if base is None or head is None:
        return "newest stored results against their own past"
    runtimes = _runtime(base), _runtime(head)
    if all(runtimes) and runtimes[0] != runtimes[1] and _side(base, _state(base)) == _side(head, _state(head)):
        return f"base: {runtimes[0][0]}; head: {runtimes[1][0]}; both with {_side(head, _state(head))}"
    return f"base: {side(base)}; head: {side(head)}"


def _side(of: Side, details: Sequence[str]) -> str:
    return f"{of.asked} ({', '.join(details)})" if details else of.asked


def _state(of: Side) -> list[str]:
    """The commit, where it is not what was asked for, and whether files differ from it."""
    found = [short(of.commit)] if of.commit and short(of.commit) != of.asked else []
    return [*found, *(["with uncommitted changes"] if of.dirty else [])]


def _runtime(of: Side) -> list[str]:
    name, version = of.runtime.get("name"), of.runtime.get("version")
    return [f"{name} {version}"] if name and version else []


def notes(report: Report) -> list[str]:
    """What a reader has to know of the whole gate and of its sides."""
    of_sides = [note for one in (report.base, report.head) if one is not None for note in one.notes]
    return list(dict.fromkeys([*report.notes, *of_sides]))


def circumstances(report: Report) -> list[tuple[str, str]]:
    """How it was measured, as (what, value)."""
    settings = report.settings
    rows = [("compared", sides(report)), *_hosts(report), ("started", report.started_at)]
    if not in_history(report):
        rows += [
            ("margin", share(settings.max_slowdown) if settings.max_slowdown else "any confirmed slow-down"),
            ("pairs", f"{settings.screen_pairs} to screen, {settings.confirm_pairs} fresh ones to confirm"),
            ("chance of a false alarm", f"at most {share(settings.family_alpha)}, over all cases together"),
            ("base, head, change", "medians over all processes; the change is taken pair by pair, and judged"),
            ("took", seconds(report.wall_s)),
        ]
    if report.spread is not None:
        rows.append(("spread between pairs", share(report.spread)))
    if report.interrupted:
        rows.append(("stopped by", report.interrupted))
    return rows


def _hosts(report: Report) -> list[tuple[str, str]]:
    """Who measured: this host, or those of a fleet, class by class."""
    if not report.hosts:
        return [("host", _host(report))]
    found: dict[str, list[MeasuringHost]] = {}
    for one in report.hosts:
        found.setdefault(one.host_class, []).append(one)
    return [
        (
            f"hosts of class {name}",
            ", ".join([own[0].cpu or "unknown processor", *(f"{one.name}: {count(one.pairs, 'pair')}" for one in own)]),
        )
        for name, own in found.items()
    ]


def _host(report: Report) -> str:
    cpu, cores = report.host.get("cpu"), report.host.get("cores_logical")
    known = [str(cpu)] if cpu else []
    known += [count(int(cores), "core")] if isinstance(cores, int) else []
    return ", ".join([*known, report.fingerprint]) if known else (report.fingerprint or "-")


def _worst(case: CaseVerdict) -> float:
    """How far the findings that the verdict rests on lie from no change; what got better beside them has no say."""
    moved = [f.ratio for f in case.findings if f.verdict is case.verdict and f.ratio is not None]
    return max((abs(math.log(ratio)) for ratio in moved if 0 < ratio < math.inf), default=0.0)
