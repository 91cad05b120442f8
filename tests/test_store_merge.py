"""Results of two places in one: nothing lost, nothing replaced, nothing twice."""

from __future__ import annotations

import json
import math
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StoreError
from harness.store import samples
from harness.store.asv import files as asv_files
from harness.store.asv.merge import Merged, merge
from harness.store.history import history
from harness.store.imports import recognize
from tests.histories import asv_file, snapshot, store, sweep_of
from tests.outcomes import case, measured, refused

MODEL = ("'m'",)
REST = (("'cpu'",), ("1",), ("1",))


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home folder without a machine file."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))


def grid(*variants: str) -> tuple[tuple[str, ...], ...]:
    """Axes of one model with these variants."""
    return (MODEL, tuple(repr(variant) for variant in variants), *REST)


def bring(here: Path, *there: Path, dry_run: bool = False) -> Merged:
    """Import one source after the other, and return what became of the last."""
    return merge(here, [recognize.read(source) for source in there], dry_run=dry_run)[-1]


def values(results: Path) -> dict[str, list[float | None]]:
    """Case -> its latencies in order."""
    return {
        series.case: [point.value for point in series.points]
        for series in history(results, repo=None, metrics=["latency"]).series
    }


def test_another_clone_twice(tmp_path: Path) -> None:
    """All of it arrives: asv's files, benchmarks.json, samples. Doing it again changes no byte."""
    here, there = tmp_path / "here", tmp_path / "there"
    store(here, sweep_of("a" * 40, 0), measured())
    store(there, sweep_of("b" * 40, 1), measured(), measured(case("other")))
    done = bring(here, there)
    assert (16, 0, 1, []) == (done.added, done.same, done.runs, done.conflicts)
    after = snapshot(here)
    assert {"digits_cnn/fp32/cpu-t1-b1": [0.001, 0.001], "other/fp32/cpu-t1-b1": [0.001]} == values(here)
    again = bring(here, there)
    assert (0, 16, 0, []) == (again.added, again.same, again.runs, again.conflicts)
    assert after == snapshot(here)


def test_into_nothing_and_dry(tmp_path: Path) -> None:
    """A dry run says the same and makes not even a folder."""
    there = tmp_path / "there"
    store(there, sweep_of("b" * 40), measured())
    dry = bring(tmp_path / "here", there, dry_run=True)
    assert not (tmp_path / "here").exists()
    done = bring(tmp_path / "here", there)
    assert (dry.added, dry.runs) == (done.added, done.runs) == (8, 1)
    assert values(there) == values(tmp_path / "here")


def test_grids_grow_together(tmp_path: Path) -> None:
    """Cases that only one side has all stay, n/a where neither has one; failures are values."""
    asv_file(tmp_path / "here", "a" * 40, [1.0, math.nan], axes=grid("a", "b"))
    asv_file(tmp_path / "there", "a" * 40, [2.0, None, math.nan], axes=grid("b", "c", "d"))
    assert 2 == bring(tmp_path / "here", tmp_path / "there").added
    assert {"m/a/cpu-t1-b1": [1.0], "m/b/cpu-t1-b1": [2.0], "m/c/cpu-t1-b1": [None]} == values(tmp_path / "here")
    (columns,) = asv_files.read(next((tmp_path / "here" / "vm").glob("a*.json"))).benchmarks.values()
    assert grid("a", "b", "c", "d") == tuple(tuple(axis) for axis in columns["params"])


def test_a_number_takes_the_place_of_a_failure(tmp_path: Path) -> None:
    """Here it failed, elsewhere it was measured: in whatever order the two are brought together, the number stands."""
    here, there = tmp_path / "here", tmp_path / "there"
    asv_file(here, "a" * 40, [None, 5.0], axes=grid("a", "b"))
    asv_file(there, "a" * 40, [2.0, 5.0], axes=grid("a", "b"))
    assert (1, 1, []) == ((done := bring(here, there)).added, done.same, done.conflicts)
    assert [2.0] == values(here)["m/a/cpu-t1-b1"]
    assert 0 == bring(here, there).added


@pytest.mark.parametrize(("ours", "theirs"), [(1.0, 2.0), (1.0, None)])
def test_conflicts_stay_as_they_are_here(tmp_path: Path, ours: float | None, theirs: float | None) -> None:
    """The other value is reported and kept in a file that can be imported elsewhere, and asv does not see."""
    here, there = tmp_path / "here", tmp_path / "there"
    asv_file(here, "a" * 40, [ours, 5.0], axes=grid("a", "b"))
    asv_file(there, "a" * 40, [theirs, 5.0, 7.0], axes=grid("a", "b", "c"))
    done = bring(here, there)
    assert (1, 1) == (done.added, done.same)
    (conflict,) = done.conflicts
    assert (ours, theirs) == (conflict.kept, conflict.other)
    assert [ours] == values(here)["m/a/cpu-t1-b1"]
    assert ".json" != conflict.aside.suffix
    after = snapshot(here)
    assert [conflict] == bring(here, there).conflicts
    assert after == snapshot(here)
    bring(tmp_path / "elsewhere", conflict.aside)
    assert {"m/a/cpu-t1-b1": [theirs]} == values(tmp_path / "elsewhere")


def test_a_benchmark_of_another_version_is_set_aside(tmp_path: Path) -> None:
    """Numbers of two meanings are never put into one grid."""
    here, there = tmp_path / "here", tmp_path / "there"
    asv_file(here, "a" * 40, [1.0], axes=grid("a"))
    path = asv_file(there, "a" * 40, [2.0], axes=grid("b"))
    found = asv_files.read(path)
    columns = {**found.benchmarks["sweep.track_latency"], "version": "0"}
    path.write_bytes(asv_files.encode(found.header, {"sweep.track_latency": columns}))
    done = bring(here, there)
    assert [("2", "0")] == [(conflict.kept, conflict.other) for conflict in done.conflicts]
    assert {"m/a/cpu-t1-b1": [1.0]} == values(here)


def test_two_machines_stay_apart(tmp_path: Path) -> None:
    """Each keeps its folder."""
    asv_file(tmp_path / "here", "a" * 40, [1.0], machine="one")
    asv_file(tmp_path / "there", "a" * 40, [2.0], machine="two")
    bring(tmp_path / "here", tmp_path / "there")
    assert ["one", "two"] == sorted(path.parent.name for path in (tmp_path / "here").glob("*/machine.json"))
    assert ["one", "two"] == [series.host for series in history(tmp_path / "here", repo=None).series]


def test_another_machine_of_the_same_name(tmp_path: Path) -> None:
    """Two containers may both be called vm: the second one gets a name of its own, the same one every time."""
    here, there = tmp_path / "here", tmp_path / "there"
    asv_file(here, "a" * 40, [1.0])
    other = asv_file(there, "a" * 40, [2.0], params={"cpu": "Another CPU"})
    described = json.loads((other.parent / "machine.json").read_text()) | {"cpu": "Another CPU"}
    (other.parent / "machine.json").write_text(json.dumps(described))
    done = bring(here, there)
    assert [] == done.conflicts
    new = done.renamed["vm"]
    assert {"vm": 1.0, new: 2.0} == {series.host: series.points[0].value for series in history(here, repo=None).series}
    assert new == json.loads((here / new / "machine.json").read_text())["machine"]
    after = snapshot(here)
    bring(here, there)
    assert after == snapshot(here)


@pytest.mark.parametrize("side", ["here", "there"])
def test_a_missing_machine_file_is_made_again(tmp_path: Path, side: str) -> None:
    """Without it asv skips every result of the machine; the results say what was in it."""
    for name, of in (("here", "a"), ("there", "b")):
        path = asv_file(tmp_path / name, of * 40, [1.0])
        if name == side:
            (path.parent / "machine.json").unlink()
    assert [] == bring(tmp_path / "here", tmp_path / "there").problems
    assert "A CPU" == json.loads((tmp_path / "here" / "vm" / "machine.json").read_text())["cpu"]


def test_a_machine_without_a_file_is_still_told_apart(tmp_path: Path) -> None:
    """What its results say about it counts."""
    (asv_file(tmp_path / "here", "a" * 40, [1.0]).parent / "machine.json").unlink()
    (asv_file(tmp_path / "there", "b" * 40, [2.0], params={"cpu": "Another CPU"}).parent / "machine.json").unlink()
    assert ["vm"] == list(bring(tmp_path / "here", tmp_path / "there").renamed)
    assert "A CPU" == json.loads((tmp_path / "here" / "vm" / "machine.json").read_text())["cpu"]


def test_places_that_do_not_apply_are_nothing_new(tmp_path: Path) -> None:
    """A wider grid without a value more changes no byte."""
    asv_file(tmp_path / "here", "a" * 40, [1.0], axes=grid("a"))
    asv_file(tmp_path / "there", "a" * 40, [1.0, math.nan], axes=grid("a", "b"))
    before = snapshot(tmp_path / "here")
    assert 1 == bring(tmp_path / "here", tmp_path / "there").same
    assert before == snapshot(tmp_path / "here")


def test_damage_costs_itself_alone(tmp_path: Path) -> None:
    """Every broken file of the source is named, and everything else arrives."""
    here, there = tmp_path / "here", tmp_path / "there"
    store(there, sweep_of("a" * 40, 0), measured())
    store(there, sweep_of("b" * 40, 1), measured())
    cut = [
        next(there.glob("*/aaaaaaaa-*.json")),
        there / "samples" / f"{sweep_of('a' * 40, 0).id}.parquet",
        there / "benchmarks.json",
    ]
    for path in cut:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    done = bring(here, there)
    assert sorted(path.name for path in cut) == sorted(
        next(path.name for path in cut if str(path) in str(problem)) for problem in done.problems
    )
    assert (8, 1) == (done.added, done.runs)


def test_damage_here_is_never_overwritten(tmp_path: Path) -> None:
    """A stored file that cannot be read stays as it is, and so does benchmarks.json: then nothing is written."""
    here, there = tmp_path / "here", tmp_path / "there"
    asv_file(there, "b" * 40, [1.0])
    path = asv_file(there, "a" * 40, [1.0])
    (here / "vm").mkdir(parents=True)
    (here / "vm" / path.name).write_text("{")
    done = bring(here, there)
    assert [True] == [path.name in str(problem) for problem in done.problems]
    assert ("{", 1) == ((here / "vm" / path.name).read_text(), done.added)
    (here / "benchmarks.json").write_text("{")
    before = snapshot(here)
    with pytest.raises(StoreError, match=r"benchmarks\.json"):
        bring(here, there)
    assert before == snapshot(here)


def test_samples_that_differ_are_both_kept(tmp_path: Path) -> None:
    """Two files of one run that say different things: ours counts, theirs lies in conflicts."""
    here, there = tmp_path / "here", tmp_path / "there"
    store(here, sweep_of("a" * 40), measured(), asv_too=False)
    store(there, sweep_of("a" * 40), measured(medians_ns=(2_000_000,) * 3), asv_too=False)
    done = bring(here, there)
    assert [(0.001, 0.002)] == [(conflict.kept, conflict.other) for conflict in done.conflicts]
    assert {"digits_cnn/fp32/cpu-t1-b1": [0.001]} == values(here)
    aside = done.conflicts[0].aside
    assert next((there / "samples").iterdir()).read_bytes() == aside.read_bytes()


def test_a_run_is_read_a_few_rows_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many it has, and whether it is new here, the same, or another."""
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    most = 0

    class Counted(dict[str, Any]):
        __hash__ = object.__hash__  # type: ignore[assignment]  # a row is itself, whatever it says

    def stream(path: Path) -> Iterator[Any]:
        nonlocal most
        for row in plain(path):
            counted = Counted(row)
            alive.add(counted)
            most = max(most, len(alive))
            yield counted

    plain = samples.stream
    monkeypatch.setattr(samples, "stream", stream)
    cases = [measured(case(f"m{place}")) for place in range(20)]
    others = [measured(case(f"m{place}"), medians_ns=(2_000_000,) * 3) for place in range(5)]
    for place, found in (("there", cases), ("other", [*cases[5:], *others])):
        store(tmp_path / place, sweep_of("a" * 40), *found, asv_too=False)
    assert 1 == bring(tmp_path / "here", tmp_path / "there").runs
    assert 1 <= most <= 3
    assert 5 == len(bring(tmp_path / "here", tmp_path / "other").conflicts)
    assert 1 <= most <= 5
    assert [] == bring(tmp_path / "other", tmp_path / "other").conflicts


def test_a_few_short_lists_are_no_bomb(tmp_path: Path) -> None:
    """What they can be combined to is neither read nor made."""
    here, there = tmp_path / "here", tmp_path / "there"
    wide = [[str(value) for value in range(1000)]] * 5
    path = asv_file(there, "b" * 40, [None], axes=wide)
    with pytest.raises(
        StoreError, match=r"sweep.track_latency has 1e\+15 combinations of parameters; at most 4,000,000"
    ):
        asv_files.read(path)
    assert 1 == len(bring(here, there).problems)
    path.unlink()
    names = [f"'{value}'" for value in range(3000)]
    asv_file(here, "a" * 40, [1.0] * 3000, axes=(names, ("'a'",), *REST))
    asv_file(there, "a" * 40, [2.0] * 3000, axes=(("'0'",), names, *REST))
    done = bring(here, there)
    assert ["(9,003,000 combinations together, too many)"] == [one.what.partition(" ")[2] for one in done.conflicts]
    assert 3000 == len(values(here))
    assert done.conflicts[0].aside.is_file()


def test_dirty_runs_are_brought(tmp_path: Path) -> None:
    """They are in the samples only."""
    store(tmp_path / "there", sweep_of("a" * 40, dirty=True), measured(), refused(case("x")))
    bring(tmp_path / "here", tmp_path / "there")
    assert history(tmp_path / "there", repo=None).series == history(tmp_path / "here", repo=None).series


def test_two_sources_at_once(tmp_path: Path) -> None:
    """Both add to one file; where they differ the first one counts."""
    asv_file(tmp_path / "one", "a" * 40, [1.0, 5.0], axes=grid("a", "b"))
    asv_file(tmp_path / "two", "a" * 40, [2.0, 6.0], axes=grid("a", "c"))
    done = bring(tmp_path / "here", tmp_path / "one", tmp_path / "two")
    assert [(1.0, 2.0)] == [(conflict.kept, conflict.other) for conflict in done.conflicts]
    assert {"m/a/cpu-t1-b1": [1.0], "m/b/cpu-t1-b1": [5.0], "m/c/cpu-t1-b1": [6.0]} == values(tmp_path / "here")


def test_names_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    """A file from elsewhere decides nothing about where is written."""
    path = asv_file(tmp_path / "there", "a" * 40, [1.0])

    def write(**changes: Any) -> None:
        found = asv_files.read(path)
        header = {**found.header, "params": {**found.params, "machine": "../../evil"}, "env_name": "../../e", **changes}
        path.write_bytes(asv_files.encode(header, found.benchmarks))

    write()
    bring(tmp_path / "here" / "deep", tmp_path / "there")
    inside = snapshot(tmp_path / "here" / "deep")
    assert 2 == len(inside)
    assert {f"deep/{name}" for name in inside} == snapshot(tmp_path / "here").keys()
    write(commit_hash="../../../x")
    (problem,) = bring(tmp_path / "here" / "deep", tmp_path / "there").problems
    assert "is not a commit" in str(problem)


def test_another_environment_of_the_same_name_is_refused(tmp_path: Path) -> None:
    """One file holds one host, runtime and set of weights."""
    asv_file(tmp_path / "here", "a" * 40, [1.0], params={"host": "one"})
    asv_file(tmp_path / "there", "a" * 40, [2.0], params={"host": "two"})
    (problem,) = bring(tmp_path / "here", tmp_path / "there").problems
    assert "another commit or environment" in str(problem)
    assert [1.0] == values(tmp_path / "here")["digits_cnn/fp32/cpu-t1-b1"]


def test_a_clone_stands_for_its_results(tmp_path: Path) -> None:
    """The folder of a clone is enough."""
    asv_file(tmp_path / "clone" / "results", "a" * 40, [1.0])
    assert 1 == bring(tmp_path / "here", tmp_path / "clone").added


def test_unfinished_runs_are_told(tmp_path: Path) -> None:
    """They stay where they can be finished."""
    store(tmp_path / "there", sweep_of("a" * 40), measured())
    (tmp_path / "there" / "samples" / "x.parts").mkdir()
    assert "unfinished" in bring(tmp_path / "here", tmp_path / "there").incoming.notes[0]


def test_what_is_no_source(tmp_path: Path) -> None:
    """Missing, empty, unknown and broken sources each say what they are."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "unknown.json").write_text("{}")
    (tmp_path / "broken.json").write_text("{")
    found = [
        str(*recognize.read(tmp_path / name).problems) for name in ("nowhere", "empty", "unknown.json", "broken.json")
    ]
    for text, said in zip(found, ("is not there", "holds no results", "in no format", "is damaged"), strict=True):
        assert said in text
