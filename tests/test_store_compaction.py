"""Small files merged: the same rows at every moment, also for who listed the folder before."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StoreError
from harness.store import by_model, compaction, compaction_folder, files, parts, query, samples, stored_files
from harness.store.history import history
from harness.store.journal import Journal
from tests import histories
from tests.outcomes import case, measured


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Three runs of a class in a month, and one of another class."""
    for place in range(3):
        of = histories.sweep_of(str(place) * 40, place)
        histories.store(tmp_path, of, measured(case()), measured(case("m2", "int8")), asv_too=False)
    other = histories.sweep_of("9" * 40, 9, fingerprint="ba9876543210")
    histories.store(tmp_path, other, measured(case()), asv_too=False)
    return tmp_path


def everything(results: Path) -> list[Any]:
    """Every row with its samples, as a reader sees them."""
    found = query.table(results, {"filename": "filename", "run": "run", "case": '"case"'})
    assert not found.problems
    rows = query.pick(found.frame, [*query.LIGHT, "processes"])
    assert len(rows) == len(found.frame)
    return sorted(rows, key=lambda row: (row["run"], row["case"]))


def test_rows_stay_the_same(stored: Path) -> None:
    """Three files become one, in a folder of their month and class; every reader has the same rows, and again later."""
    before = everything(stored), query.rows(stored, all_runs=True), query.rows(stored), history(stored, repo=None)
    done = compaction_folder.compact(stored)
    assert (4, 2, [], 3) == (done.before, done.after, done.removed, len(done.kept))
    (merged,) = (stored / "samples").glob("month=2026-01/class=0123456789ab/compact-*.parquet")
    assert 2 == len(stored_files.sample_files(stored))
    after = everything(stored), query.rows(stored, all_runs=True), query.rows(stored), history(stored, repo=None)
    assert before == after
    assert ([], []) == ((again := compaction_folder.compact(stored)).merged, again.removed)
    removed = compaction_folder.compact(stored, grace_s=0)
    assert (3, []) == (len(removed.removed), removed.kept)
    assert 2 == len(stored_files.finished_files(stored))
    assert before == (
        everything(stored), query.rows(stored, all_runs=True), query.rows(stored), history(stored, repo=None)
    )  # fmt: skip
    assert merged.exists()
    by_models = by_model.stored(stored, all_runs=True, columns=query.LIGHT)
    assert before[1] == [row for part, _ in by_models.rows() for row in part]


def test_merged_files_are_merged_again(stored: Path) -> None:
    """A later run joins them; the files of before go, and the first merged one last."""
    compaction_folder.compact(stored)
    histories.store(stored, histories.sweep_of("7" * 40, 7), measured(case()), asv_too=False)
    before = everything(stored)
    done = compaction_folder.compact(stored, grace_s=0)
    assert 1 == len(done.merged)
    assert 5 == len(done.removed)
    assert done.removed[-1].startswith(stored_files.COMPACT)
    assert before == everything(stored)
    assert 2 == len(stored_files.finished_files(stored))


def test_a_reader_that_listed_before_finds_its_rows(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was listed and is gone is looked for again: tables, rows and single ones alike."""
    listed = stored_files.sample_files(stored)
    keys = query.table(stored, {"filename": "filename", "run": "run", "case": '"case"'}).frame
    before = query.pick(keys, query.LIGHT), everything(stored), query.rows(stored)
    compaction_folder.compact(stored, grace_s=0)
    order: Callable[[dict[str, Any]], Any] = lambda row: (row["run"], row["case"])  # noqa: E731
    assert sorted(before[0], key=order) == sorted(query.pick(keys, query.LIGHT), key=order)
    real, answers = stored_files.sample_files, [listed]
    monkeypatch.setattr(stored_files, "sample_files", lambda results: answers.pop() if answers else real(results))
    for reader, expected in ((everything, before[1]), (query.rows, before[2])):
        answers[:] = [listed]
        assert expected == reader(stored)
        assert not answers


def test_what_stays(stored: Path) -> None:
    """A damaged file, one of another size under a replaced name, and a run whose parts are there stay as they are."""
    paths = sorted((stored / "samples").glob("*.parquet"))
    paths[0].with_suffix(".parts").mkdir()
    (stored / "samples" / "20260131T100802Z-bad.parquet").write_bytes(b"PAR1 and nothing")
    said: list[str] = []
    done = compaction_folder.compact(stored, say=said.append)
    assert [(paths[1].name, paths[2].name)] == [names for _, names in done.merged]
    assert "bad.parquet" in said[0]
    paths[1].write_bytes(b"somebody else's")
    done = compaction_folder.compact(stored, grace_s=0, say=said.append)
    assert [paths[2].name] == done.removed
    assert paths[1].exists()


def test_a_damaged_merged_file_removes_nothing(stored: Path) -> None:
    """What it replaces stays, and is read again when it is moved away."""
    before = everything(stored)
    compaction_folder.compact(stored)
    (merged,) = (stored / "samples").glob("month=*/class=*/*.parquet")
    data = bytearray(merged.read_bytes())
    data[len(data) // 4] ^= 0xFF
    merged.write_bytes(data)
    said: list[str] = []
    done = compaction_folder.compact(stored, grace_s=0, say=said.append)
    assert ([], True) == (done.removed, any("damaged" in one for one in said))
    merged.unlink()
    assert before == everything(stored)


def test_one_at_a_time_and_whole_or_not_at_all(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second compaction is refused; one that writes something else than it read leaves no file."""
    before = everything(stored)
    with files.Lock.wait(stored / "samples" / ".compact.lock"), pytest.raises(StoreError, match="Another compaction"):
        compaction_folder.compact(stored)
    real = compaction.tables
    answers = [lambda some: list(real(some))[:-1]]
    monkeypatch.setattr(compaction, "tables", lambda some: answers.pop()(some) if answers else real(some))
    monkeypatch.setattr(parts, "GROUP_ROWS", 2)
    with pytest.raises(StoreError, match="does not hold"):
        compaction_folder.compact(stored)
    assert before == everything(stored)
    assert not [*(stored / "samples").glob("month=*/class=*/*.parquet")]


def test_groups_end_at_a_size(stored: Path) -> None:
    """Files become one up to a size; what is more than half of it is not rewritten."""
    found = [*compaction.sources(stored_files.finished_files(stored), lambda _: None)]
    size = max(one.size for one in found)
    assert [3] == [len(one.sources) for one in compaction.planned(found)]
    assert [2] == [len(one.sources) for one in compaction.planned(found, 2 * size)]
    assert [] == compaction.planned(found, size)


def test_copies_of_a_run_count_once(stored: Path) -> None:
    """Of two copies the one counts that counted before."""
    (first, *_) = sorted((stored / "samples").glob("*.parquet"))
    shutil.copy(first, first.with_name("zz-copy.parquet"))
    before = everything(stored)
    compaction_folder.compact(stored, grace_s=0)
    (merged,) = (stored / "samples").glob("month=2026-01/class=0123456789ab/*.parquet")
    assert 6 == len(samples.read(merged))
    assert before == everything(stored)


def test_a_run_is_not_taken_up_again(stored: Path) -> None:
    """A journal that is opened afterwards begins anew, whatever was merged."""
    compaction_folder.compact(stored, grace_s=0)
    with Journal.open(stored, histories.sweep_of("0" * 40, 0), resume=True) as journal:
        assert not journal.rows


def test_import_between_layouts(stored: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is here in a file of many is not imported again, and such a file is imported as its runs."""
    from harness.store.asv.merge import merge
    from harness.store.imports.recognize import read

    small = tmp_path_factory.mktemp("small")
    shutil.copytree(stored / "samples", small / "samples")
    before = everything(stored)
    compaction_folder.compact(stored, grace_s=0)
    (done,) = merge(stored, [read(small)])
    assert (0, []) == (done.runs, done.conflicts)
    assert before == everything(stored)
    empty = tmp_path_factory.mktemp("empty")
    (done,) = merge(empty, [read(stored)])
    assert (4, []) == (done.runs, done.conflicts)
    assert before == everything(empty)
