"""A report as GitHub workflow commands, which become annotations of the job: `::error title=...::message`."""

from __future__ import annotations

from harness.gate.model import CaseVerdict, Report, Verdict
from harness.gate.text import summary
from harness.shown import annotation, annotation_property
from harness.units import count

MOST = 10
"""Annotations of one level that GitHub shows for one step; the last of more says how many there are."""

LEVELS = {
    Verdict.REGRESSION: "error",
    Verdict.FAILED: "error",
    Verdict.INCONCLUSIVE: "warning",
    Verdict.IMPROVEMENT: "notice",
}


def render(report: Report, *, warn_only: bool = False) -> str:
    """One line per annotation; nothing for cases that passed, unless a change of theirs was accepted.

    Cases that were not compared for one reason share a line.

    Args:
        report: of a gate.
        warn_only: errors become warnings, for a job that they do not fail.
    """
    levels: dict[str, list[str]] = {"error": [], "warning": [], "notice": []}
    apart = [case for case in report.cases if case.verdict is Verdict.NOT_COMPARABLE]
    for case in summary.ordered([case for case in report.cases if case not in apart]):
        level = _level(case)
        if level == "error" and warn_only:
            level = "warning"
        if level:
            levels[level].append(_command(level, case.name, summary.sentence(case)))
    levels["warning"] += [_command("warning", names, f"{v.value}: {text}") for v, names, text in summary.grouped(apart)]
    if not report.cases:
        levels["warning"].append(_command("warning", "harness gate", summary.headline(report)))
    lines: list[str] = []
    for level, commands in levels.items():
        more = len(commands) - MOST
        if more > 0:
            rest = f"{count(more + 1, 'more case')}: see the job's summary"
            commands = [*commands[: MOST - 1], _command(level, "harness gate", rest)]  # noqa: PLW2901  (the cut list)
        lines += commands
    return "".join(f"{line}\n" for line in lines)


def _level(case: CaseVerdict) -> str | None:
    if any(finding.accepted for finding in case.findings) and case.verdict is Verdict.PASS:
        return "notice"
    return LEVELS.get(case.verdict)


def _command(level: str, title: str, message: str) -> str:
    """A workflow command, escaped as GitHub's runner reads it (`@actions/core`, escapeData and escapeProperty)."""
    return f"::{level} title={annotation_property(title)}::{annotation(message)}"
