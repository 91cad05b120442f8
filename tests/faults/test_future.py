"""A run of a host whose clock was wrong does not stay the newest for years."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harness.gate.history import judge
from harness.records import Run
from harness.report import data as report_data
from harness.store import clock, query
from harness.store.history import history
from harness.store.journal import Journal
from tests import outcomes
from tests.conftest import Project
from tests.outcomes import case, measured

NOW = outcomes.run()
FUTURE = outcomes.run(id="20460131T101502Z-ffffff", started_at="2046-01-31T10:15:02+00:00")


def store(results: Path, one: Run, ns: int) -> None:
    """Store one case of a run."""
    with Journal.open(results, one, resume=False) as journal:
        journal.append(measured(case(), (ns,) * 3))
        journal.finish()


@pytest.mark.parametrize("changes", [{}, {"commit": None, "commit_time": None}])
def test_a_run_of_2046_is_named_and_is_not_the_newest(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Wherever the newest is shown or judged."""
    from dataclasses import replace

    store(tmp_path, replace(FUTURE, **changes), 9_000_000)
    store(tmp_path, replace(NOW, **changes), 1_000_000)
    found = query.query(tmp_path)
    assert [NOW.id] == [row["run"] for row in found.rows]
    assert [NOW.id, FUTURE.id] == [row["run"] for row in query.rows(tmp_path, all_runs=True)]
    known = history(tmp_path, repo=None, metrics=["latency"])
    assert [0.009, 0.001] == [point.value for point in known.series[0].points]
    shown = report_data.load(tmp_path)
    assert [NOW.id, FUTURE.id] == [run.id for run in shown.runs]
    assert [NOW.id] == [row["run"] for row in shown.latest]
    report = judge.judge(tmp_path, repo=tmp_path)
    for notes in (found.notes, known.notes, shown.problems, report.notes):
        assert any(f"run {FUTURE.id} says that it was measured in the future" in note for note in notes)


def test_results_and_history_say_it(project: Project) -> None:
    """On standard error, so that what is read by programs stays the same."""
    store(project.root / "results", FUTURE, 9_000_000)
    for verb in ("results", "history"):
        code, out, err = project.here(verb, "--format", "json")
        assert (0, True) == (code, out.startswith("["))
        assert "measured in the future" in err


def test_a_clock_that_is_a_little_fast_is_no_matter() -> None:
    """Hosts differ by minutes, and by time zones."""
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert "2026-02-01T12:00:00+00:00" == clock.limit(now)
    assert () == clock.ahead([("a", datetime.now(UTC).isoformat()), ("b", "")])
    assert "" == clock.settled(FUTURE.started_at)
    assert NOW.started_at == clock.settled(NOW.started_at)
