"""The order of commits, from git."""

from __future__ import annotations

from pathlib import Path

from harness.store.commits import commits
from tests.histories import commit, git, repository


def test_parents_come_first(tmp_path: Path) -> None:
    """On every branch, whatever the dates say; a stash is not a commit of anybody's history."""
    first, second = repository(tmp_path, 2)
    old = commit(tmp_path, "old", date="2001-01-01T00:00:00+00:00")
    git(tmp_path, "checkout", "-q", "-b", "side", first)
    side = commit(tmp_path, "side")
    (tmp_path / "a.txt").write_text("a")
    git(tmp_path, "add", "a.txt")
    git(tmp_path, "stash", "-q")
    positions = commits(tmp_path).positions
    assert {first, second, old, side} == positions.keys()
    assert positions[first] < positions[second] < positions[old]
    assert positions[first] < positions[side]


def test_outside_git(tmp_path: Path) -> None:
    """No commit is known, and before the first one there is none."""
    assert {} == commits(None).positions
    assert {} == commits(tmp_path).positions
    git(tmp_path, "init", "-q")
    assert {} == commits(tmp_path).positions


def test_since_the_first_commit(tmp_path: Path) -> None:
    """A commit without parents wants everything."""
    first, second = repository(tmp_path, 2)
    assert frozenset({first, second}) == commits(tmp_path, first).since
    assert commits(tmp_path, second).wants(second, 0)
    assert not commits(tmp_path, second).wants(first, 9e12)
    assert commits(tmp_path, second).wants(None, 9e12)
    assert not commits(tmp_path, second).wants(None, 0)
