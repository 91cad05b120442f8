"""Several writers of one results place at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.store import places
from tests.faults import writers


@pytest.mark.long
@pytest.mark.parametrize("bucket", [False, True])
def test_nothing_is_lost_and_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket: bool) -> None:
    """Two processes write twenty runs each into a folder, or a bucket; `python -m tests.faults.writers` does more."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "reader"))
    if not bucket:
        whose = {k: {"HARNESS_CACHE": os.environ["HARNESS_CACHE"]} for k in range(writers.WRITERS)}
        assert {1} == set(writers.tried(str(tmp_path / "results"), 40, whose).values())
        return
    pytest.importorskip("s3fs", reason="the extra `fleet` is not installed")
    pytest.importorskip("moto.server", reason="moto is not installed")
    places.at.cache_clear()
    with writers.moto_bucket() as (url, said):
        whose = {k: {**said, "HARNESS_CACHE": str(tmp_path / f"cache{k}")} for k in range(writers.WRITERS)}
        assert {1} == set(writers.tried(url, 40, whose).values())
    places.at.cache_clear()
