"""Values that only asv's files hold: those of `asv run`, imported ones, and sweeps whose samples are not there."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness import flavours
from harness.errors import StoreError
from harness.store import history_asv
from harness.store.asv import files as asv_files
from harness.store.asv.benchmarks import BENCHMARKS, PARAMETERS
from harness.store.asv.environments import weights_label
from harness.store.commits import Commits
from harness.store.series import Key, Point, when

if TYPE_CHECKING:
    import pandas as pd

SWEPT = "harness-"
"""How the environments begin that a sweep writes to asv's files."""

SWEPT_FILE: Final = re.compile(rf"[0-9a-f]{{8}}-{SWEPT}")
"""The file of such an environment; what `asv run` measured of the same weights stands beside it."""

METRIC: Final = BENCHMARKS[0].name
LATENCY: Final = f'"{METRIC}": '.encode()
"""What stands before the latencies in one of asv's files, as asv and harness write them."""

Stored = dict[tuple[str, str, str, str], set[str]]
"""(commit, host, runtime, weights as asv's files name them) -> cases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A commit that asv's files have values of.

    Attributes:
        time: of the commit, in milliseconds since the epoch.
    """

    hash: str
    time: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """What asv's files add to the samples.

    Attributes:
        commits: oldest first.
        series: the points of each, in order of commits; failures are not points.
        hosts: fingerprint (asv's name of the machine where there is none) -> what a person would call it.
        problems: files, or benchmarks of files, that were left out, and why.
    """

    commits: tuple[Commit, ...] = ()
    series: Mapping[Key, tuple[Point, ...]] = field(default_factory=dict)
    hosts: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def load(results: Path, order: Commits, rows: pd.DataFrame) -> Values:
    """Read asv's files, without what the samples hold too.

    Args:
        results: the results folder.
        order: the commits of the clone, and which of them are wanted.
        rows: stored rows: `run`, `commit`, `fingerprint`, `model`, `case`, `weights`, `weights_kind`, `dirty`,
            `median_s`, and `tag`, the runtime that measured it (`harness.flavours.tag`).

    Raises:
        StoreError: if the folder cannot be listed.
    """
    if not results.is_dir():
        return Values()
    stored = _stored(rows)
    listed = asv_files.result_paths(results)
    covered = set(_covered(listed, stored))
    paths = [path for path in listed if path not in covered]
    if not paths:
        return Values()
    problems: list[StoreError] = []
    groups: dict[Key, list[Point]] = {}
    for swept in (True, False):
        chosen = [path for path in paths if bool(SWEPT_FILE.match(path.name)) is swept]
        for key, point in history_asv.points(results, order, _all, _all, problems, chosen):
            same = stored.get((point.commit or "", key.host, key.runtime, key.weights), ()) if swept else ()
            if point.value is not None and key.case not in same and order.wants(point.commit, when(point)):
                groups.setdefault(key, []).append(point)
    for points in groups.values():
        points.sort(key=_place)
    every = {point.commit: point for points in groups.values() for point in points}
    commits = [Commit(hash=one.commit or "", time=one.commit_time) for one in sorted(every.values(), key=_place)]
    return Values(
        commits=tuple(commits),
        series={key: tuple(points) for key, points in groups.items()},
        hosts=dict(_hosts(paths, {key.host for key in groups})),
        problems=tuple(str(problem) for problem in problems),
    )


def runtime(stored: str) -> str:
    """A runtime by its package and version: `1.31.1+gpu` is `onnxruntime-gpu 1.31.1`."""
    return flavours.label(*flavours.of_tag(stored)) if stored else ""


def _all(_: str) -> bool:
    return True


def _place(point: Point) -> tuple[bool, float, str]:
    known = point.position is not None
    return (not known, float(point.position) if point.position is not None else when(point), point.started_at)


def _stored(rows: pd.DataFrame) -> Stored:
    """What the samples of clean commits hold, divided as asv's files of the same sweeps are."""
    found: Stored = {}
    if rows.empty:
        return found
    clean = rows[
        rows["commit"].notna() & ~rows["dirty"].astype(bool) & rows["weights"].notna() & rows["median_s"].notna()
    ]
    # By run and not by row: two hundred thousand rows are a few thousand of these.
    names = ["run", "fingerprint", "tag", "model", "weights_kind", "weights"]
    indices: Mapping[Any, Any] = clean.groupby(names, observed=True, sort=False).indices
    cases, categories = clean["case"].cat.codes.to_numpy(), clean["case"].cat.categories
    commits = clean["commit"].astype(object).to_numpy()
    for (_, host, tag, model, kind, digest), places in indices.items():
        key = (commits[places[0]], host, tag, weights_label(model, kind, digest))
        found.setdefault(key, set()).update(categories[cases[places]])
    return found


def _covered(paths: Sequence[Path], stored: Stored) -> Iterator[Path]:
    """Files of sweeps whose every latency the samples hold, too: they need not be read whole.

    A run whose Parquet file is lost, wholly or in part, leaves values that are only in asv's file.
    """
    endings = {
        (commit[:8], re.sub(r"[^\w.+-]", "_", f"{''.join(flavours.of_tag(tag))}-{weights}-host{host}")): cases
        for (commit, host, tag, weights), cases in stored.items()
    }
    for path in paths:
        parts = re.match(r"([0-9a-f]{8})-" + SWEPT + r"py[\d.]+-(.*)\.json$", path.name)
        cases = endings.get((parts[1], parts[2])) if parts else None
        if cases and (found := _cases(path)) is not None and found <= cases:
            yield path


def _cases(path: Path) -> set[str] | None:
    """The cases that one of a sweep's files has a latency of; None where it is not written as a sweep's are.

    Only that part of the file is decoded: a large history has thousands of files.
    """
    try:
        content = path.read_bytes()
        start = content.index(LATENCY) + len(LATENCY)
        values, _, axes = content[start : content.index(b"]], ", start) + 2].partition(b"], ")
        numbers = json.loads(values[1:] + b"]")
        return {
            case for case, value in zip(_grid(axes), numbers, strict=True) if value is not None and math.isfinite(value)
        }
    except (OSError, ValueError, TypeError):  # whoever reads the whole file says what is wrong with it
        return None


@cache
def _grid(axes: bytes) -> tuple[str, ...]:
    """The cases of a grid, in asv's order; the files of a history have few different ones."""
    return tuple(history_asv.case_id(METRIC, PARAMETERS, place) for place in itertools.product(*json.loads(axes)))


def _hosts(paths: list[Path], wanted: set[str]) -> Iterator[tuple[str, str]]:
    """What hosts are called, from the newest files of each folder and environment."""
    newest = {(path.parent, path.name[8:]): path for path in paths}
    for path in newest.values():
        try:
            found = asv_files.read(path)
        except StoreError:  # it is among the problems already
            continue
        host = history_asv.identity(found)[0]
        if host in wanted:
            machine, cpu = found.params.get("machine"), found.params.get("cpu")
            parts = (machine, cpu, "" if host == machine else host[:6])
            yield host, " · ".join(str(part) for part in parts if part)
