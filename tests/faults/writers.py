"""Several writers of one results place at once, each a process: nothing is lost, and nothing is there twice.

python -m tests.faults.writers --runs 1000                     # a folder
python -m tests.faults.writers --runs 1000 --bucket            # a bucket of moto's server
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.paths import cache_root
from harness.store import places, query
from harness.store.journal import Journal
from harness.store.mirror import Mirror
from tests import outcomes

WRITERS = 2

SERVERS: dict[str, Any] = {}
"""What listens, by the URL of its bucket."""


def write(place: str, writer: int, runs: int) -> None:
    """What each process does: measure nothing, and store so many runs, as a sweep does."""
    mirror = Mirror.of(place) if "://" in place else None
    folder = Path(place) if mirror is None else mirror.folder
    for number in range(runs):
        run = outcomes.run(
            id=name(writer, number), started_at=f"2026-11-20T10:{number // 60 % 60:02}:{number % 60:02}+00:00"
        )
        with Journal.open(folder, run, resume=True) as journal:
            journal.append(outcomes.measured())
            stored = journal.finish()
        if mirror is not None:
            mirror.publish(stored)


def name(writer: int, number: int) -> str:
    """A run's id."""
    return f"20261120T{number:06}Z-{writer:06x}"


def tried(place: str, runs: int, environments: Mapping[int, Mapping[str, str]]) -> dict[str, int]:
    """How often each run is there after all writers have ended; all of them, once each, is right.

    Args:
        place: a folder or a URL.
        runs: of all writers together.
        environments: of each writer.
    """
    each = runs // WRITERS
    command = (sys.executable, "-m", "tests.faults.writers", "--place", place, "--runs", str(each), "--writer")
    started = [subprocess.Popen((*command, str(k)), env={**os.environ, **environments[k]}) for k in range(WRITERS)]
    codes = [one.wait() for one in started]
    assert [0] * WRITERS == codes, codes
    folder = Path(place)
    if "://" in place:
        mirror = Mirror.of(place)
        mirror.refresh(print)
        folder = mirror.folder
    found = Counter(str(row["run"]) for row in query.rows(folder, all_runs=True))
    return {name(k, number): found.pop(name(k, number), 0) for k in range(WRITERS) for number in range(each)} | found


@contextlib.contextmanager
def moto_bucket() -> Iterator[tuple[str, Mapping[str, str]]]:
    """The URL of a bucket on a server of this process, and the environment of who writes there."""
    import moto.server
    import s3fs

    server = moto.server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = "s3://bench/results"
    SERVERS[url] = server
    host, port = server.get_host_and_port()
    at = f"http://{host}:{port}"
    said = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    said |= {"AWS_ENDPOINT_URL": at, "FSSPEC_S3_ENDPOINT_URL": at}
    before = dict(os.environ)
    os.environ.update(said)
    try:
        # What a server before left to this process: its buckets, and file systems that ask at its port.
        urllib.request.urlopen(urllib.request.Request(f"{at}/moto-api/reset", method="POST")).close()  # noqa: S310
        s3fs.S3FileSystem.clear_instance_cache()
        places.at.cache_clear()
        s3fs.S3FileSystem(endpoint_url=at, skip_instance_cache=True).mkdir("bench")
        yield url, said
    finally:
        os.environ.clear()
        os.environ.update(before)
        s3fs.S3FileSystem.clear_instance_cache()
        places.at.cache_clear()
        SERVERS.pop(url).stop()


def main() -> int:
    """Try it, or be one of the writers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--bucket", action="store_true")
    parser.add_argument("--place", help=argparse.SUPPRESS)
    parser.add_argument("--writer", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.writer is not None:
        write(asked.place, asked.writer, asked.runs)
        return 0
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        place, said = stack.enter_context(moto_bucket()) if asked.bucket else (str(root / "results"), {})
        os.environ["HARNESS_CACHE"] = str(root / "reader")
        assert cache_root() == root / "reader"
        whose = {k: {**said, "HARNESS_CACHE": str(root / f"cache{k}")} for k in range(WRITERS)}
        found = tried(place, asked.runs, whose)
    lost, twice = sum(n == 0 for n in found.values()), sum(n > 1 for n in found.values())
    sys.stdout.write(f"{len(found)} runs, {lost} lost, {twice} twice\n")
    return 1 if lost or twice else 0


if __name__ == "__main__":
    sys.exit(main())
