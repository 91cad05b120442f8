"""One set of asv's results on top of another, combination by combination. Pure; for `harness.asv_plugin`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from harness.errors import NewerSchema
from harness.store import asv_files
from harness.store.asv_files import Columns, ResultFile
from harness.store.metrics import METRICS
from harness.store.query import natural

NAMES: Final = frozenset(metric.name for metric in METRICS)

Point = tuple[str, ...]
"""A combination of parameters as asv stores it: the `repr` of each."""

SERIES: Final = ("python", "onnxruntime", "host", "weights")
"""Params that two results must share to stand in one file."""


@dataclass(slots=True)
class Touched:
    """The combinations of one benchmark that a run of asv has results for.

    Attributes:
        tried: measured, or failed when it was.
        untried: failed because there was nothing to measure, such as a commit that does not build.
    """

    tried: set[Point] = field(default_factory=set)
    untried: set[Point] = field(default_factory=set)

    def add(self, points: set[Point], *, tried: bool) -> None:
        """Take more combinations; whatever was tried once counts as tried."""
        if tried:
            self.tried |= points
        else:
            self.untried |= points
        self.untried -= self.tried


def union(first: Sequence[Sequence[str]], second: Sequence[Sequence[str]]) -> list[list[str]]:
    """The values of each axis: the first's in their order, then what only the second has."""
    return [list(dict.fromkeys([*one, *other])) for one, other in zip(first, second, strict=True)]


def hull(axes: Sequence[Sequence[str]], points: Iterable[Point]) -> list[list[str]]:
    """The axes with only the values that occur in some point; all of them where there is no point."""
    there = [set(values) for values in zip(*points, strict=True)]
    return [[value for value in axis if not there or value in there[i]] for i, axis in enumerate(axes)]


def same_series(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether the headers of two result files name no two values of one dimension."""
    return all(
        one["params"][key] == other["params"][key] for key in SERIES if key in one["params"] and key in other["params"]
    )


def merged(
    stored: ResultFile | None,
    header: Mapping[str, Any],
    fresh: Mapping[str, Columns],
    touched: Mapping[str, Touched],
) -> tuple[dict[str, Any], dict[str, Columns]]:
    """What a result file holds after a run.

    Args:
        stored: what lies there now, written by whomever.
        header: of the run.
        fresh: benchmark -> columns of the run, which may hold older values as well.
        touched: benchmark -> what of it the run has results for; everything else is `stored`'s.

    Returns:
        Header and benchmarks.
    """
    known = dict(stored.benchmarks) if stored else {}
    benchmarks = known | {name: _columns(known.get(name), fresh[name], points) for name, points in touched.items()}
    durations = {**(stored.header.get("durations") or {} if stored else {}), **(header.get("durations") or {})}
    return {**(stored.header if stored else {}), **header, "durations": durations}, benchmarks


def _columns(old: Columns | None, new: Columns, touched: Touched) -> Columns:
    """One benchmark: touched combinations from the run, the others as they were, n/a where nobody asked."""
    if old is not None and (
        old.get("version") != new.get("version") or len(asv_files.axes(old)) != len(asv_files.axes(new))
    ):
        old = None
    mine = touched.tried | touched.untried
    axes = hull(asv_files.axes(new), mine)
    if old is not None:
        axes = union(asv_files.axes(old), axes)
    there = {point: i for i, point in asv_files.points(new)}
    before = {point: i for i, point in asv_files.points(old)} if old is not None else {}
    taken: list[tuple[Columns, int] | None] = []
    for point in itertools.product(*axes):
        if point in touched.tried or (point in touched.untried and _empty(old, before.get(point))):
            taken.append((new, there[point]))
        else:
            taken.append((old, before[point]) if old is not None and point in before else None)
    out: Columns = {name: value for name, value in new.items() if name not in asv_files.PER_POINT} | {"params": axes}
    for column in asv_files.PER_POINT:
        absent = math.nan if column == "result" else None
        values = [absent if one is None else asv_files.at(one[0], column, one[1]) for one in taken]
        if any(value is not None for value in values):
            out[column] = values
    return out


def _empty(old: Columns | None, place: int | None) -> bool:
    """Whether nothing is lost where a value is replaced: there is none, or it is itself a failure."""
    return old is None or place is None or asv_files.at(old, "result", place) is None


def benchmarks(path: Path, stored: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """What benchmarks.json holds: what asv found, and of `sweep.*` also every parameter that was ever stored.

    Raises:
        NewerSchema: if a newer harness wrote one of them.
    """
    content = dict(found)
    for name in NAMES & stored.keys():
        old, new = stored[name], content.get(name)
        if new is None:
            content[name] = old
            continue
        versions = [one.get("version") for one in (old, new)]
        if all(isinstance(one, str) and one.isdecimal() for one in versions) and int(versions[0]) > int(versions[1]):
            raise NewerSchema(
                f"{path} holds {name} in version {versions[0]}; this harness writes version {versions[1]}: update "
                "onnx-harness, or choose another results_dir in asv.conf.json."
            )
        if old.get("param_names") == new["param_names"]:
            both = union(new["params"], old["params"])
            content[name] = {**new, "params": [sorted(axis, key=natural) for axis in both]}
    return content
