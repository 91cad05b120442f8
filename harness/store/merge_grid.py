"""One benchmark of two result files, combination by combination. Pure; for `harness.store.merge`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from harness.store import asv_files
from harness.store.asv_files import Columns
from harness.store.asv_merge import Point, union


class Grid:
    """One benchmark of ours and of theirs, combination by combination.

    Attributes:
        columns: ours, with what only they have.
        losers: what they have and ours says otherwise; empty where there is nothing of that.
        told: (combination, our value, theirs) for each of those.
    """

    def __init__(self, ours: Columns | None, theirs: Columns) -> None:
        self.added = self.same = 0
        self.losers: Columns = {}
        self.told: list[tuple[str, object, object]] = []
        if ours is None:
            self.columns = theirs
            self.added = known(theirs)
        elif ours.get("version") != theirs.get("version") or len(asv_files.axes(ours)) != len(asv_files.axes(theirs)):
            self.columns = ours
            self.losers = theirs
            self.told = [("(of another version)", ours.get("version"), theirs.get("version"))]
        else:
            self.columns = self._joined(ours, theirs)

    def _joined(self, ours: Columns, theirs: Columns) -> Columns:
        axes = union(asv_files.axes(ours), asv_files.axes(theirs))
        mine = {point: place for place, point in asv_files.points(ours)}
        other = {point: place for place, point in asv_files.points(theirs)}
        taken: list[tuple[Columns, int] | None] = []
        lost: list[Point] = []
        for point in itertools.product(*axes):
            here = (ours, mine[point]) if point in mine else None
            there = (theirs, other[point]) if point in other else None
            if _has(there) and not _has(here):
                self.added += 1
                taken.append(there)
                continue
            taken.append(here or there)
            if here and there and _has(there):
                if _equal(_value(here), _value(there)):
                    self.same += 1
                else:
                    lost.append(point)
                    self.told.append((", ".join(point), _value(here), _value(there)))
        if lost:
            self.losers = _picked(theirs, other, lost)
        if not self.added:
            return ours
        rest = {name: value for name, value in {**theirs, **ours}.items() if name not in asv_files.PER_POINT}
        return {**rest, "params": axes, **_columns(taken)}


def _columns(taken: Sequence[tuple[Columns, int] | None]) -> Columns:
    """Entries of both sides as columns; n/a where neither has one."""
    out: Columns = {}
    for column in asv_files.PER_POINT:
        absent = math.nan if column == "result" else None
        values = [absent if one is None else asv_files.at(one[0], column, one[1]) for one in taken]
        if any(value is not None for value in values):
            out[column] = values
    return out


def _picked(columns: Columns, places: Mapping[Point, int], points: Sequence[Point]) -> Columns:
    """A benchmark's columns with nothing but these combinations, n/a in between."""
    axes = [list(dict.fromkeys(point[axis] for point in points)) for axis in range(len(points[0]))]
    wanted = set(points)
    taken = [(columns, places[point]) if point in wanted else None for point in itertools.product(*axes)]
    rest = {name: value for name, value in columns.items() if name not in asv_files.PER_POINT}
    return {**rest, "params": axes, **_columns(taken)}


def _has(entry: tuple[Columns, int] | None) -> bool:
    """Whether there is a value or a failure, rather than nothing or n/a."""
    return entry is not None and not _is_nan(_value(entry))


def _value(entry: tuple[Columns, int]) -> Any:
    return asv_files.at(entry[0], "result", entry[1])


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _equal(one: object, other: object) -> bool:
    return one == other or (_is_nan(one) and _is_nan(other))


def known(columns: Columns) -> int:
    """How many combinations of a benchmark have a value or a failure."""
    return sum(not _is_nan(asv_files.at(columns, "result", place)) for place, _ in asv_files.points(columns))
