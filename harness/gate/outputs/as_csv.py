"""A report as CSV: a line for every finding, and one for a case without any."""

from __future__ import annotations

import csv
import io
from dataclasses import fields

from harness import shown
from harness.gate.model import Finding, Report

COLUMNS = tuple(field.name for field in fields(Finding))


def render(report: Report) -> str:
    """The whole file; absent numbers are empty cells."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["case", "case_verdict", "reason", *COLUMNS])
    for case in report.cases:
        head = [shown.csv(case.name), case.verdict.value, shown.csv(case.reason)]
        if not case.findings:
            writer.writerow([*head, *("" for _ in COLUMNS)])
        for finding in case.findings:
            values = _cells(finding)
            writer.writerow([*head, *(shown.csv_value(values[name]) for name in COLUMNS)])
    return out.getvalue()


def _cells(finding: Finding) -> dict[str, object]:
    found = {name: getattr(finding, name) for name in COLUMNS}
    return found | {"verdict": finding.verdict.value, "commits": " ".join(finding.commits or ())}
