"""asv's files as plain JSON: what stands in them, without asv's own classes.

`harness.store.asv.results` writes a run's numbers by asv's own API, which also computes its statistics. Whoever only
reads or merges what is stored does it here: a history of hundreds of commits is read in seconds, and nothing that asv's
classes do not know is lost on the way.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness import foreign
from harness.errors import NewerSchema, StoreError
from harness.store import files
from harness.store.asv import sound

BENCHMARKS_VERSION = 2
RESULTS_VERSION = 2
MACHINE_VERSION = 1

COLUMNS: Final = (
    "result", "params", "version", "started_at", "duration", "stats_ci_99_a", "stats_ci_99_b", "stats_q_25",
    "stats_q_75", "stats_number", "stats_repeat", "samples", "profile",
)  # fmt: skip
"""asv 0.6's columns of a benchmark, in its order."""

PER_POINT: Final = frozenset(name for name in COLUMNS if name.startswith("stats_")) | {"result", "samples"}
"""Columns with one entry per combination of parameters."""

MOST_COMBINATIONS: Final = 4_000_000
"""Of the parameters of one benchmark: asv stores one entry for each, measured or not, and five short lists can ask
for more of them than any machine holds."""

NAME: Final = re.compile(r"[0-9a-f]{8}-.*\.json")
"""How asv names a result file; other files in a folder of results are not its own."""

Columns = dict[str, Any]
"""One benchmark of one result file: column -> value, columns that are not there left out."""

NO_DATE = 10**15
"""Milliseconds since the epoch from which on nothing is a date: the year 33658."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFile:
    """One of asv's result files: everything about one commit in one environment on one machine.

    Attributes:
        path: where it lies.
        header: every key but `results` and `result_columns`, as they were.
        benchmarks: name -> columns.
    """

    path: Path
    header: Mapping[str, Any]
    benchmarks: Mapping[str, Columns]

    @property
    def commit(self) -> str:
        """The full hash."""
        return str(self.header["commit_hash"])

    @property
    def commit_time(self) -> int | None:
        """Of the commit, in milliseconds since the epoch."""
        date = self.header.get("date")
        return int(date) if isinstance(date, (int, float)) and abs(date) < NO_DATE else None

    @property
    def environment(self) -> str:
        """The environment's name."""
        return str(self.header.get("env_name") or "")

    @property
    def params(self) -> Mapping[str, Any]:
        """Machine and environment, as asv's pages show them."""
        params: Mapping[str, Any] = self.header["params"]
        return params


def result_paths(results: Path) -> list[Path]:
    """Every result file of a folder, by machine and name: those that begin with a commit, as asv names them.

    Raises:
        StoreError: where a folder cannot be listed.
    """
    with files.guarded("list", results):
        return sorted(path for path in results.glob("*/*.json") if NAME.match(path.name))


def read(path: Path) -> ResultFile:
    """Read and check one result file.

    Raises:
        NewerSchema: if a newer asv wrote it.
        StoreError: if it is damaged, or gone.
    """
    content = load(path, RESULTS_VERSION)
    try:
        if not content:
            raise ValueError("it is empty")
        names = content.pop("result_columns")
        found = {
            name: {column: value for column, value in zip(names, row, strict=False) if value is not None}
            for name, row in content.pop("results").items()
        }
        wrong = sound.header(content)
        for name, columns in found.items():
            _check(name, columns)
            wrong = wrong or sound.columns(name, columns)
        if wrong:
            raise TypeError(wrong)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise broken(path, error) from error
    return ResultFile(path=path, header=content, benchmarks=found)


def benchmarks(path: Path) -> dict[str, Any]:
    """What benchmarks.json describes; empty where there is no file.

    Raises:
        NewerSchema, StoreError: as `load`, and where a description is none.
    """
    return _sound(path, load(path, BENCHMARKS_VERSION), sound.benchmarks)


def machine(path: Path) -> dict[str, Any]:
    """What machine.json says; empty where there is no file.

    Raises:
        NewerSchema, StoreError: as `load`, and where a fact is not a text.
    """
    return _sound(path, load(path, MACHINE_VERSION), sound.machine)


def _sound(path: Path, content: dict[str, Any], wrong_in: Callable[[Mapping[str, Any]], str]) -> dict[str, Any]:
    if wrong := wrong_in(content):
        raise broken(path, TypeError(wrong))
    return content


def encode(header: Mapping[str, Any], benchmarks: Mapping[str, Columns]) -> bytes:
    """A result file as asv writes it: compact, trailing nulls trimmed, unknown columns kept behind asv's own."""
    extra = {column for columns in benchmarks.values() for column in columns if column not in COLUMNS}
    names = [*COLUMNS, *sorted(extra)]
    rows = {}
    for name, columns in benchmarks.items():
        row = [columns.get(column) for column in names]
        while row and row[-1] is None:
            row.pop()
        rows[name] = row
    return json.dumps({**header, "result_columns": names, "results": rows, "version": RESULTS_VERSION}).encode()


def axes(columns: Columns) -> list[list[str]]:
    """The values of each parameter, as the `repr` that asv stores; no axis where the benchmark has no parameters."""
    return columns.get("params") or []


def points(columns: Columns) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Every combination of parameters with its place in the columns."""
    return enumerate(itertools.product(*axes(columns)))


def at(columns: Columns, column: str, place: int) -> Any:
    """One entry of a column that has one per combination; None where the column or its end was trimmed."""
    values = columns.get(column)
    return values[place] if isinstance(values, list) and place < len(values) else None


def load(path: Path, version: int) -> dict[str, Any]:
    """The object in one of asv's files, without its version; empty where there is no file.

    Raises:
        NewerSchema: if a newer asv wrote it.
        StoreError: if it is damaged, or of a version that asv itself must bring up to date.
    """
    with files.guarded("read", path):
        try:
            text = foreign.content(path)
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise broken(path, error) from error
    try:
        content = foreign.mapping(text)
        found = content.pop("version")
        if not isinstance(found, int):
            raise TypeError("its version is not a number")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise broken(path, error) from error
    if found > version:
        raise NewerSchema(
            f"{path} has version {found} of asv's format; this harness reads version {version}: update onnx-harness, "
            "or choose another results folder with --results."
        )
    if found < version:
        raise StoreError(f"{path} has version {found} of asv's format: run `asv update` to bring it to {version}.")
    return content


def broken(path: Path, cause: object) -> StoreError:
    """The error for a file of asv's that cannot be read, with what to do about it."""
    return StoreError(
        f"{path} is damaged ({type(cause).__name__}: {cause}). It was left as it is: restore it (`git checkout -- "
        f"{path.name}` in its folder) or delete it, then run the same command again; nothing is measured twice."
    )


def dump(content: Mapping[str, Any], version: int) -> bytes:
    """benchmarks.json or machine.json as asv writes them."""
    return json.dumps({**content, "version": version}, indent=4, sort_keys=True).encode()


def _check(name: str, columns: Columns) -> None:
    params = axes(columns)
    if not isinstance(params, list) or not all(isinstance(axis, list) for axis in params):
        raise TypeError(f"the parameters of {name} are not lists")
    size = math.prod(len(axis) for axis in params)
    if size > MOST_COMBINATIONS:
        raise ValueError(f"{name} has {size:.0e} combinations of parameters; at most {MOST_COMBINATIONS:,} are read")
    for column in PER_POINT & columns.keys():
        if not isinstance(columns[column], list) or len(columns[column]) != size:
            raise ValueError(f"{name} has {columns[column]!r:.80} as {column} for {size} combinations")


def union(first: Sequence[Sequence[str]], second: Sequence[Sequence[str]]) -> list[list[str]]:
    """The values of each axis: the first's in their order, then what only the second has."""
    return [list(dict.fromkeys([*one, *other])) for one, other in zip(first, second, strict=True)]
