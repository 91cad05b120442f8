"""A bucket on bad days, made of fsspec's own file system in memory: away, throttling, half written, behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StoreError
from harness.store import places, query
from harness.store.journal import Journal
from harness.store.mirror import Mirror
from harness.store.places import Place
from tests import outcomes

memory = pytest.importorskip("fsspec.implementations.memory", reason="fsspec is not installed")


class BadBucket(memory.MemoryFileSystem):  # type: ignore[misc, name-defined]  # it is Any where fsspec is not installed
    """A bucket that does what its owner does not want.

    Attributes:
        away: how many requests still fail.
        cut: how many objects are still left half written.
        hidden: ends of names that no listing has yet.
        closed: `rb` or `wb`, where nobody may read or write.
    """

    cachable = False
    store: dict[str, Any]
    pseudo_dirs: list[str]

    def __init__(self) -> None:
        super().__init__()
        self.store, self.pseudo_dirs = {}, [""]  # not those of all file systems in memory
        self.away = self.cut = 0
        self.hidden: tuple[str, ...] = ()
        self.closed = ""

    def find(self, path: str, **options: Any) -> Any:
        """All that is listed by now."""
        self._answer()
        found = super().find(path, **options)
        return {name: one for name, one in found.items() if not (self.hidden and name.endswith(self.hidden))}

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        self._answer()
        if mode == self.closed:
            raise PermissionError("AccessDenied")
        if mode == "wb" and self.cut:
            self.cut -= 1
            self.store[path] = memory.MemoryFile(self, path, b"PAR1 and no more")
            raise ConnectionResetError("the connection was closed in mid-object")
        return super()._open(path, mode, **options)

    def _answer(self) -> None:
        if self.away:
            self.away -= 1
            raise OSError("SlowDown: please reduce your request rate")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> BadBucket:
    """What is behind the URL bad://bench; nobody waits for real."""
    made = BadBucket()
    place = Place(made, "/bench", "bad://bench", waits_s=(0.0,) * len(places.WAITS_S))
    monkeypatch.setattr(places, "at", lambda url: {"bad://bench": place}[url])
    return made


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Mirror]:
    """Mirrors of it, each somebody else's."""

    def of(whose: str) -> Mirror:
        monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / whose))
        return Mirror.of("bad://bench")

    return of


def stored(mirror: Mirror, number: int) -> Path:
    """A finished run of one case, not yet published."""
    run = outcomes.run(id=f"2026112{number}T101502Z-3f9c2{number}", started_at=f"2026-11-2{number}T10:15:02+00:00")
    with Journal.open(mirror.folder, run, resume=False) as journal:
        journal.append(outcomes.measured())
        return journal.finish()


def seen(mirror: Mirror, said: list[str]) -> set[str]:
    """The runs that a reader with this mirror sees."""
    mirror.refresh(said.append)
    return {row["run"] for row in query.rows(mirror.folder, all_runs=True)}


def test_a_minute_is_waited_for_and_not_an_hour(bucket: BadBucket, mirror: Callable[[str], Mirror]) -> None:
    """A bucket that throttles gets its run; one that stays away keeps no run from being stored here."""
    assert 60 < sum(places.WAITS_S) < 120
    ours, said = mirror("a"), list[str]()
    bucket.away = len(places.WAITS_S)
    ours.publish(stored(ours, 1))
    bucket.away = 1000
    with pytest.raises(StoreError, match="SlowDown"):
        ours.publish(stored(ours, 2))
    with pytest.raises(StoreError, match="SlowDown"):
        seen(mirror("b"), said)
    bucket.away = 0
    assert {"20261121T101502Z-3f9c21"} == seen(mirror("b"), said)
    assert 2 == len(seen(ours, said))  # the next verb publishes what is here
    assert 2 == len(seen(mirror("b"), said))
    assert [] == said


def test_half_an_object_is_written_again_or_omitted(bucket: BadBucket, mirror: Callable[[str], Mirror]) -> None:
    """A writer that lives writes it whole; of one that does not, readers see nothing of it, and say so."""
    ours, said = mirror("a"), list[str]()
    bucket.cut = 2
    ours.publish(stored(ours, 1))
    assert {"20261121T101502Z-3f9c21"} == seen(mirror("b"), said) == seen(ours, said)
    assert [] == said
    bucket.cut = 1000
    with pytest.raises(StoreError, match="in mid-object"):
        ours.publish(stored(ours, 2))
    assert {"20261121T101502Z-3f9c21"} == seen(mirror("b"), said)
    assert "was not written whole" in said[0]
    bucket.cut = 0
    ours.publish(ours.folder / "samples" / "20261122T101502Z-3f9c22.parquet")
    said.clear()
    assert 2 == len(seen(mirror("b"), said))
    assert [] == said


def test_a_listing_that_lags(bucket: BadBucket, mirror: Callable[[str], Mirror]) -> None:
    """Who wrote a run, or read it, keeps it while no listing has it; it goes when the object is gone."""
    ours, theirs, said = mirror("a"), mirror("b"), list[str]()
    url = ours.publish(stored(ours, 1))
    assert {"20261121T101502Z-3f9c21"} == seen(theirs, said)
    bucket.hidden = (".parquet",)
    assert {"20261121T101502Z-3f9c21"} == seen(ours, said) == seen(theirs, said)
    assert set() == seen(mirror("c"), said)
    bucket.hidden = ()
    assert {"20261121T101502Z-3f9c21"} == seen(mirror("c"), said)
    places.at("bad://bench").remove(url.removeprefix("bad://bench/"))
    assert [set()] * 3 == [seen(one, said) for one in (ours, theirs, mirror("c"))]
    assert [] == said


def test_many_write_into_one_bucket(bucket: BadBucket, mirror: Callable[[str], Mirror]) -> None:
    """Two writers take turns, and each sees all; nothing is lost, and nothing counts twice."""
    both, said = [mirror("a"), mirror("b")], list[str]()
    for number in range(8):
        bucket.away = number % 3
        both[number % 2].publish(stored(both[number % 2], number))
    every = {f"2026112{number}T101502Z-3f9c2{number}" for number in range(8)}
    assert every == seen(both[0], said) == seen(both[1], said)
    assert 8 == len(query.rows(both[1].folder, all_runs=True))
