"""harness.gate.accepted_changes: a change that somebody accepted fails nothing, and no later one is hidden."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.cli import gate_report
from harness.errors import UsageError
from harness.gate import accepted_changes
from harness.gate.accepted_changes import Accepted, Contains
from harness.gate.model import Finding, Report, Verdict, exit_code
from harness.gate.outputs import delivery, markdown
from harness.gate.text import summary
from tests import reports
from tests.test_provenance import git

LINE = [f"{place:040x}" for place in range(10)]
"""Ten commits, each the parent of the next."""

TODAY = "2026-02-01"


def on_a_line(commit: str, other: str) -> bool | None:
    """Ancestry on `LINE`; a commit that is not on it is unknown."""
    if commit not in LINE or other not in LINE:
        return None
    return LINE.index(other) <= LINE.index(commit)


def gate(before: str = LINE[2], after: str = LINE[4], *findings: Finding) -> Report:
    """A gate of commit `before` against `after` that found a slow-down."""
    case = reports.case(findings=findings or (reports.slower(),))
    sides = {"base": reports.side("base", commit=before), "head": reports.side("head", commit=after)}
    return reports.report(case, **sides)


def entry(report: Report, **changes: object) -> Accepted:
    """The entry that accepting the report's regression gives."""
    (made,) = accepted_changes.entries(
        report,
        reports.CASE,
        metric=None,
        reason="needed for the new head",
        who="Jane <j@example.org>",
        when="2026-01-31",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def applied(report: Report, *entries: Accepted, contains: Contains = on_a_line, today: str = TODAY) -> Report:
    """The report after these entries."""
    return accepted_changes.apply(report, entries, contains=contains, today=today)


def test_an_accepted_regression_stays_visible_and_fails_nothing() -> None:
    """The case passes, the finding says who accepted it and why, and every output still shows it."""
    done = applied(gate(), entry(gate()))
    assert 1 == exit_code(gate())
    assert 0 == exit_code(done)
    (finding,) = done.cases[0].findings
    assert "needed for the new head (Jane, 2026-01-31)" == finding.accepted
    assert "1 with an accepted change" in summary.headline(done)
    assert "4.8% slower" in markdown.render(done).partition("<details>")[0]


@pytest.mark.parametrize(
    ("before", "after", "ratio", "silenced"),
    [
        (LINE[2], LINE[4], 1.048, True),
        (LINE[2], LINE[4], 1.060, True),
        (LINE[2], LINE[4], 1.080, False),
        (LINE[1], LINE[6], 1.048, True),
        (LINE[4], LINE[6], 1.048, False),
        (LINE[5], LINE[6], 1.048, False),
        (LINE[0], LINE[2], 1.048, False),
    ],
    ids=["the same", "noise", "larger", "around it", "base has it", "later", "earlier"],
)
def test_only_that_change_is_silenced(before: str, after: str, ratio: float, *, silenced: bool) -> None:
    """A larger change is none of it; nor is one between other commits, above all once the base has the accepted one."""
    done = applied(gate(before, after, reports.slower(ratio)), entry(gate()))
    assert silenced is (0 == exit_code(done))


@pytest.mark.parametrize(("low", "silenced"), [(1.05, True), (1.07, False)])
def test_a_noisier_host_does_not_make_it_a_larger_change(low: float, *, silenced: bool) -> None:
    """An estimate above what was accepted fails only where its interval lies above that as well."""
    noisy = replace(reports.slower(1.2), low=low, high=1.5)
    assert silenced is (0 == exit_code(applied(gate(LINE[2], LINE[4], noisy), entry(gate()))))


def test_other_cases_and_metrics_are_not_silenced() -> None:
    """An entry names one case and one metric; the other metric of the case still fails."""
    memory = reports.slower(metric="peak_memory", sentence="peak memory 4.8% larger")
    made = entry(gate())
    assert 1 == exit_code(applied(gate(LINE[2], LINE[4], reports.slower(), memory), made))
    assert 1 == exit_code(applied(gate(), replace(made, case="other/v/cpu-t1-b1")))


def test_a_failure_is_never_accepted() -> None:
    """A case that broke stays broken, whatever was accepted of it."""
    report = gate()
    broken = replace(report, cases=(replace(report.cases[0], verdict=Verdict.FAILED),))
    assert 4 == exit_code(applied(broken, entry(report)))


def test_an_entry_can_end() -> None:
    """After its last day it has no effect, and the report says why."""
    made = entry(gate(), until="2026-02-01")
    assert 0 == exit_code(applied(gate(), made, today="2026-02-01"))
    late = applied(gate(), made, today="2026-02-02")
    assert 1 == exit_code(late)
    assert any("until 2026-02-01 only" in note for note in late.notes)


def test_an_unknown_commit_silences_nothing_and_is_said() -> None:
    """In a shallow clone nobody knows whether it is the same change."""
    made = replace(entry(gate()), after="f" * 40)
    done = applied(gate(), made)
    assert 1 == exit_code(done)
    assert any("fetch-depth: 0" in note for note in done.notes)


def test_a_change_in_the_history_is_tied_to_its_commits() -> None:
    """The same two commits are silenced, others of the same case are not."""

    def past(before: str, after: str) -> Report:
        found = reports.slower(commits=(before, after))
        return reports.report(reports.case(findings=(found,)), base=None, head=None)

    made = entry(past(LINE[3], LINE[4]))
    assert (LINE[3], LINE[4]) == (made.before, made.after)
    assert 0 == exit_code(applied(past(LINE[3], LINE[4]), made))
    assert 1 == exit_code(applied(past(LINE[6], LINE[7]), made))


def test_runtimes_are_tied_to_their_names() -> None:
    """Two releases instead of two commits: the same pair is silenced, the next release is not."""

    def releases(head: str) -> Report:
        return reports.report(
            reports.case(),
            base=reports.side("base", kind="runtime", asked="onnxruntime==1.22.1"),
            head=reports.side("head", kind="runtime", asked=head),
        )

    made = entry(releases("onnxruntime==1.23.0"))
    contains = accepted_changes.contains_in(Path.cwd())
    assert 0 == exit_code(applied(releases("onnxruntime==1.23.0"), made, contains=contains))
    assert 1 == exit_code(applied(releases("onnxruntime==1.24.0"), made, contains=contains))


def test_one_commit_on_two_runtimes_is_tied_to_them() -> None:
    """With --base-runtime and --head-runtime both sides are the same tree, and the releases are the change."""

    def releases(head: str) -> Report:
        known = {"name": "onnxruntime", "version": head}
        base = reports.side("head", runtime={"name": "onnxruntime", "version": "1.22.1"})
        return reports.report(reports.case(), base=base, head=reports.side("head", runtime=known))

    made = entry(releases("1.23.0"))
    assert ("onnxruntime==1.22.1", "onnxruntime==1.23.0") == (made.before, made.after)
    contains = accepted_changes.contains_in(Path.cwd())
    assert 0 == exit_code(applied(releases("1.23.0"), made, contains=contains))
    assert 1 == exit_code(applied(releases("1.24.0"), made, contains=contains))


@pytest.mark.parametrize(
    ("metric", "found", "worse"),
    [
        (
            "accuracy",
            {"ratio": None, "low": None, "high": None, "base": 0.99, "head": 0.97},
            {"head": 0.95},
        ),
        (
            "size",
            {"ratio": None, "low": None, "high": None, "base": 1e6, "head": 1.1e6},
            {"head": 1.2e6},
        ),
        (
            "fusion",
            {"ratio": None, "low": None, "high": None, "base": None, "head": None, "sentence": "fusion Gelu is gone"},
            {"sentence": "fusion Gelu is gone, and LayerNorm"},
        ),
    ],
)
def test_metrics_without_an_interval(metric: str, found: dict[str, Any], worse: dict[str, Any]) -> None:
    """Values are covered up to the accepted one, structure in the same words only."""
    same = replace(reports.slower(), metric=metric, **found)
    report = gate(LINE[2], LINE[4], same)
    made = entry(report)
    assert 0 == exit_code(applied(report, made))
    assert 1 == exit_code(applied(gate(LINE[2], LINE[4], replace(same, **worse)), made))


@pytest.mark.parametrize(
    ("report", "case", "why"),
    [
        (gate(), "resnet50/int8-static/cpu-t1-b1", "did you mean"),
        (reports.report(reports.case(verdict=Verdict.PASS)), reports.CASE, "nothing to accept"),
        (reports.report(reports.case(), head=reports.side("head", dirty=True)), reports.CASE, "commit it"),
        (gate(LINE[2], LINE[2]), reports.CASE, "does not lie between two"),
        (
            reports.report(
                reports.case(), base=reports.side("base", kind="zoo"), head=reports.side("head", kind="zoo")
            ),
            reports.CASE,
            "does not lie between two",
        ),
    ],
    ids=["no such case", "no regression", "dirty", "one commit", "zoo files"],
)
def test_what_cannot_be_accepted(report: Report, case: str, why: str) -> None:
    """Nothing is written that would silence later changes, or nothing at all."""
    with pytest.raises(UsageError, match=why):
        accepted_changes.entries(report, case, metric=None, reason="x", who="y", when="2026-01-31")


def test_the_names_of_earlier_reports_and_short_ids_are_taken() -> None:
    """As earlier reports said it, or the id with a batch of one omitted; the entry holds the id."""
    for name in ("resnet50/int8-static on cpu-t2", "resnet50/int8-static/cpu-t2"):
        (made,) = accepted_changes.entries(gate(), name, metric=None, reason="x", who="y", when="2026-01-31")
        assert reports.CASE == made.case


# --- the file ---


def test_the_file_is_sorted_and_read_back(tmp_path: Path) -> None:
    """Two entries, added in the wrong order, with a text that YAML could misread; a second one replaces its twin."""
    path = accepted_changes.beside(tmp_path / "model_zoo.yaml")
    first = replace(entry(gate()), case="a/v/cpu", reason='say "yes": #1\n- \x1b[0m\u2028 ünï 🚀')
    second = replace(
        entry(gate()), case="b/v/cpu", before="12345678901234567890123456789012345e1234", until="2026-12-31"
    )
    accepted_changes.add(path, [second])
    accepted_changes.add(path, [first])
    accepted_changes.add(path, [replace(second, reason="better")])
    text = path.read_text(encoding="utf-8")
    assert text.index("a/v/cpu") < text.index("b/v/cpu")
    assert text.startswith("# Changes that `harness gate` found")
    read = accepted_changes.read(path)
    assert [replace(first, reason='say "yes": #1 - [0m ünï 🚀'), replace(second, reason="better")] == list(read)
    assert text == accepted_changes.render(read)


def test_no_file_is_no_entry(tmp_path: Path) -> None:
    """Missing and empty files accept nothing."""
    path = tmp_path / "gate_accepted.yaml"
    assert () == accepted_changes.read(path)
    path.write_text("# nothing yet\n", encoding="utf-8")
    assert () == accepted_changes.read(path)
    path.write_text("version: 1\naccepted:\n", encoding="utf-8")
    assert () == accepted_changes.read(path)


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("version: 1\naccepted: [\n", 3, "not YAML"),
        ("- a\n", 1, "expected keys"),
        ("version: 7\n", 1, "this harness reads 1"),
        ("accepted: []\n", 1, "`version` is missing"),
        ("version: 1\nacepted: []\n", 2, "did you mean 'accepted'"),
        ("version: 1\naccepted: {a: b}\n", 2, "must be a list"),
        ("version: 1\naccepted:\n- case: a\n", 3, "lacks metric"),
        ("version: 1\naccepted:\n- case: a\n  case: b\n", 4, "duplicate key"),
        ("version: 1\naccepted:\n- case: a\n  upto: 3\n", 4, "did you mean 'up_to'"),
        ("version: 1\naccepted:\n- case: a\n  up_to: much\n", 4, "expected a number"),
        ("version: 1\naccepted:\n- case: a\n  up_to: .nan\n", 4, "expected a number"),
        ("version: 1\naccepted:\n- case: a\n  until: 2026-02-30\n", 4, "expected a day"),
        ("version: 1\naccepted:\n- case: a\n  reason: [b]\n", 4, "expected text"),
        ("version: 1\naccepted:\n- !!python/object:os.system {}\n", 3, "lacks"),
        ("[" * 5000, 1, "nested too deeply"),
    ],
)
def test_mistakes_are_told_with_their_line(text: str, line: int, why: str) -> None:
    """A malformed file is an error: read as empty it would fail a gate, read loosely it would pass one."""
    with pytest.raises(UsageError) as caught:
        accepted_changes.parse(text, Path("gate_accepted.yaml"))
    assert f"gate_accepted.yaml:{line}: " in str(caught.value)
    assert why in str(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="starts processes")
def test_two_at_once_lose_nothing(tmp_path: Path) -> None:
    """Three processes add three entries each at the same time: all nine are there."""
    git(tmp_path, "init")
    code = (
        "import sys; from dataclasses import replace; from pathlib import Path\n"
        "from harness.gate import accepted_changes; from tests.test_gate_accepted import entry, gate\n"
        "for place in range(3):\n"
        "    accepted_changes.add(Path(sys.argv[1]), [replace(entry(gate()), case=f'{sys.argv[2]}-{place}')])\n"
    )
    path = tmp_path / "gate_accepted.yaml"
    running = [subprocess.Popen([sys.executable, "-c", code, str(path), str(n)]) for n in range(3)]
    assert [0, 0, 0] == [process.wait(timeout=300) for process in running]
    assert {f"{n}-{place}" for n in range(3) for place in range(3)} == {e.case for e in accepted_changes.read(path)}
    status = subprocess.run(
        ["git", "-C", str(tmp_path), "status", "--porcelain"], check=True, capture_output=True, text=True
    )
    assert "?? gate_accepted.yaml\n" == status.stdout


def test_git_says_how_commits_follow(tmp_path: Path) -> None:
    """An ancestor is contained, a sibling is not, a hash that git does not have is unknown."""
    git(tmp_path, "init")
    commits = []
    for branch in ("main", "other"):
        git(tmp_path, "checkout", "--orphan", branch) if branch == "other" else None
        git(tmp_path, "commit", "--allow-empty", "-m", branch)
        commits.append(head(tmp_path))
    git(tmp_path, "checkout", "main")
    git(tmp_path, "commit", "--allow-empty", "-m", "Next")
    main, other, later = *commits, head(tmp_path)
    contains = accepted_changes.contains_in(tmp_path)
    assert [True, True, False, False] == [
        contains(a, b) for a, b in ((later, main), (main, main), (main, later), (main, other))
    ]
    assert contains(main, "e" * 40) is None
    shallow = tmp_path / "shallow"
    subprocess.run(["git", "clone", "-q", "--depth", "1", f"file://{tmp_path}", str(shallow)], check=True)
    assert accepted_changes.contains_in(shallow)(later, main) is None


def head(folder: Path) -> str:
    """The commit of HEAD."""
    done = subprocess.run(["git", "-C", str(folder), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_accepting_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The last gate's report is kept, --accept writes what it found under git's user, and the next gate honours it."""
    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "Start")
    base = head(tmp_path)
    git(tmp_path, "commit", "--allow-empty", "-m", "Slower")
    git(tmp_path, "config", "user.name", "Jane")
    git(tmp_path, "config", "user.email", "jane@example.org")
    zoo = tmp_path / "model_zoo.yaml"
    path = accepted_changes.beside(zoo)
    last = delivery.last_report(tmp_path / "cache", zoo)
    with pytest.raises(UsageError, match="no gate has run here yet"):
        delivery.stored_report(None, tmp_path / "cache", zoo)
    found = gate(base, head(tmp_path))
    assert 1 == gate_report.deliver(found, delivery.ReportOutputs(), accepted=path, last=last)
    stored = delivery.stored_report(None, tmp_path / "cache", zoo)
    with pytest.raises(UsageError, match="say why"):
        gate_report.write_accepted(reports.CASE, reason=" ", zoo=zoo, report=stored)
    with pytest.raises(UsageError, match="expected a day"):
        gate_report.write_accepted(reports.CASE, reason="x", zoo=zoo, report=stored, until="soon")
    assert not path.exists()
    assert path == gate_report.write_accepted(reports.CASE, reason="the new head", zoo=zoo, report=stored)
    (written,) = accepted_changes.read(path)
    assert "Jane <jane@example.org>" == written.who
    capsys.readouterr()
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "Accept")
    again = gate(base, head(tmp_path))
    assert 0 == gate_report.deliver(again, delivery.ReportOutputs(), accepted=path, last=last)
    assert "the new head (Jane" in capsys.readouterr().out
