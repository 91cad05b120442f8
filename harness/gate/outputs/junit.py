"""A report as JUnit XML, which most CI systems show: one test case per case.

regression -> failure, failed -> error, inconclusive and not compared -> skipped (nobody knows: neither passed nor
failed), pass and improvement -> passed. The exit code is the judge; this file is for reading.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from harness.gate.model import CaseVerdict, Report, Verdict, exit_code
from harness.gate.text import summary
from harness.gate.text.sentences import about
from harness.shown import xml

ELEMENTS = {
    Verdict.REGRESSION: "failure",
    Verdict.FAILED: "error",
    Verdict.INCONCLUSIVE: "skipped",
    Verdict.NOT_COMPARABLE: "skipped",
}


def render(report: Report) -> str:
    """The XML document. A gate that compared nothing has one skipped test case that says so."""
    cases = summary.ordered(report.cases)
    suites = ET.Element("testsuites", name="harness gate")
    suite = ET.SubElement(suites, "testsuite", name="harness gate", timestamp=xml(report.started_at))
    suite.set("time", f"{report.wall_s:.3f}")
    properties = ET.SubElement(suite, "properties")
    facts = [("verdict", summary.headline(report)), ("exit code", str(exit_code(report)))]
    for name, value in [*facts, *summary.circumstances(report)]:
        ET.SubElement(properties, "property", name=xml(name), value=xml(value))
    for case in cases:
        _case(suite, case)
    if not cases:
        empty = ET.SubElement(suite, "testcase", name="harness gate", classname="harness.gate")
        ET.SubElement(empty, "skipped", message=xml(summary.headline(report)))
    found = {element: len(suite.findall(f"testcase/{element}")) for element in ("failure", "error", "skipped")}
    for owner in (suites, suite):
        owner.set("tests", str(max(len(cases), 1)))
        owner.set("failures", str(found["failure"]))
        owner.set("errors", str(found["error"]))
        owner.set("skipped", str(found["skipped"]))
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ET.Element, case: CaseVerdict) -> None:
    element = ET.SubElement(suite, "testcase", name=xml(case.name), classname="harness.gate")
    # Not the time that the case took: start-ups are in neither side. An approximate time would mislead.
    kind = ELEMENTS.get(case.verdict)
    details = "\n".join([summary.said(f) for f in case.findings] + list(case.notes))
    if kind is not None:
        child = ET.SubElement(element, kind, message=xml(about(case.name, summary.sentence(case))))
        if kind != "skipped":
            child.set("type", case.verdict.value)
        child.text = xml(details)
    elif details:
        ET.SubElement(element, "system-out").text = xml(details)
