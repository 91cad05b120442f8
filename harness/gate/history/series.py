"""Which stored series go on, and what tells those of one case apart."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from harness import git
from harness.store.clock import settled
from harness.store.history import Point, Series
from harness.store.series import when

Kind = tuple[str, str, str]
"""Runtime, weights and environment: what a series of one case and host can differ in."""

Key = tuple[str, str, Kind]
"""Case, host and kind."""


def newest(series: Iterable[Series]) -> tuple[list[Series], int]:
    """The series that each case on each host goes on with, and how many have ended."""
    groups: dict[tuple[str, str], dict[Kind, list[Series]]] = {}
    for one in series:
        groups.setdefault((one.case, one.host), {}).setdefault(kind(one), []).append(one)
    kept: list[Series] = []
    ended = 0
    for kinds in groups.values():
        last = {of: max((one.points[-1] for one in some), key=age) for of, some in kinds.items()}
        latest = max(last.values(), key=age)
        for of, some in kinds.items():
            # One commit may be measured on several runtimes, and then all of them go on.
            if last[of] is latest or (latest.commit and last[of].commit == latest.commit):
                kept += some
            else:
                ended += len(some)
    return kept, ended


def of_this_clone(series: Iterable[Series], repo: Path | None) -> tuple[list[Series], int]:
    """The series that a clone can put in order, and how many have nothing but commits that it does not have.

    Args:
        series: all that are stored.
        repo: a folder inside the clone; None, and outside git, takes every series.
    """
    found = list(series)
    if repo is None or git.top_of(repo) is None:
        return found, 0
    known = [one for one in found if any(point.position is not None or point.commit is None for point in one.points)]
    return known, len(found) - len(known)


def kind(series: Series) -> Kind:
    """What a series can differ in from others of its case and host."""
    return series.runtime, series.weights, series.environment


def age(point: Point) -> tuple[int, str, float]:
    """What is newest: by place in git's order, then by when it ran."""
    return -1 if point.position is None else point.position, settled(point.started_at), when(point)


def name(key: Key, among: Iterable[Key]) -> str:
    """The case, and what tells its series from others of the same case: host, runtime, weights or environment."""
    case, host, own = key
    same = [other for other in among if other[0] == case]
    marks = [f"host {host}"] if any(other[1] != host for other in same) else []
    for place, what in enumerate(("onnxruntime ", "weights ", "")):
        beside = [other[2] for other in same if other[1] == host]
        # The environment's name holds the other two: it is only asked where they are the same.
        if any(other[place] != own[place] and (place < 2 or other[:2] == own[:2]) for other in beside):  # noqa: PLR2004
            marks.append(f"{what}{own[place]}")
    return f"{case} [{', '.join(marks)}]" if marks else case
