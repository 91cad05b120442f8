"""`harness compare` as it is typed."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from harness.cli import compare
from tests import report_stores
from tests.conftest import here
from tests.report_stores import matrix, measured, run

OTHER = {"versions": {"onnxruntime": "1.10.0"}, "fingerprint": "feedfeedfeed", "host": {"name": "laptop"}}
OLD, NEW, ELSEWHERE = "20260101T100000Z-000000", "20260102T100000Z-000001", "20260105T100000Z-000004"
LEVELS = {OLD: 5.0, NEW: 6.0, ELSEWHERE: 9.0}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs of one host, int8 slower in the second, and one of another host and runtime."""
    folder = tmp_path_factory.mktemp("compare")
    runs = (run(0, host={"name": "bench"}), run(1, host={"name": "bench"}), run(4, **OTHER))
    for of in runs:
        found = [measured(case, LEVELS[of.id] if "int8" in case.id else 5.0) for case in matrix()]
        report_stores.write(folder / "results", of, found)
    return folder


def printed(folder: Path, *arguments: str, columns: int = 200, code: int = 0) -> str:
    """Standard output of a run that went well, else standard error."""
    found, out, err = here(folder, {"COLUMNS": str(columns)}, "compare", *arguments)
    assert code == found, (out, err)
    return err if code else out


def test_two_runs(stored: Path) -> None:
    """Slower cases first, with change and interval; what is the same everywhere is one line; the counts come last."""
    lines = printed(stored, OLD, NEW).splitlines()
    rows = [line for line in lines if line.startswith("digits_cnn/")]
    assert rows[0].startswith("digits_cnn/int8-static/cpu-t1-b1")
    assert "+20.0% [+16.9%, +23.2%]" in rows[0]
    assert "slower" in rows[0]
    assert "not told apart" in rows[2]
    assert any(line.startswith("the same in every case: accuracy, fidelity, size") for line in lines)
    assert "2 slower, 0 faster, 2 not told apart" == lines[-1]


def test_the_list(stored: Path) -> None:
    """Without names, everything that can be named, in every format."""
    kinds = [line.split()[0] for line in printed(stored).splitlines()[1:-1]]
    assert ["run"] * 3 + ["commit"] * 3 + ["runtime"] * 2 + ["host"] * 2 == kinds
    listed = json.loads(printed(stored, "--format", "json"))
    assert {"kind": "runtime", "name": "onnxruntime==1.10.0"}.items() <= listed[-3].items() | listed[-4].items()
    rows = list(csv.DictReader(io.StringIO(printed(stored, "--format", "csv"))))
    assert [one["name"] for one in listed] == [row["name"] for row in rows]
    assert "| run | 20260105T100000Z-000004 |" in printed(stored, "--format", "markdown")


def test_one_name_is_set_against_the_newest(stored: Path) -> None:
    """Of a run the newest of its own host; the newest itself has nothing to be set against."""
    found = json.loads(printed(stored, OLD, "--format", "json"))
    assert (OLD, NEW) == (found["before"]["key"], found["after"]["key"])
    assert "that is the newest run" in printed(stored, NEW, code=2)


def test_programs_get_the_same_numbers(stored: Path) -> None:
    """JSON and CSV hold what the table shows, unrounded, with both sides."""
    found = json.loads(printed(stored, "00000000", "00000001", "--variants", "int8*", "--format", "json"))
    assert {"slower": 2, "faster": 0, "same": 0, "unjudged": 0, "worse": 0} == found["counts"]
    rows = list(csv.DictReader(io.StringIO(printed(stored, "bench", "laptop", "--format", "csv"))))
    assert [1.5, 1.5, 1.0, 1.0] == [round(float(row["ratio"]), 9) for row in rows]
    assert {("0123456789ab", "feedfeedfeed")} == {(row["host_before"], row["host"]) for row in rows}
    assert {"model_memory_bytes", "accuracy_before", "runtime", "confidence"} <= rows[0].keys()
    text = printed(stored, OLD, NEW, "--format", "markdown")
    assert text.startswith("2 slower, 0 faster, 2 not told apart\n\n| case | change")


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_a_narrow_terminal_keeps_intervals_whole(stored: Path, width: int) -> None:
    """What matters least is left out and named; interval and verdict stay, and only a case's name is cut."""
    lines = printed(stored, OLD, NEW, columns=width).splitlines()
    first = lines[3]
    assert "+20.0% [+16.9%, +23.2%]" in first
    assert "slower" in first
    assert width < 60 or len(first) <= width
    assert any("no room for" in line for line in lines)


def test_runtimes_of_one_package_leave_room_for_the_case() -> None:
    """Versions alone where one package is meant; the whole name where several are."""
    rows = [["a", "onnxruntime 1.30.0"], ["b", "onnxruntime 1.31.1"]]
    assert ([["a", "1.30.0"], ["b", "1.31.1"]], "onnxruntime") == compare.short_runtimes(rows, ["case", "runtime"])
    several = [*rows, ["c", "onnxruntime-gpu 1.31.1"]]
    assert (several, "") == compare.short_runtimes(several, ["case", "runtime"])


def test_names_that_fit_nothing(stored: Path, tmp_path: Path) -> None:
    """Exit code 2 and what would do."""
    assert "`harness compare` lists them all" in printed(stored, "nothing", NEW, code=2)
    assert "did you mean 'fp32'" in printed(stored, OLD, NEW, "--variants", "int8*,fp33", code=2)
    assert "both are run" in printed(stored, OLD, OLD, code=2)
    assert "table, csv, json, markdown" in printed(stored, "--format", "xml", code=2)
    assert "make some with: harness sweep" in printed(tmp_path, "a", "b", code=2)
    assert "nothing to compare under results" in printed(tmp_path)
    assert [] == json.loads(printed(tmp_path, "--format", "json"))


def test_nothing_in_common(stored: Path, tmp_path: Path) -> None:
    """Sides without a case of the same weights are told apart from sides that did not change."""
    report_stores.write(tmp_path / "results", run(0), [measured(case, 5.0) for case in matrix()])
    report_stores.write(tmp_path / "results", run(1), [measured(case, 5.0) for case in matrix("resnet18")])
    said = printed(tmp_path, OLD, NEW, code=2)
    assert "no case with numbers of the same weights in common" in said
    assert "8 cases have no numbers on both sides" in said
