"""Which stored series go on, and what tells those of one case apart."""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from pathlib import Path

from harness import git
from harness.store.history import Series
from harness.store.point_columns import PointColumns

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
        last = {of: max(map(_last, some), key=itemgetter(0)) for of, some in kinds.items()}
        latest = max(last, key=lambda of: last[of][0])
        for of, some in kinds.items():
            # One commit may be measured on several runtimes, and then all of them go on.
            if of == latest or (last[latest][1] and last[of][1] == last[latest][1]):
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
    known = [one for one in found if PointColumns.of(one.points).placed_or_apart]
    return known, len(found) - len(known)


def kind(series: Series) -> Kind:
    """What a series can differ in from others of its case and host."""
    return series.runtime, series.weights, series.environment


def age(series: Series) -> tuple[int, str, float]:
    """How new a series is: that of its last point, by place in git's order, then by when it ran."""
    return PointColumns.of(series.points).newest_first


def _last(series: Series) -> tuple[tuple[int, str, float], str]:
    """How new a series is, and the commit of its last point."""
    return age(series), PointColumns.of(series.points).last_commit or ""


class SeriesNames:
    """What tells series of one case from each other: host, runtime, weights or environment.

    Args:
        keys: of all series.
    """

    def __init__(self, keys: Iterable[Key]) -> None:
        self._kinds: dict[str, dict[str, list[Kind]]] = {}
        for case, host, own in keys:
            self._kinds.setdefault(case, {}).setdefault(host, []).append(own)

    def of(self, key: Key) -> str:
        """The case, and what tells this series from the others of it."""
        case, host, own = key
        hosts = self._kinds[case]
        marks = [f"host {host}"] if len(hosts) > 1 else []
        for place, what in enumerate(("onnxruntime ", "weights ", "")):
            # The environment's name holds the other two: it is only asked where they are the same.
            if any(other[place] != own[place] and (place < 2 or other[:2] == own[:2]) for other in hosts[host]):  # noqa: PLR2004
                marks.append(f"{what}{own[place]}")
        return f"{case} [{', '.join(marks)}]" if marks else case
