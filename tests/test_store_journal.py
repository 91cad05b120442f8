"""A run on disk while it is measured: resuming, crashing, finishing."""

from __future__ import annotations

import io
import itertools
import os
import shutil
import subprocess
import sys
import tracemalloc
import warnings
from array import array
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.errors import StoreError
from harness.records import Run
from harness.store import files, journal, parts, query, samples
from harness.store.journal import Journal
from harness.store.rows import public, to_row
from tests.outcomes import case, measured, process, refused, run

LATER = "20260201T000000Z-aaaaaa"


def started(results: Path, of: Run | None = None, *variants: str) -> Journal:
    """A journal with the given variants appended."""
    made = Journal.open(results, of or run(), resume=True)
    for variant in variants:
        made.append(measured(case(variant=variant)))
    return made


def entries(results: Path) -> list[str]:
    """What lies in results/samples."""
    return sorted(path.name for path in (results / "samples").iterdir())


def test_finish_merges(tmp_path: Path) -> None:
    """Finished, a run is one file with every row and sample, and the parts are gone."""
    with started(tmp_path, None, "fp32", "fp16") as open_:
        path = open_.finish()
    assert tmp_path / "samples" / "20260131T101502Z-3f9c2a.parquet" == path
    assert [path.name] == entries(tmp_path)
    expected = [to_row(run(), measured(case(variant=v))) for v in ("fp16", "fp32")]
    assert expected == samples.read(path)


def test_append_returns_the_stored_row(tmp_path: Path) -> None:
    """The row comes back without samples and stands in `rows`."""
    with started(tmp_path) as open_:
        row = open_.append(measured())
        assert public(to_row(run(), measured())) == row
        assert {"digits_cnn/fp32/cpu-t1-b1": row} == open_.rows


def test_interrupted_run_is_resumed(tmp_path: Path) -> None:
    """The same request takes up the unfinished run: its id, its time and its finished cases."""
    started(tmp_path, None, "fp32").close()
    with Journal.open(tmp_path, run(id=LATER, started_at="2026-02-01T00:00:00+00:00"), resume=True) as again:
        assert run() == again.run
        assert ["digits_cnn/fp32/cpu-t1-b1"] == list(again.rows)
        again.append(measured(case(variant="fp16")))
        assert 2 == len(samples.read(again.finish()))


def test_fresh_starts_anew(tmp_path: Path) -> None:
    """Without resuming, the unfinished run stays as it is and a new one starts."""
    started(tmp_path, None, "fp32").close()
    with Journal.open(tmp_path, run(id=LATER), resume=False) as fresh:
        assert LATER == fresh.run.id
        assert {} == fresh.rows
        fresh.append(measured())
    assert ["20260131T101502Z-3f9c2a.parts", f"{LATER}.parts"] == entries(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"plan": "another"},
        {"commit": "f" * 40},
        {"dirty": True},
        {"fingerprint": "ffffffffffff"},
        {"versions": {"python": "3.11.9", "onnxruntime-gpu": "1.32.0"}},
        {"settings": {"processes": 1}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_conditions_are_not_resumed(tmp_path: Path, change: dict[str, object]) -> None:
    """A run under other conditions is another run: numbers are not mixed."""
    started(tmp_path, None, "fp32").close()
    with Journal.open(tmp_path, replace(run(id=LATER), **change), resume=True) as other:  # type: ignore[arg-type]
        assert LATER == other.run.id
        assert {} == other.rows


def test_newest_is_resumed(tmp_path: Path) -> None:
    """Of two unfinished runs the newest is taken up."""
    started(tmp_path, None, "fp32").close()
    with Journal.open(tmp_path, run(id=LATER), resume=False) as second:
        second.append(measured(case(variant="fp16")))
    with Journal.open(tmp_path, run(id="20260301T000000Z-bbbbbb"), resume=True) as again:
        assert LATER == again.run.id


def test_live_run_is_left_alone(tmp_path: Path) -> None:
    """Two sweeps at once with the same plan are two runs."""
    with started(tmp_path, None, "fp32") as one, Journal.open(tmp_path, run(id=LATER), resume=True) as two:
        assert LATER == two.run.id
        two.append(measured())
        one.finish()
        two.finish()
    assert ["20260131T101502Z-3f9c2a.parquet", f"{LATER}.parquet"] == entries(tmp_path)


def test_measured_again_replaces(tmp_path: Path) -> None:
    """A failed case that is measured after a resume stands once, with its new outcome."""
    with started(tmp_path) as open_:
        open_.append(refused())
        open_.append(measured())
        path = open_.finish()
    assert ["measured"] == [row["status"] for row in samples.read(path)]


def test_finish_twice(tmp_path: Path) -> None:
    """Finishing again changes nothing."""
    with started(tmp_path, None, "fp32") as open_:
        path = open_.finish()
        content = path.read_bytes()
        assert path == open_.finish()
    assert content == path.read_bytes()


def test_crash_after_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the one file and the removal of the parts: no duplicates, and the leftovers go away."""
    open_ = started(tmp_path, None, "fp32", "fp16")

    def killed(self: Journal) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "_remove", killed)
        with pytest.raises(KeyboardInterrupt):
            open_.finish()
    open_._lock.release()
    assert 2 == len(entries(tmp_path))
    assert 2 == len(query.rows(tmp_path, all_runs=True))
    with Journal.open(tmp_path, run(id=LATER), resume=True) as next_:
        assert LATER == next_.run.id
        assert ["20260131T101502Z-3f9c2a.parquet", f"{LATER}.parts"] == entries(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_full_disk_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No space for the one file: the parts stay, which is said, and the run is finished later without loss."""
    open_ = started(tmp_path, None, "fp32", "fp16")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", lambda _path, mode: io.open("/dev/full", mode))  # noqa: SIM115, UP020  (Path.open is what is replaced)
        with pytest.raises(StoreError, match=r"No space left on device.*untouched.*free some space"):
            open_.finish()
    assert ["20260131T101502Z-3f9c2a.parts"] == entries(tmp_path)
    open_.close()
    with Journal.open(tmp_path, run(id=LATER), resume=True) as again:
        assert 2 == len(again.rows)
        assert 2 == len(samples.read(again.finish()))


def test_merged_a_group_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many cases there are, no more of them are in memory than make up one group of rows."""
    alive: list[int] = []
    groups = parts.groups

    def counted(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
        for group in groups(tables, most_rows=3):
            alive.append(group.num_rows)
            yield group

    open_ = started(tmp_path, None, *(f"v{place}" for place in range(8)))
    monkeypatch.setattr(parts, "groups", counted)
    path = open_.finish()
    open_.close()
    assert [3, 3, 2] == alive
    with pq.ParquetFile(path) as file:
        assert 3 == file.num_row_groups
    expected = [to_row(run(), measured(case(variant=f"v{place}"))) for place in range(8)]
    assert expected == samples.read(path)
    assert expected == list(samples.stream(path))


def test_samples_never_become_objects(tmp_path: Path) -> None:
    """Reading and merging take the memory of one case, not of all: samples are blocks of integers all the way."""
    many = replace(measured(), processes=tuple(process(10**6, 20_001) for _ in range(2)))
    open_ = Journal.open(tmp_path, run(), resume=True)
    for place in range(6):
        open_.append(replace(many, case=case(variant=f"v{place}")))
    tracemalloc.start()
    rows = sum(1 for row in open_.whole_rows() if isinstance(row["processes"][0]["samples_ns"], array))
    open_.finish()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    open_.close()
    assert 6 == rows
    assert peak < 6 * 2 * 20_001 * 8  # all samples together, at 8 bytes each


def test_merging_parts_of_an_earlier_version(tmp_path: Path) -> None:
    """A sweep that was interrupted before an update is finished after it, with what its parts lack as null."""
    open_ = started(tmp_path, None, "fp32", "fp16")
    part = next(journal.part_files(tmp_path / "samples" / "20260131T101502Z-3f9c2a.parts"))
    pq.write_table(pq.read_table(part, partitioning=None).drop_columns(["model_bytes", "choice"]), part)
    path = open_.finish()
    open_.close()
    assert {None, 6_000_000} == {row["model_bytes"] for row in samples.read(path)}


def merged_until(results: Path, call: Callable[[], tuple[object, str]], nth: int) -> None:
    """Finish a run of three cases in a process that ends, as by kill -9, at the nth call of something."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other threads of the tests are none of the child's business
        child = os.fork()
    if not child:
        open_ = Journal.open(results, run(id=LATER), resume=True)
        where, name = call()
        original, calls = getattr(where, name), itertools.count(1)

        def killed(*arguments: object, **named: object) -> object:
            if next(calls) == nth:
                os._exit(9)
            return original(*arguments, **named)

        setattr(where, name, killed)
        parts.GROUP_ROWS = 1  # type: ignore[misc]
        open_.finish()
        os._exit(0)
    assert 9 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="ends a process at a chosen step")
@pytest.mark.parametrize(
    ("call", "nth", "left"),
    [
        (lambda: (parts, "table"), 2, ".parquet.tmp .parts"),
        (lambda: (os, "fsync"), 1, ".parquet.tmp .parts"),
        (lambda: (Path, "replace"), 1, ".parquet.tmp .parts"),
        (lambda: (files, "sync_folder"), 1, ".parquet .parts"),
        (lambda: (shutil, "rmtree"), 1, ".parquet .parts"),
        (lambda: (os, "unlink"), 2, ".parquet .parts"),
    ],
    ids=["merging", "before fsync", "before rename", "after rename", "before removal", "amid removal"],
)
def test_killed_while_merging(tmp_path: Path, call: Callable[[], tuple[object, str]], nth: int, left: str) -> None:
    """Killed at any step of the merge: nothing is torn, the next sweep loses no case and leaves no leftover."""
    variants = ("fp32", "fp16", "int8")
    started(tmp_path, None, *variants).close()
    merged_until(tmp_path, call, nth)
    name = "20260131T101502Z-3f9c2a"
    assert left.split() == sorted(entry.lstrip(".").removeprefix(name) for entry in entries(tmp_path))
    assert 3 == len(query.rows(tmp_path, all_runs=True))
    with Journal.open(tmp_path, run(id=LATER), resume=True) as again:
        if ".parquet" in left.split():
            assert LATER == again.run.id
        else:
            again.finish()
    assert [f"{name}.parquet"] == entries(tmp_path)
    expected = [to_row(run(), measured(case(variant=variant))) for variant in sorted(variants)]
    assert expected == samples.read(tmp_path / "samples" / f"{name}.parquet")


def test_killed_process_loses_nothing_finished(tmp_path: Path) -> None:
    """SIGKILL while measuring: the finished cases are there, and the run is taken up at once."""
    code = (
        "import sys, time; from pathlib import Path; from tests.test_store_journal import started;"
        "started(Path(sys.argv[1]), None, 'fp32'); print('ready', flush=True); time.sleep(600)"
    )
    root = Path(__file__).parent.parent
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, cwd=root)
    with child:
        assert child.stdout is not None
        assert b"ready\n" == child.stdout.readline()
        child.kill()
    with Journal.open(tmp_path, run(id=LATER), resume=True) as again:
        assert run() == again.run
        assert 1 == len(again.rows)


def test_damaged_part_is_measured_again(tmp_path: Path) -> None:
    """A part that somebody cut is reported and left out; measuring its case again fixes it."""
    started(tmp_path, None, "fp32", "fp16").close()
    part = next(journal.part_files(tmp_path / "samples" / "20260131T101502Z-3f9c2a.parts"))
    part.write_bytes(part.read_bytes()[:100])
    with Journal.open(tmp_path, run(id=LATER), resume=True) as again:
        assert 1 == len(again.rows)
        assert str(part) in again.problems[0]
        with pytest.raises(StoreError, match="damaged"):
            again.finish()
        for variant in ("fp32", "fp16"):
            again.append(measured(case(variant=variant)))
        assert 2 == len(samples.read(again.finish()))


@pytest.mark.parametrize("header", [b"{", b"[]", b'{"harness.schema": 99, "run": {}}', b'{"harness.schema": 1}'])
def test_unreadable_header_is_left_alone(tmp_path: Path, header: bytes) -> None:
    """A journal whose header is damaged or newer is neither resumed nor removed."""
    started(tmp_path, None, "fp32").close()
    folder = tmp_path / "samples" / "20260131T101502Z-3f9c2a.parts"
    (folder / "run.header").write_bytes(header)
    with Journal.open(tmp_path, run(id=LATER), resume=True) as other:
        assert LATER == other.run.id
    assert folder.exists()


def test_no_cases_no_trace(tmp_path: Path) -> None:
    """Interrupted before the first case, a run leaves nothing behind."""
    started(tmp_path).close()
    assert [] == entries(tmp_path)


def test_results_is_a_file(tmp_path: Path) -> None:
    """A results folder that cannot be is refused before anything is measured."""
    (tmp_path / "results").write_text("")
    with pytest.raises(StoreError, match="--results"):
        Journal.open(tmp_path / "results", run(), resume=True)


def test_many_sweeps_at_once(tmp_path: Path) -> None:
    """Several processes that open, append and finish in one folder lose nothing and mix nothing."""
    code = (
        "import sys; from pathlib import Path; from harness.store.journal import Journal; n = sys.argv[2];"
        "from tests.outcomes import case, measured, run;"
        "j = Journal.open(Path(sys.argv[1]), run(id=f'2026010{n}T000000Z-aaaaa{n}'), resume=True);"
        "[j.append(measured(case(variant=v))) for v in ('a', 'b', 'c')]; j.finish(); j.close()"
    )
    root = Path(__file__).parent.parent
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(n)], cwd=root, env={**os.environ})
        for n in range(1, 5)
    ]
    assert [0] * 4 == [child.wait() for child in children]
    rows = query.rows(tmp_path, all_runs=True)
    assert 12 == len(rows)
    assert 4 == len({row["run"] for row in rows})
    assert 4 == len(entries(tmp_path))


def test_a_folder_that_is_not_utf8_is_refused_first(tmp_path: Path) -> None:
    """Before anything is measured whose numbers could not be stored."""
    with pytest.raises(StoreError, match="is not UTF-8, as results need: choose another folder with --results"):
        Journal.open(tmp_path / "r\udc85", run(), resume=False)
    assert [] == list(tmp_path.iterdir())
