"""Values that only asv's files hold: those of `asv run`, imported ones, and sweeps whose samples are not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import StoreError
from harness.store import asv_files, history_asv
from harness.store.commits import Commits
from harness.store.series import Key, Point, when

if TYPE_CHECKING:
    import pandas as pd

SWEPT = "harness-"
"""How the environments begin that a sweep writes to asv's files."""


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
        series: the points of each, in order of commits; failures are no points.
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
        rows: stored rows: `commit`, `fingerprint`, `model`, `case`, `weights`, `weights_kind`, `dirty`.

    Raises:
        StoreError: if the folder cannot be listed.
    """
    if not results.is_dir():
        return Values()
    endings, known = _stored(rows)
    paths = [
        path for path in asv_files.result_paths(results) if not path.name.endswith(endings.get(path.name[:8], ("\0",)))
    ]
    if not paths:
        return Values()
    problems: list[StoreError] = []
    groups: dict[Key, list[Point]] = {}
    for key, point in history_asv.points(results, order, _all, _all, problems, paths):
        swept = key.environment.startswith(SWEPT) and (point.commit, key.host, key.case) in known
        if point.value is not None and not swept and order.wants(point.commit, when(point)):
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
    """A runtime as the pages name it: `1.31.1+gpu` is `onnxruntime-gpu 1.31.1`."""
    version, _, flavour = stored.partition("+")
    return f"onnxruntime{'-' * bool(flavour)}{flavour} {version}" if version else ""


def _all(_: str) -> bool:
    return True


def _place(point: Point) -> tuple[bool, float, str]:
    known = point.position is not None
    return (not known, float(point.position) if point.position is not None else when(point), point.started_at)


def _stored(rows: pd.DataFrame) -> tuple[dict[str, tuple[str, ...]], set[tuple[Any, ...]]]:
    """What the samples hold: how asv's files of the same sweeps end, by short commit; and (commit, host, case)."""
    if rows.empty:
        return {}, set()
    clean = rows[rows["commit"].notna() & ~rows["dirty"].astype(bool)]
    names = ["commit", "fingerprint", "model", "weights_kind", "weights"]
    endings: dict[str, list[str]] = {}
    for commit, host, model, kind, digest in clean[names].drop_duplicates().itertuples(index=False, name=None):
        if isinstance(digest, str):
            endings.setdefault(commit[:8], []).append(f"-{model}-{kind}-{digest[:8]}-host{host}.json")
    cases = set(clean[["commit", "fingerprint", "case"]].itertuples(index=False, name=None))
    return {commit: tuple(found) for commit, found in endings.items()}, cases


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
