"""Points of history from the samples' Parquet files, dirty runs included."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness import foreign
from harness.errors import StoreError
from harness.metrics import FIDELITY_LOSS, LATENCY
from harness.stats.estimate import CONFIDENCE
from harness.store import query
from harness.store.asv.benchmarks import BENCHMARKS, AsvBenchmark, nullable
from harness.store.asv.environments import AsvEnvironment, environments
from harness.store.commits import Commits
from harness.store.rows import Row
from harness.store.series import Key, Point
from harness.store.summaries import narrow

if TYPE_CHECKING:
    import pandas as pd

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


def points(
    results: Path,
    order: Commits,
    case: Wanted,
    metric: Wanted,
    problems: list[StoreError],
    *,
    reference: bool = False,
) -> Iterator[tuple[Key, Point]]:
    """Every value and every failure of every run; cases that are skipped or unsupported are left out.

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
        return
    select = {**IDENTITY, **(REFERENCE if reference else {})}
    for one in wanted:
        select |= {column: column for column in one.metric.reads}
    table = query.table(results, select, case=case)
    problems.extend(table.problems)
    frame = table.frame
    if frame.empty:
        return
    identities = _identities(frame)
    columns = [column for one in wanted for column in one.metric.reads]
    chosen = frame[frame["case"].map(case).astype(bool)]  # of their models there may be many more
    for flat in _rows(chosen[[name for name in select if name != "versions"]]):
        environment = identities[_whose(flat)]
        row = _row(flat, columns)
        for one in wanted:
            value = nullable(one.value, row)
            if value is None or not math.isnan(value):
                yield _key(flat, one, environment), _point(one, value, flat, order)


def _key(flat: Row, benchmark: AsvBenchmark, environment: AsvEnvironment) -> Key:
    params = environment.params
    # A latency from before inputs rotated, a fidelity from before the worst part counted.
    earlier = (benchmark.metric is LATENCY and flat["timed_inputs"] is None) or (
        benchmark.metric is FIDELITY_LOSS and flat["fidelity.worst"] is None
    )
    version = "1" if earlier else benchmark.version
    return Key(
        flat["case"],
        benchmark.metric.name,
        benchmark.unit,
        params["host"],
        params["onnxruntime"],
        params["weights"],
        environment.name + benchmark.told_apart(version),
    )


def _point(benchmark: AsvBenchmark, value: float | None, flat: Row, order: Commits) -> Point:
    low = high = None
    if benchmark.metric is LATENCY and value is not None:
        low, high = flat["latency.ci95_low_s"], flat["latency.ci95_high_s"]
    commit = flat["commit"]
    return Point(
        commit=commit,
        commit_time=None if flat["commit_time"] is None else int(flat["commit_time"]),
        value=None if value is None else float(value),
        status=flat["status"],
        low=low,
        high=high,
        confidence=None if low is None else CONFIDENCE,
        n=int(flat["processes"] or 1) if benchmark.metric.noisy else 1,
        dirty=bool(flat["dirty"]),
        started_at=flat["run_started_at"],
        source="samples",
        run=flat["run"],
        position=order.positions.get(commit) if commit else None,
        reference_ns=flat.get("reference_ns") if benchmark.metric is LATENCY else None,
    )


def _row(flat: Row, columns: Sequence[str]) -> Row:
    """As much of a stored row as the metrics ask for: its status and these columns, structs as structs again."""
    row: Row = {"status": flat["status"]}
    for column in columns:
        outer, _, inner = column.rpartition(".")
        (row.setdefault(outer, {}) if outer else row)[inner] = flat[column]
    return row


def _identities(frame: pd.DataFrame) -> dict[tuple[Any, ...], AsvEnvironment]:
    """The environment of every kind of row: as the sweep itself named it in asv's files."""
    versions = {row["run"]: _versions(row["versions"]) for row in _rows(frame[["run", "versions"]].dropna())}
    runs: dict[str, list[Row]] = {}
    for flat in _rows(frame[list(WHOSE)].drop_duplicates()):
        runs.setdefault(flat["run"], []).append(_named(flat, versions.get(flat["run"], {})))
    return {
        row["whose"]: environment
        for rows in runs.values()
        for environment, group in environments(rows).values()
        for row in group
    }


def _versions(text: str) -> Mapping[str, str]:
    try:
        return {str(name): str(version) for name, version in foreign.mapping(text).items()}
    except ValueError:  # what cannot be read is not known
        return {}


def _whose(flat: Row) -> tuple[Any, ...]:
    return tuple(flat[name] for name in WHOSE)


def _named(flat: Row, versions: Mapping[str, str]) -> Row:
    """As much of a row as names its environment."""
    weights = {"kind": flat["weights_kind"], "digest": flat["weights_digest"]}
    measured_by = {name: flat[f"measured_{name}"] for name in MEASURED}
    return {
        "whose": _whose(flat),
        "model": flat["model"],
        "runtime": flat["runtime"],
        "measured_by": measured_by if flat["measured_version"] is not None else None,
        "weights": weights if flat["weights_digest"] is not None else None,
        "fingerprint": flat["fingerprint"],
        "versions": versions,
    }


def _rows(frame: pd.DataFrame) -> Iterator[Row]:
    """A table's rows, one after the other, with every kind of missing value as None."""
    names = list(frame.columns)
    for values in zip(*(_values(frame[name]) for name in names), strict=True):
        yield dict(zip(names, values, strict=True))


def _values(column: pd.Series) -> list[Any]:
    """A column as Python's own values; equal texts are one object, for there are few commits, runs and cases."""
    if column.dtype.kind in "if":
        return [None if value != value else value for value in column.to_numpy(dtype=float, na_value=math.nan).tolist()]  # noqa: PLR0124  (only NaN differs from itself)
    codes, distinct = column.factorize()
    values = [*distinct.tolist(), None]
    return [values[code] for code in codes.tolist()]  # missing ones have the code -1
