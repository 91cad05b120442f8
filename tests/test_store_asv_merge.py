"""One set of asv's results on top of another."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest

from harness.errors import NewerSchema
from harness.store.asv import merge
from harness.store.asv.files import Columns, ResultFile
from harness.store.asv.merge import Touched

NAME = "sweep.track_latency"
HEADER = {"params": {"machine": "m", "host": "a", "python": "3.11"}, "durations": {"<build>": 1.0}}


def columns(values: dict[str, float | None], **more: Any) -> Columns:
    """One benchmark with one axis, whose samples are the values."""
    result: Columns = {"params": [list(values)], "version": "1", "result": list(values.values())}
    result["samples"] = [None if value is None else [value] for value in values.values()]
    return result | more


def stored(values: dict[str, float | None], **more: Any) -> ResultFile:
    """A result file of one benchmark."""
    return ResultFile(path=Path("x.json"), header=HEADER, benchmarks={NAME: columns(values, **more)})


def merge_values(old: ResultFile | None, new: Columns, touched: Touched) -> dict[str, float | None]:
    """Parameters -> value after merging."""
    _, found = merge.after_run(old, HEADER, {NAME: new}, {NAME: touched})
    points = [point[0] for point in itertools.product(*found[NAME]["params"])]
    return dict(zip(points, found[NAME].get("result", [None] * len(points)), strict=True))


def tried(*points: str) -> Touched:
    """Combinations that were measured."""
    return Touched(tried={(point,) for point in points})


def test_what_others_wrote_meanwhile_stays() -> None:
    """Only combinations that this run measured are replaced, although it holds older values of others."""
    old = stored({"a": 1.0, "b": 2.0, "c": 3.0})
    assert {"a": 1.0, "b": 9.0, "c": 3.0} == merge_values(old, columns({"a": 0.5, "b": 9.0}), tried("b"))


def test_what_nobody_asked_for_is_left_out_or_not_applicable() -> None:
    """The axes hold what was asked for; a gap in their grid is n/a, never failed."""
    assert {"b": 9.0} == merge_values(None, columns({"a": math.nan, "b": 9.0}), tried("b"))
    new = {"params": [["a", "b"], ["1", "2"]], "version": "1", "result": [1.0, None, None, 4.0]}
    touched = Touched(tried={("a", "1"), ("b", "2")})
    _, found = merge.after_run(None, HEADER, {NAME: new}, {NAME: touched})
    result = found[NAME]["result"]
    assert [1.0, 4.0] == [result[0], result[3]]
    assert math.isnan(result[1])
    assert math.isnan(result[2])


def test_samples_go_with_their_values() -> None:
    """A column that is absent on one side is filled up with nulls."""
    _, found = merge.after_run(
        stored({"a": 1.0}, samples=[[1.0, 1.5]]), HEADER, {NAME: columns({"b": 2.0})}, {NAME: tried("b")}
    )
    assert [[1.0, 1.5], [2.0]] == found[NAME]["samples"]


def test_a_failure_never_replaces_a_number() -> None:
    """Of a commit that could not be built, or of a case that was tried; a case without a value becomes failed."""
    failed = columns({"a": None, "b": None})
    assert {"a": 1.0, "b": None} == merge_values(stored({"a": 1.0}), failed, Touched(untried={("a",), ("b",)}))
    assert {"a": 1.0, "b": None} == merge_values(stored({"a": 1.0, "b": math.nan}), failed, tried("a", "b"))
    assert {"a": 2.0} == merge_values(stored({"a": None}), columns({"a": 2.0}), tried("a"))


def test_a_combination_that_was_tried_once_counts_as_tried() -> None:
    """In whatever order the two are reported."""
    touched = tried("a")
    touched.add({("a",), ("b",)}, tried=False)
    assert ({("a",)}, {("b",)}) == (touched.tried, touched.untried)
    touched.add({("b",)}, tried=True)
    assert set() == touched.untried


def test_another_version_of_a_benchmark_is_replaced_whole() -> None:
    """Numbers of two meanings never stand side by side."""
    assert {"b": 2.0} == merge_values(stored({"a": 1.0}, version="0"), columns({"b": 2.0}), tried("b"))


def test_other_benchmarks_and_build_times_stay() -> None:
    """A benchmark that the run has nothing of is untouched."""
    old = stored({"a": 1.0})
    header, found = merge.after_run(old, {**HEADER, "durations": {"<x>": 2.0}}, {}, {})
    assert old.benchmarks == found
    assert {"<build>": 1.0, "<x>": 2.0} == header["durations"]


def test_series_differ_in_any_dimension_that_both_name() -> None:
    """A file of another host, runtime or weights is another series; one that names none may be any."""
    assert merge.same_series(HEADER, {"params": {"host": "a", "weights": "seeded"}})
    assert not merge.same_series(HEADER, {"params": {"host": "b"}})


def test_the_list_of_benchmarks_keeps_every_parameter_of_the_sweep() -> None:
    """Natural order; other suites' benchmarks are asv's business and go when asv no longer finds them."""
    entry = {"param_names": ["threads"], "version": "1"}
    old = {NAME: {**entry, "params": [["1", "10"]]}, "other.time_x": {}}
    found = merge.benchmarks(Path("b.json"), old, {NAME: {**entry, "params": [["2"]]}, "new.time_y": {}})
    assert {NAME, "new.time_y"} == set(found)
    assert [["1", "2", "10"]] == found[NAME]["params"]
    assert {NAME} == set(merge.benchmarks(Path("b.json"), {NAME: old[NAME]}, {}))


def test_a_newer_list_of_benchmarks_is_refused() -> None:
    """An older harness does not write over what it does not understand."""
    entry: dict[str, Any] = {"param_names": [], "params": []}
    with pytest.raises(NewerSchema, match="version 2; this harness writes version 1"):
        merge.benchmarks(Path("b.json"), {NAME: {**entry, "version": "2"}}, {NAME: {**entry, "version": "1"}})
