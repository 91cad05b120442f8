"""Stored rows as series over commits, scanned for changes of level: what the history and the first page show.

A series holds one metric of one case, on one host, runtime and set of weights. Values, units and order are those of
`harness.store.history`; here they stay columns, because 200,000 rows of seven metrics would be 1.4 million objects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from harness.metrics import ACCURACY_DROP, FIDELITY_LOSS, LATENCY, METRICS
from harness.records.status import WITH_NUMBERS
from harness.report.data import NAMES, Data
from harness.store.asv.reconcile import runtime
from harness.store.clock import settled
from harness.store.query import natural
from harness.store.series import epoch_ms

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from harness.stats.scan import Scan

    Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

UNITS: Final[Mapping[str, str]] = {metric.name: metric.unit for metric in METRICS}
MEANINGS: Final[Mapping[str, str]] = {metric.name: metric.meaning for metric in METRICS}
NOISY: Final = tuple(metric.name for metric in METRICS if metric.noisy)
"""Metrics of harness that differ from run to run; in its others every step is a change. Imported ones are noisy."""

IDENTITY: Final = ("case", "runtime", "weights", "fingerprint")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartedSeries:
    """One metric of one case over commits.

    Attributes:
        id: of the case's identity; all metrics of it share the id.
        at: for each point the number of its run or commit, see `Data.revision`; in order of commits.
        numbers: its values, in `unit`.
        low, high: intervals, NaN where a value has none.
        confidence: of the intervals.
        source: what else tells it from others: asv's environment, where the values are only in asv's files.
    """

    id: str
    case: str
    runtime: str
    weights: str
    fingerprint: str
    metric: str
    unit: str
    at: Any
    numbers: Any
    low: Any = None
    high: Any = None
    confidence: float = 0.95
    source: str = ""

    @property
    def title(self) -> str:
        """The metric in words."""
        return title(self.metric)


def title(metric: str) -> str:
    """A metric in words."""
    return metric.replace("_", " ")


def collect(data: Data, positions: Mapping[str, int]) -> dict[str, list[ChartedSeries]]:
    """Every series of every metric.

    Args:
        data: what is stored.
        positions: commit -> its place in git's order; commits outside it follow by time.

    Returns:
        Series by the id of their case, runtime, weights and host, in natural order of it.
    """
    found = {} if data.rows.empty else _of_samples(data, positions)
    found |= _of_asv(data)
    return {identity: found[identity] for identity in sorted(found, key=natural)}


def _of_samples(data: Data, positions: Mapping[str, int]) -> dict[str, list[ChartedSeries]]:
    """The series of stored rows."""
    import numpy as np

    rows = data.rows
    values = metric_values(rows)
    keys = rows[["case", "weights", "fingerprint", "runtime"]]
    order = np.lexsort(tuple(reversed(_order(rows, positions))))
    low, high = rows["low_s"].to_numpy(float), rows["high_s"].to_numpy(float)
    numbers, now = data.run_numbers, rows["inputs_known"].to_numpy(bool)
    found: dict[str, list[ChartedSeries]] = {}
    grouped = keys.iloc[order].reset_index(drop=True).groupby(list(IDENTITY), observed=True, sort=False)
    indices: Mapping[Any, Any] = grouped.indices
    for key, places in indices.items():
        at = order[places]
        case, of_runtime, weights, fingerprint = (str(part) for part in key)
        for metric, column in values.items():
            own = column[at]
            there = np.isfinite(own)
            if not there.any():
                continue
            for called, kept in _by_meaning(metric, at[there], now):
                ends = (low[kept], high[kept]) if metric == "latency" else (None, None)
                identity = f"{case}\n{of_runtime}{called}\n{weights}\n{fingerprint}"
                found.setdefault(identity, []).append(
                    ChartedSeries(
                        id=identity,
                        case=case,
                        runtime=of_runtime + called,
                        weights=weights,
                        fingerprint=fingerprint,
                        metric=metric,
                        unit=UNITS[metric],
                        at=numbers[kept],
                        numbers=column[kept],
                        low=ends[0],
                        high=ends[1],
                    )
                )
    return found


def _by_meaning(metric: str, at: Any, now: Any) -> list[tuple[str, Any]]:
    """Points apart by what their number means, each with what its series is called beside the runtime.

    A latency of the first input alone is another number than one of rotating inputs, and called so where a series has
    both (as in `harness.store.history`).
    """
    later = now[at]
    if metric != LATENCY.name or later.all() or not later.any():
        return [("", at)]
    return [("", at[later]), (f" ({LATENCY.earlier['1']})", at[~later])]


def _of_asv(data: Data) -> dict[str, list[ChartedSeries]]:
    """The series of values that only asv's files hold."""
    import numpy as np

    first = len(data.runs)
    places = {commit.hash: first + place for place, commit in enumerate(data.asv.commits)}
    found: dict[str, list[ChartedSeries]] = {}
    for key, points in data.asv.series.items():
        identity = "\n".join((key.case, key.runtime, key.weights, key.host, f"asv {key.environment}"))
        ends = np.array([(point.low, point.high) for point in points], dtype=float)
        found.setdefault(identity, []).append(
            ChartedSeries(
                id=identity,
                case=key.case,
                runtime=runtime(key.runtime),
                weights=key.weights,
                fingerprint=key.host,
                metric=key.metric,
                unit=key.unit,
                at=np.array([places[point.commit or ""] for point in points]),
                numbers=np.array([point.value for point in points], dtype=float),
                low=ends[:, 0] if np.isfinite(ends).any() else None,
                high=ends[:, 1] if np.isfinite(ends).any() else None,
                confidence=next((point.confidence for point in points if point.confidence), 0.99),
                source=key.environment,
            )
        )
    rank = {metric: place for place, metric in enumerate(UNITS)}
    return {
        identity: sorted(group, key=lambda one: (rank.get(one.metric, len(rank)), one.metric))
        for identity, group in found.items()
    }


def metric_values(rows: pd.DataFrame) -> dict[str, Floats]:
    """Each metric of every row as `harness.store.asv.benchmarks` defines it; NaN where a row has none."""
    import numpy as np

    decibels = rows["fidelity_db"].to_numpy(float)
    with np.errstate(over="ignore"):
        loss = np.where(rows["fidelity_max_abs"].to_numpy(float) == 0, 0.0, 10 ** (-decibels / 20))
    loss[rows[NAMES["fidelity.worst"]].isna().to_numpy()] = np.nan  # version 1 of the metric: another meaning
    numbers = rows["status"].isin(WITH_NUMBERS).to_numpy()
    found = {metric.name: rows[NAMES[metric.column]].to_numpy(float) for metric in METRICS}
    found[ACCURACY_DROP.name] = np.maximum(found[ACCURACY_DROP.name], 0.0)
    found[FIDELITY_LOSS.name] = loss
    return {
        name: np.where(numbers & np.isfinite(column) & (column >= 0), column, np.nan) for name, column in found.items()
    }


def scans(series: Mapping[str, Sequence[ChartedSeries]]) -> dict[tuple[str, str], Scan]:
    """Changes of level of all series, searched together: (id, metric) -> what was found."""
    from harness.stats.scan import scan

    values: dict[str, Floats] = {}
    exact: list[str] = []
    names: dict[str, tuple[str, str]] = {}
    for identity, group in series.items():
        for one in group:
            name = f"{one.metric}\n{identity}"
            names[name] = (identity, one.metric)
            values[name] = one.numbers
            if (one.metric in UNITS and one.metric not in NOISY) or (one.numbers <= 0).any():
                exact.append(name)
    found = scan(values, exact=frozenset(exact)) if values else {}
    return {names[name]: result for name, result in found.items()}


def _order(rows: pd.DataFrame, positions: Mapping[str, int]) -> list[Any]:
    """Sort keys: commits in git's order, others after them by time; clean before dirty; then by start."""
    place = rows["commit"].astype(object).map(positions)
    known = place.notna()
    started = {text: epoch_ms(text) if settled(text) else 0.0 for text in rows["run_started_at"].unique()}
    moment = rows["commit_time"].astype(float).fillna(rows["run_started_at"].map(started).astype(float))
    return [
        (~known).to_numpy(),
        place.astype(float).fillna(0.0).to_numpy(),
        moment.where(~known, 0.0).to_numpy(),
        rows["dirty"].astype(bool).to_numpy(),
        rows["run_started_at"].astype("category").cat.codes.to_numpy(),
    ]
