"""Points of history from the samples' Parquet files, dirty runs included: read and kept as columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness import foreign
from harness.errors import StoreError
from harness.metrics import FIDELITY_LOSS, LATENCY
from harness.records import Status
from harness.stats.estimate import CONFIDENCE
from harness.store import query
from harness.store.asv.benchmarks import BENCHMARKS, COMPUTED, AsvBenchmark
from harness.store.asv.environments import AsvEnvironment, environments
from harness.store.commits import Commits
from harness.store.point_columns import (
    NO_POSITION,
    NO_TIME,
    MetricColumn,
    PointColumns,
    RepeatedTexts,
    RowColumns,
)
from harness.store.rows import Row
from harness.store.series import Key
from harness.store.summaries import narrow

if TYPE_CHECKING:
    from harness.store.point_columns import Codes, Flags, Floats, Ints

Wanted = Callable[[str], bool]

MEASURED: Final = ("name", "version", "package")
"""What of the runtime that measured a row decides its series."""

IDENTITY: Final[Mapping[str, str]] = {
    name: f'"{name}"'
    for name in ("case", "model", "status", "runtime", "run", "run_started_at", "commit", "dirty", "fingerprint")
} | {
    "commit_time": '"commit_time"',
    "weights_kind": "weights.kind",
    "weights_digest": "weights.digest",
    **{f"measured_{name}": f'measured_by."{name}"' for name in MEASURED},
    "processes": "latency.processes",
    "timed_inputs": "timed_inputs.mode",
    # The same text for every row of a run: one of them is enough.
    "versions": "CASE WHEN row_number() OVER (PARTITION BY run) = 1 THEN versions END",
}
REFERENCE: Final[Mapping[str, str]] = {narrow.REFERENCE: narrow.REFERENCE_SQL}
"""Read only where it is asked for: the processes hold every sample, too."""

WHOSE: Final = (
    "run", "model", "runtime", "weights_kind", "weights_digest", "fingerprint",
    *(f"measured_{name}" for name in MEASURED),
)  # fmt: skip
"""The columns that decide the series of a row."""


LATEST: Final = 2.0**62
"""Milliseconds beyond every time: a whole number holds them."""

MOST_CODES: Final = 2**62
"""Up to which numbers are put together that tell rows apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledSeries:
    """What the samples hold.

    Attributes:
        series: in the order in which their rows were stored.
        runs: id (else commit) and time of every run that has a point.
    """

    series: dict[Key, PointColumns] = field(default_factory=dict)
    runs: frozenset[tuple[str, str]] = frozenset()


def series(
    results: Path,
    order: Commits,
    case: Wanted,
    metric: Wanted,
    problems: list[StoreError],
    *,
    reference: bool = False,
) -> SampledSeries:
    """Every value and every failure of every run, each series in git's order; skipped and unsupported cases are not.

    Args:
        results: the results folder.
        order: the commits of the clone.
        case: says of a case id whether it is wanted.
        metric: the same of a name such as `latency`.
        problems: gets one error for every file that is left out.
        reference: whether the points of latency get the time of the reference workload.

    Raises:
        StoreError: where the folder itself cannot be listed.
    """
    wanted = [one for one in BENCHMARKS if metric(one.metric.name)]
    if not wanted:
        return SampledSeries()
    select = {**IDENTITY, **(REFERENCE if reference else {})}
    for one in wanted:
        select |= {column: column for column in one.metric.reads}
    table, left_out = query.arrow_table(results, select, case=case)
    problems.extend(left_out)
    if table is None or not len(table):
        return SampledSeries()
    return _Sampled(table, order, case).all_of(wanted)


class _Sampled:
    """The rows of a table as series.

    Args:
        table: Arrow's, with the columns that `series` selects.
        order: the commits of the clone.
        case: says of a case id whether it is wanted: of their models there may be many more.
    """

    def __init__(self, table: Any, order: Commits, case: Wanted) -> None:
        import numpy as np

        self._table = table
        self._cases = self.texts("case")
        chosen = np.array([*map(case, self._cases.texts), False], dtype=np.bool_)
        self._chosen: Flags = chosen[self._cases.codes]
        self._environments, self._environment = self._identified()
        self._rows = self._columns(order)
        # A series is a case in an environment.
        self._group: Ints = self._cases.codes.astype(np.int64) * len(self._environments) + self._environment
        self._order: Codes = self._rows.in_order(self._group).astype(np.int32)
        self._failed, self._timed = self._statuses()

    def all_of(self, wanted: Sequence[AsvBenchmark]) -> SampledSeries:
        """The series of these metrics."""
        import numpy as np

        found: list[tuple[int, int, Key, PointColumns]] = []
        any_point = np.zeros(len(self._chosen), dtype=np.bool_)
        for place, one in enumerate(wanted):
            values, present = self._values(one)
            any_point |= present
            found += [(first, place, key, points) for first, key, points in self._series(one, values, present)]
        found.sort(key=lambda each: each[:2])
        return SampledSeries(series={key: points for _, _, key, points in found}, runs=self._runs(any_point))

    def texts(self, name: str) -> RepeatedTexts:
        """A column of texts."""
        import pyarrow as pa

        column = self._table.column(name)
        if pa.types.is_null(column.type):
            return RepeatedTexts.of([None] * len(column))
        found = column.dictionary_encode().unify_dictionaries().combine_chunks()
        if isinstance(found, pa.ChunkedArray):
            found = found.chunk(0)
        codes = found.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return RepeatedTexts(codes=codes, texts=tuple(found.dictionary.to_pylist()))

    def numbers(self, name: str) -> Floats:
        """A column of numbers; NaN for none."""
        import numpy as np
        import pyarrow as pa

        column = self._table.column(name)
        if pa.types.is_null(column.type):
            return np.full(len(column), math.nan)
        return np.asarray(column.to_numpy(), dtype=np.float64)

    def _values(self, one: AsvBenchmark) -> tuple[Floats, Flags]:
        """Each row's value, NaN where it failed, and whether it has a point."""
        import numpy as np

        if one.metric.name not in COMPUTED:
            values = self.numbers(one.metric.column)
        else:
            found = (one.value(row) for row in _nested(self._flat(one.metric.reads)))
            values = np.array([math.nan if value is None else value for value in found], dtype=np.float64)
        values = np.where(self._timed, values, math.nan)
        return values, self._chosen & (self._failed | ~np.isnan(values))

    def _series(
        self, benchmark: AsvBenchmark, values: Floats, present: Flags
    ) -> Iterator[tuple[int, Key, PointColumns]]:
        """The series of a metric, each with the first of its rows."""
        import numpy as np

        # A latency from before inputs rotated, a fidelity from before the worst part counted.
        column = {LATENCY: "timed_inputs", FIDELITY_LOSS: "fidelity.worst"}.get(benchmark.metric)
        order = self._order[present[self._order]]
        apart = self._group[order] * 2
        if column is not None:
            apart += self.texts(column).codes[order] < 0
            if (apart % 2).any():
                again = np.argsort(apart, kind="stable")
                order, apart = order[again], apart[again]
        if not len(order):
            return
        starts = [0, *(np.flatnonzero(np.diff(apart)) + 1).tolist()]
        firsts = np.minimum.reduceat(order, starts).tolist()
        metric = benchmark.metric
        points = MetricColumn(
            rows=self._rows, values=values, order=order, noisy=metric.noisy, latency=metric is LATENCY
        )
        marks = benchmark.told_apart(benchmark.version), benchmark.told_apart("1") if column is not None else ""
        kinds = apart[starts].tolist()
        for kind, first, start, stop in zip(kinds, firsts, starts, [*starts[1:], len(order)], strict=True):
            environment = self._environments[kind // 2 % len(self._environments)]
            params = environment.params
            key = Key(
                self._cases.texts[kind // 2 // len(self._environments)],
                metric.name,
                metric.unit,
                params["host"],
                params["onnxruntime"],
                params["weights"],
                environment.name + marks[kind % 2] if marks[kind % 2] else environment.name,
            )
            yield first, key, PointColumns(points, start, stop)

    def _columns(self, order: Commits) -> RowColumns:
        """What is the same for every metric of a row."""
        import numpy as np

        commit, count = self.texts("commit"), len(self._chosen)
        positions = [*(order.positions.get(one, NO_POSITION) if one else NO_POSITION for one in commit.texts), -1]
        time, processes = self.numbers("commit_time"), self.numbers("processes")
        none = np.full(count, math.nan)
        dirty = self._table.column("dirty").fill_null(False)
        timed = LATENCY.reads[1] in self._table.column_names
        return RowColumns(
            commit=commit,
            status=self.texts("status"),
            started_at=self.texts("run_started_at"),
            source=RepeatedTexts(codes=np.zeros(count, dtype=np.int32), texts=("samples",)),
            run=self.texts("run"),
            commit_time=np.where(np.isnan(time), NO_TIME, np.clip(np.nan_to_num(time), -LATEST, LATEST)).astype(
                np.int64
            ),
            dirty=np.asarray(dirty.to_numpy(), dtype=np.bool_),
            position=np.array(positions, dtype=np.int64)[commit.codes],
            low=self.numbers("latency.ci95_low_s") if timed else none,
            high=self.numbers("latency.ci95_high_s") if timed else none,
            confidence=np.broadcast_to(np.float64(CONFIDENCE), (count,)),
            reference_ns=self.numbers(narrow.REFERENCE) if narrow.REFERENCE in self._table.column_names else none,
            n=np.where(np.isnan(processes) | (processes == 0), 1, np.nan_to_num(processes)).astype(np.int64),
        )

    def _statuses(self) -> tuple[Flags, Flags]:
        """Which rows failed, and which have numbers."""
        import numpy as np

        status = self._rows.status
        failed = [one == Status.FAILED for one in status.texts]
        timed = [not broke and Status(one).has_numbers for one, broke in zip(status.texts, failed, strict=True)]
        return tuple(np.array([*flags, False], dtype=np.bool_)[status.codes] for flags in (failed, timed))  # type: ignore[return-value]

    def _runs(self, having: Flags) -> frozenset[tuple[str, str]]:
        """The runs of these rows."""
        import numpy as np

        rows = self._rows
        codes = _combined([rows.run.codes[having], rows.commit.codes[having], rows.started_at.codes[having]])
        firsts = np.flatnonzero(having)[np.unique(codes, return_index=True)[1]].tolist()
        return frozenset(
            (rows.run.at(row) or rows.commit.at(row) or "", rows.started_at.at(row) or "") for row in firsts
        )

    def _identified(self) -> tuple[list[AsvEnvironment], Ints]:
        """The environments, as the sweeps themselves named them in asv's files, and which of them each row's is."""
        import numpy as np

        columns = {name: self.texts(name) for name in WHOSE}
        run, written = columns["run"], self.texts("versions")
        versions = {
            run.at(row): _versions(written.at(row) or "") for row in np.flatnonzero(written.codes >= 0).tolist()
        }
        codes = _combined([column.codes for column in columns.values()])
        _, firsts, inverse = np.unique(codes, return_index=True, return_inverse=True)
        runs: dict[str | None, list[Row]] = {}
        for place, first in sorted(enumerate(firsts.tolist()), key=lambda pair: pair[1]):
            flat = {name: column.at(first) for name, column in columns.items()}
            runs.setdefault(flat["run"], []).append(_named(flat, versions.get(flat["run"], {}), place))
        known: dict[tuple[str, ...], int] = {}
        found: list[AsvEnvironment] = []
        of_kind = [0] * len(firsts)
        for rows in runs.values():
            for environment, group in environments(rows).values():
                params = environment.params
                key = (environment.name, params["host"], params["onnxruntime"], params["weights"])
                place = known.setdefault(key, len(known))
                if place == len(found):
                    found.append(environment)
                for row in group:
                    of_kind[row["whose"]] = place
        return found, np.array(of_kind, dtype=np.int64)[inverse]

    def _flat(self, columns: Sequence[str]) -> Iterator[Row]:
        """The rows as values of these columns, with every kind of missing value as None."""
        held = [self._table.column(name).to_pylist() for name in columns]
        for values in zip(*held, strict=True):
            yield dict(zip(columns, (None if value != value else value for value in values), strict=True))  # noqa: PLR0124  (only NaN differs from itself)


def _combined(columns: Sequence[Codes]) -> Ints:
    """A number for each row, the same where all of its codes are, -1 counting as one."""
    import numpy as np

    found: Ints = np.zeros(len(columns[0]), dtype=np.int64)
    size = 1
    for codes in columns:
        each = int(codes.max(initial=-1)) + 2
        if size * each >= MOST_CODES:
            found = np.unique(found, return_inverse=True)[1].astype(np.int64)
            size = int(found.max(initial=0)) + 1
        found = found * each + codes + 1
        size *= each
    return found


def _nested(rows: Iterator[Row]) -> Iterator[Row]:
    """Rows whose columns are paths, with structs as structs again."""
    for flat in rows:
        row: Row = {}
        for column, value in flat.items():
            outer, _, inner = column.rpartition(".")
            (row.setdefault(outer, {}) if outer else row)[inner] = value
        yield row


def _versions(text: str) -> Mapping[str, str]:
    try:
        return {str(name): str(version) for name, version in foreign.mapping(text).items()}
    except ValueError:  # what cannot be read is not known
        return {}


def _named(flat: Row, versions: Mapping[str, str], whose: int) -> Row:
    """As much of a row as names its environment."""
    weights = {"kind": flat["weights_kind"], "digest": flat["weights_digest"]}
    measured_by = {name: flat[f"measured_{name}"] for name in MEASURED}
    return {
        "whose": whose,
        "model": flat["model"],
        "runtime": flat["runtime"],
        "measured_by": measured_by if flat["measured_version"] is not None else None,
        "weights": weights if flat["weights_digest"] is not None else None,
        "fingerprint": flat["fingerprint"],
        "versions": versions,
    }
