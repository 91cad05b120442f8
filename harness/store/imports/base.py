"""What the readers of other tools' files share: the commit to book on, and values as asv keeps them."""

from __future__ import annotations

import hashlib
import itertools
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import git
from harness.errors import StoreError, UsageError
from harness.store.asv.files import Columns

FULL_HASH = re.compile(r"[0-9a-f]{40}")
MOST = 101
"""Samples that are kept of one process: more are replaced by their quantiles, as `asv.benchmarks` does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """The commit that numbers are booked on; `time` in milliseconds since the epoch."""

    commit: str
    time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """Another tool's file, in asv's terms.

    Attributes:
        machine: as machine.json has it, with the name under `machine`.
        params: further dimensions on asv's pages.
        columns: benchmark -> columns, as `asv_files.ResultFile.benchmarks`.
        benchmarks: as benchmarks.json describes them.
    """

    commit: str
    commit_time: int
    environment: str
    machine: Mapping[str, str]
    params: Mapping[str, str]
    requirements: Mapping[str, str]
    columns: Mapping[str, Columns]
    benchmarks: Mapping[str, Any]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One number of a foreign file.

    Attributes:
        benchmark: its name here, such as `pytest.tests.test_plan.test_plan`.
        at: parameter -> value.
        samples: in the unit of `value`; none where the file has none.
    """

    benchmark: str
    unit: str
    meaning: str
    at: Mapping[str, str]
    value: float
    samples: Sequence[float] = ()
    started_at: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def book(revision: str, repo: Path) -> Booked:
    """Find the commit that numbers are to be booked on.

    Raises:
        UsageError: if git does not know it, or knows several.
    """
    commit = git.one_commit(repo, revision)
    seconds = git.author_time(repo, commit) if commit else None
    if seconds is None:
        raise UsageError(
            f"--commit {revision}: git knows no such commit here; give a branch, a tag or a hash of this clone"
        )
    return Booked(commit=commit, time=seconds * 1000)


def no_commit(path: Path, why: str) -> StoreError:
    """The error for numbers that belong to no commit."""
    return StoreError(f"{path} {why}: say with --commit REV which commit its numbers belong to.")


def safe(text: str) -> str:
    """A text that may stand in a file name and in a benchmark's name."""
    return re.sub(r"[^\w.+-]+", "_", text).strip("_")


def digest(value: object) -> str:
    """A short name for something long."""
    return hashlib.sha256(repr(value).encode()).hexdigest()[:8]


def tables(values: Sequence[Value]) -> tuple[dict[str, Columns], dict[str, Any]]:
    """Numbers as asv's columns, and as benchmarks.json describes them.

    Returns:
        Benchmark -> columns, and benchmark -> description.

    Raises:
        ValueError: if two numbers claim the same place.
    """
    columns: dict[str, Columns] = {}
    described: dict[str, Any] = {}
    for name, group in itertools.groupby(sorted(values, key=lambda value: value.benchmark), key=lambda v: v.benchmark):
        found = list(group)
        first = found[0]
        names = list(first.at)
        if any(list(value.at) != names for value in found):
            raise ValueError(f"{name} comes with different parameters")
        axes = [list(dict.fromkeys(repr(value.at[one]) for value in found)) for one in names]
        places = {tuple(repr(value.at[one]) for one in names): value for value in found}
        if len(places) != len(found):
            raise ValueError(f"{name} has two values for the same parameters")
        grid = [places.get(point) for point in itertools.product(*axes)]
        columns[name] = _columns(first, axes, grid)
        described[name] = {
            "code": first.meaning,
            "name": name,
            "param_names": names,
            "params": axes,
            "type": "time" if first.unit == "seconds" else "track",
            "unit": first.unit,
            "version": "1",
        }
    return columns, described


def _columns(first: Value, axes: list[list[str]], grid: Sequence[Value | None]) -> Columns:
    from asv_runner.statistics import compute_stats  # type: ignore[import-untyped]  # it has no stubs

    out: Columns = {
        "result": [math.nan if value is None else value.value for value in grid],
        "params": axes,
        "version": "1",
    }
    if first.started_at is not None:
        out["started_at"] = first.started_at
    stats: list[Mapping[str, Any] | None] = []
    samples: list[Sequence[float] | None] = []
    for value in grid:
        kept = condensed(value.samples) if value is not None else []
        samples.append(kept or None)
        stats.append(compute_stats(kept, 1)[1] if kept else None)
    if any(samples):
        for name in ("ci_99_a", "ci_99_b", "q_25", "q_75", "number", "repeat"):
            found = [None if one is None else _finite(one.get(name)) for one in stats]
            if any(value is not None for value in found):
                out[f"stats_{name}"] = found
        out["samples"] = samples
    return out


def condensed(samples: Sequence[float]) -> list[float]:
    """At most 101 values with the median and the quartiles of all of them.

    asv's rank test is quadratic in the number of samples.
    """
    ordered = sorted(samples)
    if len(ordered) <= MOST:
        return ordered
    inner = statistics.quantiles(ordered, n=MOST - 1, method="inclusive")
    return [ordered[0], *inner, ordered[-1]]


def _finite(value: Any) -> Any:
    return value if isinstance(value, (int, float)) and math.isfinite(value) else None
