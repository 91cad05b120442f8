"""asv's files put together without losing anything: results from elsewhere with those here, and a run of asv's own.

`merge` adds a source to a results folder. What is stored here stays as it is: a value that it has no place for yet, or
only a failure, is added; one that says something else is a conflict: it is reported, and kept in `conflicts/`, as a
file that `harness import` reads and asv does not. Doing it again changes nothing.

`after_run` and `benchmarks` are for `asv run`, whose own files would lose what other runs stored: there the
combinations that were measured replace what was, and the others stay; a failure never replaces a number.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import gt
from pathlib import Path
from typing import Any, Final

from harness import foreign
from harness.errors import NewerSchema, StoreError
from harness.store import files, run_files
from harness.store.asv import files as asv_files
from harness.store.asv.benchmarks import BENCHMARKS
from harness.store.asv.environments import WEIGHTS_OF
from harness.store.asv.files import Columns, ResultFile, union
from harness.store.asv.merge_runs import CONFLICTS, RunMerge
from harness.store.imports.base import digest, safe
from harness.store.imports.recognize import RESULT, Incoming, joined
from harness.store.query import natural

NAMES: Final = frozenset(metric.name for metric in BENCHMARKS)
"""The benchmarks that are harness's own."""

SERIES: Final = ("python", "onnxruntime", "host", "weights")
"""Params that two results must share to stand in one file."""

LONGEST = 128
"""From this many characters on asv replaces an environment's name in that of a file by a hash."""

HARDWARE = ("arch", "cpu", "num_cpu")
RAM_TOLERANCE = 0.05
"""The kernel keeps a little memory for itself, and not the same at every start."""

Point = tuple[str, ...]
"""A combination of parameters as asv stores it: the `repr` of each."""

Entry = tuple[Columns, int]
"""A combination of a benchmark: its columns, and its place in them."""


# --- results from elsewhere ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A value that says something else than the one that is stored.

    Attributes:
        path: of the stored file, which keeps its value.
        what: the case or combination, for people.
        kept, other: both values; None is a failure.
        aside: the file that keeps the other.
    """

    path: Path
    what: str
    kept: object
    other: object
    aside: Path


@dataclass(slots=True)
class Merged:
    """What became of one source.

    Attributes:
        added, same: values that are new here, and those that were here already.
        runs: files of samples that are new here.
        renamed: machine -> the name it got here, because another machine of that name is stored.
    """

    incoming: Incoming
    added: int = 0
    same: int = 0
    runs: int = 0
    conflicts: list[Conflict] = field(default_factory=list)
    problems: list[StoreError] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)


def merge(results: Path, sources: Sequence[Incoming], *, dry_run: bool = False) -> tuple[Merged, ...]:
    """Add what the sources hold to a results folder.

    Everything is read, checked and put together before the first file is written; files are written whole, under the
    lock of the folder.

    Args:
        results: the folder to add to.
        sources: in order; where two of them differ, the first one's value is stored.
        dry_run: write nothing.

    Raises:
        NewerSchema: if a newer harness or asv wrote benchmarks.json here.
        StoreError: if that file is damaged, or something cannot be written.
    """
    if dry_run:
        return _Merge(results).all_of(sources)
    with files.Lock.wait(files.lock_of(results)):
        merging = _Merge(results)
        found = merging.all_of(sources)
        for path, content in merging.contents.items():
            files.write(path, content)
        for path, source in merging.copies.items():
            run_files.copy(source, path)
    return found


class _Merge:
    """One import: what is to be written, and what was put together so far."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.contents: dict[Path, bytes] = {}
        self.copies: dict[Path, Path] = {}
        self.pending: dict[Path, ResultFile] = {}
        self.machines: dict[str, dict[str, str]] = {}
        self.runs = RunMerge(results)

    def all_of(self, sources: Sequence[Incoming]) -> tuple[Merged, ...]:
        """Every source; benchmarks.json last."""
        path = self.results / "benchmarks.json"
        stored = asv_files.benchmarks(path)
        found = tuple(self.source(one) for one in sources)
        both = joined([stored, *(one.benchmarks for one in sources)])
        if both != stored:
            self.contents[path] = asv_files.dump(both, asv_files.BENCHMARKS_VERSION)
        return found

    def source(self, incoming: Incoming) -> Merged:
        """One source, file by file; one that cannot be added costs itself alone."""
        done = Merged(incoming=incoming, problems=list(incoming.problems))
        for file in incoming.files:
            try:
                self.file(file, done)
            except StoreError as error:
                done.problems.append(error)
        for path in incoming.samples:
            try:
                self.run(path, done)
            except StoreError as error:
                done.problems.append(error)
        return done

    # --- asv's files ---

    def file(self, theirs: ResultFile, done: Merged) -> None:
        """One result file."""
        name = self.machine(theirs, done)
        header = {**theirs.header, "params": {**theirs.params, "machine": name}}
        path = self.results / name / _file_name(header)
        ours = self.pending.get(path) or (asv_files.read(path) if path.exists() else None)
        if ours is None:
            done.added += sum(known(columns) for columns in theirs.benchmarks.values())
            self.keep(replace(theirs, path=path, header=header))
            return
        if (
            ours.commit != theirs.commit
            or ours.environment != theirs.environment
            or not same_series(ours.header, header)
        ):
            raise StoreError(
                f"{theirs.path} was not added: {path} has its name and is of another commit or environment. Rename "
                "one of the two and import it again."
            )
        both = dict(ours.benchmarks)
        losers: dict[str, Columns] = {}
        differing: list[tuple[str, object, object]] = []
        for benchmark, columns in theirs.benchmarks.items():
            grid = ParameterGrid(ours.benchmarks.get(benchmark), columns)
            both[benchmark] = grid.columns
            done.added += grid.added
            done.same += grid.same
            if grid.losers:
                losers[benchmark] = grid.losers
                differing += [(f"{benchmark} {what}", kept, other) for what, kept, other in grid.differing]
        if both != ours.benchmarks and _differ(both, ours.benchmarks):
            labels = {**(header.get(WEIGHTS_OF) or {}), **(ours.header.get(WEIGHTS_OF) or {})}
            known_by = {**ours.header, WEIGHTS_OF: labels} if labels else ours.header
            self.keep(replace(ours, header=known_by, benchmarks=both))
        if losers:
            content = asv_files.encode(header, losers)
            aside = self.aside(name, path.stem, RESULT, content)
            done.conflicts += [
                Conflict(path=path, what=what, kept=kept, other=other, aside=aside) for what, kept, other in differing
            ]

    def keep(self, file: ResultFile) -> None:
        """Take a result file as it will be written."""
        self.pending[file.path] = file
        self.contents[file.path] = asv_files.encode(file.header, file.benchmarks)

    def machine(self, theirs: ResultFile, done: Merged) -> str:
        """The machine's name here: another machine that is called the same gets a name of its own."""
        given = str(theirs.params.get("machine") or theirs.path.parent.name)
        name = safe(given).lstrip(".") or "unknown"  # it becomes a folder
        known_as = done.incoming.machines.get(given) or _machine_of(theirs.params, name)
        described = {**known_as, "machine": name}
        stored = self.stored_machine(name)
        if stored and not _same_hardware(stored, described):
            name = f"{name}-{digest([described.get(key) for key in HARDWARE])}"
            done.renamed[described["machine"]] = name
            described["machine"] = name
            stored = self.stored_machine(name)
        if not stored:
            self.machines[name] = described
            self.contents[self.results / name / "machine.json"] = asv_files.dump(described, asv_files.MACHINE_VERSION)
        return name

    def stored_machine(self, name: str) -> Mapping[str, str]:
        """A machine as it is described here; by its results, and written anew, where its description is missing."""
        if name not in self.machines:
            path = self.results / name / "machine.json"
            found = {key: str(value) for key, value in asv_files.machine(path).items()}
            if not found and (described := self.described(name)):
                found = described
                self.contents[path] = asv_files.dump(found, asv_files.MACHINE_VERSION)
            if found:
                self.machines[name] = found
        return self.machines.get(name, {})

    def described(self, name: str) -> dict[str, str]:
        """What the first result of a machine that can be read says about it."""
        for path in sorted((self.results / name).glob("*.json")):
            try:
                return _machine_of(asv_files.read(path).params, name)
            except StoreError:
                continue
        return {}

    def aside(self, folder: str, stem: str, suffix: str, content: bytes) -> Path:
        """Keep what lost, under a name that says what is in it: the same thing is kept once."""
        path = self.results / CONFLICTS / folder / f"{stem}.{hashlib.sha256(content).hexdigest()[:8]}{suffix}"
        self.contents[path] = content
        return path

    def run(self, path: Path, done: Merged) -> None:
        """A file of samples."""
        for one in self.runs.of(path):
            self.contents |= one.contents
            self.copies |= one.copies
            if one.stored is None:
                done.runs += 1
                continue
            done.conflicts += [
                Conflict(path=one.stored, what=row.what, kept=row.kept, other=row.other, aside=one.aside)
                for row in one.differing
            ]


class ParameterGrid:
    """One benchmark of ours and of theirs, combination by combination.

    Attributes:
        columns: ours, with what only they have.
        losers: what they have and ours says otherwise; empty where there is nothing of that.
        differing: (combination, our value, theirs) for each of those.
    """

    def __init__(self, ours: Columns | None, theirs: Columns) -> None:
        self.added = self.same = 0
        self.losers: Columns = {}
        self.differing: list[tuple[str, object, object]] = []
        if ours is None:
            self.columns = theirs
            self.added = known(theirs)
        elif ours.get("version") != theirs.get("version") or len(asv_files.axes(ours)) != len(asv_files.axes(theirs)):
            self.columns = ours
            self.losers = theirs
            self.differing = [("(of another version)", ours.get("version"), theirs.get("version"))]
        elif (size := _together(ours, theirs)) > asv_files.MOST_COMBINATIONS:
            self.columns = ours
            self.losers = theirs
            self.differing = [(f"({size:,} combinations together, too many)", known(ours), known(theirs))]
        else:
            self.columns = self._joined(ours, theirs)

    def _joined(self, ours: Columns, theirs: Columns) -> Columns:
        axes = union(asv_files.axes(ours), asv_files.axes(theirs))
        mine = {point: place for place, point in asv_files.points(ours)}
        other = {point: place for place, point in asv_files.points(theirs)}
        taken: list[Entry | None] = []
        lost: list[Point] = []
        for point in itertools.product(*axes):
            here = (ours, mine[point]) if point in mine else None
            there = (theirs, other[point]) if point in other else None
            free = here is None or not _has(here) or (_value(here) is None and there and _value(there) is not None)
            if _has(there) and free:
                self.added += 1
                taken.append(there)
                continue
            taken.append(here or there)
            if here and there and _has(there):
                if _equal(_value(here), _value(there)):
                    self.same += 1
                else:
                    lost.append(point)
                    self.differing.append((", ".join(point), _value(here), _value(there)))
        if lost:
            self.losers = _picked(theirs, other, lost)
        if not self.added:
            return ours
        rest = {name: value for name, value in {**theirs, **ours}.items() if name not in asv_files.PER_POINT}
        return {**rest, "params": axes, **_entries(taken)}


def _together(ours: Columns, theirs: Columns) -> int:
    """How many combinations the parameters of both have."""
    return math.prod(len(axis) for axis in union(asv_files.axes(ours), asv_files.axes(theirs)))


def _picked(columns: Columns, places: Mapping[Point, int], points: Sequence[Point]) -> Columns:
    """A benchmark's columns with nothing but these combinations, n/a in between."""
    axes = [list(dict.fromkeys(point[axis] for point in points)) for axis in range(len(points[0]))]
    wanted = set(points)
    taken = [(columns, places[point]) if point in wanted else None for point in itertools.product(*axes)]
    rest = {name: value for name, value in columns.items() if name not in asv_files.PER_POINT}
    return {**rest, "params": axes, **_entries(taken)}


def _differ(one: Mapping[str, Columns], other: Mapping[str, Columns]) -> bool:
    """Whether two sets of benchmarks would be written differently; NaN is not equal to itself."""
    return asv_files.encode({}, one) != asv_files.encode({}, other)


def _machine_of(params: Mapping[str, Any], name: str) -> dict[str, str]:
    """A machine's description, from the params of one of its results."""
    return {**{key: str(params[key]) for key in (*HARDWARE, "os", "ram") if key in params}, "machine": name}


def _same_hardware(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    if any(one.get(key) and other.get(key) and one[key] != other[key] for key in HARDWARE):
        return False
    try:
        first, second = float(one.get("ram") or 0), float(other.get("ram") or 0)
    except ValueError:
        return True
    return not first or not second or math.isclose(first, second, rel_tol=RAM_TOLERANCE)


def _file_name(header: Mapping[str, Any]) -> str:
    """As asv names a result file."""
    environment = str(header.get("env_name") or "")
    if len(environment) >= LONGEST:
        environment = f"env-{hashlib.md5(environment.encode(), usedforsecurity=False).hexdigest()}"
    commit = header["commit_hash"]
    if not re.fullmatch("[0-9a-f]{7,64}", commit):
        raise StoreError(f"{commit!r} is not a commit: the file that names it was not added.")
    return f"{commit[:8]}-{safe(environment)}.json"


# --- a run of asv --------------------------------------------------------------------------------


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


def hull(axes: Sequence[Sequence[str]], points: Iterable[Point]) -> list[list[str]]:
    """The axes with only the values that occur in some point; all of them where there is no point."""
    there = [set(values) for values in zip(*points, strict=True)]
    return [[value for value in axis if not there or value in there[i]] for i, axis in enumerate(axes)]


def after_run(
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
    old = dict(stored.benchmarks) if stored else {}
    new = {name: _benchmark_after_run(old.get(name), fresh[name], points) for name, points in touched.items()}
    durations = {**(stored.header.get("durations") or {} if stored else {}), **(header.get("durations") or {})}
    return {**(stored.header if stored else {}), **header, "durations": durations}, old | new


def _benchmark_after_run(old: Columns | None, new: Columns, touched: Touched) -> Columns:
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
    taken: list[Entry | None] = []
    for point in itertools.product(*axes):
        replaces = point in touched.tried and asv_files.at(new, "result", there[point]) is not None
        if replaces or (point in mine and _empty(old, before.get(point))):
            taken.append((new, there[point]))
        else:
            taken.append((old, before[point]) if old is not None and point in before else None)
    rest = {name: value for name, value in new.items() if name not in asv_files.PER_POINT}
    return {**rest, "params": axes, **_entries(taken)}


def _empty(old: Columns | None, place: int | None) -> bool:
    """Whether no number is lost where a failure takes a place."""
    value = None if old is None or place is None else asv_files.at(old, "result", place)
    return value is None or _is_nan(value)


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
        if all(isinstance(one, str) and one.isdecimal() for one in versions) and gt(*map(foreign.whole, versions)):
            raise NewerSchema(
                f"{path} holds {name} in version {versions[0]}; this harness writes version {versions[1]}: update "
                "onnx-harness, or choose another results_dir in asv.conf.json."
            )
        if old.get("param_names") == new["param_names"]:
            both = union(new["params"], old["params"])
            content[name] = {**new, "params": [sorted(axis, key=natural) for axis in both]}
    return content


# --- both ----------------------------------------------------------------------------------------


def same_series(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether the headers of two result files name no two values of one dimension."""
    return all(
        one["params"][key] == other["params"][key] for key in SERIES if key in one["params"] and key in other["params"]
    )


def _entries(taken: Sequence[Entry | None]) -> Columns:
    """Entries of both sides as columns; n/a where neither has one."""
    out: Columns = {}
    for column in asv_files.PER_POINT:
        absent = math.nan if column == "result" else None
        values = [absent if one is None else asv_files.at(one[0], column, one[1]) for one in taken]
        if any(value is not None for value in values):
            out[column] = values
    return out


def _has(entry: Entry | None) -> bool:
    """Whether there is a value or a failure, rather than nothing or n/a."""
    return entry is not None and not _is_nan(_value(entry))


def _value(entry: Entry) -> Any:
    return asv_files.at(entry[0], "result", entry[1])


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _equal(one: object, other: object) -> bool:
    return one == other or (_is_nan(one) and _is_nan(other))


def known(columns: Columns) -> int:
    """How many combinations of a benchmark have a value or a failure."""
    return sum(not _is_nan(asv_files.at(columns, "result", place)) for place, _ in asv_files.points(columns))
