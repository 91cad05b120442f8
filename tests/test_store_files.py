"""Whole files, locks and full disks."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.store import files


def test_write_replaces_whole(tmp_path: Path) -> None:
    """A file is replaced, its folder is made, and nothing is left beside it."""
    path = tmp_path / "a" / "b.json"
    files.write(path, b"old")
    files.write(path, b"new")
    assert b"new" == path.read_bytes()
    assert [path] == list(path.parent.iterdir())


def test_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No space left: the old content stays, nothing half-written, and the message says what to do."""
    path = tmp_path / "b.json"
    files.write(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"b\.json: No space left on device.*free some space.*same command again"):
        files.write(path, b"new")
    assert b"old" == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_really_full_device() -> None:
    """The kernel's own full device is reported the same way."""
    with pytest.raises(StoreError, match="No space left on device"), files.guarded("write", Path("/dev/full")):
        Path("/dev/full").write_bytes(b"x")


def test_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of a write leaves the old file alone."""
    path = tmp_path / "b.json"
    files.write(path, b"old")

    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.write(path, b"new")
    assert [path] == list(tmp_path.iterdir())
    assert b"old" == path.read_bytes()


def test_probe_names_the_folder(tmp_path: Path) -> None:
    """A results folder that cannot be is found out before anything is measured."""
    (tmp_path / "results").write_text("a file")
    with pytest.raises(StoreError, match=r"Cannot write into .*results.*choose another folder with --results"):
        files.probe(tmp_path / "results")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_probe_read_only(tmp_path: Path) -> None:
    """A read-only folder is refused."""
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="write permission"):
        files.probe(tmp_path)


def test_probe_leaves_nothing(tmp_path: Path) -> None:
    """A folder that can be written is made and stays empty."""
    files.probe(tmp_path / "results")
    assert [] == list((tmp_path / "results").iterdir())


def test_lock_excludes_until_released(tmp_path: Path) -> None:
    """A second taker gets nothing until the first lets go."""
    first = files.Lock.attempt(tmp_path / "lock")
    assert first is not None
    assert files.Lock.attempt(tmp_path / "lock") is None
    first.release()
    first.release()
    again = files.Lock.attempt(tmp_path / "lock")
    assert again is not None
    again.release()


def test_lock_ends_with_its_process(tmp_path: Path) -> None:
    """A killed process holds nothing."""
    code = (
        "import sys, time; from pathlib import Path; from harness.store.files import Lock; "
        "lock = Lock.wait(Path(sys.argv[1])); print('held', flush=True); time.sleep(600)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "lock")], stdout=subprocess.PIPE)
    with child:
        assert child.stdout is not None
        assert b"held\n" == child.stdout.readline()
        assert files.Lock.attempt(tmp_path / "lock") is None
        child.kill()
        child.wait()
    lock = files.Lock.attempt(tmp_path / "lock")
    assert lock is not None
    lock.release()
