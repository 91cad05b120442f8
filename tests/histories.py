"""Small stores over small git repositories: what the tests of history and import share."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.records import Outcome, Run
from harness.store import samples
from harness.store.asv import files as asv_files
from harness.store.asv import results as asv
from harness.store.rows import to_row
from tests.outcomes import run

NOBODY = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}


def git(folder: Path, *arguments: str, date: str = "2026-01-31T10:00:00+00:00") -> str:
    """A git command's output; `date` is that of a commit it makes."""
    author = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    environment = os.environ | NOBODY | {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    done = subprocess.run(
        ["git", "-C", str(folder), *author, *arguments], check=True, capture_output=True, text=True, env=environment
    )
    return done.stdout.strip()


def repository(folder: Path, commits: int = 3) -> list[str]:
    """Make a repository on `main` with that many commits, and return their hashes, oldest first."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q", "-b", "main")
    return [commit(folder, str(number)) for number in range(commits)]


def commit(folder: Path, text: str, date: str = "2026-01-31T10:00:00+00:00") -> str:
    """Add one commit."""
    git(folder, "commit", "-q", "--allow-empty", "-m", text, date=date)
    return git(folder, "rev-parse", "HEAD")


def sweep_of(commit: str | None, number: int = 0, **changes: Any) -> Run:
    """A run on a commit; `number` tells runs apart and orders them in time."""
    return run(
        **{
            "id": f"20260131T10{number:02d}02Z-aaaaaa",
            "started_at": f"2026-01-31T10:{number:02d}:02+00:00",
            "commit": commit,
            "commit_time": None if commit is None else 1_769_850_000_000 + number * 1000,
            **changes,
        }
    )


def store(results: Path, of: Run, *outcomes: Outcome, asv_too: bool = True, parquet: bool = True) -> None:
    """What a sweep leaves behind: asv's files of a clean commit, and the samples."""
    rows = [to_row(of, outcome) for outcome in outcomes]
    if parquet:
        (results / "samples").mkdir(parents=True, exist_ok=True)
        (results / "samples" / f"{of.id}.parquet").write_bytes(samples.encode(rows))
    if asv_too and of.commit is not None and not of.dirty:
        asv.write(results, of, rows)


def asv_file(
    results: Path,
    commit: str,
    values: Sequence[float | None],
    *,
    axes: Sequence[Sequence[str]] = (("'digits_cnn'",), ("'fp32'",), ("'cpu'",), ("1",), ("1",)),
    benchmark: str = "sweep.track_latency",
    machine: str = "vm",
    params: Mapping[str, str] | None = None,
    **header: Any,
) -> Path:
    """A result file as `asv run` would leave it, and machine.json."""
    found = {"python": "3.11", "onnxruntime": "1.31.1", **(params or {})}
    content = {
        "commit_hash": commit,
        "env_name": "virtualenv-py3.11-onnxruntime1.31.1",
        "date": 1_769_850_000_000,
        "params": {"machine": machine, "cpu": "A CPU", "num_cpu": "2", "arch": "x86_64", **found},
        "python": "3.11",
        "requirements": {"onnxruntime": "1.31.1"},
        "env_vars": {},
        "durations": {},
        **header,
    }
    columns = {
        "result": list(values) if any(value is not None for value in values) else None,  # as asv trims it
        "params": [list(axis) for axis in axes],
        "version": "2",
        "started_at": 1_769_850_000_000,
    }
    path = results / machine / f"{commit[:8]}-{content['env_name']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(asv_files.encode(content, {benchmark: columns}))
    described = {"machine": machine, "cpu": "A CPU", "num_cpu": "2", "arch": "x86_64", "version": 1}
    (path.parent / "machine.json").write_text(json.dumps(described))
    return path


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, locks left out."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }
