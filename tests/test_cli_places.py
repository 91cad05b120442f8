"""Where `--cache` and `--results` name a place that is not a folder, and what was meant to be one."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import internal, paths
from harness.cli import options
from harness.errors import UsageError
from harness.store import places


def test_a_cache_that_is_a_url_is_the_users_own_for_verbs_that_take_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else `file:///place` of a sweep would be a folder `file:` for `harness tune`; typed there, it is refused."""
    monkeypatch.setenv("HARNESS_CACHE", "file:///place")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert paths.cache_root() == options.cache_folder("file:///place")
    assert str(paths.cache_root() / internal.FOLDER) in internal.message(ValueError("oh"))
    assert not (tmp_path / "file:").exists()
    assert options.cache_and_depot("file:///place") == (paths.cache_root(), "file:///place")
    with pytest.raises(UsageError, match="a URL is for harness sweep, gate, build, "):
        options.cache_folder("file:///other")
    assert Path("folder") == options.cache_folder("folder")


@pytest.mark.parametrize("text", ["file:/tmp/place", "://", "s3:bucket", "FILE:x"])
def test_half_a_url_names_no_folder(text: str) -> None:
    """A slash that was forgotten makes no folder `file:` here."""
    for read in (options.cache_folder, options.cache_and_depot, options.results_folder):
        with pytest.raises(UsageError, match="that is not a URL, such as s3://bucket/folder"):
            read(text)


@pytest.mark.parametrize("url", ["file://", "file:///", "memory://"])
def test_a_url_has_to_name_something(url: str) -> None:
    """Of `file://` fsspec would take the folder that harness runs in."""
    pytest.importorskip("fsspec", reason="fsspec is not installed")
    with pytest.raises(UsageError, match="names no folder or bucket"):
        places.at(url)
