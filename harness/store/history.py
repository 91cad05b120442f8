"""Every number that was ever stored, as series over commits: asv's files and the samples alike.

Reading only: nothing is written, printed or judged here. One measurement is one point, also where a sweep wrote it
to both places.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from harness.errors import StoreError
from harness.metrics import BY_NAME
from harness.store import history_asv, history_samples
from harness.store.asv.benchmarks import BENCHMARKS
from harness.store.clock import ahead, settled
from harness.store.commits import Commits, commits
from harness.store.point_columns import PointColumns
from harness.store.query import natural
from harness.store.series import History, Key, Point, Series, when

__all__ = ["History", "Key", "Point", "Series", "history"]

Groups = dict[Key, list[Point] | PointColumns]
"""Points as they are stored; those of a key are columns until asv's files have more of them."""

MARKS = tuple(benchmark.told_apart(version) for benchmark in BENCHMARKS for version in benchmark.metric.earlier)
"""What follows an environment's name in series of an earlier meaning."""

SAME = 1e-9
"""Relative difference up to which two stored values are one: asv keeps the digits that JSON keeps."""


def history(
    results: Path,
    *,
    repo: Path | None,
    cases: Sequence[str] = (),
    metrics: Sequence[str] = (),
    since: str | None = None,
    reference: bool = False,
) -> History:
    """What is stored, as series in git's order.

    Numbers of weights, runtimes, hosts or environments that differ never share a series. Places where a case is not
    applicable (asv's NaN; skipped, unsupported) are not points. A metric that has nothing but failures has no series,
    save for latency, so that a case that always failed shows once.

    Args:
        results: the results folder; one that is missing holds nothing.
        repo: a folder inside the clone whose order of commits counts; None orders by commit time.
        cases: case ids or globs of them; none takes all.
        metrics: names such as `latency` (`optimum.*` takes globs too); none takes all.
        since: a revision of `repo`; older commits are left out.
        reference: whether points of latency get the time of the reference workload, which has to be read for it.

    Raises:
        UsageError: if git does not know `since`.
        StoreError: where the folder itself cannot be listed.
    """
    order = commits(repo, since)
    wanted_case, wanted_metric = _matcher(cases), _matcher(metrics)
    groups: Groups = {}
    runs: set[tuple[str, str]] = set()
    problems: list[StoreError] = []
    if (results / "samples").is_dir():
        sampled = history_samples.series(results, order, wanted_case, wanted_metric, problems, reference=reference)
        groups |= sampled.series
        runs |= sampled.runs
    known: dict[Key, dict[str, list[int]]] = {}
    for key, point in history_asv.points(results, order, wanted_case, wanted_metric, problems):
        if key not in known:
            known[key] = _by_commit(groups.get(key, ()))
        of_commit = known[key].get(point.commit or "", [])
        twin = next((at for at in of_commit if _same(groups[key][at], point)), None)
        if twin is None:
            _written(groups, key).append(point)
            runs.add((point.run or point.commit or "", point.started_at))
        elif (whole := _with_interval(groups[key][twin], point)) is not None:
            _written(groups, key)[twin] = whole
    return History(series=_series(_plainly_named(groups), order), problems=tuple(problems), notes=ahead(runs))


def _written(groups: Groups, key: Key) -> list[Point]:
    """The points of a key as a list, which can be changed."""
    points = groups.get(key, ())
    if not isinstance(points, list):
        points = groups[key] = list(points)
    return points


def _plainly_named(groups: Groups) -> Groups:
    """Without the marks of earlier versions where there are no later numbers to tell them apart from."""
    if not any(environment.endswith(MARKS) for environment in {key.environment for key in groups}):
        return groups
    found: Groups = {}
    for key, points in groups.items():
        mark = next((mark for mark in MARKS if key.environment.endswith(mark)), "")
        plain = key._replace(environment=key.environment.removesuffix(mark))
        found[key if plain in groups else plain] = points
    return found


def _matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    @cache
    def wanted(name: str) -> bool:
        return not patterns or any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)

    return wanted


def _by_commit(points: Sequence[Point]) -> dict[str, list[int]]:
    """Where the points of clean commits stand: the only ones that asv's files can hold too."""
    places: dict[str, list[int]] = {}
    for place, point in enumerate(points):
        if point.commit is not None and not point.dirty:
            places.setdefault(point.commit, []).append(place)
    return places


def _same(stored: Point, other: Point) -> bool:
    if stored.value is None or other.value is None:
        return stored.value is other.value
    return math.isclose(stored.value, other.value, rel_tol=SAME)


def _with_interval(stored: Point, other: Point) -> Point | None:
    """A point from the samples with asv's interval; None where it has one of its own, or asv has none."""
    if stored.low is not None or other.low is None:
        return None
    return replace(stored, low=other.low, high=other.high, confidence=other.confidence)


def _series(groups: Groups, order: Commits) -> tuple[Series, ...]:
    found = []
    for key, points in groups.items():
        kept = _ordered(points, order)
        if not kept or (key.metric != "latency" and kept.all_failed):
            continue
        case, metric, unit, host, runtime, weights, environment = key
        found.append(
            Series(
                case=case,
                metric=metric,
                unit=unit,
                host=host,
                runtime=runtime,
                weights=weights,
                environment=environment,
                points=kept,
            )
        )
    rank = {metric: place for place, metric in enumerate(BY_NAME)}
    return tuple(
        sorted(found, key=lambda s: (natural(s.case), rank.get(s.metric, len(rank)), s.metric, s.environment, s.host))
    )


def _ordered(points: list[Point] | PointColumns, order: Commits) -> PointColumns:
    """Those of the part of history that was asked for, in git's order: columns are in it already."""
    columns = PointColumns.of(points if isinstance(points, PointColumns) else sorted(points, key=_place))
    return columns if order.since is None else columns.where([order.wants(one.commit, when(one)) for one in columns])


def _place(point: Point) -> tuple[bool, float, str, bool, str]:
    known = point.position is not None
    return (
        not known,
        float(point.position) if point.position is not None else when(point) if settled(point.started_at) else 0.0,
        "" if known else point.commit or "",
        point.dirty,
        settled(point.started_at),
    )
