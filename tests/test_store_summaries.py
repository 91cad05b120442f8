"""Summaries of large stores: whatever happens to the files, what is read by way of them is what the files say."""

from __future__ import annotations

import math
import os
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StoreError
from harness.report import data
from harness.store import admission, by_model, compaction_folder, days, files, query, samples
from harness.store.database import connected
from harness.store.history import history
from harness.store.history_samples import IDENTITY, REFERENCE
from harness.store.journal import Journal
from harness.store.summaries import ledger, look, making, narrow, segments
from tests import histories, waiting
from tests.outcomes import case, measured, refused

CASES = [case(f"m{model}", variant) for model in (1, 2, 10) for variant in ("fp32", "int8")]
ACTIONS = ("new", "gone", "changed", "copied", "broken", "compacted", "future", "going on", "new")
CACHED = {"ledger": "ledger.json", "segment": "*[0-9a-f].parquet", "newest": "*.newest.parquet"}
"""What may happen to files of the cache, and to which."""

HOSTS = ("0123456789ab", "ba9876543210")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """A way to read a folder both ways, with limits so small that a dozen rows are a large store."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(ledger, "SETTLED_NS", 0)
    monkeypatch.setattr(making, "SMALL", 3)
    monkeypatch.setattr(segments, "ROWS", 20)
    monkeypatch.setattr(segments, "GROUP_ROWS", 2)
    monkeypatch.setattr(look, "FEWEST_FILES", 1)

    def same(results: Path, asked: Callable[[Path], Any] = answers) -> None:
        monkeypatch.setattr(look, "FEWEST_FILES", 1_000_000)
        expected = asked(results)
        monkeypatch.setattr(look, "FEWEST_FILES", 1)
        assert expected == asked(results)

    return same


def answers(results: Path) -> list[Any]:
    """What readers find."""
    newest = query.query(results)
    parts = by_model.stored(results, all_runs=False, columns=query.LIGHT)
    return [
        sorted(map(str, newest.problems)),
        newest.notes,
        newest.rows,
        newest.among,
        sorted(parts.names),
        [row for part, _ in parts.rows() for row in part],
        history(results, repo=None, cases=["m10/*", "m1/int8*"], reference=True).series,
    ]


def more_answers(results: Path) -> list[Any]:
    """What takes longer to ask, with None for each NaN."""
    rows = frame_rows(query.table(results, data.COLUMNS))
    return [
        history(results, repo=None).series,
        [[None if isinstance(value, float) and math.isnan(value) else value for value in row] for row in rows],
        days.earlier(results, "2030-01-01T00:00:00+00:00"),
    ]


def frame_rows(table: query.ColumnTable) -> list[tuple[Any, ...]]:
    """Rows of a table; which of two of one moment comes first is nobody's business."""
    return sorted(table.frame.astype(object).itertuples(index=False, name=None), key=str)


def counted(results: Path) -> tuple[int, int, bool]:
    """Files that are read as they are, those that are summarized, and whether nothing is there twice for sure."""
    with connected() as connection:
        found = look.look(connection, results, [])
    return len(found.direct), sum(len(one.files) for one in found.counting), found.once


def sweep(results: Path, chance: random.Random, place: int, *, finish: bool = True, **changes: Any) -> None:
    """A run of some cases, some of which fail."""
    of = histories.sweep_of(f"{place % 10}" * 40, place, fingerprint=chance.choice(HOSTS), **changes)
    with Journal.open(results, of, resume=False) as journal:
        for one in chance.sample(CASES, chance.randint(1, 6)):
            median = chance.randint(1_000_000, 2_000_000)
            journal.append(refused(one) if chance.random() < 0.3 else measured(one, (median,) * 3))
        if finish:
            journal.finish()


def changed(path: Path) -> None:
    """Another value in the same place, as a rename puts it there."""
    rows = samples.read(path)
    for row in rows:
        if row["latency"]:
            row["latency"]["median_s"] *= 1.5
    files.write(path, samples.encode(rows))


def flipped(path: Path) -> None:
    """A byte in the middle of it."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def happens(action: str, results: Path, chance: random.Random, place: int) -> None:
    """Something that changes a results folder, or the cache."""
    samples_folder = results / "samples"
    held = sorted(path for path in samples_folder.rglob("*.parquet") if path.parent.suffix != ".parts")
    one = chance.choice(held)
    started = {"started_at": "2046-01-01T00:00:00+00:00"} if action == "future" else {}
    if action in {"new", "going on", "future", "broken"}:
        sweep(results, chance, place, finish=action != "going on", **started)
    if action == "broken":
        (new,) = {*samples_folder.glob("*.parquet")} - {*held}
        new.write_bytes(new.read_bytes()[:-9])
    elif action == "gone":
        one.unlink()
    elif action == "changed":
        changed(one)
    elif action == "copied":
        shutil.copy(one, one.with_name(f"{one.stem}x.parquet"))
    elif action == "compacted":
        compaction_folder.compact(results)
    for path in ledger.folder_of(results).glob(CACHED.get(action, "-")):
        (flipped if chance.random() < 0.5 else Path.unlink)(path)


class CountingConnection:
    """A connection that counts what it is asked."""

    def __init__(self, connection: Any) -> None:
        self.questions = 0
        self._connection = connection

    def execute(self, *asked: Any) -> Any:
        """Count, and ask."""
        self.questions += 1
        return self._connection.execute(*asked)


def test_a_broken_file_is_found_by_halves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of sixteen files the one that is damaged is left out, wherever it stands."""
    sweep(tmp_path, random.Random(1), 1)
    (good,) = (tmp_path / "samples").glob("*.parquet")
    paths = [good.with_name(f"{place:02}.parquet") for place in range(16)]
    for path in paths:
        shutil.copy(good, path)
    paths[5].write_bytes(good.read_bytes()[:-9])
    problems: list[StoreError] = []
    with connected() as connection:
        assert [*paths[:5], *paths[6:]] == admission.admitted(connection, paths, problems)
    assert [paths[5].name] == [name for one in problems for name in (p.name for p in paths) if name in str(one)]


def test_a_file_is_judged_anew_when_it_is_another(tmp_path: Path) -> None:
    """One that was admitted is not read for that again, until it changes: in place, by a rename, or by going away."""
    sweep(tmp_path, random.Random(1), 1)
    (path,) = (tmp_path / "samples").glob("*.parquet")
    good = path.read_bytes()
    old = path.stat().st_mtime_ns - 10**10

    def asked(admitted: bool) -> int:
        problems: list[StoreError] = []
        with connected() as connection:
            counted = CountingConnection(connection)
            assert [path][: int(admitted)] == admission.admitted(counted, [path], problems)
        assert (0 if admitted else 1) == len(problems)
        return counted.questions

    waiting.wait_for(lambda: asked(admitted=True) == 0)
    os.utime(path, ns=(old, old))
    assert asked(admitted=True) > 0
    path.write_bytes(bytes(len(good)))
    os.utime(path, ns=(old, old))  # of the same size and the same time, but not the same status
    assert asked(admitted=False) > 0
    files.write(path, good)
    assert asked(admitted=True) > 0
    path.unlink()
    with connected() as connection, pytest.raises(FileNotFoundError):
        admission.admitted(connection, [path], [])


@pytest.mark.long
def test_what_happens_to_files_shows(small: Callable[..., None], tmp_path: Path) -> None:
    """Runs come, go, change, are copied, break and are compacted; the cache loses or damages what it has.

    `HARNESS_TEST_SEED=7` and so on try other orders.
    """
    seed = int(os.environ.get("HARNESS_TEST_SEED", "1"))
    chance, results = random.Random(seed), tmp_path / "results"
    for number in range(3):
        sweep(results, chance, number)
    actions = [*ACTIONS, *CACHED]
    chance.shuffle(actions)
    for place, action in enumerate(actions, 3):
        happens(action, results, chance, place)
        if place % 6 == 0:
            small(results)
            assert counted(results)[1] > 0, (seed, action)
    small(results, more_answers)


def test_a_second_look_reads_what_is_new(
    small: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a store that was looked at, only a new run is opened for its rows; several small segments become one."""
    chance, read = random.Random(5), []
    real = making.rows_of

    def reading(connection: Any, folder: Path, paths: Sequence[Path]) -> Any:
        read.append(len(paths))
        return real(connection, folder, paths)

    monkeypatch.setattr(making, "rows_of", reading)
    for place in range(4):
        sweep(tmp_path, chance, place)
        assert (0, place + 1, True) == counted(tmp_path)
    assert [1, 1, 1, 1] == read
    small(tmp_path)
    assert 2 == len(ledger.read(ledger.folder_of(tmp_path)).segments)


def test_rows_of_one_case_alone_are_read(small: Callable[..., None], tmp_path: Path) -> None:
    """A history of one case reads the groups of its model; `harness results` reads no row of a summarized file."""
    for place in range(3):
        sweep(tmp_path, random.Random(place), place)
    with connected() as connection:
        found = look.look(connection, tmp_path, [])
        every, some = (
            len(connection.sql(found.rows(connection, ["run"], cases)).fetchall())
            for cases in (None, {"m10/int8/cpu-t1-b1", "nothing"})
        )
        assert 0 < some < every


def test_what_was_written_just_now_is_read_as_it_is(
    small: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second write in the same tick of a clock could not be told apart from the first."""
    sweep(tmp_path, random.Random(1), 1)
    monkeypatch.setattr(ledger, "SETTLED_NS", 10**15)
    assert (1, 0, False) == counted(tmp_path)


def test_a_cache_that_cannot_be_written_is_in_nobodys_way(small: Callable[..., None], tmp_path: Path) -> None:
    """Nor is one that another process brings up to date at this moment."""
    sweep(tmp_path / "results", random.Random(1), 1)
    folder = ledger.folder_of(tmp_path / "results")
    with files.Lock.wait(folder / ".lock"):
        assert (1, 0, False) == counted(tmp_path / "results")
    shutil.rmtree(folder)
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("a file where the folder should be")
    assert (1, 0, False) == counted(tmp_path / "results")


def test_what_large_stores_are_asked_is_kept() -> None:
    """The history's and the site's questions are answered from summaries, and others are not half answered."""
    for asked in ({**IDENTITY, **REFERENCE}, data.COLUMNS, days.SELECT):
        assert narrow.read_by(asked.values()) is not None
    assert ("latency.median_s", "run") == narrow.read_by(
        ["latency.median_s * 2", "upper(\"run\") || 'host'", "filename"]
    )
    for other in ("host", "latency", "latency.mean_s", "list_sum([p.session_ns for p in processes])"):
        assert narrow.read_by(['"case"', other]) is None
