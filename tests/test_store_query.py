"""What is stored, across runs."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import shutil
from fnmatch import fnmatchcase
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.errors import NewerSchema, StoreError
from harness.records import Outcome, Run, Status
from harness.store import absent, by_model, frames, history, query, samples, stored_files
from harness.store.columns import COLUMNS
from harness.store.journal import Journal
from harness.store.rows import public, to_row
from harness.store.standing import standing
from tests import histories
from tests.outcomes import artifact, case, measured, refused, run
from tests.test_store_samples import foreign, newer

FIRST = run()
SECOND = run(id="20260201T000000Z-aaaaaa", started_at="2026-02-01T00:00:00+00:00", commit="f" * 40)


def store(results: Path, of: Run, *outcomes: Outcome, finish: bool = True) -> Path:
    """Store one run."""
    with Journal.open(results, of, resume=False) as journal:
        for outcome in outcomes:
            journal.append(outcome)
        return journal.finish() if finish else results


def test_newest_per_case(tmp_path: Path) -> None:
    """Each case comes from the newest run that has it, and --all gives every run's."""
    store(tmp_path, SECOND, measured(case(variant="fp32")))
    store(tmp_path, FIRST, measured(case(variant="fp32")), measured(case(variant="fp16")))
    found = [(row["variant"], row["run"]) for row in query.rows(tmp_path)]
    assert [("fp16", FIRST.id), ("fp32", SECOND.id)] == found
    assert 3 == len(query.rows(tmp_path, all_runs=True))


def test_rows_are_what_was_stored(tmp_path: Path) -> None:
    """A row comes back whole, mappings, nested records and nulls included."""
    store(tmp_path, FIRST, measured(), refused(case(variant="int4")))
    expected = [public(to_row(FIRST, o)) for o in (measured(), refused(case(variant="int4")))]
    assert expected == query.rows(tmp_path)


def test_success_after_failure(tmp_path: Path) -> None:
    """A case that failed, and was measured later with weights, is listed once: with its last outcome."""
    store(tmp_path, FIRST, refused())
    store(tmp_path, SECOND, measured(artifact=artifact(case(), weights="new")))
    (row,) = query.rows(tmp_path)
    assert ("measured", "new") == (row["status"], row["weights"]["digest"])


def test_numbers_stand_where_a_failure_follows(tmp_path: Path) -> None:
    """A sweep in a broken environment removes nothing: what was measured is shown, and the failure beside it."""
    store(tmp_path, FIRST, measured())
    store(tmp_path, SECOND, refused())
    (row,) = query.rows(tmp_path)
    assert ("measured", FIRST.id) == (row["status"], row["run"])
    when = SECOND.started_at[:16].replace("T", " ")
    assert f"failed since, in the run of {when}: {refused().reason}" == row["notes"][-1]
    assert 2 == len(query.rows(tmp_path, all_runs=True))


def test_what_is_skipped_now_is_no_failure(tmp_path: Path) -> None:
    """A recipe that makes no sense any more has no number, and the old one is not its."""
    store(tmp_path, FIRST, measured())
    store(tmp_path, SECOND, dataclasses.replace(refused(), status=Status.SKIPPED))
    assert ["skipped"] == [row["status"] for row in query.rows(tmp_path)]


def test_unfinished_runs_count(tmp_path: Path) -> None:
    """Finished cases of an interrupted run are seen."""
    store(tmp_path, FIRST, measured(), finish=False)
    assert ["digits_cnn/fp32/cpu-t1-b1"] == [row["case"] for row in query.rows(tmp_path)]


def test_copies_count_once(tmp_path: Path) -> None:
    """The same run copied under another name adds nothing."""
    path = store(tmp_path, FIRST, measured())
    shutil.copy(path, path.with_name("copy.parquet"))
    assert 1 == len(query.rows(tmp_path, all_runs=True))


def test_models_are_globs(tmp_path: Path) -> None:
    """Names and globs choose; what matches nothing gives nothing."""
    store(tmp_path, FIRST, measured(case("resnet50")), measured(case("digits_cnn")))
    assert ["resnet50"] == [row["model"] for row in query.rows(tmp_path, models=["res*"])]
    assert 2 == len(query.rows(tmp_path, models=["resnet50", "digits_cnn"]))
    assert [] == query.rows(tmp_path, models=["yolo*"])


def test_order_is_natural(tmp_path: Path) -> None:
    """Two threads come before ten."""
    store(tmp_path, FIRST, *(measured(case(intra_threads=n)) for n in (10, 2, 1)))
    assert [1, 2, 10] == [row["intra_threads"] for row in query.rows(tmp_path)]


def test_missing_folder_holds_nothing(tmp_path: Path) -> None:
    """No results yet is not an error."""
    assert query.Query(rows=()) == query.query(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["res[1]", "what*", "wha?", "a=b", "a'b", "100%"])
def test_odd_folder_names(tmp_path: Path, name: str) -> None:
    """A folder's name is a name, never a pattern that takes in its neighbours, and never a column."""
    for neighbour in ("res1", "what-else", "what"):
        store(tmp_path / neighbour, FIRST, measured(case("another")))
    store(tmp_path / name, FIRST, measured())
    assert ["digits_cnn"] == [row["model"] for row in query.rows(tmp_path / name)]


def test_newer_file(tmp_path: Path) -> None:
    """A newer harness's file is refused; the lenient reading shows the rest and says which was left out."""
    path = newer(store(tmp_path, SECOND, measured(case("resnet50"))))
    store(tmp_path, FIRST, measured())
    with pytest.raises(NewerSchema, match=rf"{path.name} has schema version 99"):
        query.rows(tmp_path)
    found = query.query(tmp_path)
    assert ["digits_cnn"] == [row["model"] for row in found.rows]
    assert [NewerSchema] == [type(problem) for problem in found.problems]


def test_foreign_and_cut_files(tmp_path: Path) -> None:
    """Somebody else's file and half a file are each named, and the rest is shown."""
    cut = store(tmp_path, SECOND, measured(case("resnet50")))
    cut.write_bytes(cut.read_bytes()[:-200])
    store(tmp_path, FIRST, measured())
    foreign(tmp_path / "samples" / "foreign.parquet")
    found = query.query(tmp_path)
    assert 1 == len(found.rows)
    assert [True, True] == [
        name in str(problem)
        for name, problem in zip(("2026", "foreign.parquet"), sorted(found.problems, key=str), strict=True)
    ]
    with pytest.raises(StoreError):
        query.rows(tmp_path)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("latency", "median_s"), 1e308),
        (("latency", "ci95_low_s"), 5e-324),
        (("pace", "low_s"), -1.0),
        (("session_s",), math.inf),
        (("fidelity", "centred_sqnr_db"), -1e6),
        (("fidelity", "cosine"), math.nan),
    ],
)
def test_numbers_that_no_measurement_gives(tmp_path: Path, place: tuple[str, ...], value: float) -> None:
    """Their ratios and powers overflow: the file is named with the column, by both ways of reading."""
    store(tmp_path, FIRST, measured())
    path = store(tmp_path, SECOND, measured(case("resnet50")))
    table = pq.read_table(path, partitioning=None)
    (row,) = table.to_pylist()
    if len(place) > 1:
        row[place[0]] = {**(row[place[0]] or {}), place[1]: value}
    else:
        row[place[0]] = value
    pq.write_table(pa.Table.from_pylist([row], schema=table.schema), path)
    found = query.query(tmp_path)
    assert ["digits_cnn"] == [one["model"] for one in found.rows]
    assert f"{'.'.join(place)} of a row is not a number that a measurement gives" in str(found.problems[0])
    with pytest.raises(StoreError, match="not a number that a measurement gives"):
        samples.read(path)


def test_damage_inside(tmp_path: Path) -> None:
    """A file whose end is intact but whose data is not is found and left out."""
    path = store(tmp_path, SECOND, *(measured(case("resnet50", f"v{n}")) for n in range(50)))
    content = bytearray(path.read_bytes())
    data = len(content) - 8 - int.from_bytes(content[-8:-4], "little")  # up to the footer
    content[4:data] = bytes(data - 4)
    path.write_bytes(bytes(content))
    store(tmp_path, FIRST, measured())
    found = query.query(tmp_path)
    assert ["digits_cnn"] == [row["model"] for row in found.rows]
    assert path.name in str(found.problems[0])


def test_run_finishes_while_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that vanish between listing and reading are found again in the run's one file."""
    journal = Journal.open(tmp_path, FIRST, resume=False)
    journal.append(measured())
    listed = stored_files.sample_files(tmp_path)
    journal.finish()
    journal.close()
    answers = [listed]
    real = stored_files.sample_files
    monkeypatch.setattr(stored_files, "sample_files", lambda results: answers.pop() if answers else real(results))
    found = query.query(tmp_path)
    assert (1, ()) == (len(found.rows), found.problems)


def test_frame(tmp_path: Path) -> None:
    """Tables are flat, whole numbers stay whole beside absent ones, mappings are JSON."""
    store(tmp_path, FIRST, measured(), refused(case(variant="int4")))
    table = frames.frame(query.rows(tmp_path))
    assert 123_456 == table["artifact_bytes"][0]
    assert "Int64" == str(table["artifact_bytes"].dtype)
    assert table["artifact_bytes"].isna()[1]
    assert {"CPUExecutionProvider": 1.0} == json.loads(table["placement"][0])
    assert 0.001 == table["latency_median_s"][0]
    assert "processes" not in table.columns


def test_empty_frame_has_its_columns() -> None:
    """No rows still give a header."""
    table = frames.frame([])
    assert (0, True) == (len(table), "latency_median_s" in table.columns)


def test_parts_of_whole_models_are_the_same_rows(tmp_path: Path) -> None:
    """However few rows are read at a time, they come in the order that all of them have."""
    for place in (1, 2):
        of = histories.sweep_of(str(place) * 40, place)
        cases = [case(f"m{name}", variant) for name in (10, 2, 1) for variant in ("int8", "fp32")]
        histories.store(tmp_path, of, *map(measured, cases), asv_too=False)
    for all_runs in (False, True):
        found = by_model.stored(tmp_path, all_runs=all_runs, columns=query.LIGHT, most=5)
        parts = [part for part, _ in found.rows()]
        assert ([("m1",), ("m2",), ("m10",)] if all_runs else [("m1", "m2"), ("m10",)]) == list(found.parts)
        assert list(query.query(tmp_path, all_runs=all_runs).rows) == [row for part in parts for row in part]
    assert not found.problems
    reading = found.rows()
    assert next(reading)[0] == parts[0]
    for path in stored_files.sample_files(tmp_path):  # as a run that finishes replaces its parts
        path.rename(path.with_name(f"x{path.name}"))
    assert parts[1:] == [part for part, _ in reading]


def test_the_newest_rows_are_those_of_all_runs(tmp_path: Path) -> None:
    """Whole rows are read of the files that hold the newest alone: what comes out is what all rows say."""
    chance = random.Random(3)
    cases = [case(f"m{model}", variant) for model in range(3) for variant in ("fp32", "int8", "int4")]
    for place in range(8):
        some = chance.sample(cases, chance.randint(1, 6))
        found = [refused(one) if chance.random() < 0.3 else measured(one) for one in some]
        histories.store(tmp_path, histories.sweep_of(str(place) * 40, place), *found, asv_too=False)
    newest_first = query.query(tmp_path, all_runs=True).rows
    expected = sorted(standing(newest_first), key=lambda row: query.natural(row["case"]))
    assert expected == list(query.query(tmp_path).rows)
    assert [row for row in expected if row["model"] == "m1"] == list(query.query(tmp_path, models=["m1"]).rows)
    whole = history.history(tmp_path, repo=None).series
    for wanted in ("m1/*", "m2/int8/*", "*/fp32/*", "none*"):
        asked = history.history(tmp_path, repo=None, cases=[wanted]).series
        assert [one for one in whole if fnmatchcase(one.case, wanted)] == list(asked)


@pytest.mark.parametrize("lacking", [(), ("run95_low_s", "run95_high_s")])
def test_many_rows_are_read_as_one_is(lacking: tuple[str, ...]) -> None:
    """Whether all structs of a column are whole or none is, and whichever rows have one at all."""
    names = ("case", "latency", "budget", "choice", "measured_by")
    latency = {name: 1.0 for name in COLUMNS["latency"] if name not in lacking}
    batch = [
        ("a", None, {"accuracy_drop": 0.1}, None, None),
        ("b", latency, None, '{"best": "b"}', None),
        ("c", None, None, "not JSON", None),
        ("d", latency, {"accuracy_drop": 0.2}, None, None),
    ]
    assert [absent.reader(names)(values) for values in batch] == absent.rows(names, batch)
    assert [] == absent.rows(names, [])


def test_names_sort_as_people_count() -> None:
    """Digits of any length and alphabet are numbers; a name's other parts are text."""
    names = ["t10", "t2", "t٣", "t", "2", "t2a", "t" + "9" * 40, "t²", ""]
    assert ["", "2", "t", "t2", "t2a", "t٣", "t10", "t" + "9" * 40, "t²"] == sorted(names, key=query.natural)
