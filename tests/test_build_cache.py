"""The cache: whole entries or none, whatever happens to the folder."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
from pathlib import Path

import pytest

from harness.build.cache import Cache, default_root
from harness.errors import StoreError

DIGEST = "a" * 64


def admit(cache: Cache, text: str = "model") -> None:
    """Put one artifact with the given content into the cache."""
    with cache.workdir() as folder:
        (folder / "model.onnx").write_text(text)
        cache.admit("artifacts", DIGEST, folder, {"made_by": "tiny: export", "nodes": 3})


def _admit_many(root: Path) -> None:
    for _ in range(20):
        admit(Cache(root), "model" * 1000)


def test_admitted_entry_is_found(tmp_path: Path) -> None:
    """What was admitted comes back with its meta, and no temporary folder stays."""
    cache = Cache(tmp_path)
    admit(cache)

    meta = cache.meta("artifacts", DIGEST, deep=True)

    assert meta is not None
    assert 3 == meta["nodes"]
    assert "model" == cache.artifact_path(DIGEST).read_text()
    assert [] == list(tmp_path.glob(".tmp-*"))


@pytest.mark.parametrize("damage", ["missing", "shorter", "changed", "meta"])
def test_damaged_entry_is_absent_and_replaced(tmp_path: Path, damage: str) -> None:
    """A file that is gone, cut or changed, and broken JSON, count as no entry; admitting again fixes it."""
    cache = Cache(tmp_path)
    admit(cache)
    path = cache.artifact_path(DIGEST)
    if damage == "missing":
        path.unlink()
    elif damage == "shorter":
        path.write_text("mod")
    elif damage == "changed":
        path.write_text("MODEL")
    else:
        path.with_name("meta.json").write_text("{")

    assert cache.meta("artifacts", DIGEST) is None

    admit(cache)
    assert cache.meta("artifacts", DIGEST, deep=True) is not None
    assert "model" == path.read_text()


def test_silent_change_is_found_by_a_deep_look(tmp_path: Path) -> None:
    """Other bytes under the same size and time escape the quick look and not the deep one."""
    cache = Cache(tmp_path)
    admit(cache)
    path = cache.artifact_path(DIGEST)
    times = path.stat()
    path.write_text("MODEL")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    assert cache.meta("artifacts", DIGEST, deep=True) is None


def test_two_processes_admit_the_same_entry(tmp_path: Path) -> None:
    """Two processes that keep admitting one digest leave one whole entry and nothing else."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_admit_many, args=(tmp_path,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [0, 0] == [process.exitcode for process in processes]
    assert Cache(tmp_path).meta("artifacts", DIGEST, deep=True) is not None
    assert [] == list(tmp_path.glob(".tmp-*"))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.ENOSPC, r"No space left.*harness cache --prune.*--cache DIR"),
        (errno.EROFS, r"Read-only file system.*make it writable.*--cache DIR"),
        (errno.EACCES, r"Permission denied.*make it writable.*--cache DIR"),
    ],
)
def test_full_or_read_only_cache_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, said: str
) -> None:
    """A write that the system refuses becomes a StoreError with the way out, and leaves no torn file."""
    cache = Cache(tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "replace", refuse)

    with pytest.raises(StoreError, match=said):
        cache.put_evaluation("key", {"a": 1})
    assert [] == [path for path in tmp_path.rglob("*") if path.is_file()]


def test_unwritable_root_says_what_to_do(tmp_path: Path) -> None:
    """A root that cannot be a folder becomes a StoreError that names it and the way out."""
    (tmp_path / "file").write_text("")

    with (
        pytest.raises(StoreError, match=r"file/cache cannot be written.*HARNESS_CACHE"),
        Cache(tmp_path / "file" / "cache").workdir(),
    ):
        pass


def test_evaluations_come_back_and_bad_json_is_absent(tmp_path: Path) -> None:
    """An evaluation is kept under its key; a torn or foreign file counts as none."""
    cache = Cache(tmp_path)
    cache.put_evaluation("key", {"centred_sqnr_db": 30.5})

    assert {"centred_sqnr_db": 30.5} == cache.evaluation("key")
    assert cache.evaluation("other") is None

    (tmp_path / "evaluations" / "key.json").write_text("[1]")
    assert cache.evaluation("key") is None


def test_keys_cannot_leave_the_cache(tmp_path: Path) -> None:
    """A key with a path in it is refused."""
    with pytest.raises(StoreError, match="is not a key of the cache"):
        Cache(tmp_path).put_evaluation("../key", {})


def test_use_is_noted(tmp_path: Path) -> None:
    """Looking an entry up makes it recently used."""
    cache = Cache(tmp_path)
    admit(cache)
    meta = cache.artifact_path(DIGEST).with_name("meta.json")
    os.utime(meta, (1, 1))
    (before := tmp_path / "before").touch()

    cache.meta("artifacts", DIGEST)

    assert meta.stat().st_mtime >= before.stat().st_mtime
    assert json.loads(meta.read_text())["created"] > 1


def test_leftovers_of_a_dead_process_are_swept_up(tmp_path: Path) -> None:
    """Only the named process's temporary folders go."""
    for name in (".tmp-11-aa", ".tmp-12-bb"):
        (tmp_path / name).mkdir()

    Cache(tmp_path).sweep_up(11)

    assert [".tmp-12-bb"] == [path.name for path in tmp_path.iterdir()]


def test_default_root_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """HARNESS_CACHE wins over the operating system's cache folder."""
    monkeypatch.setenv("HARNESS_CACHE", "/somewhere/else")
    assert Path("/somewhere/else") == default_root()
    monkeypatch.delenv("HARNESS_CACHE")
    assert "onnx-harness" == default_root().name
