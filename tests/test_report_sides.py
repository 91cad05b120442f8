"""What can be set against something else, by the names that a person types."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.report import sides
from harness.report.data import Data, load
from harness.store.asv import results as asv
from harness.store.rows import to_row
from tests import report_stores
from tests.report_stores import matrix, measured, run

OLD, NEW = {"onnxruntime": "1.9.0"}, {"onnxruntime": "1.10.0"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Four runs: two commits on one host, the second with two runtimes, and the second on another host."""
    results = tmp_path_factory.mktemp("store") / "results"
    host = {"name": "bench", "cpu": "a CPU"}
    for day, of in enumerate(
        (
            run(0, versions=OLD, host=host),
            run(1, versions=OLD, host=host),
            run(1, id="20260103T100000Z-00000a", versions=NEW, host=host, started_at="2026-01-03T10:00:00+00:00"),
            run(1, id="20260104T100000Z-00000b", versions=NEW, fingerprint="feedfeedfeed", host={"name": "laptop"}),
        )
    ):
        report_stores.write(results, of, [measured(case, 5.0 + day) for case in matrix()])
    return load(results)


@pytest.mark.parametrize(
    ("asked", "kind", "name"),
    [
        ("20260103T100000Z-00000a", "run", "20260103T100000Z-00000a"),
        ("20260103", "run", "20260103T100000Z-00000a"),
        ("00000001", "commit", "00000001"),
        ("00000001" + "0" * 32, "commit", "00000001"),
        ("onnxruntime==1.10.0", "runtime", "onnxruntime==1.10.0"),
        ("onnxruntime 1.10.0", "runtime", "onnxruntime==1.10.0"),
        ("1.9.0", "runtime", "onnxruntime==1.9.0"),
        ("feedfeedfeed", "host", "feedfeedfeed"),
        ("feed", "host", "feedfeedfeed"),
        ("laptop", "host", "feedfeedfeed"),
    ],
)
def test_sides_are_found_by_what_a_person_types(data: Data, asked: str, kind: str, name: str) -> None:
    """In full, by a beginning that only one has, by a version, and by a host's name."""
    found = sides.find(data, asked)
    assert (kind, name) == (found.kind, found.name)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("000000", "may be commit 00000001, commit 00000000; give one"),
        ("2026", "may be run .*; give one of these names in full"),
        ("onnxruntime==1.10.1", "did you mean `onnxruntime==1.10.0`"),
        ("fee", "no run, commit, runtime or host"),
        ("", "no run, commit, runtime or host"),
    ],
)
def test_what_is_not_there_or_not_clear_is_said(data: Data, asked: str, said: str) -> None:
    """Beginnings that several have name them; others name what is near and how to list everything."""
    with pytest.raises(UsageError, match=said):
        sides.find(data, asked)


def test_a_revision_that_was_not_measured_is_told_from_one_that_git_does_not_know(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`HEAD~3` may well be a commit; what is missing are its numbers."""
    monkeypatch.setattr(Data, "resolve", lambda *_: "c" * 40)
    with pytest.raises(UsageError, match=r"is commit cccccccc, of which .* holds nothing; measured commits: 00000001"):
        sides.find(data, "HEAD~3")
    monkeypatch.setattr(Data, "resolve", lambda *_: "00000001" + "0" * 32)
    assert "00000001" == sides.find(data, "HEAD").name


def test_a_revision_is_what_git_resolves(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run, a runtime or a host of a revision's name never takes its place; each can be written."""
    runtime = "onnxruntime==1.10.0"
    monkeypatch.setattr(Data, "resolve", lambda _, text: "00000001" + "0" * 32 if text in (runtime, "main") else "")
    with pytest.raises(UsageError, match=f"can be commit 00000001, written commit:{runtime}, or the runtime {runtime}"):
        sides.find(data, runtime)
    assert "commit" == sides.find(data, f"commit:{runtime}").kind
    assert "runtime" == sides.find(data, f"runtime:{runtime}").kind
    assert "00000001" == sides.find(data, "main").name


def test_the_newest_comes_first(data: Data) -> None:
    """Versions are ordered as numbers: 1.10 is newer than 1.9."""
    assert ["onnxruntime==1.10.0", "onnxruntime==1.9.0"] == [one.name for one in sides.of_kind(data, "runtime")]
    assert ["00000001", "00000000"] == [one.name for one in sides.of_kind(data, "commit")]
    assert len({side.id for side in sides.every(data)}) == len(sides.every(data))


def test_names_are_typed_as_a_shell_takes_them(tmp_path: Path) -> None:
    """Whatever a stored file says a version is."""
    of = run(versions={"onnxruntime": "1; rm -rf ~"})
    report_stores.write(tmp_path, of, [measured(matrix()[0], 5.0)])
    (found,) = sides.of_kind(load(tmp_path), "runtime")
    assert "'onnxruntime==1; rm -rf ~'" == found.typed


def test_a_changed_tree_stands_for_its_commit_only_where_nothing_else_does(tmp_path: Path) -> None:
    """Numbers of a clean tree go before those of a dirty one."""
    dirty, clean = run(0, dirty=True), run(0, id="20260101T110000Z-00000c")
    report_stores.write(tmp_path, dirty, [measured(matrix()[0], 9.0)])
    (side,) = sides.of_kind(load(tmp_path), "commit")
    assert side.label.startswith("00000000*")
    assert [0.009] == pytest.approx(sides.rows(load(tmp_path), side)["median_s"].tolist())
    report_stores.write(tmp_path, clean, [measured(matrix()[0], 5.0)])
    (side,) = sides.of_kind(load(tmp_path), "commit")
    assert "00000000" == side.label
    assert [0.005] == pytest.approx(sides.rows(load(tmp_path), side)["median_s"].tolist())


def test_values_of_asv_become_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With asv's interval, and every metric that they hold; a loss of 0 is bit-equal."""
    monkeypatch.setenv("HOME", str(tmp_path))
    of = run(0)
    outcome = replace(measured(matrix()[0], 5.0), started_at=of.started_at)
    row = to_row(of, outcome)
    asv.write(tmp_path / "results", of, [row])
    found = load(tmp_path / "results")
    (line,) = sides.rows(found, sides.of_kind(found, "commit")[0]).to_dict("records")
    assert row["latency"]["median_s"] == line["median_s"]
    assert line["low_s"] < line["median_s"] < line["high_s"]
    assert row["artifact"]["bytes"] == line["size_bytes"]
    assert row["model_bytes"] == line["model_bytes"]
    assert row["fidelity"]["centred_sqnr_db"] == pytest.approx(line["fidelity_db"])
    assert max(row["accuracy"]["drop"], 0) == pytest.approx(line["accuracy_drop"])
    assert ("digits_cnn", "fp32", "cpu-t1-b1") == (line["model"], line["variant"], line["target"])
