"""Several writers of one results place at once."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from harness.store import places
from tests.faults import writers


@pytest.mark.long
@pytest.mark.parametrize("bucket", [False, True])
def test_nothing_is_lost_and_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket: bool) -> None:
    """Two processes write a dozen runs each into a folder, or a bucket; `python -m tests.faults.writers` does more."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "reader"))
    if not bucket:
        whose = {k: {"HARNESS_CACHE": os.environ["HARNESS_CACHE"]} for k in range(writers.WRITERS)}
        assert {1} == set(writers.tried(str(tmp_path / "results"), 24, whose).values())
        return
    pytest.importorskip("s3fs", reason="the extra `fleet` is not installed")
    pytest.importorskip("moto.server", reason="moto is not installed")
    with writers.moto_bucket() as (url, said):
        whose = {k: {**said, "HARNESS_CACHE": str(tmp_path / f"cache{k}")} for k in range(writers.WRITERS)}
        assert {1} == set(writers.tried(url, 24, whose).values())


@pytest.mark.long
def test_a_server_that_is_away_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written while nobody listens at the bucket's address is there once somebody does again."""
    pytest.importorskip("s3fs", reason="the extra `fleet` is not installed")
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    with writers.moto_bucket() as (url, said):
        port = int(said["AWS_ENDPOINT_URL"].rpartition(":")[2])
        place = places.at(url)
        place.write("before", io.BytesIO(b"1"))
        writers.SERVERS[url].stop()
        back = threading.Timer(1.5, lambda: writers.SERVERS.update({url: listening(moto, port)}))
        back.start()
        place.write("meanwhile", io.BytesIO(b"2"))
        back.join()
        assert [b"1", b"2"] == [place.read(name) for name in ("before", "meanwhile")]


def listening(moto: Any, port: int) -> Any:
    """A server at a port; what lies in its buckets is this process's, and stays."""
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    return server
