"""A few kills of the quickest verb; `python -m tests.faults.kill` has all verbs and any number of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests import histories, outcomes
from tests.faults import kill


@pytest.fixture(scope="module")
def importing(tmp_path_factory: pytest.TempPathFactory) -> kill.Victim:
    """`harness import` in a project that holds results."""
    (victim,) = kill.victims(tmp_path_factory.mktemp("kill"), ["import"])
    return dataclasses.replace(victim, spent_s=1.0, operations=20)


def test_a_killed_import_loses_nothing(importing: kill.Victim) -> None:
    """What was stored stays, nothing is torn, and the same command finishes afterwards."""
    assert [] == kill.attempt(importing, at=9)


def test_a_killed_compaction_loses_nothing(tmp_path: Path) -> None:
    """Nor does it tear a file or show a row twice; here the merged file is there, and the others are not all gone."""
    (victim,) = kill.victims(tmp_path, ["compact"])
    assert [] == kill.attempt(victim, at=14)


def test_the_hook_kills(importing: kill.Victim) -> None:
    """Otherwise every other test here would pass for nothing; an early moment loses nothing, either."""
    with kill.copied(importing) as project:
        before = kill.stored(project)
        assert -9 == kill.run(importing, project, at=3)
        assert [] == kill.lost(before, kill.stored(project))


def test_a_torn_write_is_seen(importing: kill.Victim) -> None:
    """A verb that writes a result file in place, in two halves, breaks the promise."""
    (path,) = importing.project.glob("results/*/11111111-*.json")
    name = str(path.relative_to(importing.project))
    half = f"data = open({name!r}).read(); file = open({name!r}, 'w'); file.write(data[:99]); file.flush()"
    code = f"{half}; open({name!r}, 'a')"
    clumsy = dataclasses.replace(importing, command=("-c", code))
    (problem,) = kill.attempt(clumsy, at=2)
    assert problem.startswith("torn: StoreError")


def test_what_is_lost_is_named() -> None:
    """A value that is gone, and one that became another."""
    before = {"a": 1, "b": 2, "rows": [("r", "c")]}
    assert ["a", "b", "('r', 'c')"] == kill.lost(before, {"b": 3, "rows": []})


def test_stored_reads_everything(tmp_path: Path) -> None:
    """Parquet rows, and every place of asv's files."""
    histories.store(tmp_path / "results", histories.sweep_of("1" * 40), outcomes.measured(outcomes.case()))
    found = kill.stored(tmp_path)
    assert [("20260131T100002Z-aaaaaa", "digits_cnn/fp32/cpu-t1-b1")] == found["rows"]
    assert any("sweep.track_latency" in name for name in found)
