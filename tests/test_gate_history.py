"""harness.gate.history.judge: the newest stored results against their own past."""

from __future__ import annotations

import datetime as dt
import io
import json
import random
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from harness.gate.history import judge
from harness.gate.model import Finding, GateSettings, Report, Verdict, exit_code
from harness.gate.outputs import console
from harness.gate.text import summary
from harness.records import Accuracy, Evaluation, Outcome, Run
from harness.stats import spending
from harness.store import journal, samples, stored_files
from harness.store.rows import to_row
from tests import outcomes
from tests.conftest import Project
from tests.test_provenance import git

CASE = outcomes.case().id


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A clone with forty commits, oldest first; only to be copied."""
    top = tmp_path_factory.mktemp("forty")
    git(top, "init")
    for place in range(40):
        git(top, "commit", "--allow-empty", "-m", f"Commit {place}")
    listed = subprocess.run(
        ["git", "-C", str(top), "rev-list", "--reverse", "HEAD"], check=True, capture_output=True, text=True
    )
    return top, listed.stdout.split()


@pytest.fixture
def repo(tmp_path: Path, forty: tuple[Path, list[str]]) -> tuple[Path, list[str]]:
    """A clone with forty commits, oldest first."""
    top, commits = forty
    shutil.copytree(top, tmp_path, dirs_exist_ok=True)
    return tmp_path, commits


def sweep(results: Path, commit: str | None, place: int, *found: Outcome, **changes: object) -> None:
    """Store a run of these outcomes, as its one file: hundreds of journals would take many times as long."""
    run = one_run(commit, place, **changes)
    target = journal.finished(results / "samples" / f"{run.id}.parts")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(samples.encode([to_row(run, outcome) for outcome in found]))


def sweeps(
    results: Path, commits: Sequence[str | None], latencies: Sequence[int], *, start: int = 0, **changes: object
) -> None:
    """Store a run of each of these commits, whose case has that median in ns, as one file of a compaction."""
    runs = [one_run(commit, place, **changes) for place, commit in enumerate(commits[: len(latencies)], start)]
    rows = [to_row(run, timed(ns)) for run, ns in zip(runs, latencies, strict=True)]
    target = results / "samples" / f"{stored_files.COMPACT}{runs[0].id}.parquet"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(samples.encode(rows))


def one_run(commit: str | None, place: int, **changes: object) -> Run:
    """A run of so many hours after the first."""
    started = dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(hours=place)
    return outcomes.run(
        id=f"{started:%Y%m%dT%H%M%SZ}-{random.randrange(16**6):06x}",
        started_at=started.isoformat(),
        commit=commit,
        commit_time=int(started.timestamp() * 1000),
        **changes,
    )


def timed(ns: int) -> Outcome:
    """A case whose median is so long."""
    return outcomes.measured(medians_ns=(ns - 1000, ns, ns + 1000))


def noisy(levels: Sequence[float], seed: int = 3, spread: float = 0.004) -> list[int]:
    """Latencies in ns around these levels in ms."""
    dice = random.Random(seed)
    return [int(level * 1e6 * (1 + dice.gauss(0, spread))) for level in levels]


def latency(report: Report, name: str = CASE) -> Finding:
    """The latency's finding of a case."""
    (found,) = (case for case in report.cases if case.name == name)
    return next(finding for finding in found.findings if finding.metric == "latency")


def test_a_slow_down_names_its_commits_and_its_size(repo: tuple[Path, list[str]]) -> None:
    """Twelve commits at 10 ms, eight at 11: a regression between the two in the middle, with an interval around 10%."""
    folder, commits = repo
    sweeps(folder / "results", commits, noisy([10.0] * 12 + [11.0] * 8))
    report = judge.judge(folder / "results", repo=folder)
    found = latency(report)
    assert Verdict.REGRESSION is found.verdict
    assert (commits[11], commits[12]) == found.commits
    assert found.ratio is not None
    assert found.low is not None
    assert found.high is not None
    assert 1.08 < found.low < found.ratio < found.high < 1.12
    assert commits[11][:9] in found.sentence
    assert commits[12][:9] in found.sentence
    assert "12 runs before and 8 after" in found.sentence
    assert 1 == exit_code(report)


@pytest.mark.parametrize(
    ("levels", "verdict", "code"),
    [
        ([10.0] * 14, Verdict.PASS, 0),
        ([10.0] * 12 + [9.0] * 8, Verdict.IMPROVEMENT, 0),
        ([10.0] * 13 + [11.0] * 13 + [10.0] * 13, Verdict.IMPROVEMENT, 0),
    ],
    ids=["steady", "faster", "undone"],
)
def test_only_the_last_level_counts(
    repo: tuple[Path, list[str]], levels: list[float], verdict: Verdict, code: int
) -> None:
    """No change passes, a faster level is an improvement, and a slow-down that was undone fails nothing."""
    folder, commits = repo
    sweeps(folder / "results", commits, noisy(levels))
    report = judge.judge(folder / "results", repo=folder)
    assert verdict is latency(report).verdict
    assert code == exit_code(report)


def test_the_margin_lets_small_changes_pass(repo: tuple[Path, list[str]]) -> None:
    """The same 10% is a regression beyond 5% and none beyond 15%."""
    folder, commits = repo
    sweeps(folder / "results", commits, noisy([10.0] * 12 + [11.0] * 8))
    verdicts = [
        latency(judge.judge(folder / "results", repo=folder, settings=GateSettings(max_slowdown=margin))).verdict
        for margin in (0.05, 0.15)
    ]
    assert [Verdict.REGRESSION, Verdict.PASS] == verdicts


def test_hosts_are_never_compared(repo: tuple[Path, list[str]]) -> None:
    """One host measured the old commits at 10 ms, a slower one the new commits at 20: no finding, two cases."""
    folder, commits = repo
    latencies = noisy([10.0] * 12 + [20.0] * 12, seed=5)
    sweeps(folder / "results", commits, latencies[:12], fingerprint="aaaaaaaaaaaa")
    sweeps(folder / "results", commits[12:], latencies[12:], start=12, fingerprint="bbbbbbbbbbbb")
    report = judge.judge(folder / "results", repo=folder)
    names = {f"{CASE} [host aaaaaaaaaaaa]", f"{CASE} [host bbbbbbbbbbbb]"}
    assert names == {case.name for case in report.cases}
    assert {Verdict.PASS} == {latency(report, name).verdict for name in names}


def test_a_new_runtime_begins_again(repo: tuple[Path, list[str]]) -> None:
    """The newest runtime's series is too short to be judged; the old runtime's is left out and the report says so."""
    folder, commits = repo
    latencies = noisy([10.0] * 9 + [20.0] * 3)
    for of, version in ((slice(9), "1.31.1"), (slice(9, 12), "1.32.0")):
        versions = {"python": "3.11.9", "onnxruntime-gpu": version}
        sweeps(folder / "results", commits[of], latencies[of], start=of.start or 0, versions=versions)
    report = judge.judge(folder / "results", repo=folder)
    assert Verdict.NOT_COMPARABLE is latency(report).verdict
    assert "not judged: 3 points" in latency(report).sentence
    assert any("of earlier runtimes" in note for note in report.notes)


def test_too_few_points_are_not_judged(repo: tuple[Path, list[str]]) -> None:
    """Two runs say nothing: not judged, and a gate that judged nothing exits with 3."""
    folder, commits = repo
    for place, ns in enumerate(noisy([10.0, 10.0])):
        without = replace(timed(ns), artifact=None, evaluation=None)
        sweep(folder / "results", commits[place], place, without)
    report = judge.judge(folder / "results", repo=folder)
    assert "not judged" in latency(report).sentence
    assert 3 == exit_code(report)


def test_a_drifting_host_is_not_judged(repo: tuple[Path, list[str]]) -> None:
    """Neighbours that go together mean drift: abstained, although the end is far above the beginning."""
    folder, commits = repo
    wave = [10.0, 10.4, 10.8, 11.2, 11.4, 11.3, 11.0, 10.6, 10.2, 10.0, 10.1, 10.5, 10.9, 11.3, 11.5, 11.2, 10.8, 10.4]
    sweeps(folder / "results", commits, noisy(wave, spread=0.0005))
    found = latency(judge.judge(folder / "results", repo=folder))
    assert Verdict.NOT_COMPARABLE is found.verdict
    assert "correlate" in found.sentence


def test_a_change_inside_one_commit_is_the_hosts(repo: tuple[Path, list[str]]) -> None:
    """Twenty runs of one commit, slower from the thirteenth on: nobody's commit, so inconclusive."""
    folder, commits = repo
    sweeps(folder / "results", commits[:1] * 20, noisy([10.0] * 12 + [11.0] * 8))
    found = latency(judge.judge(folder / "results", repo=folder))
    assert Verdict.INCONCLUSIVE is found.verdict
    assert "same commit" in found.sentence


def test_dirty_and_unknown_commits_are_left_out(repo: tuple[Path, list[str]]) -> None:
    """They would look like a change: left out, and the case says how many and why."""
    folder, commits = repo
    sweeps(folder / "results", commits, noisy([10.0] * 12))
    sweeps(folder / "results", commits[12:], noisy([15.0] * 4), start=12, dirty=True)
    sweeps(folder / "results", [f"{place:040x}" for place in range(16, 40)], noisy([15.0] * 5), start=16)
    report = judge.judge(folder / "results", repo=folder)
    assert Verdict.PASS is latency(report).verdict
    (case,) = report.cases
    assert any("4 runs of uncommitted changes" in note for note in case.notes)
    assert any("5 runs of commits that this clone does not have" in note for note in case.notes)


def test_the_newest_run_failed(repo: tuple[Path, list[str]]) -> None:
    """A case that had numbers and now breaks is failed, and the sentence names the last good commit."""
    folder, commits = repo
    sweeps(folder / "results", commits, noisy([10.0] * 8))
    broken = replace(outcomes.refused(), artifact=outcomes.artifact(outcomes.case()))
    sweep(folder / "results", commits[8], 8, broken)
    report = judge.judge(folder / "results", repo=folder)
    assert Verdict.FAILED is latency(report).verdict
    assert f"it last had a number at {commits[7][:9]}" in latency(report).sentence
    assert 4 == exit_code(report)


def test_accuracy_counts_at_once(repo: tuple[Path, list[str]]) -> None:
    """Accuracy is exact: one run that loses two points is a regression of that metric; 0.2 points are not."""
    folder, commits = repo
    verdicts = []
    for place, drop in enumerate([0.0, 0.0, 0.002, 0.022]):
        evaluation = Evaluation(
            fidelity=None, accuracy=Accuracy(metric="top1", value=0.98 - drop, reference=0.98, drop=drop, n=450)
        )
        sweep(folder / "results", commits[place], place, replace(timed(10_000_000), evaluation=evaluation))
        report = judge.judge(folder / "results", repo=folder)
        found = next(f for f in report.cases[0].findings if f.metric == "accuracy_drop")
        verdicts.append(found.verdict)
    assert [Verdict.NOT_COMPARABLE, Verdict.PASS, Verdict.PASS, Verdict.REGRESSION] == verdicts
    assert f"accuracy fell by 2 points between {commits[2][:9]} and {commits[3][:9]}" == found.sentence
    assert 1 == exit_code(report)


def test_size_counts_at_once(repo: tuple[Path, list[str]]) -> None:
    """An artifact that grows by a tenth is a regression; by a few bytes it is not."""
    folder, commits = repo
    verdicts = []
    for place, size in enumerate([1_000_000, 1_000_010, 1_100_000]):
        artifact = outcomes.artifact(outcomes.case(), bytes=size)
        sweep(folder / "results", commits[place], place, replace(timed(10_000_000), artifact=artifact))
        report = judge.judge(folder / "results", repo=folder)
        found = next(f for f in report.cases[0].findings if f.metric == "size")
        verdicts.append(found.verdict)
    assert [Verdict.NOT_COMPARABLE, Verdict.PASS, Verdict.REGRESSION] == verdicts
    assert "artifact grew from 1.00 MB to 1.10 MB" in found.sentence


def test_nothing_stored(tmp_path: Path) -> None:
    """An empty folder gives a report that says so, and exit code 3."""
    report = judge.judge(tmp_path / "results", repo=None)
    assert () == report.cases
    assert any("no results under" in note for note in report.notes)
    assert 3 == exit_code(report)


def test_outside_git_runs_are_named_by_their_time(tmp_path: Path) -> None:
    """Without commits the order is that of the runs, and the finding lies between two times."""
    sweeps(tmp_path / "results", [None] * 20, noisy([10.0] * 12 + [11.0] * 8))
    found = latency(judge.judge(tmp_path / "results", repo=None))
    assert Verdict.REGRESSION is found.verdict
    assert ("2026-01-01T11:00:00+00:00", "2026-01-01T12:00:00+00:00") == found.commits


def test_damaged_files_and_values_are_told_of(repo: tuple[Path, list[str]]) -> None:
    """A file that is not Parquet, and a latency that is not a number, are left out and said; the rest is judged."""
    folder, commits = repo
    sweeps(folder / "results", commits, noisy([10.0] * 12))
    assert timed(10_000_000).latency is not None
    nan = outcomes.measured(latency=replace(timed(10_000_000).latency, median_s=float("nan")))  # type: ignore[type-var]
    sweep(folder / "results", commits[12], 12, nan)
    (folder / "results/samples/20260101T000000Z-000000.parquet").write_bytes(b"no parquet")
    report = judge.judge(folder / "results", repo=folder)
    assert Verdict.PASS is latency(report).verdict
    assert any("left out" in note and "000000.parquet" in note for note in report.notes)


def test_from_the_command_line_until_it_is_accepted(repo: tuple[Path, list[str]]) -> None:
    """Exit code 1 with the commits in the sentence; accepted it is 0; a later change of the same case is 1 again."""
    folder, commits = repo
    small = Project(folder)
    sweeps(folder / "results", commits, noisy([10.0] * 12 + [11.0] * 8))
    out = small.run("gate", "--history", code=1)
    assert f"between {commits[11][:9]} and {commits[12][:9]}" in out
    assert "accepted" in small.run("gate", "--history", "--accept", CASE, "--reason", "a safer kernel")
    assert "[accepted: a safer kernel (" in small.run("gate", "--history", code=0)
    sweeps(folder / "results", commits[20:], noisy([12.0] * 10), start=20)
    out = small.run("gate", "--history", code=1)
    assert f"between {commits[19][:9]} and {commits[20][:9]}" in out


def test_selection_without_results_is_distinguished(tmp_path: Path) -> None:
    """Nothing stored at all asks for a sweep; nothing of what was chosen points at what there is."""
    assert "make some with: harness sweep" in judge.judge(tmp_path, repo=None).notes[0]
    assert "match what was chosen" in judge.judge(tmp_path, repo=None, cases=("nope/*",)).notes[0]


def test_a_commit_on_two_runtimes_keeps_both_going(repo: tuple[Path, list[str]]) -> None:
    """A matrix of two releases: both are judged, under names that tell them apart; neither counts as ended."""
    folder, commits = repo
    for version in ("1.31.1", "1.30.0"):
        versions = {"python": "3.11.9", "onnxruntime-gpu": version}
        sweeps(folder / "results", commits, noisy([10.0] * 12), versions=versions)
    report = judge.judge(folder / "results", repo=folder)
    names = {f"{CASE} [onnxruntime {version}+gpu]" for version in ("1.31.1", "1.30.0")}
    assert names == {case.name for case in report.cases}
    assert not any("of earlier runtimes" in note for note in report.notes)
    assert {Verdict.PASS} == {latency(report, name).verdict for name in names}


def test_what_is_not_judged_is_no_pass(repo: tuple[Path, list[str]]) -> None:
    """With five runs sizes can be judged and times cannot: the headline counts both, and the table says which."""
    folder, commits = repo
    sweeps(folder / "results", commits, noisy([10.0] * 5))
    report = judge.judge(folder / "results", repo=folder)
    quiet = [f for case in report.cases for f in case.findings if f.verdict is Verdict.NOT_COMPARABLE]
    assert {"latency"} <= {finding.metric for finding in quiet}
    assert f"{len(quiet)} not judged" in summary.headline(report)
    assert f"{len(quiet)} series not judged: 5 points; at least 9 are needed" in report.notes
    printed = io.StringIO()
    console.show(report, Console(file=printed, width=160))
    assert "not judged" in next(line for line in printed.getvalue().splitlines() if "latency" in line)


@pytest.mark.parametrize(
    ("levels", "verdicts"),
    [
        ([10.0] * 13 + [12.0] * 13 + [11.6] * 12, {Verdict.REGRESSION}),
        ([10.0] * 13 + [12.0] * 13 + [10.0] * 12, {Verdict.IMPROVEMENT}),
        ([12.0] * 13 + [9.0] * 13 + [11.0] * 12, {Verdict.REGRESSION}),
        ([10.0] * 13 + [12.0] * 13 + [14.0] * 12, {Verdict.REGRESSION}),
    ],
    ids=["a little came back", "all came back", "lost after a gain", "lost twice"],
)
def test_a_regression_stands_until_it_is_undone(
    repo: tuple[Path, list[str]], levels: list[float], verdicts: set[Verdict]
) -> None:
    """+20% and then -3% is still a regression of its commits; the same 20% back is none any more."""
    folder, commits = repo
    sweeps(folder / "results", commits, noisy(levels))
    report = judge.judge(folder / "results", repo=folder)
    found = [finding for case in report.cases for finding in case.findings if finding.metric == "latency"]
    assert verdicts == {finding.verdict for finding in found}
    stands = Verdict.REGRESSION in verdicts
    assert (1 if stands else 0) == exit_code(report)
    if levels[-1] == 11.6:
        assert (commits[12], commits[13]) == found[0].commits
        assert "the newest level is still 1" in found[0].sentence


def test_one_byte_less_forgives_no_growth(repo: tuple[Path, list[str]]) -> None:
    """+30%, then a byte less, is still a regression; accepted it passes; a further 30% is one of its own."""
    folder, commits = repo
    small = Project(folder)

    def store(place: int, size: int) -> None:
        artifact = outcomes.artifact(outcomes.case(), bytes=size)
        sweep(folder / "results", commits[place], place, replace(timed(10_000_000), artifact=artifact))

    for place, size in enumerate([1_000_000, 1_000_010, 1_300_000, 1_299_999]):
        store(place, size)
    out = small.run("gate", "--history", code=1)
    assert f"artifact grew from 1.00 MB to 1.30 MB (+30.0%) between {commits[1][:9]} and {commits[2][:9]}" in out
    small.run("gate", "--history", "--accept", CASE, "--reason", "new weights")
    small.run("gate", "--history", "--fail-on", "regression", code=0)
    store(4, 1_690_000)
    out = small.run("gate", "--history", code=1)
    assert f"between {commits[3][:9]} and {commits[4][:9]}" in out
    store(5, 1_000_000)
    small.run("gate", "--history", "--metrics", "size", code=0)


def test_small_steps_add_up(repo: tuple[Path, list[str]]) -> None:
    """Five steps of 0.6% are each not a change; together 3%: a regression from the second on, not within the margin."""
    folder, commits = repo
    verdicts = []
    for place in range(6):
        artifact = outcomes.artifact(outcomes.case(), bytes=int(1_000_000 * 1.006**place))
        sweep(folder / "results", commits[place], place, replace(timed(10_000_000), artifact=artifact))
        report = judge.judge(folder / "results", repo=folder)
        verdicts.append({f.verdict for case in report.cases for f in case.findings if f.metric == "size"})
    assert [{Verdict.NOT_COMPARABLE}, {Verdict.PASS}] == verdicts[:2]
    assert [{Verdict.REGRESSION}] * 4 == verdicts[2:]


def test_looks_spend_and_repeating_one_costs_nothing(repo: tuple[Path, list[str]]) -> None:
    """Two looks at the same run are one; a further run spends less than the first; what was spent is kept whole."""
    folder, commits = repo
    kept = folder / "results" / "looks.json"

    def spent() -> list[float]:
        return [one["level"] for one in json.loads(kept.read_text())["looks"]]

    sweep(folder / "results", commits[0], 0, timed(10_000_000))
    judge.judge(folder / "results", repo=folder)
    judge.judge(folder / "results", repo=folder, cases=("*",))
    first = spent()
    assert [spending.BUDGET * spending.PART] == first
    sweep(folder / "results", commits[1], 1, timed(10_000_000))
    judge.judge(folder / "results", repo=folder)
    assert [first[0], pytest.approx(first[0] * (1 - spending.PART))] == spent()
    kept.write_text("{")
    report = judge.judge(folder / "results", repo=folder)
    assert any("looks.json is damaged" in note for note in report.notes)
    assert first == spent()


def paced(ns: int, reference_ns: int | None) -> Outcome:
    """A case whose median is so long, on a host whose reference workload takes so long."""
    found = timed(ns)
    processes = tuple(
        replace(one, reference_before_ns=reference_ns, reference_after_ns=reference_ns, model_bytes=2**20)
        for one in found.processes
    )
    return replace(found, processes=processes)


@pytest.mark.parametrize("slower", ["host", "code"])
def test_a_slower_host_is_no_change(repo: tuple[Path, list[str]], slower: str) -> None:
    """+10% of case and reference workload alike is the host's; +10% of the case alone is the commit's."""
    folder, commits = repo
    latencies = noisy([10.0] * 12 + [11.0] * 8)
    references = noisy([1.0] * 12 + [1.1 if slower == "host" else 1.0] * 8, seed=4)
    for place, (ns, reference) in enumerate(zip(latencies, references, strict=True)):
        sweep(folder / "results", commits[place], place, paced(ns, None if place == 3 else reference))
    report = judge.judge(folder / "results", repo=folder)
    assert (Verdict.PASS if slower == "host" else Verdict.REGRESSION) is latency(report).verdict
    assert (0 if slower == "host" else 1) == exit_code(report)
    (case,) = report.cases
    assert any("1 run without the time of the reference workload" in note for note in case.notes)
    assert slower == "host" or "in units of the reference workload" in latency(report).sentence


def test_series_of_commits_that_the_clone_lacks_are_left_out(repo: tuple[Path, list[str]]) -> None:
    """They have no place in git's order: not by time instead, and a note says how many there were."""
    folder, _ = repo
    sweeps(folder / "results", [f"{place:040x}" for place in range(40)], noisy([10.0] * 12 + [12.0] * 8))
    report = judge.judge(folder / "results", repo=folder)
    assert () == report.cases
    assert 3 == exit_code(report)
    (note,) = report.notes
    assert note.endswith(
        "series of commits that this clone does not have left out (a shallow clone needs fetch-depth: 0)"
    )
    assert Verdict.REGRESSION is latency(judge.judge(folder / "results", repo=None)).verdict


def test_sizes_that_pass_do_not_hide_that_no_latency_was_judged(repo: tuple[Path, list[str]]) -> None:
    """Two runs: sizes are as before and the latency could not be judged, which is said first and does not pass."""
    folder, commits = repo
    for place in range(2):
        sweep(folder / "results", commits[place], place, timed(10_000_000))
    report = judge.judge(folder / "results", repo=folder)
    assert 3 == exit_code(report)
    assert 0 == exit_code(report, fail_on="regression")
    headline = summary.headline(report)
    assert headline.startswith("Inconclusive: the one series of latency could not be judged (2 points; ")
    assert "passed" in headline
    sizes = judge.judge(folder / "results", repo=folder, settings=GateSettings(metrics=("size",)))
    assert 0 == exit_code(sizes)
