"""Objects merged on a place of fsspec: every mirror has the same rows at every moment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.store import compaction_bucket, places, query
from harness.store.journal import Journal
from harness.store.mirror import RUNS, Mirror
from tests import outcomes

Whose = Callable[[str], Mirror]


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Whose:
    """Mirrors of one place, each somebody else's."""

    def of(whose: str) -> Mirror:
        monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / whose))
        return Mirror.of(f"file://{tmp_path}/bucket")

    return of


def publish(mirror: Mirror, number: int) -> None:
    """A run of one case, there."""
    name = f"2026112{number}T101502Z-3f9c2{number}"
    run = outcomes.run(id=name, started_at=f"2026-11-2{number}T10:15:02+00:00")
    with Journal.open(mirror.folder, run, resume=False) as journal:
        journal.append(outcomes.measured())
        path = journal.finish()
    mirror.publish(path)


def seen(mirror: Mirror) -> list[Any]:
    """The rows that a reader with this mirror sees."""
    said: list[str] = []
    mirror.refresh(said.append)
    assert not said
    return query.rows(mirror.folder, all_runs=True)


def test_objects_are_merged_and_removed_later(mirror: Whose) -> None:
    """One object in place of three; a new mirror fetches it alone, and an old one loses nothing when the others go."""
    for number in range(3):
        publish(mirror("a"), number)
    before = seen(mirror("old"))
    assert before == seen(mirror("b"))
    done = compaction_bucket.compact(mirror("b"), dry_run=True)
    assert (3, 1) == (done.before, done.after)
    assert 3 == len(mirror("b").objects())
    done = compaction_bucket.compact(mirror("b"))
    assert ([], 3, 4) == (done.removed, len(done.kept), len(mirror("b").objects()))
    assert before == seen(mirror("b")) == seen(mirror("new")) == seen(mirror("old"))
    (one,) = (mirror("new").folder / "samples").glob("*.parquet")
    assert one.name.startswith("compact-")
    publish(mirror("a"), 4)
    before = seen(mirror("a"))
    assert before == seen(mirror("b"))
    done = compaction_bucket.compact(mirror("b"), grace_s=0)
    assert (5, []) == (len(done.removed), done.kept)
    (name,) = mirror("b").objects().values()
    assert name.startswith(f"{RUNS}/month=2026-11/class=0123456789ab/compact-")
    assert before == seen(mirror("b")) == seen(mirror("new")) == seen(mirror("old")) == seen(mirror("a"))
    assert 1 == len(mirror("a").objects())


def test_two_at_once(mirror: Whose, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who compacts what another one is compacting removes nothing that is needed; the next makes one of both."""
    for number in range(3):
        publish(mirror("a"), number)
    before = seen(mirror("b"))
    assert before == seen(mirror("c"))
    publish(mirror("a"), 3)
    compaction_bucket.compact(mirror("b"), grace_s=0)
    listing = {name: there for name, there in mirror("c").objects().items() if name[:7] != "compact"}
    assert 1 == len(listing)
    before = seen(mirror("a"))
    with monkeypatch.context() as patched:  # it listed before the other one was done
        stale = {path.stem: f"{RUNS}/gone/{path.stem}.0000000000000000.parquet" for path in
                 (mirror("c").folder / "samples").glob("*.parquet")}  # fmt: skip
        patched.setattr(Mirror, "objects", lambda self: dict(stale))
        compaction_bucket.compact(mirror("c"), grace_s=0)
    held = len(mirror("a").objects())
    assert held in (2, 3)  # what both made of the same runs is one object where they did so in the same second
    assert before == seen(mirror("a")) == seen(mirror("b")) == seen(mirror("c"))
    done = compaction_bucket.compact(mirror("a"), grace_s=0)
    assert held == len(done.removed)
    assert before == seen(mirror("a")) == seen(mirror("b")) == seen(mirror("c"))


def test_an_object_that_cannot_be_fetched(mirror: Whose) -> None:
    """While the merged object is damaged nothing goes from a mirror, nor from the place."""
    for number in range(2):
        publish(mirror("a"), number)
    before = seen(mirror("old"))
    assert before == seen(mirror("a"))
    compaction_bucket.compact(mirror("a"))
    place = places.at(mirror("a").url)
    objects = mirror("a").objects()
    (merged,) = (name for run, name in objects.items() if run.startswith("compact-"))
    whole = place.read(merged)
    Path(f"{mirror('a').url.removeprefix('file://')}/{merged}").write_bytes(whole[:-9])
    said: list[str] = []
    done = compaction_bucket.compact(mirror("a"), grace_s=0, say=said.append)
    assert ([], True) == (done.removed, "is damaged" in said[0])
    for run, name in objects.items():
        if not run.startswith("compact-"):
            place.remove(name)
    mirror("old").refresh(said.append)
    assert before == query.rows(mirror("old").folder, all_runs=True)
    Path(f"{mirror('a').url.removeprefix('file://')}/{merged}").write_bytes(whole)
    assert before == seen(mirror("old")) == seen(mirror("new"))
    assert 1 == len([*(mirror("old").folder / "samples").glob("*.parquet")])
