"""harness.gate.outputs and harness.cli.gate_report: a report for every reader."""

from __future__ import annotations

import csv
import io
import json
import math
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from harness import units
from harness.cli import gate, gate_report
from harness.errors import StoreError, UsageError
from harness.gate.model import CaseVerdict, Finding, Report, Verdict, exit_code
from harness.gate.outputs import annotations as workflow
from harness.gate.outputs import as_csv, as_json, console, delivery, junit, markdown
from harness.gate.outputs.delivery import ReportOutputs
from harness.gate.text import scores, sentences, summary
from tests import reports

NASTY = "a|b`<img src=x>`*c*@team\n::error::100%"


@pytest.fixture(autouse=True)
def _no_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


def shown(report: Report, *, every: bool = False) -> str:
    """What the console shows."""
    out = io.StringIO()
    console.show(report, Console(file=out, width=200, highlight=False), every=every)
    return out.getvalue()


def parsed(xml: str | bytes) -> ET.Element:
    """The root of an XML document."""
    return ET.fromstring(xml)  # noqa: S314  (of our own making)


# --- sentences ---


def test_a_slow_down_reads_as_promised() -> None:
    """The sentence of a regression, with the case's name before it."""
    text = sentences.about(reports.CASE, sentences.moved("latency", 1.048, 1.039, 1.056, 20))
    assert "resnet50/int8-static/cpu-t2-b1: 4.8% slower (95% interval 3.9 to 5.6%, 20 pairs)" == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (sentences.moved("latency", 0.95, 0.94, 0.96, 20), "5.0% faster (95% interval 4.0 to 6.0%, 20 pairs)"),
        (
            sentences.moved("latency", 1.048, 1.039, 1.056, 20, allowed=0.03),
            "4.8% slower (95% interval 3.9 to 5.6%, 20 pairs; allowed 3%, 1.7% beyond)",
        ),
        (
            sentences.moved("latency", 2.3, 2.1, 2.5, 20),
            "2.30 times as slow (95% interval 2.10 to 2.50 times, 20 pairs)",
        ),
        (
            sentences.moved("latency", 0.4, 0.39, 0.41, 20),
            "2.50 times as fast (95% interval 2.44 to 2.56 times, 20 pairs)",
        ),
        (
            sentences.moved("peak_memory", 1.2, 1.1, 1.3, 1),
            "peak memory 20.0% larger (95% interval 10.0 to 30.0%, 1 pair)",
        ),
        (
            sentences.moved("first_inference", 1.2, 0, math.inf, 3),
            "first inference 20.0% slower (too few for an interval, 3 pairs)",
        ),
        (
            sentences.unchanged("latency", 1.003, 0.995, 1.011, 8, detectable=0.025),
            "not slower: +0.3% (95% interval -0.5 to +1.1%, 8 pairs; 2.5% would have been seen)",
        ),
        (
            sentences.unchanged("first_inference", 0.75, 0.67, 0.89, 20, allowed=0.25),
            "first inference within the allowed 25%: -25.0% (95% interval -33.0 to -11.0%, 20 pairs)",
        ),
        (
            sentences.unchanged("first_inference", 1.324, 1.14, 1.345, 20, allowed=0.25),
            (
                "first inference not shown to be more than 25% slower: +32.4% (95% interval +14.0 to +34.5%, 20 pairs)"
            ),
        ),
        (
            sentences.unchanged("latency", 1.025, 0.99, 1.06, 8),
            "not shown to be slower: +2.5% (95% interval -1.0 to +6.0%, 8 pairs)",
        ),
        (
            sentences.unclear("latency", 8, wanted=0.03, detectable=0.061, ratio=1.012, low=0.97, high=1.056),
            (
                "cannot tell whether it is slower: +1.2% (95% interval -3.0 to +5.6%, 8 pairs); only a change of 6.1% "
                "or more would have been seen, 3% was asked for; about 33 pairs or a quieter host would show that"
            ),
        ),
        (
            sentences.unclear("latency", 0, wanted=0.03, why="time limit"),
            (
                "cannot tell whether it is slower: nothing was measured; stopped by time limit; give it more time "
                "(--time-limit), or fewer cases (--models)"
            ),
        ),
        (
            sentences.unclear("latency", 8, wanted=0.08, allowed=0.03, detectable=0.1, ratio=1.0, low=0.9, high=1.1),
            (
                "cannot tell whether it is slower: 0.0% (95% interval -10.0 to +10.0%, 8 pairs); only a change of 10% "
                "or more would have been seen, 8% was asked for, the allowed 3% included; about 13 pairs or a quieter "
                "host would show that"
            ),
        ),
        (
            sentences.unclear(
                "latency", 20, wanted=0.05, detectable=0.03, ratio=1.03, low=0.99, high=1.07, remedy="run it again"
            ),
            (
                "cannot tell whether it is slower: +3.0% (95% interval -1.0 to +7.0%, 20 pairs); it looked slower, and "
                "fresh pairs neither confirm that nor exclude 5%; run it again"
            ),
        ),
        (
            sentences.unclear(
                "latency", 9, wanted=0.05, detectable=0.03, ratio=1.03, low=0.99, high=1.07, why="Ctrl-C", remedy="wait"
            ),
            (
                "cannot tell whether it is slower: +3.0% (95% interval -1.0 to +7.0%, 9 pairs); stopped by Ctrl-C; "
                "with all its pairs a change of 3% or more would have been seen; wait"
            ),
        ),
        (sentences.exact("size", 12_300_000, 12_900_000), "artifact grew from 12.3 MB to 12.9 MB (+4.9%)"),
        (
            sentences.exact("size", 12_300_000, 12_300_010),
            "artifact grew from 12,300,000 bytes to 12,300,010 bytes (0.0%)",
        ),
        (sentences.exact("nodes", 12, 12), "graph as before: 12 nodes"),
        (
            scores.accuracy(
                "top1", 0.99333, 0.971, 450, newly_wrong=10, newly_right=0, p=0.002, allowed=0.01, noun="digit"
            ),
            "top-1 fell from 99.33% to 97.1% (10 of 450 digits newly wrong, 0 newly right, p = 0.002; allowed 1 point)",
        ),
        (
            scores.accuracy(
                "top1", 0.99, 0.98, 100, newly_wrong=1, newly_right=0, p=0.5, allowed=0.005, detectable=0.06
            ),
            (
                "top-1 fell from 99.0% to 98.0% (1 of 100 examples newly wrong, 0 newly right, p = 0.5; allowed 0.5 "
                "points); 100 examples can only show a drop of 6 points or more: evaluate on more"
            ),
        ),
        (
            scores.fidelity(137.4, 23.7, judged_by="accuracy"),
            "fidelity fell from 137.4 dB to 23.7 dB (for information: accuracy decides)",
        ),
        (
            scores.accuracy("map50", 0.9, 0.8, 40, low=-0.12, high=-0.08, allowed=0.01, share_of_reference=True),
            "mAP50 fell from 90.0% to 80.0% (40 examples, 95% interval -12.00 to -8.00 points; at least 99% of it)",
        ),
        (
            scores.fidelity(42.1, 35.0, budget_db=20),
            "fidelity fell from 42.1 dB to 35.0 dB (budget: at least 20 dB)",
        ),
        (scores.fidelity(None, 35.0), "fidelity fell from exact to 35.0 dB"),
        (scores.fidelity(35.0, None), "fidelity rose from 35.0 dB to exact"),
        (sentences.failed("head", "main", "the worker\ndied."), "head (main) failed: the worker died"),
        (
            sentences.incomparable(["weights: base aaaa, head bbbb"]),
            "no verdict, since the sides differ in weights: base aaaa, head bbbb",
        ),
    ],
)  # fmt: skip
def test_sentences(text: str, expected: str) -> None:
    """One sentence of every kind, whole."""
    assert expected == text


def test_small_changes_are_not_called_nothing() -> None:
    """Where one decimal would say 0.0, two are given; below that it is 0.0 without a sign."""
    assert ["+0.03%", "0.0%", "-4.8%"] == [units.change(r, sign=True) for r in (1.0003, 1.00001, 0.952)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (units.digits(99.96), "100"),
        (units.digits(9.996), "10.0"),
        (units.digits(12_345.0), "12,345"),
        (units.seconds(0.99996), "1.00 s"),
        (units.seconds(0.0009994), "999 µs"),
        (units.seconds(math.nan), "-"),
        (units.size(999_960), "1.00 MB"),
        (units.size(-12_340), "-12.3 kB"),
        (units.size(999), "999 B"),
        (units.share(0.07), "7%"),
        (units.share(0.0005), "0.05%"),
        (units.change(12.5, sign=True), "+1,150%"),
        (units.change(1.9996), "100%"),
        (units.value(1, "nodes"), "1 node"),
        (units.value(1200, "nodes"), "1,200 nodes"),
        (units.value(None, "bytes"), "-"),
    ],
)
def test_amounts_round_at_their_edges(text: str, expected: str) -> None:
    """Three digits stay three where they round up to the next power of ten, and the unit goes with them."""
    assert expected == text


# --- summary ---


def test_the_headline_says_the_verdict_first() -> None:
    """The gravest verdict, in step with the exit code, then the others."""
    text = summary.headline(reports.mixed())
    assert text.startswith("Regression: 1 of 6 cases got worse; ")
    assert "1 passed" in text
    assert "1 inconclusive" in text


@pytest.mark.parametrize(
    ("report", "start", "code"),
    [
        (
            reports.report(reports.case(verdict=Verdict.PASS)),
            "Pass: the one case that was judged did not get worse.",
            0,
        ),
        (reports.report(), "Inconclusive: nothing was compared.", 3),
        (reports.report(reports.case(verdict=Verdict.FAILED)), "Failed: 1 of 1 case could not be compared.", 4),
        (
            reports.report(reports.case(verdict=Verdict.PASS), interrupted="time limit"),
            "Inconclusive: stopped after 1 case; 1 passed; stopped by time limit.",
            3,
        ),
    ],
)
def test_headlines_agree_with_the_exit_code(report: Report, start: str, code: int) -> None:
    """What is said and what the process returns are the same."""
    assert start == summary.headline(report)
    assert code == exit_code(report)


def test_what_is_the_same_is_not_said_to_have_been_measured() -> None:
    """A pass that rests on both sides being one file says so in the headline."""
    same = reports.case(verdict=Verdict.PASS, notes=(f"{summary.UNMEASURED}both sides are the same file",))
    assert summary.headline(reports.report(same)).endswith("; 1 the same on both sides and not measured.")


def test_sides_that_differ_in_the_runtime_say_that_first() -> None:
    """A bump of the runtime is what the reader looks for; the working tree of both is said once."""
    base = reports.side("head", runtime={"name": "onnxruntime", "version": "1.22.1"})
    text = summary.sides(reports.report(reports.case(), base=base, head=reports.side("head")))
    assert "base: onnxruntime 1.22.1; head: onnxruntime 1.23.0; both with working tree (222222222)" == text


# --- console ---


def test_the_console_shows_what_matters_first() -> None:
    """The verdict in the first line, the regression in the first row, a passing case in the last."""
    text = shown(reports.mixed())
    lines = text.splitlines()
    assert lines[0].startswith("Regression: 1 of 6")
    rows = [line.split()[0] for line in lines[4:10]]
    assert "resnet50/int8-static/cpu-t2-b1" == rows[0]
    assert "m/fp32/cpu-t1-b1" == rows[-1]
    assert "resnet50/int8-static/cpu-t2-b1: 4.8% slower (95% interval 3.9 to 5.6%, 20 pairs)" in text
    assert "the fan was loud" in text


def test_cases_of_which_the_same_is_said_stand_together() -> None:
    """Sixty cases without a past are one line, not sixty, and have rows where somebody asks for them."""
    cases = [
        reports.case(f"m{i:02}/v/cpu-t1-b1", Verdict.NOT_COMPARABLE, reason="not judged: 1 point") for i in range(60)
    ]
    expected = "m00/v/cpu-t1-b1, m01/v/cpu-t1-b1, m02/v/cpu-t1-b1 and 57 more cases"
    assert f"{expected}: not judged: 1 point" in shown(reports.report(*cases))
    assert f"- :no_entry_sign: **{expected}**: not judged: 1 point\n" in markdown.render(reports.report(*cases))
    folded = shown(reports.report(*cases))
    assert "m59/" not in folded
    assert "60 cases of which nothing differs or nothing was compared: 60 not compared; -v lists them\n" in folded
    assert 60 == shown(reports.report(*cases), every=True).count("  not compared")


def test_a_change_that_touches_no_model_has_one_line_and_not_a_row_for_each_case() -> None:
    """Cases that were not measured are counted; whatever was measured keeps its row, and few of them keep theirs."""
    unmeasured = [
        reports.case(f"m{i}/v/cpu-t1-b1", Verdict.PASS, findings=(), notes=("not measured: the same file",))
        for i in range(5)
    ]
    timed = reports.case("timed/v/cpu-t1-b1", Verdict.PASS, findings=(reports.steady(),))
    table = shown(reports.report(*unmeasured, timed)).split("note  ")[0]
    assert "timed/v/cpu-t1-b1  pass" in table
    assert "5 cases of which nothing differs or nothing was compared: 5 passed" in table
    assert "m0/" not in table
    assert "m0/v/cpu-t1-b1" in shown(reports.report(*unmeasured[:3], timed)).split("note  ")[0]


def test_a_name_that_does_not_fit_stands_whole_above_its_rows() -> None:
    """At 80 columns: cases are told apart by all of their name."""
    case = reports.case("a_model_of_somebody/int8-static-per-channel/openvino-cpu-t16-i4-b128")
    out = io.StringIO()
    console.show(reports.report(case), Console(file=out, width=80))
    lines = out.getvalue().splitlines()
    place = lines.index(case.name)
    assert lines[place + 1].startswith("  regression  latency")
    assert max(map(len, lines[place - 1 : place + 2])) <= 80


def test_notes_that_differ_in_figures_alone_are_said_once() -> None:
    """What five cases have in common is one line, with the first one's figures."""
    cases = [
        reports.case(f"m/v{i}/cpu-t1-b1", Verdict.PASS, notes=(f"the same file ({i}f590657467)",)) for i in range(5)
    ]
    text = shown(reports.report(*cases))
    assert "note  m/v0/cpu-t1-b1 and 4 more cases: the same file (0f590657467)" in text
    assert 1 == text.count("the same file")


def test_metrics_that_were_not_judged_need_no_words_beside_others() -> None:
    """A case that is slower says so, and not that its memory has too few points."""
    memory = reports.slower(metric="peak_memory", verdict=Verdict.NOT_COMPARABLE, sentence="peak memory not judged")
    text = shown(reports.report(reports.case(findings=(reports.slower(), memory))))
    assert "4.8% slower" in text
    assert "not judged" not in text


def test_the_console_says_a_verdict_once() -> None:
    """Its word stands before the case; the sentence does not begin with it again."""
    lines = [line for line in shown(reports.mixed()).splitlines() if "the sides differ in" in line]
    assert ["not compared  m/fp16/cpu-t1-b1: no verdict, since the sides differ in weights: base a, head b"] == lines


def test_a_verdict_stands_beside_the_metric_that_it_rests_on() -> None:
    """An improvement of the size stands on the size's row, and not on that of a latency that stayed as it was."""
    smaller = reports.slower(0.8, metric="size", verdict=Verdict.IMPROVEMENT, sentence="artifact shrank")
    doubt = reports.slower(1.3, metric="first_inference", verdict=Verdict.INCONCLUSIVE, sentence="cannot tell")
    case = reports.case(verdict=Verdict.IMPROVEMENT, findings=(reports.steady(), doubt, smaller))
    text = shown(reports.report(case))
    rows = [
        line.split() for line in text.splitlines() if line.startswith(("resnet50/int8-static/cpu-t2-b1  ", "     "))
    ]
    assert [["improvement", "size"], ["pass", "latency"], ["inconclusive", "first_inference"]] == [
        rows[0][1:3], rows[1][:2], rows[2][:2]
    ]  # fmt: skip
    assert "improvement  resnet50/int8-static/cpu-t2-b1: artifact shrank\n             cannot tell\n" in text


def test_a_regression_says_how_to_go_on() -> None:
    """Accepting it, once it is committed, and finding its commit; two files are a choice, and a pass needs nothing."""
    commits = {role: reports.side(role, kind="commit", asked=f"v 1 {role}") for role in ("base", "head")}
    text = shown(reports.report(reports.case(), **commits))
    assert "next  accept it: harness gate --accept resnet50/int8-static/cpu-t2-b1 --reason '...'\n" in text
    assert "bisect resnet50/int8-static/cpu-t2-b1 --good 'v 1 base' --bad 'v 1 head'\n" in text
    dirty = reports.side("head", dirty=True)
    assert "next  commit it, run the gate again, and then accept it: " in shown(
        reports.report(reports.case(), head=dirty)
    )
    files = {role: reports.side(role, kind="file") for role in ("base", "head")}
    assert "next  " not in shown(reports.report(reports.case(), **files))
    assert "next  " not in shown(reports.report(reports.case(verdict=Verdict.PASS), **commits))


@pytest.mark.parametrize("width", [80, 100])
def test_a_narrow_terminal_loses_no_interval(width: int) -> None:
    """Columns go; no row of the table is wrapped, and no interval loses an end."""
    out = io.StringIO()
    long = reports.case("a-model-with-a-name/int8-static-per-channel/cpu-t2-b1", findings=(reports.slower(),))
    console.show(reports.report(long, reports.case()), Console(file=out, width=width, highlight=False))
    lines = out.getvalue().splitlines()
    rows = lines[lines.index("") + 1 : lines.index("", lines.index("") + 1)]
    assert 2 == sum("[+3.9%, +5.6%]" in row for row in rows)
    assert all(len(row) <= width for row in rows)


def test_a_history_that_passes_in_size_alone_does_not_pass_in_latency() -> None:
    """The row of the verdict is the size's; the latency's says that it was not judged."""
    judged_not = reports.slower(verdict=Verdict.NOT_COMPARABLE, sentence="latency not judged: 2 points")
    quiet = replace(judged_not, ratio=None, low=None, high=None)
    size = reports.slower(1.0, metric="size", verdict=Verdict.PASS, sentence="artifact as before")
    text = shown(reports.report(reports.case(verdict=Verdict.PASS, findings=(quiet, size))))
    rows = [line.split() for line in text.splitlines() if " latency " in line or " size " in line]
    assert [["pass", "size"], ["latency"]] == [rows[0][1:3], rows[1][:1]]


def test_what_got_better_does_not_order_what_got_worse() -> None:
    """A small regression beside a large gain stands behind a larger regression."""
    gain = reports.slower(0.2, metric="size", verdict=Verdict.IMPROVEMENT)
    small = reports.case("a/v/cpu-t1-b1", findings=(reports.slower(1.05), gain))
    large = reports.case("b/v/cpu-t1-b1", findings=(reports.slower(1.4),))
    assert [large, small] == summary.ordered([small, large])


def test_a_ratio_that_nothing_bounds_is_not_shown() -> None:
    """One pair before the time was over: no number that a reader could take for a finding."""
    alone = reports.slower(1.199, verdict=Verdict.INCONCLUSIVE, sentence="cannot tell", low=None, high=None, n=1)
    report = reports.report(reports.case(verdict=Verdict.INCONCLUSIVE, findings=(alone,)))
    assert "+19.9%" not in shown(report) + markdown.render(report)


def test_the_console_takes_nothing_for_markup() -> None:
    """A worker's last stderr lines with brackets are shown as they are."""
    text = shown(reports.report(reports.case("m[/r]/cpu-t1-b1", Verdict.FAILED, reason="[bold]boom[/nope]")))
    assert "m[/r]/cpu-t1-b1: [bold]boom[/nope]" in text


# --- Markdown ---


def test_a_changed_signature_is_named_whatever_the_verdict() -> None:
    """Whoever calls the model must know, also where the gate passes."""
    changed = Finding(
        metric="signature", verdict=Verdict.PASS, sentence="outputs changed: y: float [4] -> z: float [4]"
    )
    for case in (
        reports.case(verdict=Verdict.PASS, findings=(reports.steady(), changed)),
        reports.case(findings=(changed, reports.slower())),
    ):
        assert summary.needs_a_reader(case)
        assert case.findings[0].sentence in summary.sentence(case)
        assert 1 == summary.sentence(case).count(changed.sentence)
        assert changed.sentence in shown(reports.report(case))


def test_markdown_is_short_above_the_fold() -> None:
    """Marker, headline, sides, one line for each case that needs a reader; tables inside <details>."""
    text = markdown.render(reports.mixed())
    above, _, folded = text.partition("<details>")
    lines = above.splitlines()
    assert markdown.MARKER == lines[0]
    assert lines[1].startswith("### :x: Regression: 1 of 6 cases got worse")
    assert "|" not in above
    assert 5 == above.count("\n- ")
    assert "m/fp32" not in above
    assert "| base, head, change | medians over all processes; the change is taken pair by pair, and judged |" in folded
    assert "m/fp32/cpu-t1-b1 | latency | pass | 10.0 ms | 10.0 ms | +0.3% (-0.5% to +1.1%) | 8 |" in folded
    assert f"<code>harness gate --accept {reports.CASE} --reason '...' --from gate.json</code>" in folded
    assert folded.count("</details>") == text.count("<details>") == 3
    assert "--accept" not in markdown.render(reports.report(reports.case(verdict=Verdict.PASS)))


def test_only_changes_are_offered_for_acceptance() -> None:
    """Two cases of one zoo are a choice, which nothing has to accept."""
    assert "How to accept it" in markdown.render(reports.report(reports.case()))
    sides = {"base": reports.side("base", kind="case"), "head": reports.side("head", kind="case")}
    assert "How to accept it" not in markdown.render(reports.report(reports.case(), **sides))


def test_markdown_escapes_what_others_wrote() -> None:
    """Pipes do not break tables, tags and line breaks are escaped, and nobody is mentioned."""
    hostile = reports.case(NASTY, Verdict.FAILED, reason=NASTY)
    text = markdown.render(reports.report(hostile, notes=(NASTY,)))
    assert "<img" not in text
    assert "@team" not in text
    rows = [line for line in text.splitlines() if line.startswith("|") and "img" in line]
    assert [9] == [row.replace("\\|", "").count("|") for row in rows]
    assert "\n::error" not in text


def test_markdown_keeps_the_case_of_names() -> None:
    """A branch is written as git has it."""
    text = markdown.render(reports.report(reports.case(), head=reports.side("head", asked="Feature/ABC")))
    assert "Base: main (111111111, onnxruntime 1.23.0); head: Feature/ABC (222222222, onnxruntime 1.23.0)." in text


def test_markdown_fits_into_a_comment() -> None:
    """Two thousand cases with long reasons stay below GitHub's limit and say how many are shown."""
    cases = [reports.case(f"m{i}/v/cpu-t1-b1", Verdict.FAILED, reason=f"{i} {'x' * 900}") for i in range(2000)]
    text = markdown.render(reports.report(*cases, notes=("y" * 900,) * 500))
    assert len(text) < 65_536
    assert "and 1,975 more cases" in text
    assert "of 2,000 cases</summary>" in text
    assert text.count("<details>") == text.count("</details>")


# --- JUnit ---


def test_junit_maps_every_verdict() -> None:
    """failure, error and skipped; passes carry none of them; the counts agree with the elements."""
    suites = parsed(junit.render(reports.mixed()))
    found = {
        case.get("name"): [child.tag for child in case if child.tag != "system-out"] for case in suites.iter("testcase")
    }
    assert {
        reports.CASE: ["failure"],
        "m/bf16/cpu-t1-b1": ["error"],
        "m/int4/cpu-t1-b1": ["skipped"],
        "m/fp16/cpu-t1-b1": ["skipped"],
        "m/int8/cpu-t1-b1": [],
        "m/fp32/cpu-t1-b1": [],
    } == found
    (suite,) = suites
    assert ["6", "1", "1", "2"] == [suite.get(name) for name in ("tests", "failures", "errors", "skipped")]
    failure = suites.find(".//failure")
    assert failure is not None
    assert "4.8% slower" in (failure.get("message") or "")


def test_junit_holds_anything() -> None:
    """Control characters, lone surrogates and markup make no broken file."""
    hostile = reports.case(f"{NASTY}\x00\x1b[0m\ud800", Verdict.FAILED, reason="]]>\x0b\uffff")
    suites = parsed(junit.render(reports.report(hostile)).encode())
    assert 1 == len(list(suites.iter("testcase")))


def test_junit_of_nothing_has_a_test() -> None:
    """Some readers refuse a file without any test case."""
    suites = parsed(junit.render(reports.report()))
    assert ["skipped"] == [child.tag for child in next(suites.iter("testcase"))]


# --- JSON ---


def test_json_has_every_pair_and_both_sides() -> None:
    """Numbers, provenance, settings and the exit code; it can be read back for --accept."""
    content = json.loads(as_json.render(reports.mixed()))
    assert ("sides", "regression", 1) == (content["kind"], content["verdict"], content["exit_code"])
    assert reports.BASE_COMMIT == content["base"]["commit"]
    assert "1.23.0" == content["head"]["runtime"]["version"]
    assert 8 == content["settings"]["screen_pairs"]
    (pair,) = content["cases"][0]["pairs"]
    assert math.exp(0.05) == pair["ratio"]
    assert [100.0] == pair["base"]["bursts_ns"]


def test_json_has_no_nan() -> None:
    """Numbers that are none become null, whatever field they are in."""
    nan = math.nan
    bad = reports.case(
        findings=(reports.slower(ratio=nan, low=nan, high=math.inf),), pairs=(reports.pair(nan), reports.pair(1e6))
    )
    text = as_json.render(reports.report(bad, spread=nan, wall_s=nan))
    content = json.loads(text, parse_constant=pytest.fail)
    assert [None, None] == [pair["ratio"] for pair in content["cases"][0]["pairs"]]
    assert content["spread"] is None


def test_json_is_read_back(tmp_path: Path) -> None:
    """Everything but the pairs; a file that is something else is refused with what to do."""
    path = tmp_path / "gate.json"
    path.write_text(as_json.render(reports.mixed()), encoding="utf-8")
    loaded = as_json.load(path)
    expected = replace(
        reports.mixed(), cases=tuple(replace(c, pairs=()) for c in summary.ordered(reports.mixed().cases))
    )
    assert expected == loaded
    for text in ("{}", "no json", '{"schema": 99}'):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(StoreError, match=r"gate\.json"):
            as_json.load(path)


# --- annotations ---


def test_annotations_are_escaped() -> None:
    """Percent signs, line breaks, colons and commas would end a title or start another command."""
    text = workflow.render(reports.report(reports.case("a:b,c%\nd", Verdict.FAILED, reason="50%\n::warning::x")))
    assert "::error title=a%3Ab%2Cc%25%0Ad::50%25%0A::warning::x\n" == text


def test_annotations_have_levels_and_an_end() -> None:
    """Errors for regressions, warnings for doubts; more than GitHub shows are counted in the last one."""
    levels = [line.split()[0] for line in workflow.render(reports.mixed()).splitlines()]
    assert ["::error", "::error", "::warning", "::warning", "::notice"] == levels
    many = [reports.case(f"m{i}/v/cpu-t1-b1") for i in range(30)]
    lines = workflow.render(reports.report(*many)).splitlines()
    assert 10 == len(lines)
    assert "21 more cases" in lines[-1]
    apart = [reports.case(f"m{i}/v/cpu-t1-b1", Verdict.NOT_COMPARABLE, reason="no CUDA") for i in range(8)]
    (line,) = workflow.render(reports.report(*apart)).splitlines()
    assert line.endswith("and 5 more cases::not compared: no CUDA")
    assert workflow.render(reports.mixed(), warn_only=True).count("::error") == 0


def test_what_fails_a_gate_is_asked_for() -> None:
    """Each policy leaves its exit codes and says in a note what it forgave; a mistake of usage is named."""
    for fail_on, codes in {"inconclusive": (1, 3, 4), "regression": (1, 0, 4), "never": (0, 0, 0)}.items():
        for verdict, code, plain in zip(
            (Verdict.REGRESSION, Verdict.INCONCLUSIVE, Verdict.FAILED), codes, (1, 3, 4), strict=True
        ):
            report = reports.report(reports.case(verdict=verdict))
            assert code == exit_code(report, fail_on=fail_on)
            notes = delivery.forgiven(report, fail_on).notes
            expected = (
                () if code == plain else (f"exit code 0 instead of {plain}, since --fail-on {fail_on} was given",)
            )
            assert expected == notes
    assert ("inconclusive", "regression", "never") == (
        delivery.failing(None), delivery.failing(None, allow_inconclusive=True), delivery.failing("never")
    )  # fmt: skip
    with pytest.raises(UsageError, match="did you mean 'regression'"):
        delivery.failing("regresion")
    with pytest.raises(UsageError, match="omit one"):
        delivery.failing("never", allow_inconclusive=True)


# --- delivery ---


def test_everything_is_written_and_the_summary_appended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files, annotations and the job summary, which keeps what other steps wrote; the exit code is returned."""
    step = tmp_path / "step.md"
    step.write_text("# Before\n", encoding="utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(step))
    outputs = ReportOutputs(
        markdown=str(tmp_path / "gate.md"),
        junit=tmp_path / "gate.xml",
        json=str(tmp_path / "gate.json"),
        annotations=True,
    )
    delivery.check(outputs)
    assert 1 == gate_report.deliver(reports.mixed(), outputs)
    assert step.read_text(encoding="utf-8").startswith(f"# Before\n{markdown.MARKER}")
    assert (tmp_path / "gate.md").read_text(encoding="utf-8").startswith(markdown.MARKER)
    assert 1 == json.loads((tmp_path / "gate.json").read_text(encoding="utf-8"))["exit_code"]
    assert 1 == len(list(parsed((tmp_path / "gate.xml").read_text(encoding="utf-8")).iter("failure")))
    out = capsys.readouterr().out
    assert out.startswith("Regression: ")
    assert "\n::error title=" in out


def test_standard_output_can_be_jsons_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """Then the table and the annotations go to standard error; --fail-on regression changes 3 into 0 in both places."""
    outputs = ReportOutputs(json="-", annotations=True, fail_on="regression")
    assert 0 == gate_report.deliver(reports.report(), outputs)
    captured = capsys.readouterr()
    assert 0 == json.loads(captured.out)["exit_code"]
    assert "nothing was compared" in captured.err
    assert "::warning" in captured.err


def test_bad_outputs_are_found_before_measuring(tmp_path: Path) -> None:
    """Two outputs on standard output, a folder, a missing folder and a broken accept file: usage errors."""
    accepted = tmp_path / "gate_accepted.yaml"
    for outputs in (
        ReportOutputs(markdown="-", json="-"),
        ReportOutputs(junit=tmp_path),
        ReportOutputs(json=str(tmp_path / "nowhere/gate.json")),
    ):
        with pytest.raises(UsageError):
            delivery.check(outputs, accepted=accepted)
    accepted.write_text("version: 2\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"gate_accepted\.yaml:1"):
        delivery.check(ReportOutputs(), accepted=accepted)


def test_one_output_that_fails_keeps_no_other_from_being_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder of one is gone by the end: the others are there, and the error is raised."""
    outputs = ReportOutputs(markdown=str(tmp_path / "file/gate.md"), junit=tmp_path / "gate.xml")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match=r"gate\.md"):
        gate_report.deliver(reports.mixed(), outputs)
    assert (tmp_path / "gate.xml").exists()
    assert "Regression" in capsys.readouterr().out


def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    """/dev/null and pipes stay what they are."""
    gate_report.deliver(reports.mixed(), ReportOutputs(markdown="/dev/null"))
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize("format_", ["json", "csv", "markdown"])
def test_a_format_has_standard_output_to_itself(format_: str) -> None:
    """As every verb that prints data; what people read goes to standard error."""
    found = ReportOutputs(format=format_)
    delivery.check(found)
    assert found.quiet_stdout
    (text,) = [delivery.write(reports.report(), found).stdout]
    assert {"json": "{", "csv": "case,case_verdict,reason,metric,verdict,", "markdown": "#"}[format_] in text
    with pytest.raises(UsageError, match=f"--json-file - --format {format_}: only one of them"):
        delivery.check(ReportOutputs(format=format_, json="-"))


def test_a_report_as_csv_has_a_line_for_every_finding() -> None:
    """Numbers as they are, absent ones as empty cells, and a name never as a formula."""
    finding = Finding(metric="latency", verdict=Verdict.PASS, sentence="same", ratio=1.01, unit="seconds", n=8)
    cases = (
        CaseVerdict(name="=m/v/cpu-t1-b1", verdict=Verdict.PASS, findings=(finding,)),
        CaseVerdict(name="m/w/cpu-t1-b1", verdict=Verdict.FAILED, reason="it broke"),
    )
    lines = list(csv.DictReader(io.StringIO(as_csv.render(replace(reports.report(), cases=cases)))))
    assert ["'=m/v/cpu-t1-b1", "m/w/cpu-t1-b1"] == [line["case"] for line in lines]
    assert ("1.01", "", "8", "pass") == tuple(lines[0][name] for name in ("ratio", "low", "n", "verdict"))
    assert ("failed", "it broke", "") == tuple(lines[1][name] for name in ("case_verdict", "reason", "metric"))


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["--json", "gate.json"], ["--json-file", "gate.json"]),
        (["--json=gate.json"], ["--json-file=gate.json"]),
        (["--json", "-"], ["--json-file", "-"]),
        (["--json", "--base", "main"], ["--json", "--base", "main"]),
        (["--base", "main", "--json"], ["--base", "main", "--json"]),
    ],
)
def test_a_file_after_json_is_still_written(
    given: list[str], read: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Workflows that were written for earlier versions go on, and hear how it is written now."""
    assert read == gate.renamed(given)
    assert ("--json-file FILE now" in capsys.readouterr().err) == (given != read)


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_the_table_of_a_gate_fits(width: int) -> None:
    """One line for every row at any width, with the change and both bounds; names that do not fit stand above."""
    out = io.StringIO()
    console.show(reports.mixed(), Console(file=out, width=width, highlight=False))
    lines = out.getvalue().splitlines()[3:10]
    assert lines[0].startswith("case" if width >= 80 else "  verdict")
    assert all(len(line) <= width for line in lines)
    assert "+4.8% [+3.9%, +5.6%]" in lines[1 if width >= 80 else 2]
    assert ("base" in lines[0]) == (width != 80)
