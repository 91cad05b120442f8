"""Which points of a stored series say something about a commit, and what is judged of them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.gate.history.standing import EXACT
from harness.metrics import LATENCY, METRICS
from harness.store.point_columns import MetricColumn, PointColumns
from harness.store.series import Series
from harness.units import count

if TYPE_CHECKING:
    from harness.store.point_columns import Flags, Floats

FINEST = {metric.name: metric.finest for metric in METRICS}
"""Digits below these are rounding of the arithmetic, not a step."""

ELSEWHERE = "commits that this clone does not have left out (a shallow clone needs fetch-depth: 0)"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsableSeries:
    """A series as it is judged.

    Attributes:
        series: as it is stored.
        points: those that are judged.
        values: what is judged, one for each; latency where it can be as what the host at its usual pace would have
            taken.
        divided: whether it is: a host that got slower is then no change.
        left_out: why other points are not judged.
    """

    series: Series
    points: PointColumns
    values: Floats
    divided: bool
    left_out: tuple[str, ...]


class UsablePoints:
    """The points of series that are judged; what is asked of every row is asked once for all series of a metric."""

    def __init__(self) -> None:
        self._plain: dict[int, tuple[MetricColumn, Flags]] = {}

    def of(self, series: Series) -> UsableSeries:
        """A series' points that say something about a commit, and why the others do not."""
        points = PointColumns.of(series.points)
        plain = self._plain.get(id(points.column))
        if plain is None:
            plain = self._plain[id(points.column)] = points.column, _plain(points.column, series.metric)
        left: tuple[str, ...] = ()
        if not plain[1][points.rows].all():
            points, left = _chosen(points, series.metric)
        values, divided = _values(points, series.metric)
        return UsableSeries(series=series, points=points, values=values, divided=divided, left_out=left)


def _plain(column: MetricColumn, metric: str) -> Flags:
    """The rows about whose points there is no question: a series of these alone is judged as it is."""
    rows = column.rows
    placed = rows.placed
    found: Flags = ~rows.dirty & (placed | (not placed.any())) & _sound(column.values, metric)
    if metric != LATENCY.name or not column.latency:
        return found
    paced = _paced(rows.reference_ns)
    return found & (paced | (not paced.any()))


def _chosen(points: PointColumns, metric: str) -> tuple[PointColumns, tuple[str, ...]]:
    """The points that are judged, and why the others are not."""
    left: list[str] = []
    clean = points.where(~points.dirty)
    if len(clean) < len(points):
        left.append(f"{count(len(points) - len(clean), 'run')} of uncommitted changes left out")
    known = clean.where(clean.placed)
    if 0 < len(known) < len(clean):
        left.append(f"{count(len(clean) - len(known), 'run')} of {ELSEWHERE}")
        clean = known
    good = clean.where(_sound(clean.values, metric))
    # A failure has no value and has a finding of its own; what else is not a number is damage.
    damaged = clean.timed - len(good)
    if damaged:
        left.append(f"{count(damaged, 'run')} without a usable {metric} left out")
    if metric == LATENCY.name:
        paced = good.where(_paced(good.reference_ns))
        if len(good) > len(paced) >= len(good) / 2:
            left.append(f"{count(len(good) - len(paced), 'run')} without the time of the reference workload left out")
            good = paced
    return good, tuple(left)


def _sound(values: Floats, metric: str) -> Flags:
    """Which values can be judged."""
    import numpy as np

    found: Flags = np.isfinite(values) & ((values >= 0) if metric in EXACT else (values > 0))
    return found


def _paced(reference_ns: Floats) -> Flags:
    """Where the reference workload was timed."""
    import numpy as np

    found: Flags = ~np.isnan(reference_ns) & (reference_ns != 0)
    return found


def _values(points: PointColumns, metric: str) -> tuple[Floats, bool]:
    """What is judged, and whether it is divided by the time of the reference workload."""
    import numpy as np

    if metric == LATENCY.name and len(points):
        reference = points.reference_ns
        if _paced(reference).all():
            return points.values * statistics.median(reference.tolist()) / reference, True
    finest = FINEST.get(metric)
    return points.values if finest is None else np.rint(points.values / finest) * finest, False
