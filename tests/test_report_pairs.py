"""Which row is set against which, what else the sides differ by, and which pairs are made ahead."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.records import Accuracy, Fidelity, Outcome, Run
from harness.report import pairs
from harness.report.data import Data, load
from harness.report.pages import compare
from harness.store.asv import results as asv
from harness.store.rows import Row, to_row
from tests import report_stores
from tests.report_stores import matrix, measured, run

OLD, NEW = {"onnxruntime": "1.30.0"}, {"onnxruntime": "1.31.1"}
FIRST = matrix()[0].id


def stored(results: Path, *runs: tuple[Run, float]) -> Data:
    """A store of runs, each at one latency in ms."""
    for of, level in runs:
        report_stores.write(results, of, [measured(case, level) for case in matrix()])
    return load(results)


def later(day: int, commit: int, **changes: Any) -> Run:
    """A run of a day, of the commit of another one."""
    return run(day, commit=run(commit).commit, commit_time=run(commit).commit_time, **changes)


def ratios(data: Data, before: str, after: str) -> dict[tuple[str, str, str], float]:
    """(case, host, runtime) -> ratio."""
    moved = pairs.compared(data, pairs.asked(data, (before, after))).moved
    return {
        (line["case"], line["fingerprint"], line["runtime"]): round(line["ratio"], 3)
        for line in moved.to_dict("records")
    }


def test_commits_are_compared_on_the_same_host_and_runtime(tmp_path: Path) -> None:
    """A commit's numbers of another machine or release are never the other side, however new they are."""
    data = stored(
        tmp_path,
        (later(0, 0, versions=OLD), 10.0),
        (later(1, 0, versions=NEW), 20.0),
        (later(2, 1, versions=OLD), 11.0),
        (later(3, 1, versions=NEW), 24.0),
        (later(4, 1, versions=NEW, fingerprint="f" * 12), 99.0),
    )
    found = ratios(data, "00000000", "00000001")
    assert 2 * len(matrix()) == len(found)
    assert 1.1 == found[FIRST, "0123456789ab", "onnxruntime 1.30.0"]
    assert 1.2 == found[FIRST, "0123456789ab", "onnxruntime 1.31.1"]


def test_runtimes_are_compared_at_the_newest_commit_that_both_have(tmp_path: Path) -> None:
    """The older runtime's last commit stands against the same commit, not against what was changed since."""
    data = stored(
        tmp_path,
        (later(0, 0, versions=OLD), 10.0),
        (later(1, 0, versions=NEW), 9.0),
        (later(2, 1, versions=NEW), 30.0),
    )
    assert {0.9} == {*ratios(data, "1.30.0", "1.31.1").values()}


def test_runtimes_without_a_commit_in_common_say_so(tmp_path: Path) -> None:
    """The newest of each is taken, and the note tells that the code differs, too."""
    data = stored(tmp_path, (later(0, 0, versions=OLD), 10.0), (later(1, 1, versions=NEW), 9.0))
    found = pairs.compared(data, pairs.asked(data, ("1.30.0", "1.31.1")))
    assert len(matrix()) == len(found.moved)
    assert "The commit differs, or its tree was changed." in found.notes


def test_hosts_say_what_they_compare(tmp_path: Path) -> None:
    """Machines, not builds; and another runtime where they have none in common."""
    data = stored(tmp_path, (run(0, versions=OLD), 10.0), (run(1, versions=NEW, fingerprint="f" * 12), 5.0))
    found = pairs.compared(data, pairs.asked(data, ("0123456789ab", "f" * 12)))
    assert "Two hosts: a ratio compares machines, not builds." == found.notes[0]
    assert "The runtime differs: onnxruntime 1.30.0 to onnxruntime 1.31.1." == found.notes[1]
    assert 0.5 == pytest.approx(found.moved["ratio"][0])


def test_commits_on_two_hosts_have_nothing_in_common(tmp_path: Path) -> None:
    """There is no ratio, and the note says why."""
    data = stored(tmp_path, (run(0), 10.0), (run(1, fingerprint="f" * 12), 5.0))
    found = pairs.compared(data, pairs.asked(data, ("00000000", "00000001")))
    assert found.moved.empty
    assert ("4 cases have no numbers on both sides of the same host.",) == found.notes


def test_other_weights_are_counted_and_not_compared(tmp_path: Path) -> None:
    """A failure is not a case of other weights."""

    def other(row: Row) -> None:
        row["weights"] |= {"digest": "another"}

    report_stores.write(tmp_path, run(0), [measured(case, 5.0) for case in matrix()[:3]])
    report_stores.write(tmp_path, run(1), [measured(case, 5.0) for case in matrix()[:2]], other)
    data = load(tmp_path)
    found = pairs.compared(data, pairs.asked(data, (run(0).id, run(1).id)))
    assert found.moved.empty
    assert (
        "2 cases have other weights on the two sides: a ratio would be of two models.",
        "1 case has no numbers on both sides.",
    ) == found.notes


def test_rotating_and_fixed_inputs_are_not_set_against_each_other(tmp_path: Path) -> None:
    """One input again and again reads too fast, and nothing changed. Old rows, with nothing said, are fixed."""

    def fixed(row: Row) -> None:
        row["timed_inputs"] = {"mode": "fixed", "examples": 1}

    def unsaid(row: Row) -> None:
        row["timed_inputs"] = None

    cases = [measured(case, 5.0) for case in matrix()]
    report_stores.write(tmp_path, run(0), cases, unsaid)
    report_stores.write(tmp_path, run(1), cases, fixed)
    report_stores.write(tmp_path, run(2), cases)
    data = load(tmp_path)
    assert len(matrix()) == len(pairs.compared(data, pairs.asked(data, (run(0).id, run(1).id))).moved)
    for before in (0, 1):
        found = pairs.compared(data, pairs.asked(data, (run(before).id, run(2).id)))
        assert found.moved.empty
        (note,) = found.notes
        assert note.startswith("4 cases have inputs that rotate on one side and one fixed input on the other")


def quality(outcome: Outcome, accuracy: float, decibels: float) -> Outcome:
    """The same with another task metric and fidelity."""
    assert outcome.evaluation is not None
    return replace(
        outcome,
        evaluation=replace(
            outcome.evaluation,
            accuracy=Accuracy(metric="top1", value=accuracy, reference=0.98, drop=0.98 - accuracy, n=450),
            fidelity=Fidelity(centred_sqnr_db=decibels, sqnr_db=decibels, cosine=1, max_abs=0.5, top1_agreement=None),
        ),
    )


def test_what_matters_comes_first(tmp_path: Path) -> None:
    """Slower cases, then those that lost accuracy though they are as fast, or faster, then the rest."""
    slower, lost, faster, same = matrix()
    report_stores.write(tmp_path, run(0), [quality(measured(case, 10.0), 0.97, 40.0) for case in matrix()])
    report_stores.write(
        tmp_path,
        run(1),
        [
            quality(measured(slower, 15.0), 0.97, 40.0),
            quality(measured(lost, 5.0), 0.95, 40.0),
            quality(measured(faster, 2.0), 0.97, 40.0),
            quality(measured(same, 10.0), 0.97, 40.02),
        ],
    )
    data = load(tmp_path)
    moved = pairs.compared(data, pairs.asked(data, (run(0).id, run(1).id))).moved
    assert [slower.id, lost.id, faster.id, same.id] == moved["case"].tolist()
    assert [0, -1, 0, 0] == moved["quality"].tolist()


def test_a_pair_needs_two(tmp_path: Path) -> None:
    """The same side by two names is a mistake."""
    data = stored(tmp_path, (run(0), 5.0), (run(1), 5.0))
    with pytest.raises(UsageError, match="both are commit 00000001: give two"):
        pairs.asked(data, ("00000001", run(1).commit or ""))


def test_few_pairs_are_made_ahead(tmp_path: Path) -> None:
    """With 20 runs the newest against the one before; runtimes and hosts against the newest, four at most."""
    runs = [(run(day, versions={"onnxruntime": f"1.{day // 4}.0"}), 5.0) for day in range(20)]
    data = stored(tmp_path, *runs)
    found = pairs.offered(data, [(run(2).id, run(9).id)])
    assert [
        (run(2).id, run(9).id),
        (run(18).id, run(19).id),
        ("onnxruntime==1.3.0", "onnxruntime==1.4.0"),
        ("onnxruntime==1.2.0", "onnxruntime==1.4.0"),
        ("onnxruntime==1.1.0", "onnxruntime==1.4.0"),
    ] == [(pair.before.name, pair.after.name) for pair in found]
    assert found[0] == pairs.pair_of(data, found[0].id)
    assert pairs.pair_of(data, "00000000-11111111") is None
    assert pairs.pair_of(data, f"{found[0].before.id}-{found[0].before.id}") is None


def of_asv(results: Path, of: Run, level: float) -> None:
    """What asv's files keep of a run, without its samples."""
    outcomes = [replace(measured(case, level), started_at=of.started_at) for case in matrix()]
    asv.write(results, of, [to_row(of, outcome) for outcome in outcomes])


def test_values_of_asv_are_compared_by_their_own_intervals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two commits and two runtimes of a fresh clone: apart is a change, and the note says what the intervals are."""
    monkeypatch.setenv("HOME", str(tmp_path))
    results = tmp_path / "results"
    of_asv(results, run(0, versions=OLD), 5.0)
    of_asv(results, run(0, versions=NEW), 5.0)
    of_asv(results, run(1, versions=NEW), 8.0)
    data = load(results)
    assert [("00000000", "00000001"), ("onnxruntime==1.30.0", "onnxruntime==1.31.1")] == [
        (pair.before.name, pair.after.name) for pair in pairs.offered(data)
    ]
    commits, runtimes = (pairs.compared(data, pair) for pair in pairs.offered(data))
    assert {"slower"} == {*commits.moved["verdict"]}
    assert {1.6} == {*commits.moved["ratio"].round(3)}
    first = commits.moved.iloc[0]
    assert first["low_s"] / first["high_s_before"] == pytest.approx(first["low"])
    assert first["high_s"] / first["low_s_before"] == pytest.approx(first["high"])
    assert 0.98 == pytest.approx(first["confidence"])
    assert {"same"} == {*runtimes.moved["verdict"]}
    assert {1.0} == {*runtimes.moved["ratio"].round(3)}  # at the commit that both have
    assert "99% intervals" in commits.notes[0]


def test_samples_and_values_of_asv_meet_on_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep whose samples are lost stands against one that has them; other weights do not."""
    monkeypatch.setenv("HOME", str(tmp_path))
    results = tmp_path / "results"
    of_asv(results, run(0), 5.0)
    report_stores.write(results, run(1), [measured(case, 8.0) for case in matrix()])
    data = load(results)
    found = pairs.compared(data, pairs.asked(data, ("00000000", "00000001")))
    assert {1.6} == {*found.moved["ratio"].round(3)}
    assert {"slower"} == {*found.moved["verdict"]}

    def other(row: Row) -> None:
        row["weights"] |= {"digest": "another"}

    report_stores.write(results, run(1), [measured(case, 8.0) for case in matrix()], other)
    data = load(results)
    assert pairs.compared(data, pairs.asked(data, ("00000000", "00000001"))).moved.empty


def test_only_failures_and_empty_sides(tmp_path: Path) -> None:
    """There is nothing to compare, and nothing breaks."""
    from harness.records import Status
    from tests import outcomes

    for day in range(2):
        refused = [outcomes.refused(case, Status.FAILED, "it broke") for case in matrix()]
        report_stores.write(tmp_path, run(day), refused)
    data = load(tmp_path)
    (pair,) = pairs.offered(data)
    found = pairs.compared(data, pair)
    assert found.moved.empty
    assert ("4 cases have no numbers on both sides.",) == found.notes


def test_cells_say_what_changed() -> None:
    """Points of accuracy, of what was lost where asv's files tell only that; bit-equal outputs have no decibels."""
    row: dict[str, Any] = dict.fromkeys(
        f"{name}{side}"
        for name in ("accuracy", "accuracy_drop", "fidelity_db", "fidelity_max_abs")
        for side in ("", "_before")
    )
    assert "-" == compare.accuracy(row).text == compare.fidelity(row).text
    worse = compare.accuracy(row | {"accuracy": 0.95, "accuracy_before": 0.97})
    assert ("-2.00 points", "num slower") == (worse.text, worse.kind)
    assert "same" == compare.accuracy(row | {"accuracy_drop": -0.1, "accuracy_drop_before": 0.0}).text
    assert "+1.00 points" == compare.accuracy(row | {"accuracy_drop": 0.0, "accuracy_drop_before": 0.01}).text
    exact = {"fidelity_max_abs": 0.0, "fidelity_max_abs_before": 0.0}
    assert "same" == compare.fidelity(row | exact).text
    assert (
        "no longer exact, 40.0 dB" == compare.fidelity(row | {"fidelity_max_abs_before": 0.0, "fidelity_db": 40}).text
    )
    assert "now exact" == compare.fidelity(row | {"fidelity_max_abs": 0.0, "fidelity_db_before": 40.0}).text
    assert "-3.0 dB" == compare.fidelity(row | {"fidelity_db": 37.0, "fidelity_db_before": 40.0}).text
