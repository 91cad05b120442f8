"""asv's files as JSON, there and back."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from harness.errors import NewerSchema, StoreError
from harness.store.asv import files as asv_files
from tests.histories import asv_file

COMMIT = "a" * 40
AXES = (("'m'",), ("'a'", "'b'"), ("'cpu'",), ("1",), ("1",))


def test_there_and_back(tmp_path: Path) -> None:
    """NaN, null, keys and columns that nobody knows: all of it is written as it was read."""
    path = asv_file(tmp_path, COMMIT, [math.nan, None], axes=AXES, unknown={"x": 1})
    content = json.loads(path.read_text())
    content["result_columns"].append("later")
    content["results"]["sweep.track_latency"] += [None] * (13 - len(content["results"]["sweep.track_latency"])) + [
        "new"
    ]
    path.write_text(json.dumps(content))
    found = asv_files.read(path)
    again = json.loads(asv_files.encode(found.header, found.benchmarks))
    assert {"x": 1} == again["unknown"]
    assert "new" == again["results"]["sweep.track_latency"][-1]
    path.write_bytes(asv_files.encode(found.header, found.benchmarks))
    assert repr(found) == repr(asv_files.read(path))


def test_asv_reads_what_is_written(tmp_path: Path) -> None:
    """Its own class takes the file and finds the values."""
    from asv.results import Results

    path = asv_file(tmp_path, COMMIT, [1.0, None], axes=AXES)
    results = Results.load(str(path))
    assert [1.0, None] == results.get_result_value("sweep.track_latency", [list(axis) for axis in AXES])


def test_trimmed_ends_are_nothing(tmp_path: Path) -> None:
    """A column that was trimmed has no entry anywhere."""
    (columns,) = asv_files.read(asv_file(tmp_path, COMMIT, [1.0, 2.0], axes=AXES)).benchmarks.values()
    assert [1.0, 2.0] == [asv_files.at(columns, "result", place) for place, _ in asv_files.points(columns)]
    assert asv_files.at(columns, "samples", 1) is None


def broken_by(**changes: Any) -> Any:
    """A way to break a file: keys replaced, or removed where the value is None."""

    def change(content: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in (content | changes).items() if value is not None}

    return change


@pytest.mark.parametrize(
    "change",
    [
        broken_by(results=None), broken_by(commit_hash=None), broken_by(params=[]), broken_by(version="x"),
        broken_by(results={"x": [[1.0, 2.0], [["1"]], "1"]}), broken_by(results={"x": [[1.0], [1], "1"]}),
        broken_by(results={"x": 5}), lambda _: [], lambda _: {},
    ],
)  # fmt: skip
def test_damage_is_named(tmp_path: Path, change: Any) -> None:
    """Whatever is wrong in a file, the error names it."""
    path = asv_file(tmp_path, COMMIT, [1.0, 2.0], axes=AXES)
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(StoreError, match=path.name):
        asv_files.read(path)


def test_other_versions(tmp_path: Path) -> None:
    """A newer asv's file is refused as such; an older one's says what to run."""
    path = asv_file(tmp_path, COMMIT, [1.0, 2.0], axes=AXES)
    for version, kind, said in ((3, NewerSchema, "update"), (1, StoreError, "asv update")):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"version": version}))
        with pytest.raises(kind, match=said):
            asv_files.read(path)


def test_what_is_no_result_file(tmp_path: Path) -> None:
    """Descriptions of machines, hidden files, benchmarks.json and what others keep beside them are none."""
    path = asv_file(tmp_path, COMMIT, [1.0, 2.0], axes=AXES)
    (tmp_path / "gates").mkdir()
    (tmp_path / "gates" / "20260131T101502Z-3f9c2a.json").write_text("{}")
    (path.parent / ".x.json").write_text("")
    (tmp_path / "benchmarks.json").write_text("")
    assert [path] == asv_files.result_paths(tmp_path)
