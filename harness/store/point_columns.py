"""Points by column: a store of millions of rows has them as arrays, and one becomes an object when it is looked at.

A row has a point of every metric, and what these have in common (commit, run, time, interval) is kept once for the row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, overload

from harness.records import Status
from harness.store.clock import settled
from harness.store.series import POINT_FIELDS, Point, epoch_ms

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Codes = npt.NDArray[np.int32]
    Flags = npt.NDArray[np.bool_]

NO_TIME: Final = -(2**63)
"""Stands for a commit without a time."""

NO_POSITION: Final = -1
"""Stands for a commit that this clone does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedTexts:
    """A column of texts of which there are few.

    Attributes:
        codes: for each row the place of its text; -1 for none.
        texts: each once.
    """

    codes: Codes
    texts: tuple[str, ...]

    def at(self, row: int) -> str | None:
        """The text of a row."""
        code = self.codes.item(row)
        return None if code < 0 else self.texts[code]

    def ranks(self, of: Sequence[str]) -> Ints:
        """For each row where its text would stand if what is made of the texts were sorted; the empty one where none.

        Args:
            of: what is made of each of `texts`.
        """
        import numpy as np

        places = {text: place for place, text in enumerate(sorted({*of, ""}))}
        found: Ints = np.array([*(places[text] for text in of), places[""]], dtype=np.int64)[self.codes]
        return found

    @classmethod
    def of(cls, values: Sequence[str | None]) -> Self:
        """A column of these."""
        import numpy as np

        known: dict[str, int] = {}
        codes = [-1 if value is None else known.setdefault(value, len(known)) for value in values]
        return cls(codes=np.array(codes, dtype=np.int32), texts=tuple(known))


@dataclass(frozen=True, slots=True, kw_only=True)
class RowColumns:
    """What the points of a row have in common; each array has one element for each row.

    Attributes:
        commit, status, started_at, source, run: texts, as `Point` has them.
        commit_time: milliseconds since the epoch; `NO_TIME` for none.
        dirty: the working tree differed from the commit.
        position: place of the commit in git's order; `NO_POSITION` for none.
        low, high, confidence, reference_ns: NaN for none.
        n: of metrics with noise.
    """

    commit: RepeatedTexts
    status: RepeatedTexts
    started_at: RepeatedTexts
    source: RepeatedTexts
    run: RepeatedTexts
    commit_time: Ints
    dirty: Flags
    position: Ints
    low: Floats
    high: Floats
    confidence: Floats
    reference_ns: Floats
    n: Ints

    @property
    def placed(self) -> Flags:
        """Whether this clone has each row's commit."""
        found: Flags = self.position != NO_POSITION
        return found

    def when(self) -> Floats:
        """As `harness.store.series.when`, of every row."""
        import numpy as np

        started = np.array([*map(epoch_ms, self.started_at.texts), 0.0], dtype=np.float64)[self.started_at.codes]
        found: Floats = np.where(self.commit_time == NO_TIME, started, self.commit_time)
        return found

    def in_order(self, group: Ints) -> Ints:
        """The rows group after group, each in git's order, commits that this clone does not have by time at the end.

        Args:
            group: for each row a number.
        """
        import numpy as np

        known = self.placed
        settled_at = [settled(text) for text in self.started_at.texts]
        counts = np.array([*map(bool, settled_at), False])[self.started_at.codes]
        place = np.where(known, self.position, np.where(counts, self.when(), 0.0))
        commit = np.where(known, 0, self.commit.ranks(self.commit.texts))
        found: Ints = np.lexsort((self.started_at.ranks(settled_at), self.dirty, commit, place, ~known, group))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricColumn:
    """One metric of rows.

    Attributes:
        rows: of whom.
        values: one for each row; NaN where the case failed.
        order: the rows that have a point, series after series.
        noisy: whether a point has as many processes behind it as the row has, instead of one.
        latency: whether interval and reference workload of the row are of this metric.
    """

    rows: RowColumns
    values: Floats
    order: Codes
    noisy: bool
    latency: bool


class PointColumns(Sequence[Point]):
    """The points of one series: as a tuple of `Point` would be, in a fortieth of the memory.

    Args:
        column: of its metric.
        start, stop: where in the column's order.
    """

    __slots__ = ("_column", "_start", "_stop")

    def __init__(self, column: MetricColumn, start: int, stop: int) -> None:
        self._column = column
        self._start = start
        self._stop = stop

    @classmethod
    def of(cls, points: Sequence[Point]) -> PointColumns:
        """Columns of points; those that are columns stay what they are."""
        import numpy as np

        if isinstance(points, PointColumns):
            return points
        held: dict[str, list[Any]] = {name: [getattr(point, name) for point in points] for name in POINT_FIELDS}

        def numbers(name: str) -> Floats:
            return np.array([math.nan if value is None else value for value in held[name]], dtype=np.float64)

        def whole(name: str, none: int) -> Ints:
            return np.array([none if value is None else value for value in held[name]], dtype=np.int64)

        rows = RowColumns(
            commit=RepeatedTexts.of(held["commit"]),
            status=RepeatedTexts.of(held["status"]),
            started_at=RepeatedTexts.of(held["started_at"]),
            source=RepeatedTexts.of(held["source"]),
            run=RepeatedTexts.of(held["run"]),
            commit_time=whole("commit_time", NO_TIME),
            dirty=np.array(held["dirty"], dtype=np.bool_),
            position=whole("position", NO_POSITION),
            low=numbers("low"),
            high=numbers("high"),
            confidence=numbers("confidence"),
            reference_ns=numbers("reference_ns"),
            n=whole("n", 0),
        )
        order = np.arange(len(points), dtype=np.int32)
        column = MetricColumn(rows=rows, values=numbers("value"), order=order, noisy=True, latency=True)
        return cls(column, 0, len(points))

    def where(self, flags: Flags | Sequence[bool]) -> PointColumns:
        """Some of the points.

        Args:
            flags: which, one for each.
        """
        import numpy as np

        flags = np.asarray(flags, dtype=np.bool_)
        if flags.all():
            return self
        own = self._column
        order = self.rows[flags]
        column = MetricColumn(rows=own.rows, values=own.values, order=order, noisy=own.noisy, latency=own.latency)
        return PointColumns(column, 0, len(order))

    @property
    def column(self) -> MetricColumn:
        """Of whose rows they are."""
        return self._column

    @property
    def rows(self) -> Codes:
        """Whose points they are."""
        return self._column.order[self._start : self._stop]

    @property
    def values(self) -> Floats:
        """Each point's value; NaN where the case failed."""
        return self._column.values[self.rows]

    @property
    def all_failed(self) -> bool:
        """Whether none has a value."""
        first = self._column.values.item(self._column.order.item(self._start)) if len(self) else math.nan
        return math.isnan(first) and all(map(math.isnan, self.values.tolist()))

    @property
    def timed(self) -> int:
        """How many have a value."""
        return len(self) - sum(map(math.isnan, self.values.tolist()))

    @property
    def dirty(self) -> Flags:
        """Whether each point's tree differed from its commit."""
        return self._column.rows.dirty[self.rows]

    @property
    def placed(self) -> Flags:
        """Whether this clone has each point's commit."""
        found: Flags = self._column.rows.position[self.rows] != NO_POSITION
        return found

    @property
    def newest_first(self) -> tuple[int, str, float]:
        """How new the last point is: by place in the order of git, then by when it ran and when its commit was made."""
        rows, row = self._column.rows, self._column.order.item(self._stop - 1)
        started, time = rows.started_at.at(row) or "", rows.commit_time.item(row)
        return rows.position.item(row), settled(started), epoch_ms(started) if time == NO_TIME else float(time)

    @property
    def last_commit(self) -> str | None:
        """That of the last point."""
        return self._column.rows.commit.at(self._column.order.item(self._stop - 1))

    @property
    def last_failed(self) -> bool:
        """Whether the last point has no value, since the case failed."""
        row = self._column.order.item(self._stop - 1)
        return math.isnan(self._column.values.item(row)) and self._column.rows.status.at(row) == Status.FAILED

    @property
    def placed_or_apart(self) -> bool:
        """Whether this clone has a commit of any, or one was measured outside git."""
        rows = self._column.rows
        return any(
            rows.position.item(row) != NO_POSITION or rows.commit.codes.item(row) < 0 for row in self.rows.tolist()
        )

    @property
    def reference_ns(self) -> Floats:
        """What the reference workload took beside each; NaN for none."""
        import numpy as np

        if not self._column.latency:
            return np.full(len(self), math.nan)
        return self._column.rows.reference_ns[self.rows]

    def _point(self, row: int) -> Point:
        column, rows = self._column, self._column.rows
        value = _number(column.values.item(row))
        own = column.latency and value is not None
        low = _number(rows.low.item(row)) if own else None
        commit_time, position = rows.commit_time.item(row), rows.position.item(row)
        return Point(
            commit=rows.commit.at(row),
            commit_time=None if commit_time == NO_TIME else commit_time,
            value=value,
            status=rows.status.at(row) or "",
            low=low,
            high=_number(rows.high.item(row)) if own else None,
            confidence=None if low is None else _number(rows.confidence.item(row)),
            n=rows.n.item(row) if column.noisy else 1,
            dirty=rows.dirty.item(row),
            started_at=rows.started_at.at(row) or "",
            source=rows.source.at(row) or "",
            run=rows.run.at(row),
            position=None if position == NO_POSITION else position,
            reference_ns=_number(rows.reference_ns.item(row)) if column.latency else None,
        )

    def __len__(self) -> int:
        return self._stop - self._start

    def __iter__(self) -> Iterator[Point]:
        return map(self._point, self.rows.tolist())

    @overload
    def __getitem__(self, place: int) -> Point: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Point, ...]: ...
    def __getitem__(self, place: int | slice) -> Point | tuple[Point, ...]:
        if isinstance(place, slice):
            return tuple(map(self._point, self.rows[place].tolist()))
        at = place + len(self) if place < 0 else place
        if not 0 <= at < len(self):
            raise IndexError(place)
        return self._point(self._column.order.item(self._start + at))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (tuple, PointColumns)):
            return NotImplemented
        return len(self) == len(other) and all(mine == its for mine, its in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
