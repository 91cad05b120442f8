"""Whatever becomes of the text in a cache, the next sweep is right."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import sealed
from harness.build import inventory
from harness.build.cache import FOLDERS, Cache
from harness.gate.history import looks
from harness.runtimes import environments
from harness.store.series import Point
from tests.conftest import Project
from tests.faults import damage
from tests.installers import fake_uv

Damage = Callable[[Path, random.Random], None]
DIGEST = "d" * 64
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def texts(root: Path) -> list[tuple[str, str, Path]]:
    """Kind, key and file of every JSON text of a cache."""
    store = Cache(root)
    found = [(one.kind, one.digest) for one in inventory.entries(store)]
    return [(kind, key, store.text(kind, key)) for kind, key in found]


def answer(cache: Cache, kind: str, key: str) -> Any:
    """What a cache says of an entry."""
    if kind in FOLDERS:
        return cache.meta(kind, key)
    return cache.evaluation(key) if kind == "evaluations" else cache.resolution(key)


@settings(max_examples=15)
@given(st.dictionaries(st.text(), JSON, max_size=4), st.data())
def test_no_changed_byte_is_believed(content: dict[str, Any], data: st.DataObject) -> None:
    """Any object comes back as it was; with any byte changed, or under another name, nothing does."""
    content.pop(sealed.ENTRY, None)
    content.pop(sealed.SHA, None)
    whole = sealed.seal("a/b", content)
    assert content == sealed.unsealed(whole, "a/b").content
    assert {sealed.SHA, sealed.ENTRY} | content.keys() == json.loads(whole).keys()
    assert content == sealed.unsealed(whole.replace(b"\n", b"\r\n"), "a/b").content
    assert sealed.unsealed(whole, "a/c").content is None
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[place] ^= data.draw(st.integers(1, 255))
    found = sealed.unsealed(bytes(changed), "a/b")
    assert found.damage or bytes(changed).replace(b"\r\n", b"\n") == whole
    assert sealed.unsealed(whole[:place], "a/b").damage


@pytest.mark.parametrize("harm", damage.DAMAGES, ids=lambda one: one.__name__)
def test_damaged_text_is_absent_named_and_replaced(built: Path, tmp_path: Path, harm: Damage) -> None:
    """Every kind of text, every kind of damage: no other answer, no exception, and whole again afterwards."""
    shutil.copytree(built, root := tmp_path / "cache")
    Cache(root).put_evaluation("one", {"fidelity": {"centred_sqnr_db": 31.8}})
    Cache(root).put_evaluation("two", {"fidelity": {"centred_sqnr_db": 91.8}})
    before = {(kind, key): answer(Cache(root), kind, key) for kind, key, _ in texts(root)}
    assert {"artifacts", "references", "sources", "evaluations"} == {kind for kind, _ in before}
    chance = random.Random(7)
    damaged = [(kind, key) for kind, key, path in texts(root) if _changed(path, harm, chance)]
    cache = Cache(root)
    assert damaged
    for kind, key in damaged:
        assert answer(cache, kind, key) is None
        assert f"{kind}/{key}" in cache.damaged
        assert "made again: " in cache.remade()[0]
        if kind in FOLDERS:
            with cache.workdir() as folder:
                for one in sorted(cache.place(kind, key).rglob("*.*")):
                    if one.is_file() and one.name != "meta.json":
                        target = folder / one.relative_to(cache.place(kind, key))
                        target.parent.mkdir(parents=True, exist_ok=True)
                        shutil.copyfile(one, target)
                cache.admit(kind, key, folder, before[kind, key])
        elif kind == "evaluations":
            cache.put_evaluation(key, before[kind, key])
        else:
            cache.put_resolution(key, before[kind, key])
        assert answer(cache, kind, key) is not None
    assert damaged
    assert [] == [one for one in inventory.entries(cache, deep=True) if one.damage]
    assert {(kind, key) for kind, key, _ in texts(root)} == before.keys()


def _changed(path: Path, harm: Damage, chance: random.Random) -> bool:
    before = path.read_bytes()
    harm(path, chance)
    return not path.is_file() or path.read_bytes() != before


def test_a_sweep_after_any_damage_shows_what_it_showed_before(built_project: Project) -> None:
    """Everything in the cache is damaged in one way or another; the numbers that have no noise are the same."""
    project, root = built_project, built_project.root / "cache"
    sweep = ("sweep", "--variants", "int8-static", "--processes", "1", "--time-per-case", "0.1", "--json")
    first = json.loads(project.run(*sweep))
    chance = random.Random(11)
    assert any("evaluations" == kind for kind, _, _ in texts(root))
    for count, (_, _, path) in enumerate(texts(root)):
        damage.DAMAGES[count % len(damage.DAMAGES)](path, chance)
    project.run("cache", "--verify", code=4)
    code, out, err = project.here(*sweep, "--fresh")
    assert (0, True) == (code, "made again: " in err), err
    assert "Traceback" not in err
    second = json.loads(out)
    names = ("case", "status", "fidelity", "parts", "kernels", "operators", "artifact_bytes", "weights")
    assert [[row.get(name) for name in names] for row in first] == [[row.get(name) for name in names] for row in second]


@pytest.mark.parametrize("harm", damage.DAMAGES, ids=lambda one: one.__name__)
def test_an_environment_with_a_damaged_stamp_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: Damage
) -> None:
    """What is installed is read from its interpreter, not from the text, and is not installed again for that."""
    uv = fake_uv(tmp_path / "uv", monkeypatch, {"numpy": "2.0.0"})
    place = tmp_path / "runtimes" / ("f" * 32)
    environments.ensure(place.with_name("g" * 32), ["numpy"], what="another")
    environments.ensure(place, ["numpy"], what="numpy")
    harm(place / "meta.json", random.Random(3))
    said: list[str] = []
    found = environments.ensure(place, ["numpy"], what="numpy", say=said.append)
    assert {"numpy": "2.0.0"} == found.installed
    assert environments.known(place) is not None
    whole = harm in (damage.folder, damage.link)  # no file says that it was made to the end
    assert (3 if whole else 2, 1) == (len(uv.made), len(said))


def point(run: str, started_at: str) -> Point:
    """A point of a run."""
    return Point(
        commit=None,
        commit_time=None,
        value=1.0,
        status="measured",
        low=None,
        high=None,
        confidence=None,
        n=1,
        dirty=False,
        started_at=started_at,
        source="samples",
        run=run,
        position=None,
    )


@pytest.mark.parametrize("harm", damage.DAMAGES[:-1], ids=lambda one: one.__name__)
def test_damaged_looks_are_named(tmp_path: Path, harm: Damage) -> None:
    """What was spent is not taken from a file that is not what it was."""
    now = point("20260131T101502Z-3f9c2a", "2026-01-31T10:15:02+00:00")
    later = point("20260201T101502Z-3f9c2a", "2026-02-01T10:15:02+00:00")
    looks.level(tmp_path, now)
    harm(tmp_path / looks.FILE, random.Random(5))
    level, note = looks.level(tmp_path, later)
    assert looks.level(tmp_path / "new", later)[0] == level
    assert "looks.json" in note


def test_looks_of_the_version_without_a_checksum_count(tmp_path: Path) -> None:
    """They are read as they stand, once, and sealed."""
    day = 20_484.0
    old = {"version": 1, "looks": [{"newest": "x", "day": day, "level": 0.01}]}
    (tmp_path / looks.FILE).write_text(json.dumps(old), encoding="utf-8")
    now = point("y", "2026-01-31T10:15:02+00:00")
    _, note = looks.level(tmp_path, now)
    kept = sealed.opened(tmp_path / looks.FILE, looks.FILE).content
    assert "" == note
    assert kept is not None
    assert ["x", "y"] == [one["newest"] for one in kept["looks"]]
